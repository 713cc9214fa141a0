"""The steps in one process: while one unit of work commits, the next is being scored and the one after it read.

Order is kept throughout, so a source's position never runs ahead of its items.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog

from monitor.core import canary
from monitor.core.incidents import Folded
from monitor.errors import NewsquakeError
from monitor.patience import Patience
from monitor.pipeline.gathering import Gathering
from monitor.pipeline.steps import (
    UNIT,
    Collected,
    Desk,
    Judged,
    Known,
    Needle,
    Read,
    Scored,
    Tick,
    collect_step,
    rescore_step,
    score_step,
    tell_step,
    tick_step,
    watch_step,
)
from monitor.ports import Batch, Bus, Clock, Scorer, Settled, Store
from monitor.telemetry import Telemetry
from monitor.types import DeadLetter, RawItem, Signal

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Errand:
    """Work that must not meet a commit, on its way through the same queue; `done` holds its result or its failure."""

    work: Callable[[], Awaitable[object]]
    done: asyncio.Future[object]


async def _run(errand: Errand) -> None:
    try:
        result = await errand.work()
    except NewsquakeError as error:
        _end(errand.done, error)
    else:
        _end(errand.done, result)


def _end(done: asyncio.Future[object], end: object) -> None:
    if done.done():  # whoever asked for it is gone
        return
    if isinstance(end, NewsquakeError):
        done.set_exception(end)
    else:
        done.set_result(end)


OUTCOMES: dict[type, str] = {DeadLetter: "dead", Known: "known", Read: "read", Judged: "judged"}


class Pipeline:
    """The three steps in one process, one unit in each at a time."""

    def __init__(
        self,
        *,
        bus: Bus,
        store: Store,
        scorer: Scorer,
        needle: Needle,
        desk: Desk,
        clock: Clock,
        telemetry: Telemetry,
        told: Callable[[Folded], Awaitable[None]],
    ) -> None:
        """`told` is awaited after each commit that changed an incident."""
        self.desk = desk
        self._bus = bus
        self._store = store
        self._scorer = scorer
        self._needle = needle
        self._gathering = Gathering()
        self._clock = clock
        self._telemetry = telemetry
        self._told = told
        # One unit waits between two steps at most: what waits longer waits on the bus, where it slows the source.
        self._collected: asyncio.Queue[Collected] = asyncio.Queue(1)
        self._scored: asyncio.Queue[Scored | Tick | Errand] = asyncio.Queue(1)
        self._under_way = 0
        self.ticked: datetime | None = None  # the last tick that was decided
        self._reading = Patience("collect", clock=clock, telemetry=telemetry)
        self._writing = Patience("watch", clock=clock, telemetry=telemetry)
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def needle(self) -> Needle:
        """The detector's state, as committed."""
        return self._needle

    @property
    def trouble(self) -> str | None:
        """Why the database refuses to be read or written at present; None where it does not."""
        return self._writing.trouble or self._reading.trouble or self._store.trouble

    async def submit(self, batch: Batch) -> None:
        """Hand a batch over; waits while the queue is full."""
        self._enter()
        try:
            await self._bus.put(batch)
        except BaseException:
            self._leave(1)
            raise
        self._telemetry.queue_items.labels("collect").set(self._bus.waiting())

    async def tick(self, at: datetime) -> None:
        """Let a tick pass after everything that has been scored before it."""
        self._enter()
        try:
            await self._scored.put(Tick(at=at))
        except BaseException:
            self._leave(1)
            raise

    async def between(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run something between two commits, after those of all that has been scored before; return what it returns.

        What it raises is raised here, and the pipeline goes on.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enter()
        try:
            await self._scored.put(Errand(work=work, done=done))  # type: ignore[arg-type]  # a future is invariant
        except BaseException:
            self._leave(1)
            raise
        return await done

    async def tell(self, signals: Sequence[Signal]) -> None:
        """Tell of signals that are not the detector's, between two commits. Raise StoreError where that fails."""
        telling = partial(tell_step, signals, store=self._store, desk=self.desk, clock=self._clock)
        folded = await self.between(telling)
        if folded.incidents:
            await self._told(folded)

    async def drained(self) -> None:
        """Return when nothing handed over is still under way."""
        await self._idle.wait()

    async def collect(self) -> None:
        """Run `collect_step` for ever."""
        while True:
            batches = await self._bus.take(UNIT)
            self._telemetry.queue_items.labels("collect").set(self._bus.waiting())
            with self._telemetry.stage_seconds.labels("collect").time():
                collected = await self._reading.insist(
                    partial(collect_step, batches, desk=self.desk, store=self._store)
                )
            self._count("collect", collected.entries)
            await self._collected.put(collected)

    async def score(self) -> None:
        """Run `score_step` for ever."""
        while True:
            collected = await self._collected.get()
            with self._telemetry.stage_seconds.labels("score").time():
                scored = await score_step(collected, scorer=self._scorer)
            self._count("score", scored.entries)
            await self._scored.put(scored)

    async def watch(self) -> None:
        """Run `watch_step` for ever. What the database refuses is tried again: it waits here, nothing is dropped."""
        while True:
            work = await self._scored.get()
            if isinstance(work, Errand):
                await _run(work)
                self._leave(1)
                continue
            with self._telemetry.stage_seconds.labels("watch").time():
                folded = await self._commit(work)
            if folded.incidents:
                await self._told(folded)
            self._leave(1 if isinstance(work, Tick) else len(work.batches))

    async def _commit(self, work: Scored | Tick) -> Folded:
        if isinstance(work, Tick):
            tick = partial(tick_step, work, store=self._store, needle=self._needle, desk=self.desk)
            folded = await self._writing.insist(tick)
            self.ticked = work.at
            return folded
        work = await rescore_step(work, scorer=self._scorer)
        watched = await self._writing.insist(
            partial(
                watch_step,
                work,
                store=self._store,
                needle=self._needle,
                desk=self.desk,
                clock=self._clock,
                gathering=self._gathering,
            ),
        )
        await self._acknowledge(work, watched.settled)
        return watched.folded

    async def _acknowledge(self, work: Scored, settled: Sequence[Settled]) -> None:
        ends = iter(settled)
        for batch in work.batches:
            own = [next(ends) for _ in batch.items]
            if batch.source == canary.SOURCE:
                self._telemetry.items.labels("watch", "canary").inc(len(own))
                await batch.receipt(own)
                continue
            for end, item in zip(own, batch.items, strict=True):
                self._telemetry.items.labels("watch", end.outcome.value).inc()
                self._telemetry.source_items.labels(batch.source, end.outcome.value).inc()
                if isinstance(item, RawItem):
                    lag = (self._clock.now() - item.handed_over).total_seconds()
                    self._telemetry.source_lag.labels(batch.source).observe(max(lag, 0.0))
            await batch.receipt(own)

    def _count(self, stage: str, entries: Sequence[object]) -> None:
        """Count what a stage made of its items: read, known already, judged, or dead."""
        for outcome, number in Counter(OUTCOMES[type(entry)] for entry in entries).items():
            self._telemetry.items.labels(stage, outcome).inc(number)

    def _enter(self) -> None:
        self._under_way += 1
        self._idle.clear()

    def _leave(self, count: int) -> None:
        self._under_way -= count
        if self._under_way == 0:
            self._idle.set()
