"""What a new model is shown of the past: everything that others have judged, once, and nothing whose text is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.core.keys import ALL
from monitor.store.repository import SqlStore
from monitor.types import EPOCH, Article, Key, ModelId, StoryId
from tests.databases import BACKENDS, Sql, database
from tests.samples import ACME, MODEL, T0, article, judgement, rollup

NEW = ModelId("n" * 16)
HOUR = timedelta(hours=1)
BEGINNING = (EPOCH, "0" * 32)


@pytest.fixture(params=[each for each in BACKENDS if each != "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlStore]:
    async with database(request.param, tmp_path) as opened:
        assert isinstance(opened, Sql)
        yield await opened.open()


async def fill(store: SqlStore, count: int) -> list[Article]:
    """Store articles an hour apart, each judged by MODEL as a whole and for one company."""
    made = [article(f"a{n}", published=T0 + n * HOUR, received=T0 + 20 * HOUR) for n in range(count)]
    async with store.transaction() as tx:
        await tx.add_articles(made, [[n] for n in range(count)])
        await tx.add_judgements([judgement(each, key) for each in made for key in (ALL, ACME)], {})
    return made


async def judge(store: SqlStore, one: Article, model: ModelId) -> None:
    async with store.transaction() as tx:
        await tx.add_judgements([replace(judgement(one, ALL), model=model)], {})


async def test_what_the_model_lacks_comes_oldest_first_in_pages(store: SqlStore) -> None:
    made = await fill(store, 5)
    first = await store.unjudged(NEW, T0 + HOUR, BEGINNING, 2)
    rest = await store.unjudged(NEW, T0 + HOUR, (first[-1].published, first[-1].id), 9)
    assert [replace(each, raw=made[0].raw) for each in [*first, *rest]] == made[1:]
    assert await store.count_unjudged(NEW, T0 + HOUR) == 4


async def test_what_it_has_judged_is_not_shown_again(store: SqlStore) -> None:
    made = await fill(store, 3)
    await judge(store, made[1], NEW)
    assert [each.id for each in await store.unjudged(NEW, T0, BEGINNING, 9)] == [made[0].id, made[2].id]
    assert await store.unjudged(MODEL, T0, BEGINNING, 9) == []
    async with store.transaction() as tx:
        assert await tx.judged(NEW, [each.id for each in made]) == {made[1].id}


async def test_an_article_that_two_others_have_judged_is_shown_once(store: SqlStore) -> None:
    made = await fill(store, 2)
    await judge(store, made[0], ModelId("o" * 16))
    assert len(await store.unjudged(NEW, T0, BEGINNING, 9)) == await store.count_unjudged(NEW, T0) == 2


async def test_texts_that_are_gone_are_not_shown(store: SqlStore) -> None:
    made = await fill(store, 3)
    async with store.transaction() as tx:
        await tx.blank([made[0].id])
    assert [each.id for each in await store.unjudged(NEW, T0, BEGINNING, 9)] == [each.id for each in made[1:]]
    assert await store.count_unjudged(NEW, T0) == 2


async def test_an_articles_stories_are_told_whoever_judged_it(store: SqlStore) -> None:
    made = await fill(store, 2)
    topic = replace(judgement(made[1], Key("topic:Energy")), model=NEW, story=StoryId(made[0].id), leads=False)
    async with store.transaction() as tx:
        await tx.add_judgements([topic], {})
        found = await tx.stories([made[1].id])
    own, other = StoryId(made[1].id), StoryId(made[0].id)
    assert found == {made[1].id: {ALL: own, ACME: own, Key("topic:Energy"): other}}


async def test_sums_are_given_for_one_model_alone(store: SqlStore) -> None:
    ours, theirs = rollup(), replace(rollup(), model=NEW)
    async with store.transaction() as tx:
        await tx.add_rollups([ours, theirs])
    assert {each.model for each in await store.rollups(T0 - HOUR, T0 + HOUR)} == {MODEL, NEW}
    assert {each.model for each in await store.rollups(T0 - HOUR, T0 + HOUR, NEW)} == {NEW}
