"""Living through old news again: each item at its own time, through the same steps as live.

Nothing is seen before it was received. An item is judged ahead of its time, for speed, but a judgement knows of no
other item; it is counted, and decided about, when its moment comes. The live database is not touched.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from rich.console import Console
from rich.progress import Progress

from monitor.assembly import desk_of, rules_of
from monitor.clock import DrivenClock, SystemClock
from monitor.config import Config, load
from monitor.core.detect.detector import fresh
from monitor.errors import ConfigurationError
from monitor.pipeline import (
    UNIT,
    Collected,
    Desk,
    Needle,
    Scored,
    Tick,
    collect_step,
    score_step,
    tick_step,
    watch_step,
)
from monitor.ports import Batch, Ledger, Scorer
from monitor.reading import IncidentFilter
from monitor.report import document, page
from monitor.scoring.reload import open_worker
from monitor.sources.archive import ArchiveSource
from monitor.store.operations import upgrade
from monitor.store.queries import Queries
from monitor.store.repository import SqlStore
from monitor.types import TICK, Article, DeadLetter, Incident, Key, RawItem, Rollup, SourceId

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

    async def live_through(self, items: Sequence[RawItem | DeadLetter]) -> None:
        """Take items in order of receipt: judge them together, then let each moment come with its own."""
        batch = Batch(source=ARCHIVE, items=tuple(items))
        collected = await collect_step([batch], desk=self.desk, store=self.store)
        scored = await score_step(collected, scorer=self.scorer)
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
            )

    async def live_again(self, articles: Sequence[Article]) -> None:
        """Take stored articles in order of receipt, as they were read then: judged, and counted at their own times."""
        tagged = await asyncio.to_thread(lambda: tuple((each, self.desk.tagger.tag(each)) for each in articles))
        scored = await score_step(Collected(batches=(), entries=tagged), scorer=self.scorer)
        for moment, group in groupby(zip(articles, scored.entries, strict=True), key=lambda pair: pair[0].received):
            await self.pass_time(moment)
            await watch_step(
                Scored(batches=(), entries=tuple(entry for _, entry in group)),
                store=self.store,
                needle=self.needle,
                desk=self.desk,
                clock=self.clock,
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
        """Let every tick pass. One that says nothing is not written down: the store is thrown away at the end."""
        for at in ticks(self.clock.now(), until):
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


async def replay(archive: Path, config_path: Path, report: Path) -> None:
    """Live through an archive and write report.json and report.html to a folder."""
    config = load(config_path)
    items = await read_archive(archive)
    if not items:
        raise ConfigurationError(f"{archive}: found no items; expected records with a title or text and a time")
    try:
        report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--report: {report}: cannot make this folder ({error.strerror})") from error
    began, ended = items[0].received, items[-1].received
    model = config.model
    scorer = await open_worker(model.reference, labels=model.labels, threads=model.threads or None, clock=SystemClock())
    try:
        async with rehearsal(config, scorer, began) as stage:
            with Progress(console=Console(stderr=True)) as progress:
                task = progress.add_task("living through", total=len(items))
                for start in range(0, len(items), UNIT):
                    chunk = items[start : start + UNIT]
                    await stage.live_through(chunk)
                    progress.update(task, advance=len(chunk), description=f"{chunk[-1].received:%Y-%m-%d}")
            queries = Queries(stage.store.reader)
            incidents = await stage.incidents()
            days = {incident.keys[0]: await _days(queries, incident.keys[0], began, ended) for incident in incidents}
            ledger = (await stage.store.ledgers()).get(ARCHIVE, Ledger())
    finally:
        await scorer.close()
    told = document(
        archive=str(archive),
        began=began,
        ended=ended,
        budget=config.detect.false_alarms,
        model=scorer.model,
        ledger=ledger,
        incidents=incidents,
    )
    (report / "report.json").write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    (report / "report.html").write_text(page(told, incidents, days), encoding="utf-8")
    print(f"{len(items)} items, {len(incidents)} incidents: {report / 'report.html'}")


async def read_archive(archive: Path) -> list[RawItem | DeadLetter]:
    """Read every record of an archive as an item received when it was published, in order of that time."""
    source = ArchiveSource(ARCHIVE, archive, clock=SystemClock(), history=False, as_of_published=True)
    items: list[RawItem | DeadLetter] = []
    async with aclosing(source.batches(())) as batches:
        async for batch in batches:
            items += batch.items
    readable = sorted((item for item in items if isinstance(item, RawItem)), key=lambda item: item.received)
    if not readable:
        return []
    # A record that cannot be read has no time: it comes last, and is counted as dead.
    dead = [replace(item, received=readable[-1].received) for item in items if isinstance(item, DeadLetter)]
    return [*readable, *dead]


async def _days(queries: Queries, key: Key, began: datetime, ended: datetime) -> Sequence[Rollup]:
    return await queries.sums(began - DAY, ended + DAY, step=DAY, key=key)
