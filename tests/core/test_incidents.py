from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.incidents import HEADLINES, Folded, decisive, evidence_wanted, fold, headlines
from monitor.types import (
    BUCKET,
    Change,
    Evidence,
    Incident,
    IncidentKind,
    IncidentState,
    Key,
    Severity,
    Signal,
    SignalKind,
)
from tests.core.telling import EXPLAINED, MINUTE, T0, headline, incident, signal
from tests.core.telling import headlines as told_in

NOW = T0 + timedelta(minutes=2)
ACME = Key("entity:acme")
PARENT = Key("entity:acme-group")
OTHER = Key("entity:other")
TOPIC = Key("topic:Financials")
ALL = Key("all")
WIRE = Key("source:wire")


class Desk:
    """Folds one batch after the other, as the daemon does, and keeps what is open."""

    def __init__(self) -> None:
        self.open: list[Incident] = []
        self.last = Folded(incidents=(), changes=())

    def see(
        self, *signals: Signal, stories: Mapping[Key, str] | None = None, now: datetime = NOW
    ) -> Sequence[tuple[Change, Incident]]:
        """`stories` gives each key its stories, one letter each."""
        self.last = fold(signals, self.open, as_evidence(stories or {}), now)
        changed = {each.id: each for each in self.last.incidents}
        kept = [changed.pop(each.id, each) for each in self.open]
        self.open = [each for each in (*kept, *changed.values()) if each.state is not IncidentState.RESOLVED]
        return self.last.changes


def test_a_surge_opens_an_incident_that_shows_its_numbers_and_headlines() -> None:
    desk = Desk()
    [(change, opened)] = desk.see(signal(ACME), stories={ACME: "abc"})
    assert change is Change.OPENED
    assert (opened.keys, opened.active, opened.state) == ((ACME,), frozenset({ACME}), IncidentState.FIRING)
    assert (opened.observed, opened.expected, opened.chance) == (5.4, 0.4, 1e-6)
    assert (opened.stories, opened.publishers, opened.revision) == (6, 4, 1)
    assert (opened.opened, opened.updated) == (T0, NOW)
    assert [piece.story for piece in opened.evidence] == ["a", "b", "c"]


def test_a_bank_its_parent_and_the_topic_on_the_same_stories_are_one_incident() -> None:
    desk = Desk()
    changes = desk.see(
        signal(TOPIC, expected=3.0, observed=9.0, chance=1e-5),
        signal(PARENT, chance=1e-5),
        signal(ACME, chance=1e-6),
        signal(ALL, expected=20.0, observed=26.0, chance=1e-5),
        stories={ACME: "abcdef", PARENT: "abcdefg", TOPIC: "abcdefxyz", ALL: "abcdefuvwxyz"},
    )
    [(change, one)] = changes
    assert change is Change.OPENED
    assert one.keys == (ACME, PARENT, TOPIC, ALL)
    assert {piece.story for piece in one.evidence} == set("abcdefg")  # none of other things


def test_everything_surging_does_not_bring_two_companies_together() -> None:
    desk = Desk()
    together = "abcdefghijkl"
    desk.see(signal(ACME), signal(ALL), stories={ACME: "abcdef", ALL: "abcdefx"})
    [(change, second)] = desk.see(
        signal(OTHER, at=T0 + MINUTE),
        signal(ALL, at=T0 + MINUTE),
        signal(WIRE, at=T0 + MINUTE),
        stories={ACME: "abcdef", OTHER: "ghijkl", ALL: together, WIRE: together},
    )
    assert change is Change.OPENED
    assert second.keys[0] == OTHER
    assert [each.keys[0] for each in desk.open] == [ACME, OTHER]


def test_two_companies_that_surge_at_once_stay_apart_although_everything_surges_too() -> None:
    desk = Desk()
    changes = desk.see(
        signal(ALL, observed=12.0),
        signal(OTHER),
        signal(ACME),
        stories={ACME: "abcdef", OTHER: "ghijkl", ALL: "abcdefghijkl"},
    )
    assert {each.keys[0] for _, each in changes} == {ACME, OTHER}
    assert [change for change, _ in changes] == [Change.OPENED, Change.OPENED]
    assert sum(ALL in each.keys for _, each in changes) == 1  # explained by the two, and told once


def test_a_topic_that_surges_far_beyond_one_bank_is_an_incident_of_its_own() -> None:
    desk = Desk()
    changes = desk.see(
        signal(ACME),
        signal(TOPIC, observed=22.0, expected=2.0),
        stories={ACME: "abcdef", TOPIC: "abcdefghijklmnopqrstuv"},
    )
    assert {each.keys for _, each in changes} == {(ACME,), (TOPIC,)}


def test_a_bank_joins_the_topic_that_was_first_if_it_is_the_banks_news() -> None:
    desk = Desk()
    desk.see(signal(TOPIC, observed=8.0, expected=1.0), stories={TOPIC: "abcdefgh"})
    changes = desk.see(signal(ACME, at=T0 + MINUTE), stories={TOPIC: "abcdefgh", ACME: "abcdef"})
    assert changes == ()
    assert desk.open[0].keys == (TOPIC, ACME)
    [(change, other)] = desk.see(
        signal(OTHER, at=T0 + 2 * MINUTE), stories={ACME: "abcdef", TOPIC: "abcdefghi", OTHER: "ghi"}
    )
    assert (change, other.keys) == (Change.OPENED, (OTHER,))  # the incident is about acme by now


def test_a_small_part_of_a_topics_surge_is_told_for_itself() -> None:
    desk = Desk()
    stories = {TOPIC: "abcdefghijklmnopqrst", ACME: "abc"}
    desk.see(signal(TOPIC, observed=20.0, expected=1.0), stories=stories)
    [(change, acme)] = desk.see(signal(ACME, at=T0 + MINUTE), stories=stories)
    assert (change, acme.keys) == (Change.OPENED, (ACME,))


def test_keys_without_headlines_are_not_thrown_together() -> None:
    desk = Desk()
    changes = desk.see(signal(ACME), signal(OTHER))
    assert [change for change, _ in changes] == [Change.OPENED, Change.OPENED]


def test_the_kept_headlines_stand_in_where_the_stories_are_not_given() -> None:
    desk = Desk()
    desk.see(signal(ACME), stories={ACME: "abc"})
    assert desk.see(signal(PARENT, at=T0 + MINUTE), stories={PARENT: "bcd"}) == ()
    assert desk.open[0].keys == (ACME, PARENT)


def test_more_bad_news_updates_the_incident_without_telling_it_again() -> None:
    desk = Desk()
    desk.see(signal(ACME, chance=1e-6), stories={ACME: "abc"})
    assert desk.see(signal(ACME, at=T0 + MINUTE, chance=1e-7, observed=6.3), stories={ACME: "abcd"}) == ()
    [now] = desk.open
    assert (now.revision, now.opened, now.chance, now.observed) == (2, T0, 1e-7, 6.3)
    assert [piece.story for piece in now.evidence] == ["a", "b", "c", "d"]


def test_the_numbers_shown_are_those_of_the_worst_moment_of_the_leading_key() -> None:
    desk = Desk()
    desk.see(signal(ACME, chance=1e-7, observed=9.0), stories={ACME: "abcdef"})
    desk.see(
        signal(ACME, at=T0 + MINUTE, chance=1e-5, observed=3.0),
        signal(PARENT, at=T0 + MINUTE, chance=1e-9, observed=50.0),
        stories={ACME: "abcdef", PARENT: "abcdef"},
    )
    assert (desk.open[0].chance, desk.open[0].observed) == (1e-7, 9.0)


def test_a_signal_that_says_nothing_new_changes_nothing() -> None:
    desk = Desk()
    again = signal(ACME)
    desk.see(again, stories={ACME: "abc"})
    desk.see(again, stories={ACME: "abc"}, now=NOW + MINUTE)
    assert desk.last == Folded(incidents=(), changes=())


def test_severity_rises_and_is_told_and_never_falls() -> None:
    desk = Desk()
    desk.see(signal(ACME, chance=1e-5, negative=3, observed=2.0, publishers=3))
    assert [each.severity for each in desk.open] == [Severity.LOW]
    [(change, raised)] = desk.see(signal(ACME, at=T0 + MINUTE, chance=1e-12, negative=20, observed=19.0, publishers=12))
    assert (change, raised.severity) == (Change.RAISED, Severity.CRITICAL)
    assert desk.see(signal(ACME, at=T0 + 2 * MINUTE, chance=1e-5, negative=3, observed=2.0, publishers=3)) == ()
    assert [each.severity for each in desk.open] == [Severity.CRITICAL]


def test_a_wider_key_raises_the_incident_it_joins() -> None:
    desk = Desk()
    desk.see(signal(ACME, chance=1e-5, negative=3, observed=2.0, publishers=3), stories={ACME: "abc"})
    [(change, raised)] = desk.see(
        signal(PARENT, at=T0 + MINUTE, chance=1e-12, negative=20, observed=19.0, publishers=12),
        stories={ACME: "abc", PARENT: "abcdefghijklmnopqrst"},
    )
    assert (change, raised.keys, raised.severity) == (Change.RAISED, (ACME, PARENT), Severity.CRITICAL)


def test_it_is_over_when_the_last_key_has_calmed() -> None:
    desk = Desk()
    desk.see(signal(ACME), signal(PARENT), stories={ACME: "abc", PARENT: "abc"})
    assert desk.see(signal(PARENT, SignalKind.CALM, T0 + 30 * MINUTE)) == ()
    assert desk.open[0].active == frozenset({ACME})
    [(change, over)] = desk.see(signal(ACME, SignalKind.CALM, T0 + 40 * MINUTE))
    assert (change, over.state, over.resolved) == (Change.RESOLVED, IncidentState.RESOLVED, T0 + 40 * MINUTE)
    assert over.keys == (ACME, PARENT)


def test_a_key_that_fires_again_after_the_end_is_a_new_incident() -> None:
    desk = Desk()
    [(_, first)] = desk.see(signal(ACME), stories={ACME: "abc"})
    changes = desk.see(
        signal(ACME, SignalKind.CALM, T0 + 30 * MINUTE),
        signal(ACME, at=T0 + 31 * MINUTE),
        stories={ACME: "abcd"},
    )
    assert [change for change, _ in changes] == [Change.RESOLVED, Change.OPENED]
    assert changes[0][1].id == first.id
    assert changes[1][1].id != first.id


def test_a_key_that_comes_back_while_the_incident_is_open_joins_it_by_its_stories() -> None:
    desk = Desk()
    stories = {ACME: "abc", PARENT: "abc"}
    desk.see(signal(ACME), signal(PARENT), stories=stories)
    desk.see(signal(PARENT, SignalKind.CALM, T0 + 10 * MINUTE))
    desk.see(signal(PARENT, at=T0 + 20 * MINUTE), stories=stories)
    assert [each.active for each in desk.open] == [frozenset({ACME, PARENT})]


def test_calm_about_something_that_never_fired_is_nothing() -> None:
    desk = Desk()
    assert desk.see(signal(ACME, SignalKind.CALM), signal(WIRE, SignalKind.SEEING)) == ()


def test_an_acknowledged_incident_stays_so_while_it_grows_and_still_ends() -> None:
    desk = Desk()
    desk.see(signal(ACME, chance=1e-5, negative=3, observed=2.0, publishers=3))
    desk.open = [replace(desk.open[0], state=IncidentState.ACKNOWLEDGED)]
    [(change, raised)] = desk.see(signal(ACME, at=T0 + MINUTE, chance=1e-12, negative=20, publishers=12))
    assert (change, raised.state) == (Change.RAISED, IncidentState.ACKNOWLEDGED)
    [(change, over)] = desk.see(signal(ACME, SignalKind.CALM, T0 + 2 * MINUTE))
    assert (change, over.state) == (Change.RESOLVED, IncidentState.RESOLVED)


def test_news_told_after_an_outage_is_told_once_and_marked_late() -> None:
    desk = Desk()
    [(change, late)] = desk.see(
        signal(ACME, late=True),
        signal(ACME, SignalKind.CALM, T0 + 60 * MINUTE, late=True),
        stories={ACME: "abc"},
        now=T0 + 300 * MINUTE,
    )
    assert change is Change.OPENED
    assert (late.late, late.state, late.resolved) == (True, IncidentState.RESOLVED, T0 + 60 * MINUTE)


def test_a_late_incident_that_goes_on_live_is_late_no_more() -> None:
    desk = Desk()
    desk.see(signal(ACME, late=True))
    desk.see(signal(ACME, at=T0 + MINUTE, observed=7.0))
    assert not desk.open[0].late
    desk.see(signal(ACME, at=T0 + 2 * MINUTE, late=True))
    assert not desk.open[0].late


def test_a_source_that_falls_silent_is_one_blind_incident_with_the_keys_it_fed() -> None:
    desk = Desk()
    [(change, blind)] = desk.see(
        signal(ACME, SignalKind.BLIND), signal(ALL, SignalKind.BLIND), signal(WIRE, SignalKind.BLIND)
    )
    assert (change, blind.kind, blind.keys[0]) == (Change.OPENED, IncidentKind.BLIND, WIRE)
    assert blind.active == {WIRE, ACME, ALL}
    assert desk.see(signal(WIRE, SignalKind.SEEING, T0 + MINUTE)) == ()
    [(change, _)] = desk.see(
        signal(ACME, SignalKind.SEEING, T0 + 2 * MINUTE), signal(ALL, SignalKind.SEEING, T0 + 2 * MINUTE)
    )
    assert change is Change.RESOLVED


def test_two_silent_sources_are_two_incidents_and_a_key_belongs_to_the_last_silence() -> None:
    desk = Desk()
    desk.see(signal("source:first", SignalKind.BLIND))
    desk.see(signal(WIRE, SignalKind.BLIND, T0 + MINUTE), signal(ACME, SignalKind.BLIND, T0 + MINUTE))
    assert [each.keys for each in desk.open] == [(Key("source:first"),), (WIRE, ACME)]


def test_a_key_that_goes_blind_where_no_source_did_is_told_for_itself() -> None:
    desk = Desk()
    [(change, blind)] = desk.see(signal(ACME, SignalKind.BLIND))
    assert (change, blind.keys) == (Change.OPENED, (ACME,))


def test_a_blind_key_never_resolves_an_incident() -> None:
    desk = Desk()
    desk.see(signal(ACME))
    desk.see(signal(ACME, SignalKind.CALM, T0 + MINUTE), signal(ACME, SignalKind.BLIND, T0 + MINUTE))
    assert {(each.kind, each.state) for each in desk.open} == {
        (IncidentKind.SURGE, IncidentState.FIRING),
        (IncidentKind.BLIND, IncidentState.FIRING),
    }
    changes = desk.see(signal(ACME, SignalKind.CALM, T0 + 2 * MINUTE), signal(ACME, SignalKind.SEEING, T0 + 2 * MINUTE))
    assert {(change, each.kind) for change, each in changes} == {
        (Change.RESOLVED, IncidentKind.SURGE),
        (Change.RESOLVED, IncidentKind.BLIND),
    }


def test_a_fold_that_is_repeated_gives_the_same_ids() -> None:
    ids = {Desk().see(signal(ACME), stories={ACME: letters})[0][1].id for letters in ("abc", "xyz", "")}
    assert len(ids) == 1
    assert ids != {Desk().see(signal(ACME, at=T0 + MINUTE))[0][1].id}


def test_what_ended_is_not_overwritten_by_what_begins_at_the_same_moment() -> None:
    desk = Desk()
    desk.see(signal(ACME, SignalKind.BLIND, T0 + MINUTE))
    changes = desk.see(signal(ACME, SignalKind.SEEING, T0), signal(ACME, SignalKind.BLIND, T0 + MINUTE))
    assert {change for change, _ in changes} == {Change.RESOLVED, Change.OPENED}
    assert len({each.id for _, each in changes}) == 2


def test_of_a_surge_and_a_share_that_are_equally_unlikely_the_larger_leads() -> None:
    two = [signal(ACME, SignalKind.SHARE, chance=1e-7, observed=1.0), signal(ACME, chance=1e-7, observed=2.0)]
    assert fold(two, (), {}, NOW) == fold(two[::-1], (), {}, NOW)


kinds = st.sampled_from(SignalKind)
watched = st.sampled_from([ACME, PARENT, OTHER, TOPIC, ALL, WIRE, Key("entity:acme×topic:Legal")])
batches = st.lists(
    st.builds(
        signal,
        watched,
        kinds,
        st.integers(0, 3).map(lambda minute: T0 + minute * MINUTE),
        chance=st.sampled_from([1e-4, 1e-7, 1e-12]),
        observed=st.floats(1.0, 20.0),
    ),
    max_size=8,
    unique_by=lambda each: (each.key, each.kind, each.at),
)
books = st.dictionaries(watched, st.text("abcdefgh", max_size=6))


def as_evidence(book: Mapping[Key, str]) -> Mapping[Key, Sequence[Evidence]]:
    return {key: told_in(letters) for key, letters in book.items()}


@given(batches, books, st.randoms(use_true_random=False))
def test_the_order_in_which_a_batch_is_given_does_not_matter(
    batch: list[Signal], book: dict[Key, str], random: Random
) -> None:
    evidence = as_evidence(book)
    assert fold(random.sample(batch, len(batch)), (), evidence, NOW) == fold(batch, (), evidence, NOW)


@given(batches, books, st.integers(0, 3))
def test_one_batch_or_two_come_to_the_same(batch: list[Signal], book: dict[Key, str], minute: int) -> None:
    whole, halves = Desk(), Desk()
    whole.see(*batch, stories=book)
    halves.see(*(each for each in batch if each.at < T0 + minute * MINUTE), stories=book)
    halves.see(*(each for each in batch if each.at >= T0 + minute * MINUTE), stories=book)
    assert {replace(each, revision=0) for each in whole.open} == {replace(each, revision=0) for each in halves.open}


@given(st.lists(batches, max_size=4), books)
def test_whatever_comes_the_book_stays_in_order(days: list[list[Signal]], book: dict[Key, str]) -> None:
    desk = Desk()
    seen: dict[str, Incident] = {}
    for batch in days:
        before = {each.id: each for each in desk.open}
        desk.see(*batch, stories=book)
        for kind in IncidentKind:  # a key is active in one incident of a kind at most
            active = [key for each in desk.open if each.kind is kind for key in each.active]
            assert len(active) == len(set(active))
        for each in desk.last.incidents:
            assert each.active <= set(each.keys)
            assert len(set(each.keys)) == len(each.keys)
            assert (each.state is IncidentState.RESOLVED) == (not each.active) == (each.resolved is not None)
            assert len(each.evidence) <= HEADLINES
            old = before.get(each.id)
            if old is not None:
                assert each.severity.rank >= old.severity.rank
                assert each.keys[: len(old.keys)] == old.keys
                assert each.revision == old.revision + 1
            seen[each.id] = each


def test_at_most_ten_headlines_are_shown_each_story_once_the_worst_first() -> None:
    pieces = [headline(f"story-{number:02}", negative=0.5 + number / 100) for number in range(30)]
    spread = headline("spread", negative=0.7, publishers=40)
    shown = headlines([*pieces, spread, *pieces])
    assert [piece.story for piece in shown] == ["spread", *(f"story-{number:02}" for number in range(29, 20, -1))]


def test_a_story_is_shown_as_it_was_last_seen() -> None:
    [shown] = headlines([headline("one"), headline("one", publishers=7)])
    assert shown.publishers == 7


def test_for_an_update_only_the_windows_of_the_signals_are_looked_up() -> None:
    [wanted] = evidence_wanted([signal(ACME), signal(TOPIC, SignalKind.CALM)], [incident(ACME)])
    assert (wanted.key, wanted.since, wanted.until) == (ACME, T0 - timedelta(hours=1) - BUCKET, T0 + BUCKET)


def test_for_a_new_key_the_stories_of_what_is_open_are_looked_up_too() -> None:
    at = T0 + 90 * MINUTE
    wanted = evidence_wanted(
        [signal(ACME, at=at)],
        [incident(TOPIC, PARENT), incident(WIRE, kind=IncidentKind.BLIND)],
    )
    assert {each.key: (each.since, each.until) for each in wanted} == {
        ACME: (at - timedelta(hours=1) - BUCKET, at + BUCKET),
        PARENT: (T0 - timedelta(hours=1) - BUCKET, at + BUCKET),
    }


def test_calm_and_silence_need_no_headlines() -> None:
    assert evidence_wanted([signal(ACME, SignalKind.CALM), signal(WIRE, SignalKind.BLIND)], [incident(ACME)]) == ()


# --- what explains it ---


def test_of_each_key_that_surges_the_least_likely_signal_is_to_be_explained() -> None:
    first, least, last = signal(ACME), signal(ACME, at=T0 + MINUTE, chance=1e-9), signal(ACME, at=T0 + 2 * MINUTE)
    others = signal(ALL), signal(WIRE, SignalKind.BLIND), signal(OTHER, SignalKind.CALM)
    assert set(decisive([last, *others, least, first])) == {least, others[0]}


def test_an_incident_shows_what_explains_the_figures_it_shows() -> None:
    worse = signal(ACME, at=T0 + MINUTE, observed=9.9, chance=1e-9)
    milder = signal(ACME, at=T0 + 2 * MINUTE, observed=7.7)
    gloomier = replace(EXPLAINED, volume=0.1, mood=0.9 - EXPLAINED.event - EXPLAINED.publisher)
    explained = {signal(ACME): gloomier, worse: EXPLAINED, milder: gloomier}
    [opened] = fold([signal(ACME)], [], {}, NOW, explained).incidents
    assert (opened.observed, opened.explanation) == (5.4, gloomier)
    [grown] = fold([worse], [opened], {}, NOW, explained).incidents
    assert (grown.observed, grown.explanation) == (9.9, EXPLAINED)
    assert fold([milder], [grown], {}, NOW, explained).incidents == ()


def test_a_key_that_joins_does_not_change_what_explains_the_incident() -> None:
    wider = signal(ALL, at=T0 + MINUTE, chance=1e-12)
    explained = {signal(ACME): EXPLAINED, wider: replace(EXPLAINED, headline="Another raid")}
    evidence = as_evidence({ACME: "abcdef", ALL: "abcdef"})
    [joined] = fold([signal(ACME), wider], [], evidence, NOW, explained).incidents
    assert joined.keys == (ACME, ALL)
    assert joined.explanation == EXPLAINED
