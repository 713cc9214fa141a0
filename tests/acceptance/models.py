"""Models that judge by single words, on a desk where one of them may be promoted while time passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from monitor.core.detect.detector import STATE_VERSION, State, dump
from monitor.core.detect.detector import load as load_state
from monitor.core.detect.state import with_windows
from monitor.errors import ArtefactError
from monitor.pipeline import Desk as Decided
from monitor.pipeline import Needle
from monitor.ports import Promotion, Unscorable
from monitor.promotion.start import begin
from monitor.promotion.succession import WINDOWS, Succession
from monitor.telemetry import Telemetry
from monitor.types import BUCKET, TICK, Json, Mention, ModelId, ModelState, Score
from tests.acceptance.desk import Desk, WordScorer, open_desk

T = TypeVar("T")


class Words(WordScorer):
    """A model of the name, that calls negative what its words say."""

    def __init__(self, name: str, desk: Desk, bad: Sequence[str]) -> None:
        super().__init__(desk.stage.clock, ModelId(name), bad)

    @property
    def id(self) -> ModelId:
        return self.model


class Bench:
    """The desk's daemon, as far as its model's life goes: it can be killed, and started anew on what is stored."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.stage = desk.stage
        self.telemetry = Telemetry()
        self.models: dict[str, Words] = {}
        self.aside: Words | None = None
        self.kill: Callable[[str], None] = lambda _: None  # called at each step, by its name

    # --- what the succession is given ---

    @property
    def needle(self) -> Needle:
        return self.stage.needle

    @property
    def model(self) -> ModelId:
        return self.stage.scorer.model

    async def between(self, work: Callable[[], Awaitable[T]]) -> T:
        self.kill("between")
        return await work()

    async def score(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        return await self.stage.scorer.score(mentions)

    async def score_quietly(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        self.kill("score")
        return await (self.aside or self.stage.scorer).score(mentions)

    async def open(self, reference: str) -> tuple[Words, Mapping[str, Json]]:
        self.kill("open")
        if reference not in self.models:
            raise ArtefactError(f"{reference}: the file was changed or cut short")
        self.aside = self.models[reference]
        return self.aside, {}

    def stand_down(self) -> None:
        self.aside = None

    def take_over(self) -> ModelId:
        self.kill("take over")
        old = self.model
        assert self.aside is not None
        self.stage.scorer = self.aside
        return old

    # --- what a test does ---

    def model_of(self, name: str, bad: Sequence[str]) -> Words:
        made = self.models[f"path:/{name}"] = Words(name, self.desk, bad)
        return made

    async def start(self, name: str, default: str = "") -> None:
        """Start the daemon on what is stored; the model of this name is found where the serving one lies."""
        now, store = self.desk.now, self.stage.store
        rows, _ = await store.load_state()
        rules = self.needle.state.rules
        learned = load_state(rules, rows, ())
        rollups = await store.rollups(now - WINDOWS, now + BUCKET, learned.pulse.model)
        reference = f"path:/{name}"
        self.stage.scorer, self.aside = self.models[reference], None
        state: State = await begin(
            store,
            with_windows(learned, rollups) if rows else self.needle.state,
            model=ModelId(name),
            reference=reference,
            manifest={},
            default=default or reference,
            now=now,
        )
        self.stage.needle = Needle(state)
        self.succession = Succession(
            store=store,
            seat=self,
            open_=self.open,
            way=Between(self),
            clock=self.stage.clock,
            telemetry=self.telemetry,
            horizon=timedelta(days=30),
            default=default or reference,
        )

    async def stage_model(self, name: str) -> None:
        async with self.stage.store.transaction() as transaction:
            await transaction.stage_model(f"path:/{name}", ModelId(name), {})

    async def look(self) -> None:
        """Let the daemon look at the table, and time pass for as long as it waits for something."""
        await self.wait_for(await self.look_until_it_waits())

    async def look_until_it_waits(self) -> asyncio.Task[None]:
        """Let the daemon look at the table, until it waits for the bucket's edge or has done all there is."""
        looking = asyncio.create_task(self.succession.look())
        while not looking.done() and self.stage.clock.next_due() is None:  # noqa: ASYNC110 - it waits in threads too
            await asyncio.sleep(0.001)
        return looking

    async def wait_for(self, looking: asyncio.Task[None]) -> None:
        """Let time pass until that is done."""
        while not looking.done():
            if self.stage.clock.next_due() is None:
                await asyncio.sleep(0.001)
            else:
                await self.desk.wait(TICK)
        await looking

    async def checkpoint(self) -> None:
        """Store the needle's state, as every commit of the daemon would have done by now."""
        state = self.needle.state
        async with self.stage.store.transaction() as transaction:
            await transaction.save_state(dump(state, state.names()), STATE_VERSION)

    async def move(self, name: str, of: ModelState, state: ModelState) -> None:
        """Change a model's state as somebody else would."""
        async with self.stage.store.transaction() as transaction:
            assert await transaction.move_model(ModelId(name), state, of=of)

    async def promote(self, name: str) -> None:
        await self.stage_model(name)
        await self.look()
        await self.look()  # and see that it is whole

    async def standing(self) -> dict[str, str]:
        return {row.id: row.state.value for row in await self.rows()}

    async def rows(self) -> Sequence[Promotion]:
        return await self.stage.store.promotions()


class Between:
    """The pipeline, as the succession sees it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    @property
    def needle(self) -> Needle:
        return self._bench.needle

    @property
    def desk(self) -> Decided:
        return self._bench.stage.desk

    async def between(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._bench.between(work)


@asynccontextmanager
async def open_bench(folder: Path) -> AsyncIterator[Bench]:
    """Open a desk whose model can be changed; none has been started yet."""
    async with open_desk(folder) as desk:
        yield Bench(desk)
