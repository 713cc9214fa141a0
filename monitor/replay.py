"""Living through old news again: each item at its own time, through the same steps as live.

Nothing is seen before it was received. An item is judged ahead of its time, for speed, but a judgement knows of no
other item; it is counted, and decided about, when its moment comes. The live database is not touched.

`hindsight.py` asks the questions of `newsquake replay`, and the trainer's gate its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from monitor.assembly import desk_of, rules_of
from monitor.clock import DrivenClock, SystemClock
from monitor.config import Config
from monitor.core.detect.detector import fresh
from monitor.pipeline import (
    Collected,
    Desk,
    Gathering,
    Needle,
    Scored,
    Tick,
    collect_step,
    look_at,
    score_step,
    tick_step,
    watch_step,
)
from monitor.ports import Batch, Scorer
from monitor.reading import IncidentFilter
from monitor.sources.archive import ArchiveSource
from monitor.store.operations import upgrade
from monitor.store.queries import Queries
from monitor.store.repository import SqlStore
from monitor.types import BUCKET, EPOCH, TICK, Article, DeadLetter, Incident, RawItem, SourceId

ARCHIVE = SourceId("archive")
DAY = timedelta(days=1)
PAGE = 500  # incidents read at once

log = structlog.get_logger()


def ticks(after: datetime, until: datetime, every: timedelta = TICK) -> Iterator[datetime]:
    """Yield the ticks in (after, until]: full minutes UTC where `every` is a minute."""
    at = after - (after - after.min.replace(tzinfo=after.tzinfo)) % every + every
    while at <= until:
        yield at
        at += every


@dataclass(slots=True)
class Rehearsal:
    """A store of its own, a clock that is driven, and a needle that has seen nothing."""

    store: SqlStore
    clock: DrivenClock
    needle: Needle
    desk: Desk
    scorer: Scorer
    gathering: Gathering = field(default_factory=Gathering)

    async def live_through(self, items: Sequence[RawItem | DeadLetter]) -> None:
        """Take items in order of receipt: judge them together, then let each moment come with its own."""
        await self.follow(items, await self.judge(items))

    async def judge(self, items: Sequence[RawItem | DeadLetter]) -> Scored:
        """Read and judge items, all but those that the store knows."""
        batch = Batch(source=ARCHIVE, items=tuple(items))
        collected = await collect_step([batch], desk=self.desk, store=self.store)
        return await score_step(collected, scorer=self.scorer)

    async def follow(self, items: Sequence[RawItem | DeadLetter], scored: Scored) -> None:
        """Let each moment of these items come, in order of receipt, with what was made of its own."""
        for moment, group in groupby(zip(items, scored.entries, strict=True), key=lambda pair: pair[0].received):
            pairs = tuple(group)
            await self.pass_time(moment)
            await watch_step(
                Scored(
                    batches=(Batch(source=ARCHIVE, items=tuple(item for item, _ in pairs)),),
                    entries=tuple(entry for _, entry in pairs),
                ),
                store=self.store,
                needle=self.needle,
                desk=self.desk,
                clock=self.clock,
                gathering=self.gathering,
            )

    async def live_again(self, articles: Sequence[Article]) -> None:
        """Take stored articles in order of receipt, as they were read then: judged, and counted at their own times."""
        read = await asyncio.to_thread(look_at, articles, self.desk)
        scored = await score_step(Collected(batches=(), entries=tuple(read)), scorer=self.scorer)
        for moment, group in groupby(zip(articles, scored.entries, strict=True), key=lambda pair: pair[0].received):
            await self.pass_time(moment)
            await watch_step(
                Scored(batches=(), entries=tuple(entry for _, entry in group)),
                store=self.store,
                needle=self.needle,
                desk=self.desk,
                clock=self.clock,
                gathering=self.gathering,
            )

    async def incidents(self) -> list[Incident]:
        """Return all incidents so far, the first opened first."""
        found: list[Incident] = []
        mark, queries = None, Queries(self.store.reader)
        while rows := await queries.incidents(IncidentFilter(), before=mark, limit=PAGE):
            found += rows
            mark = (rows[-1].opened, rows[-1].id)
        return found[::-1]

    async def pass_time(self, until: datetime) -> None:
        """Let every tick pass. One that says nothing is not written down: the store is thrown away at the end.

        Time is counted in buckets: without news, a further tick in the same bucket changes nothing, and is left out.
        """
        for place, at in enumerate(ticks(self.clock.now(), until)):
            if place and (at - EPOCH) % BUCKET:
                continue
            decision = self.needle.decide((), at)
            if decision.signals:
                await tick_step(Tick(at=at), store=self.store, needle=self.needle, desk=self.desk)
            else:
                self.needle.adopt(decision.state)
        await self.clock.drive(until)


@asynccontextmanager
async def rehearsal(config: Config, scorer: Scorer, start: datetime) -> AsyncIterator[Rehearsal]:
    """Set up a rehearsal in a temporary folder."""
    with TemporaryDirectory(prefix="newsquake-replay-") as folder:
        clock = DrivenClock(start)
        url = f"sqlite:///{folder}/replay.db"
        await upgrade(url)
        store = await SqlStore.open(url, clock)
        try:
            rules = replace(rules_of(config), awaited=frozenset())  # an archive ends, and has gaps of its own
            needle = Needle(fresh(rules))
            yield Rehearsal(store=store, clock=clock, needle=needle, desk=desk_of(config), scorer=scorer)
        finally:
            await store.close()


async def read_archive(archive: Path, until: datetime | None = None) -> list[RawItem | DeadLetter]:
    """Read the records of an archive as items received when they were published, in order of that time.

    With `until`, those that were received by then. Where none is readable, nothing is returned.
    """
    source = ArchiveSource(ARCHIVE, archive, clock=SystemClock(), history=False, as_of_published=True)
    items: list[RawItem | DeadLetter] = []
    async with aclosing(source.batches(())) as batches:
        async for batch in batches:
            items += batch.items
    known = [item for item in items if isinstance(item, RawItem) and (until is None or item.received <= until)]
    readable = sorted(known, key=lambda item: item.received)
    if not readable:
        return []
    # A record that cannot be read has no time: it comes last, and is counted as dead.
    dead = [replace(item, received=readable[-1].received) for item in items if isinstance(item, DeadLetter)]
    return [*readable, *dead]
