"""`newsquake demo`: the whole daemon on three invented days, replayed fast in a temporary folder."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import webbrowser
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from itertools import groupby
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from monitor.app import Daemon
from monitor.clock import DrivenClock
from monitor.config import Config
from monitor.core.incidents import Folded
from monitor.core.keys import ALL, name_of
from monitor.core.wording import ENGLISH, causes, words_for
from monitor.lifecycle import signals
from monitor.ports import Batch
from monitor.replay import ticks
from monitor.telemetry import Telemetry, configure_log
from monitor.types import Change, Incident, IncidentId, Json, RawItem, SourceId

STREAM = files("monitor") / "data" / "demo"
DAYS = timedelta(days=3)
EVERY = timedelta(minutes=5)  # between two ticks: the days are to pass quickly


class Show:
    """Prints each incident as it comes, and remembers it as it was last."""

    def __init__(self, *, quiet: bool) -> None:
        self.incidents: dict[IncidentId, Incident] = {}
        self._out = sys.stderr if quiet else sys.stdout

    def say(self, text: str) -> None:
        """Print a line: on standard error where standard output is kept for the summary."""
        print(text, file=self._out, flush=True)

    def took(self, folded: Folded) -> None:
        """Take note of what a commit made of the incidents."""
        for incident in folded.incidents:
            self.incidents[incident.id] = incident
        for change, incident in folded.changes:
            self.say(_line(change, incident))

    def summary(self, items: int, stories: int) -> dict[str, Json]:
        """Return what the one-line JSON summary says."""
        return {
            "items": items,
            "stories": stories,
            "incidents": [
                {
                    "key": incident.keys[0],
                    "kind": incident.kind.value,
                    "start": incident.opened.isoformat(),
                    "severity": incident.severity.value,
                    "headlines": [evidence.title for evidence in incident.evidence],
                }
                for incident in sorted(self.incidents.values(), key=lambda each: each.opened)
            ],
        }


async def demo(*, leave: bool) -> None:
    """Run the demo. With `leave`, end after the last item and print a one-line JSON summary on standard output."""
    configure_log("error")
    show = Show(quiet=leave)
    with TemporaryDirectory(prefix="newsquake-demo-") as folder, as_file(STREAM) as data:
        start = first_day(datetime.now(UTC))
        clock = DrivenClock(start)
        items = items_of(data / "stream.jsonl", start)
        config = Config.model_validate(
            {
                "store": {"url": f"sqlite:///{folder}/demo.db"},
                "api": {"bind": "127.0.0.1:0"},
                "source": [{"kind": "push", "id": source} for source in sorted({item.source for item in items})],
                "watchlist": {"files": [data / "watchlist.toml"]},
                "log": {"level": "error"},
            }
        )
        show.say("newsquake: three invented days, replayed fast; loading the model …")
        daemon = Daemon(config, clock=clock, random=Random(0), telemetry=Telemetry(), witness=show.took)  # noqa: S311
        with signals(daemon.stop, lambda: None):
            await daemon.start(ticking=False)
            try:
                show.say(f"the page is at {daemon.address}/ (the API beside it: /api/v1/incidents, /openapi.json)")
                if not leave and has_desktop():
                    await asyncio.to_thread(webbrowser.open, f"{daemon.address}/")
                await _play_and_tell(daemon, clock, items, show, leave=leave)
            finally:
                await daemon.close()


async def _play_and_tell(
    daemon: Daemon, clock: DrivenClock, items: Sequence[RawItem], show: Show, *, leave: bool
) -> None:
    playing = asyncio.create_task(_play(daemon, clock, items))
    stopping = asyncio.create_task(daemon.wait())
    await asyncio.wait([playing, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not playing.done():  # stopped half-way, or a part failed: close() tells which
        playing.cancel()
        return
    playing.result()
    if leave:
        stopping.cancel()
        days = await daemon.reader.sums(items[0].received - DAYS, clock.now(), step=DAYS, key=ALL)
        stories = sum(day.stories for day in days)
        print(json.dumps(show.summary(len(items), stories), ensure_ascii=False), flush=True)
        return
    show.say(f"that was all: {len(items)} items, {len(show.incidents)} incidents; look around, Ctrl-C ends it")
    await stopping


async def _play(daemon: Daemon, clock: DrivenClock, items: Sequence[RawItem]) -> None:
    """Live through the items, each at its own time, and through what is left of the last day."""
    for moment, group in groupby(items, key=lambda item: item.received):
        await _pass_time(daemon, clock, moment)
        for item in group:
            await daemon.pipeline.submit(Batch(source=item.source, items=(item,)))
        await daemon.pipeline.drained()
    await _pass_time(daemon, clock, items[0].received.replace(hour=0, minute=0, second=0) + DAYS)


async def _pass_time(daemon: Daemon, clock: DrivenClock, until: datetime) -> None:
    for at in ticks(clock.now(), until, EVERY):
        await clock.drive(at)
        await daemon.pipeline.tick(at)
    await daemon.pipeline.drained()
    await clock.drive(until)


def has_desktop() -> bool:
    """Tell whether somebody could see a browser's window."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def first_day(now: datetime) -> datetime:
    """Return the latest Monday, midnight UTC, from which three whole days have passed."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=(now.weekday() - 3) % 7 + 3)


def items_of(stream: Path, start: datetime) -> list[RawItem]:
    """Read the shipped stream; its times count in seconds from `start`."""
    items: list[RawItem] = []
    for line in stream.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        at = start + timedelta(seconds=row["at"])
        items.append(
            RawItem(
                source=SourceId(row["source"]),
                raw=line.encode(),
                handed_over=at,
                received=at,
                title=row["title"],
                body=row["text"],
                guid=row["id"],
                link=row["url"],
                publisher=row["publisher"],
                published=at,
                language=row["language"],
            )
        )
    return items


def _line(change: Change, incident: Incident) -> str:
    when = (incident.resolved if change is Change.RESOLVED else None) or incident.updated
    head = f"{when:%a %H:%M} UTC  {change.value}: {incident.severity.value} {incident.kind.value}"
    lines = [f"{head}: {name_of(incident.keys[0])}"]
    if change is not Change.RESOLVED and incident.explanation is not None:
        lines.append(f"    {causes(incident.explanation, words_for(ENGLISH))}")
    if change is Change.OPENED:
        lines += [f"    {evidence.title} ({evidence.publisher})" for evidence in incident.evidence[:3]]
    return "\n".join(lines)
