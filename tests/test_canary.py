"""A canary on its way: told where it does not come through, and leaving no trace where it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from monitor.bus.memory import MemoryBus
from monitor.canary import Canary
from monitor.core.canary import KEY, NEWS, articles_at
from monitor.core.detect.detector import Rules, fresh
from monitor.core.entities.tagger import Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.incidents import Folded
from monitor.core.intake import IntakeRules, read
from monitor.core.routing import Route
from monitor.errors import StoreError
from monitor.pipeline import Desk, Needle, Pipeline
from monitor.ports import Batch, Ledger, Unscorable
from monitor.scoring.gist import open_gists
from monitor.telemetry import Telemetry
from monitor.types import (
    Article,
    Change,
    Incident,
    IncidentKind,
    IncidentState,
    Language,
    Mention,
    ModelId,
    RawItem,
    Score,
    Sentiment,
    SignalKind,
    TargetId,
)
from tests.fakes import NOON, FakeClock, FakeStore, FakeTransaction, Tables
from tests.samples import WIRE

EVERY, WITHIN = timedelta(hours=6), timedelta(minutes=5)
NOBODY = Watchlist()
DESK = Desk(
    watchlist=NOBODY,
    tagger=Tagger(NOBODY),
    gists=open_gists(),
    intake=IntakeRules(),
    routes=(Route(targets=(TargetId("desk"),)),),
    exports=frozenset({"scored", "dead_letters"}),
)
BAD = Sentiment(negative=0.9, neutral=0.1, positive=0.0)
GOOD = Sentiment(negative=0.1, neutral=0.1, positive=0.8)


class Moody:
    """A model to which all news is alike, or is not to be judged at all; it may think for ever."""

    def __init__(self) -> None:
        self.model = ModelId("moody")
        self.mood: Sentiment | None = BAD
        self.asked = False
        self.awake = asyncio.Event()
        self.awake.set()

    async def score(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        self.asked = True
        await self.awake.wait()
        return [
            Unscorable(mention=each, error="too strange")
            if self.mood is None
            else Score(mention=each, sentiment=self.mood, topics={"Energy": 0.9}, model=self.model, scored=NOON)
            for each in mentions
        ]


class Stubborn(FakeStore):
    """A database that `refuses` some transactions, by their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.refuses: set[int] = set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FakeTransaction]:
        self.asked += 1
        if self.asked in self.refuses:
            raise StoreError("the disk is full")
        async with super().transaction() as transaction:
            yield transaction


class House:
    """A pipeline in which canaries are planted."""

    def __init__(self) -> None:
        self.store, self.clock, self.scorer, self.telemetry = Stubborn(), FakeClock(), Moody(), Telemetry()
        self.told: list[Incident] = []
        self.needle = Needle(fresh(Rules()))
        self.pipeline = Pipeline(
            bus=MemoryBus(100),
            store=self.store,
            scorer=self.scorer,
            needle=self.needle,
            desk=DESK,
            clock=self.clock,
            telemetry=self.telemetry,
            told=self._hear,
        )

    def canary(self, *languages: str, silent: bool = False) -> Canary:
        return Canary(
            every=EVERY,
            within=WITHIN,
            languages=[Language(each) for each in languages or ("en",)],
            silent=silent,
            way=self.pipeline,
            model=lambda: self.scorer.model,
            clock=self.clock,
            telemetry=self.telemetry,
        )

    @asynccontextmanager
    async def planting(self, *languages: str, silent: bool = False) -> AsyncIterator[None]:
        canary = self.canary(*languages, silent=silent)
        steps = (self.pipeline.collect, self.pipeline.score, self.pipeline.watch, canary.run)
        tasks = [asyncio.create_task(step()) for step in steps]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait for what needs no time to pass: texts are cleaned in threads, which tell nobody."""
        async with asyncio.timeout(30):
            while not happened():  # noqa: ASYNC110 - as said
                await asyncio.sleep(0.005)

    def metric(self, name: str) -> float:
        return self.telemetry.registry.get_sample_value(name) or 0.0

    @property
    def missed(self) -> float:
        return self.metric("newsquake_canary_missed_total")

    @property
    def counted(self) -> float:
        return self.metric("newsquake_canary_seconds_count")

    async def _hear(self, folded: Folded) -> None:
        self.told += folded.incidents


@pytest.fixture
def house() -> House:
    return House()


async def test_a_canary_is_counted_again_and_again_and_leaves_no_trace(house: House) -> None:
    before, state = house.store.tables, house.needle.state
    async with house.planting("en", "zh"):
        await house.until(lambda: house.counted == 1)
        await house.clock.advance(EVERY)
        await house.until(lambda: house.counted == 2)
    assert house.missed == 0
    assert house.store.tables == before == Tables()
    assert house.needle.state is state
    labels = {"stage": "watch", "outcome": "canary"}
    assert house.telemetry.registry.get_sample_value("newsquake_items_total", labels) == 4


async def test_a_canary_among_other_news_takes_nothing_from_it(house: House) -> None:
    other = RawItem(source=WIRE, raw=b"", handed_over=NOON, received=NOON, title="Harbour opens a berth", guid="1")
    async with house.planting():
        await house.pipeline.submit(Batch(source=WIRE, items=(other,)))
        await house.until(lambda: house.counted == 1)
        await house.pipeline.drained()
    tables = house.store.tables
    assert [each.title for each in tables.articles.values()] == [other.title]
    assert {key for _, key, _, _ in tables.rollups} == {"all", "source:wire", "topic:Energy"}
    assert {row.stories for row in tables.rollups.values()} == {1}
    assert tables.ledgers == {WIRE: Ledger(received=1, stored=1)}
    assert len(tables.exports) == 1


async def test_a_model_that_finds_bankruptcy_good_news_is_told_once_until_it_has_come_to_its_senses(
    house: House,
) -> None:
    house.scorer.mood = GOOD
    async with house.planting():
        await house.until(lambda: house.told)
        await house.clock.advance(WITHIN)
        await house.until(lambda: house.missed == 2)  # where one was missed, the next comes soon
        (incident,) = house.store.tables.incidents.values()
        assert (incident.kind, incident.keys) == (IncidentKind.BLIND, (KEY,))
        assert incident.state is IncidentState.FIRING
        house.scorer.mood = BAD
        await house.clock.advance(WITHIN)
        await house.until(lambda: len(house.told) == 2)
    assert [each.state for each in house.told] == [IncidentState.FIRING, IncidentState.RESOLVED]
    assert [row.message.change for row in house.store.tables.outbox.values()] == [Change.OPENED, Change.RESOLVED]
    assert (house.counted, house.missed) == (1, 2)


async def test_a_canary_that_cannot_be_judged_is_missed_and_no_dead_letter(house: House) -> None:
    house.scorer.mood = None
    async with house.planting():
        await house.until(lambda: house.told)
    assert house.missed == 1
    assert (house.store.tables.letters, house.store.tables.ledgers, house.store.tables.exports) == ([], {}, ())


async def test_a_model_that_does_not_answer_is_told_while_the_canary_waits_for_it(house: House) -> None:
    house.scorer.awake.clear()
    async with house.planting():
        await house.until(lambda: house.scorer.asked)
        assert house.missed == 0
        await house.clock.advance(WITHIN)
        await house.until(lambda: house.told)
        assert house.missed == 1
        house.scorer.awake.set()
        await house.clock.advance(WITHIN)
        await house.until(lambda: house.counted == 1)
        await house.until(lambda: len(house.told) == 2)
    assert house.told[-1].state is IncidentState.RESOLVED


async def test_what_the_database_refuses_to_be_told_is_told_after_the_next_canary(house: House) -> None:
    house.scorer.mood = GOOD
    house.store.refuses = {2}  # the first transaction counts the canary, the second is to tell of it
    async with house.planting():
        await house.until(lambda: house.store.asked == 2)
        await house.clock.advance(WITHIN)
        await house.until(lambda: house.told)
    assert house.missed == 2
    assert [each.state for each in house.told] == [IncidentState.FIRING]


async def test_who_knows_from_before_that_it_was_silent_tells_when_it_is_heard(house: House) -> None:
    async with house.planting(silent=True):
        await house.until(lambda: house.counted == 1)
        await house.pipeline.drained()
    assert [each.kind for each in house.store.tables.signals] == [SignalKind.SEEING]


@pytest.mark.parametrize("language", NEWS)
def test_canaries_are_articles_like_others_and_no_two_are_the_same(language: Language) -> None:
    moments = (NOON, NOON + timedelta(microseconds=1))
    items = [item for at in moments for item in articles_at(at, [language])]
    articles = [each for each in (read(item, IntakeRules()) for item in items) if isinstance(each, Article)]
    assert len({each.id for each in articles}) == 2
    assert {each.language for each in articles} == {language}
