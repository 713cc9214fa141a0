from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.events import GIST, NEAR, NEARER, OPEN, EventBook
from monitor.ports import Gathered
from monitor.types import EntityId, EventId, Gist
from tests.samples import MINUTE, T0, hex_id

ACME, BOLT = EntityId("acme"), EntityId("bolt")


def gist(angle: float) -> Gist:
    """A gist on a circle, by degrees: the cosine of two is that of the angle between them."""
    vector = np.zeros(GIST)
    vector[:2] = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return Gist(np.rint(127 * vector).astype(np.int8).tobytes())


def told(name: str, angle: float, about: Sequence[EntityId] = (ACME,), after: timedelta = timedelta(0)) -> Gathered:
    """A story in an event of its own."""
    id_ = hex_id(name)
    return Gathered(article=id_, received=T0 + after, gist=gist(angle), companies=frozenset(about), event=EventId(id_))


def place(book: EventBook, story: Gathered) -> EventId:
    return book.place(story.article, received=story.received, gist=story.gist, companies=story.companies).event


def test_stories_near_each_other_about_one_company_are_one_event_named_by_the_first() -> None:
    book = EventBook()
    first, near, far = told("first", 0), told("near", 60, after=MINUTE), told("far", 130, after=MINUTE)
    assert place(book, first) == first.event
    assert place(book, near) == first.event
    assert place(book, far) == far.event


def test_what_is_near_but_about_another_company_is_another_event() -> None:
    book = EventBook()
    place(book, told("acme", 0))
    bolt = told("bolt", 0, [BOLT])
    assert place(book, bolt) == bolt.event
    assert place(book, told("both", 0, [BOLT, ACME])) in (EventId(hex_id("acme")), bolt.event)


def test_stories_without_a_company_meet_only_each_other_and_have_to_be_nearer() -> None:
    angle = np.degrees(np.arccos((NEAR + NEARER) / 2))
    book = EventBook()
    place(book, told("acme", 0))
    anyone, apart, close = told("anyone", 0, []), told("apart", angle, []), told("close", 40, [])
    assert place(book, anyone) == anyone.event
    assert place(book, apart) == apart.event
    assert place(book, close) in (anyone.event, apart.event)
    assert place(book, told("of acme", angle)) == EventId(hex_id("acme"))


def test_an_event_ends_two_days_after_its_last_story() -> None:
    book = EventBook()
    first = told("first", 0)
    for number, after in enumerate((timedelta(0), OPEN, 2 * OPEN)):
        name = "first" if number == 0 else f"later {number}"
        assert place(book, told(name, 0, after=after)) == first.event
    late = told("too late", 0, after=3 * OPEN + MINUTE)
    assert place(book, late) == late.event


def test_a_chain_of_stories_each_a_little_like_the_last_is_not_one_event() -> None:
    book = EventBook()
    events = [place(book, told(str(angle), angle, after=angle * MINUTE)) for angle in range(0, 181, 20)]
    assert events[0] == events[1]
    assert len(set(events)) > 1


def test_a_story_that_says_nothing_is_alone() -> None:
    book = EventBook()
    for name in ("one", "two"):
        assert book.place(hex_id(name), received=T0, gist=Gist(b""), companies={ACME}).event == EventId(hex_id(name))


@pytest.mark.parametrize("stories", [300, 1500])
def test_memory_does_not_grow_with_time(stories: int) -> None:
    book = EventBook()
    for number in range(stories):
        place(book, told(str(number), number % 7 * 50, after=number * timedelta(hours=1)))
    assert len(book._stories) <= 2 * OPEN / timedelta(hours=1) + 1


stories = st.lists(
    st.tuples(
        st.integers(0, 350).map(lambda angle: angle // 10 * 10),
        st.sets(st.sampled_from([ACME, BOLT]), max_size=2),
        st.integers(0, 5000),  # minutes
    ),
    max_size=30,
)


def in_order(rows: Sequence[tuple[int, set[EntityId], int]]) -> list[Gathered]:
    made = [
        told(str(number), angle, sorted(about), minutes * MINUTE) for number, (angle, about, minutes) in enumerate(rows)
    ]
    return sorted(made, key=lambda story: (story.received, story.article))


@given(stories)
def test_every_story_is_in_one_event_for_good(rows: list[tuple[int, set[EntityId], int]]) -> None:
    book, given_ = EventBook(), in_order(rows)
    events = [place(book, story) for story in given_]
    last = given_[-1].received if given_ else T0
    recent = [(story, event) for story, event in zip(given_, events, strict=True) if story.received >= last - OPEN]
    assert [place(book, story) for story, _ in recent] == [event for _, event in recent]
    own = [story.event for story in given_]
    assert all(own.index(event) <= number for number, event in enumerate(events))  # an event is named by its first


@given(stories, st.data())
def test_a_book_read_again_from_the_store_is_the_book_that_was_kept(
    rows: list[tuple[int, set[EntityId], int]], data: st.DataObject
) -> None:
    given_ = in_order(rows)
    half = data.draw(st.integers(0, len(given_)))
    kept = EventBook()
    placed = [replace(story, event=place(kept, story)) for story in given_[:half]]
    since = given_[half].received - OPEN if half < len(given_) else T0
    read = EventBook([story for story in placed if story.received >= since])
    assert [place(kept, story) for story in given_[half:]] == [place(read, story) for story in given_[half:]]


@given(stories.map(lambda rows: [(angle, about, 0) for angle, about, _ in rows]), st.data())
def test_the_order_of_what_was_told_at_one_moment_does_not_matter_to_what_follows(
    rows: list[tuple[int, set[EntityId], int]], data: st.DataObject
) -> None:
    book = EventBook()
    placed = [replace(story, event=place(book, story)) for story in in_order(rows)]
    shuffled = data.draw(st.permutations(placed))
    following = told("following", 10, [ACME], MINUTE)
    assert place(EventBook(shuffled), following) == place(EventBook(placed), following)
