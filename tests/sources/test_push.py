from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import Busy, SourceError
from monitor.ports import Batch, Settled
from monitor.sources.push import UNIT, PushSource, read_article
from monitor.types import ArticleId, DeadLetter, Json, Outcome, RawItem, SourceId
from tests.sources.world import NOON

DOOR = SourceId("door")


def item(title: str = "Acme opens") -> RawItem:
    article = read_article(DOOR, {"title": title}, NOON)
    assert isinstance(article, RawItem)
    return article


def stored(batch: Batch) -> list[Settled]:
    return [
        Settled(outcome=Outcome.STORED, article=ArticleId(each.title))
        for each in batch.items
        if isinstance(each, RawItem)
    ]


async def settle_next(source: PushSource) -> Batch:
    batch = await anext(source.batches(()))
    await batch.receipt(stored(batch))
    return batch


async def handed_in(source: PushSource, *titles: str) -> asyncio.Task[Any]:
    task = asyncio.create_task(source.submit([item(title) for title in titles]))
    await asyncio.sleep(0)
    return task


async def test_who_pushes_hears_only_after_the_commit_how_each_item_ended() -> None:
    source = PushSource(DOOR)
    pushing = await handed_in(source, "a", "b")
    batch = await anext(source.batches(()))
    assert [each.title for each in batch.items if isinstance(each, RawItem)] == ["a", "b"]
    assert batch.position is None
    await asyncio.sleep(0)
    assert not pushing.done()
    outcomes = [Settled(outcome=Outcome.STORED), Settled(outcome=Outcome.DEAD, error="no text")]
    await batch.receipt(outcomes)
    assert await pushing == outcomes
    assert source.waiting == 0


async def test_small_submissions_share_a_commit_and_each_hears_of_its_own() -> None:
    source = PushSource(DOOR)
    tasks = [await handed_in(source, str(n), f"{n}b") for n in range(5)]
    batch = await settle_next(source)
    assert len(batch.items) == 10
    for n, task in enumerate(tasks):
        assert [settled.article for settled in await task] == [str(n), f"{n}b"]


async def test_what_is_too_much_for_one_commit_waits_for_the_next() -> None:
    source = PushSource(DOOR)
    tasks = [await handed_in(source, *(f"{n}.{m}" for m in range(UNIT // 2))) for n in range(3)]
    assert [len((await settle_next(source)).items) for _ in range(2)] == [UNIT // 2 * 2, UNIT // 2]
    await asyncio.gather(*tasks)


async def test_a_full_door_asks_for_patience_until_a_commit_makes_room() -> None:
    source = PushSource(DOOR, limit=3)
    first = await handed_in(source, "a", "b", "c")
    with pytest.raises(Busy) as caught:
        await source.submit([item("d")])
    assert caught.value.retry_after > 0
    batch = await anext(source.batches(()))
    with pytest.raises(Busy):  # handed over is not yet committed
        await source.submit([item("d")])
    await batch.receipt(stored(batch))
    await first
    second = await handed_in(source, "d")
    await settle_next(source)
    assert len(await second) == 1


async def test_one_submission_larger_than_the_limit_is_taken_when_nobody_else_waits() -> None:
    source = PushSource(DOOR, limit=2)
    task = await handed_in(source, "a", "b", "c")
    await settle_next(source)
    assert len(await task) == 3


async def test_nothing_handed_in_is_nothing_to_wait_for() -> None:
    assert list(await PushSource(DOOR).submit([])) == []


async def test_items_of_somebody_who_went_away_before_the_hand_over_are_let_go() -> None:
    source = PushSource(DOOR)
    gone = await handed_in(source, "gone")
    stays = await handed_in(source, "stays")
    gone.cancel()
    await asyncio.wait([gone])
    batch = await settle_next(source)
    assert [settled.article for settled in await stays] == ["stays"]
    assert len(batch.items) == 1
    assert source.waiting == 0


async def test_somebody_who_went_away_after_the_hand_over_harms_nobody() -> None:
    source = PushSource(DOOR)
    gone, stays = await handed_in(source, "gone"), await handed_in(source, "stays")
    batch = await anext(source.batches(()))
    gone.cancel()
    await asyncio.wait([gone])
    await batch.receipt(stored(batch))
    assert [settled.article for settled in await stays] == ["stays"]
    assert source.waiting == 0


async def test_closing_tells_everybody_who_waits() -> None:
    source = PushSource(DOOR)
    handed_over = await handed_in(source, "a")
    batch = await anext(source.batches(()))
    queued = await handed_in(source, "b")
    idle = asyncio.create_task(anext(source.batches(()), None))
    await source.close()
    await source.close()
    for task in (handed_over, queued):
        with pytest.raises(SourceError, match="shutting down"):
            await task
    with pytest.raises(SourceError, match="shutting down"):
        await source.submit([item("c")])
    assert await idle is None
    await batch.receipt(stored(batch))  # the commit that was under way may still come through


def test_a_whole_article_is_read() -> None:
    article: Json = {
        "title": "艾克米银行被调查",
        "text": "正文",
        "url": "https://news.example/1",
        "id": 4711,
        "publisher": "Wire",
        "published": "2024-05-17T17:30:00+08:00",
        "language": "zh",
        "something": "else",
    }
    read = read_article(DOOR, article, NOON)
    assert isinstance(read, RawItem)
    assert (read.source, read.title, read.body, read.link) == (
        DOOR,
        "艾克米银行被调查",
        "正文",
        "https://news.example/1",
    )
    assert (read.guid, read.publisher, read.language) == ("4711", "Wire", "zh")
    assert read.published == datetime(2024, 5, 17, 9, 30, tzinfo=UTC)
    assert (read.received, read.handed_over, read.history) == (NOON, NOON, False)
    assert json.loads(read.raw) == article


def test_absent_null_and_empty_are_the_same() -> None:
    read = read_article(DOOR, {"title": "x", "text": None, "url": "", "id": None}, NOON)
    assert isinstance(read, RawItem)
    assert (read.body, read.link, read.guid, read.published) == ("", None, None, None)


@pytest.mark.parametrize(
    ("article", "error"),
    [
        ("text", "no object"),
        ([], "no object"),
        (None, "no object"),
        ({}, "expected at least one of title, text"),
        ({"title": ""}, "expected at least one of title, text"),
        ({"title": 5}, "title is a number; expected text"),
        ({"title": "x", "text": ["y"]}, "text is a list; expected text"),
        ({"title": "x", "url": {}}, "url is an object; expected text"),
        ({"title": "x", "id": True}, "id is a boolean; expected text"),
        ({"title": "x", "id": 1.5}, "id is a number; expected text"),
        ({"title": "x", "published": False}, "published is a boolean; expected a time"),
        ({"title": "x", "published": "yesterday"}, "published: found 'yesterday'; expected a time"),
    ],
)
def test_an_article_that_cannot_be_read_says_which_field_is_wrong(article: Any, error: str) -> None:
    letter = read_article(DOOR, article, NOON)
    assert isinstance(letter, DeadLetter)
    assert error in letter.error
    assert json.loads(letter.raw) == article


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["title", "text", "url", "id", "publisher", "published", "language"])


@given(st.dictionaries(names, json_values) | json_values)
def test_anything_pushed_is_an_item_that_can_be_stored_or_a_dead_letter(article: Any) -> None:
    read = read_article(DOOR, article, NOON)
    texts = (
        [read.error] if isinstance(read, DeadLetter) else [read.title, read.body, read.guid, read.link, read.publisher]
    )
    for text in filter(None, texts):
        text.encode()
        assert "\x00" not in text
