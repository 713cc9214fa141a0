"""Years of real headlines lived through again, beside events that are known to have happened in them.

    python benchmarks/detection/archives.py FOLDER WATCHLIST [--budgets 0.25,1,7] [--publishers 2] [--scores FILE]

FOLDER holds an archive (`*.jsonl.gz`) and `events.json`. WATCHLIST lies beside this program. For each budget: how many
incidents, which events were told before the end of their busiest day and how long before, and how many incidents a
month are at none of them (the lists are short, so those are not all false). Beside it a rolling z-score of each key's
negative stories (mean + k·sd of 28 days) by the day and by the hour, with k raised until it tells as few. Both are
given the same judgements; `--scores` keeps them for the next run. `--list` shows each incident of the first budget.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path

from archive_rule import Peak, Story, as_many, peaks
from archive_scores import KeptScores
from rich.console import Console
from rich.progress import track
from sqlalchemy import select

from monitor.clock import SystemClock
from monitor.config import Config
from monitor.core.counting import NEGATIVE
from monitor.core.known import Comparison, KnownEvent, compare, read_events
from monitor.hindsight import alarms_of
from monitor.pipeline import UNIT
from monitor.replay import Rehearsal, read_archive, rehearsal
from monitor.scoring.reload import open_worker
from monitor.store import schema
from monitor.types import Key

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


async def live(folder: Path, config: Config, budgets: Sequence[float], scores: Path | None, *, listed: bool) -> None:
    """Live through the archive once, with a needle for each budget, and print the table."""
    events = read_events(json.loads((folder / "events.json").read_text(encoding="utf-8")), "events.json")
    items = await read_archive(folder)
    began = items[0].received
    worker = await open_worker("builtin", clock=SystemClock())
    scorer = KeptScores(worker, scores)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(worker.close)
        stages = []
        for budget in budgets:
            detect = config.detect.model_copy(update={"false_alarms": budget})
            own = config.model_copy(update={"detect": detect})
            stages.append(await stack.enter_async_context(rehearsal(own, scorer, began)))
        for start in track(range(0, len(items), UNIT), console=Console(file=sys.stderr)):
            chunk = items[start : start + UNIT]
            scored = await stages[0].judge(chunk)
            for stage in stages:
                await stage.follow(chunk, scored)
        await tell(stages, budgets, events, began, items[-1].received)
        for each in await stages[0].incidents() if listed else ():
            until = f"{each.resolved:%m-%d %H:%M}" if each.resolved else "open"
            headline = each.evidence[0].title if each.evidence else ""
            print(f"{each.opened:%Y-%m-%d %H:%M} to {until}  {each.severity.value:8} {each.keys[0]:24} {headline:.70}")


async def tell(
    stages: Sequence[Rehearsal],
    budgets: Sequence[float],
    events: Sequence[KnownEvent],
    began: datetime,
    ended: datetime,
) -> None:
    stories = await negative_stories(stages[0])
    midnight = began.replace(hour=0, minute=0, second=0, microsecond=0)
    found = {step: peaks(stories, midnight, ended, step) for step in (DAY, HOUR)}
    print(f"{'rule':24} {'alarms':>6} {'told':>6} {'in time':>7} {'lead h':>6} {'at none':>7} {'a month':>7}")
    rows: list[tuple[str, Comparison]] = []
    for stage, budget in zip(stages, budgets, strict=True):
        told = alarms_of(await stage.incidents())
        rows.append((f"newsquake {budget:g} a week", compare(told, events, began, ended)))
        rows += rivals(found, len(told), events, midnight, ended)
    for name, one in rows:
        lead = "-" if one.lead is None else f"{one.lead / HOUR:.0f}"
        told_ = f"{sum(each.alarm is not None for each in one.told)}/{len(one.told)}"
        print(f"{name:24} {one.alarms:6} {told_:>6} {one.in_time:7} {lead:>6} {one.others:7} {one.others_a_month:7.1f}")
    print()
    for each in zip(*(one.told for _, one in rows), strict=True):
        leads = ", ".join("-" if one.lead is None else f"{one.lead / HOUR:.0f}" for one in each)
        print(f"{each[0].event.id:20} busiest {each[0].event.busiest - DAY:%Y-%m-%d}   lead h by row: {leads}")


def rivals(
    found: Mapping[timedelta, Sequence[Peak]],
    wanted: int,
    events: Sequence[KnownEvent],
    began: datetime,
    ended: datetime,
) -> list[tuple[str, Comparison]]:
    """Return the z-score rule by the day and by the hour, telling as many alarms as wanted, or the next that it can."""
    rows: list[tuple[str, Comparison]] = []
    for step, name in ((DAY, "day"), (HOUR, "hour")):
        k, told = as_many(found[step], wanted, began, step)
        rows.append((f"  z by the {name}, k {k:.1f}", compare(told, events, began, ended)))
    return rows


async def negative_stories(stage: Rehearsal) -> Mapping[Key, Sequence[Story]]:
    """Return the negative stories of each key but `source:`, each counted once."""
    judged, articles = schema.judgements.c, schema.articles.c
    wanted = (
        select(judged.key, articles.id, judged.published, articles.title, judged.negative)
        .join_from(schema.judgements, schema.articles, judged.article == articles.id)
        .where(judged.leads, judged.negative >= NEGATIVE, judged.key.not_like("source:%"))
    )
    stories: dict[Key, list[Story]] = defaultdict(list)
    async with stage.store.reader.connect() as connection:
        for key, id_, published, title, negative in await connection.execute(wanted):
            stories[Key(key)].append(Story(id_, published, title, negative))
    return stories


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("watchlist", type=Path)
    parser.add_argument("--budgets", default="0.25,1,7", help="false incidents a week")
    parser.add_argument("--publishers", type=int, default=2, help="independent publishers that a surge needs")
    parser.add_argument("--scores", type=Path, help="where judgements are kept: hashes and probabilities, no texts")
    parser.add_argument("--list", action="store_true", dest="listed", help="show each incident")
    given = parser.parse_args()
    detect = {"min_publishers": given.publishers}
    config = Config.model_validate({"watchlist": {"files": [given.watchlist]}, "detect": detect})
    budgets = [float(each) for each in given.budgets.split(",")]
    asyncio.run(live(given.folder, config, budgets, given.scores, listed=given.listed))


if __name__ == "__main__":
    main()
