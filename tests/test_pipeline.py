from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

import pytest

from monitor.bus.memory import MemoryBus
from monitor.core.detect.detector import Rules, fresh
from monitor.core.entities.tagger import Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.events import GIST
from monitor.core.incidents import Folded
from monitor.core.intake import IntakeRules
from monitor.errors import StoreError
from monitor.patience import FIRST
from monitor.pipeline import Desk, Gathering, Known, Needle, Pipeline, Scored, watch_step
from monitor.ports import Batch, Ledger, Settled, Unscorable
from monitor.scoring.gist import open_gists
from monitor.telemetry import Telemetry
from monitor.types import Article, ArticleId, EventId, Gist, Mention, ModelId, Outcome, RawItem, Score, Sentiment
from tests.fakes import NOON, FakeClock, FakeStore, FakeTransaction
from tests.samples import MINUTE, T0, WIRE, article, judgement

NOBODY = Watchlist()
DESK = Desk(watchlist=NOBODY, tagger=Tagger(NOBODY), gists=open_gists(), intake=IntakeRules(), routes=())


class Calm:
    """A model to which all news is neutral."""

    def __init__(self) -> None:
        self.model = ModelId("calm")

    async def score(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        sentiment = Sentiment(negative=0.0, neutral=1.0, positive=0.0)
        return [
            Score(mention=each, sentiment=sentiment, topics={}, model=self.model, scored=each.article.received)
            for each in mentions
        ]


class Stubborn(FakeStore):
    """A database that can be read, and refuses to be written to until it `accepts`."""

    def __init__(self) -> None:
        super().__init__()
        self.accepts = False
        self.refused = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FakeTransaction]:
        if not self.accepts:
            self.refused.set()
            raise StoreError("the disk is full")
        async with super().transaction() as transaction:
            yield transaction


def item(number: int) -> RawItem:
    title = f"Harbour authority opens berth number {number}"
    return RawItem(source=WIRE, raw=b"", handed_over=NOON, received=NOON, title=title, guid=str(number))


class Running:
    """A pipeline at work, and what it told."""

    def __init__(self, store: FakeStore, clock: FakeClock) -> None:
        self.settled: list[Settled] = []
        self.telemetry = Telemetry()
        self.scorer = Calm()
        self.pipeline = Pipeline(
            bus=MemoryBus(100),
            store=store,
            scorer=self.scorer,
            needle=Needle(fresh(Rules())),
            desk=DESK,
            clock=clock,
            telemetry=self.telemetry,
            told=self._told,
        )

    async def __aenter__(self) -> Self:
        steps = (self.pipeline.collect, self.pipeline.score, self.pipeline.watch)
        self._tasks = [asyncio.create_task(step()) for step in steps]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def hand_over(self, *items: RawItem) -> None:
        async def receipt(settled: Sequence[Settled]) -> None:
            self.settled += settled

        await self.pipeline.submit(Batch(source=WIRE, items=items, receipt=receipt))

    def read(self) -> float:
        """Return how many items have passed `collect`."""
        return self._passed("collect", "read")

    def judged(self) -> float:
        """Return how many items have passed `score`."""
        return self._passed("score", "judged")

    def _passed(self, stage: str, outcome: str) -> float:
        labels = {"stage": stage, "outcome": outcome}
        return self.telemetry.registry.get_sample_value("newsquake_items_total", labels) or 0.0

    async def _told(self, _: Folded) -> None:
        return


async def test_a_revision_that_comes_again_while_the_first_is_being_stored_is_one_version() -> None:
    store, clock = FakeStore(), FakeClock()
    first, second = article("cut", digest="a"), article("cut", digest="b")
    async with store.transaction() as transaction:
        await transaction.add_articles([first], [[1]])
    seen = Known(article=second, revised=True)  # by both units, for they were collected before either was stored
    for _ in range(2):
        unit = Scored(batches=(Batch(source=WIRE, items=(item(1),)),), entries=(seen,))
        await watch_step(
            unit, store=store, needle=Needle(fresh(Rules())), desk=DESK, clock=clock, gathering=Gathering()
        )
    assert store.tables.versions == {first.id: (second,)}
    assert store.tables.ledgers[WIRE] == Ledger(received=2, duplicate=2)


async def test_rules_that_change_during_a_commit_are_in_force_after_it() -> None:
    needle = Needle(fresh(Rules(stories=3)))
    decision = needle.decide((), T0)
    needle.obey(Rules(stories=5))
    needle.adopt(decision.state)
    assert needle.state.pulse == decision.state.pulse
    assert needle.state.rules.stories == 5


async def test_what_is_handed_over_is_settled_once_and_in_order() -> None:
    store = FakeStore()
    async with Running(store, FakeClock()) as running:
        await running.hand_over(item(1), item(2), item(1))
        await running.hand_over(item(2), item(3))
        async with asyncio.timeout(10):
            await running.pipeline.drained()
    stored, again = Outcome.STORED, Outcome.DUPLICATE
    assert [each.outcome for each in running.settled] == [stored, stored, again, again, stored]
    assert store.tables.ledgers[WIRE] == Ledger(received=5, stored=3, duplicate=2)


async def test_the_last_tick_that_was_decided_is_shown() -> None:
    async with Running(FakeStore(), FakeClock()) as running:
        assert running.pipeline.ticked is None
        for at in (T0, T0 + MINUTE):
            await running.pipeline.tick(at)
        async with asyncio.timeout(10):
            await running.pipeline.drained()
        assert running.pipeline.ticked == T0 + MINUTE


async def test_a_database_that_takes_nothing_is_told_until_it_does_though_it_can_be_read() -> None:
    store, clock = Stubborn(), FakeClock()
    async with asyncio.timeout(10), Running(store, clock) as running:
        await running.hand_over(item(1))
        await store.refused.wait()
        await running.hand_over(item(2))
        while running.read() < 2:  # noqa: ASYNC110 - the pipeline tells nobody when it has read
            await asyncio.sleep(0)
        await clock.advance(0)
        meanwhile = running.pipeline.trouble
        store.accepts = True
        await clock.advance(FIRST)
        await running.pipeline.drained()
        assert (meanwhile, running.pipeline.trouble) == ("the disk is full", None)
    assert store.tables.ledgers[WIRE] == Ledger(received=2, stored=2)


async def test_what_a_model_judged_that_is_replaced_before_the_commit_is_judged_by_the_new_one() -> None:
    store = FakeStore()
    async with asyncio.timeout(10), Running(store, FakeClock()) as running:

        async def replaced() -> None:
            await running.hand_over(item(2))
            while not running.judged():  # noqa: ASYNC110 - the pipeline tells nobody when it has judged
                await asyncio.sleep(0)
            running.scorer.model = ModelId("newer")

        await running.pipeline.between(replaced)
        await running.pipeline.drained()
    assert {row.model for row in store.tables.judgements.values()} == {"newer"}
    assert {row.model for row in store.tables.rollups.values()} == {"newer"}
    assert store.tables.ledgers[WIRE] == Ledger(received=1, stored=1)


async def test_a_unit_whose_commit_fails_leaves_no_event_behind() -> None:
    store, gathering, first, second = FakeStore(), Gathering(), article("first"), article("second")

    async def gather(*articles: Article, fails: bool = False) -> dict[ArticleId, EventId]:
        async with gathering.around(store) as transaction:
            gists = {each.id: Gist(b"\x01" * GIST) for each in articles}
            judgements = [judgement(each) for each in articles]
            placed = await gathering.gather(articles, gists, judgements, transaction)
            await transaction.add_articles(articles, [[] for _ in articles], None, placed)
            await transaction.add_judgements(judgements, {})
            if fails:
                raise StoreError("the disk is full")
        return {each.article: each.event for each in placed}

    with pytest.raises(StoreError):
        await gather(first, fails=True)
    assert await gather(second) == {second.id: EventId(second.id)}
    assert await gather(first) == {first.id: EventId(second.id)}


async def test_what_fails_between_two_commits_is_told_to_who_asked_and_nothing_stops() -> None:
    async def fail() -> None:
        raise StoreError("the disk is full")

    store = FakeStore()
    async with asyncio.timeout(10), Running(store, FakeClock()) as running:
        with pytest.raises(StoreError, match="the disk is full"):
            await running.pipeline.between(fail)
        await running.hand_over(item(1))
        await running.pipeline.drained()
    assert store.tables.ledgers[WIRE] == Ledger(received=1, stored=1)
