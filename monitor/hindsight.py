"""`newsquake replay`: when would this have fired? An archive is lived through, and what came of it is written down.

The judging is the slow part: it is done once, and every budget of a sweep has a needle of its own for what is judged.
With `--seed`, a new database begins with what the archive has taught, so that a daemon knows from its first day on what
is normal.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from monitor.clock import SystemClock
from monitor.config import Config, PerWeek, load, read_text
from monitor.core.detect.baseline import fade
from monitor.core.detect.seed import seed
from monitor.core.detect.state import STATE_VERSION, State
from monitor.core.keys import ALL
from monitor.core.known import Alarm, KnownEvent, compare, read_events
from monitor.core.moments import is_day, read_moment
from monitor.errors import ConfigurationError
from monitor.housekeeping import open_store
from monitor.pipeline import UNIT
from monitor.ports import Clock, Ledger, Scorer
from monitor.replay import ARCHIVE, Rehearsal, read_archive, rehearsal
from monitor.report import Run, document, page, summary
from monitor.scoring.reload import open_worker
from monitor.store.queries import Queries
from monitor.store.repository import SqlStore
from monitor.telemetry import Telemetry
from monitor.types import EPOCH, DeadLetter, Incident, IncidentKind, Json, Key, RawItem, Rollup

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What `newsquake replay` is asked, as it was typed."""

    archive: Path
    config: Path
    report: Path | None
    until: str | None = None
    events: Path | None = None
    sweep: str | None = None
    seed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """A question that was understood: what is lived through, up to when, by which budgets, and what it is held beside.

    The first of the `budgets` is the configuration's.
    """

    question: Question
    config: Config
    items: Sequence[RawItem | DeadLetter]
    until: datetime | None
    budgets: tuple[float, ...]
    events: Sequence[KnownEvent] | None


async def replay(question: Question) -> None:
    """Live through an archive; write report.json and report.html to a folder, or seed the database, or both."""
    clock = SystemClock()
    errand = await understood(question, clock.now())
    model = errand.config.model
    async with AsyncExitStack() as stack:
        seedbed = await stack.enter_async_context(_seedbed(errand.config, clock)) if question.seed else None
        scorer = await open_worker(model.reference, labels=model.labels, threads=model.threads or None, clock=clock)
        stack.push_async_callback(scorer.close)
        learned = await run(errand, scorer)
        if seedbed is not None:
            await _sow(seedbed, learned, clock.now())


async def understood(question: Question, now: datetime) -> Errand:
    """Read all that a question names, and make the report's folder. Raise ConfigurationError for what cannot be."""
    if question.report is None and not question.seed:
        raise ConfigurationError("replay: found neither --report nor --seed; expected one of them, or both")
    config = load(question.config)
    until = None if question.until is None else _until(question.until, now)
    events = None if question.events is None else _events(question.events)
    budgets = tuple(dict.fromkeys((config.detect.false_alarms, *_budgets(question.sweep))))
    items = await read_archive(question.archive, until)
    if not items:
        before = "" if until is None else f" received by {until:%Y-%m-%d %H:%M} UTC"
        raise ConfigurationError(
            f"{question.archive}: found no items{before}; expected records with a title or text and a time"
        )
    if question.report is not None:
        _make(question.report)
    return Errand(question=question, config=config, items=items, until=until, budgets=budgets, events=events)


async def run(errand: Errand, scorer: Scorer) -> State:
    """Live through the items, write the report where one is asked for, and return what the detector knows then."""
    began = errand.items[0].received
    async with AsyncExitStack() as stack:
        stages = [
            await stack.enter_async_context(rehearsal(_with_budget(errand.config, budget), scorer, began))
            for budget in errand.budgets
        ]
        unreadable = await _live(stages, errand.items, errand.until)
        runs = await _runs(stages, errand, began)
        ledger = (await stages[0].store.ledgers()).get(ARCHIVE, Ledger())
        if errand.question.report is not None:
            told = document(
                str(errand.question.archive), runs, model=scorer.model, ledger=ledger, unreadable=unreadable
            )
            await _write(errand.question.report, told, stages[0], runs)
        print(summary(runs, ledger))
        return stages[0].needle.state


async def _live(
    stages: Sequence[Rehearsal], items: Sequence[RawItem | DeadLetter], until: datetime | None
) -> list[str]:
    """Judge each unit of items once, and let every stage live through it; then let time pass until the end asked for.

    Returns what was wrong with each record that could not be read or judged.
    """
    unreadable: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("judging", total=len(items))
        for start in range(0, len(items), UNIT):
            chunk = items[start : start + UNIT]
            scored = await stages[0].judge(chunk)
            for stage in stages:
                await stage.follow(chunk, scored)
            unreadable += [entry.error for entry in scored.entries if isinstance(entry, DeadLetter)]
            progress.update(task, advance=len(chunk), description=f"{chunk[-1].received:%Y-%m-%d}")
    if until is not None:
        for stage in stages:
            await stage.pass_time(until)
    return unreadable


async def _runs(stages: Sequence[Rehearsal], errand: Errand, began: datetime) -> list[Run]:
    runs: list[Run] = []
    for stage, budget in zip(stages, errand.budgets, strict=True):
        incidents = await stage.incidents()
        ended = stage.clock.now()
        comparison = None if errand.events is None else compare(alarms_of(incidents), errand.events, began, ended)
        runs.append(Run(budget=budget, began=began, ended=ended, incidents=tuple(incidents), comparison=comparison))
    return runs


async def _write(folder: Path, told: Mapping[str, Json], stage: Rehearsal, runs: Sequence[Run]) -> None:
    """Write the report: of the first run all that it told, of the others how many."""
    queries, first = Queries(stage.store.reader), runs[0]
    days = {key: await _days(queries, key, first) for key in sorted({ALL, *(each.keys[0] for each in first.incidents)})}
    text = json.dumps(told, ensure_ascii=False, indent=2) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(page(told, runs, days), encoding="utf-8")
    print(folder / "report.html")


@asynccontextmanager
async def _seedbed(config: Config, clock: Clock) -> AsyncIterator[SqlStore]:
    """Open the database, and hold it, so that no daemon starts meanwhile. Raise where it is in use, or has learned."""
    store = await open_store(config.store.url, clock, Telemetry())
    try:
        await store.own("all")
        rows, _ = await store.load_state()
        if rows:
            raise ConfigurationError(
                f"--seed: {store.name} has learned already what is normal; expected a database that has not"
            )
        yield store
    finally:
        await store.close()


async def _sow(store: SqlStore, learned: State, now: datetime) -> None:
    """Let a database begin with what was learned, and say what that is worth by now."""
    rows = seed(learned)
    async with store.transaction() as transaction:
        await transaction.save_state(rows, STATE_VERSION)
    ended = EPOCH + timedelta(seconds=learned.pulse.now)
    keys, kept = sum(name.startswith("key:") for name in rows), fade((now - ended) / HOUR)
    print(f"{store.name}: seeded with {keys} keys; the archive ends on {ended:%Y-%m-%d}, so rates count for {kept:.0%}")


def alarms_of(incidents: Sequence[Incident]) -> list[Alarm]:
    """Return the surges among incidents, as they compare with events."""
    return [
        Alarm(id=incident.id, opened=incident.opened, headlines=tuple(each.title for each in incident.evidence))
        for incident in incidents
        if incident.kind is IncidentKind.SURGE
    ]


async def _days(queries: Queries, key: Key, run: Run) -> Sequence[Rollup]:
    return await queries.sums(run.began - DAY, run.ended + DAY, step=DAY, key=key)


def _with_budget(config: Config, budget: float) -> Config:
    return config.model_copy(update={"detect": config.detect.model_copy(update={"false_alarms": budget})})


def _until(text: str, now: datetime) -> datetime:
    """Read the moment of which the archive is to be seen; a bare day is seen as of its end."""
    try:
        until = read_moment(text) + (SECOND if is_day(text) else timedelta(0))
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"--until: {error}") from error
    if until > now:
        raise ConfigurationError(f"--until: found {text!r}, which is not over yet; expected a moment of the past")
    return until


def _budgets(text: str | None) -> tuple[float, ...]:
    """Read budgets, separated by commas: false incidents a week, or as in the configuration (`1 per month`)."""
    found: list[float] = []
    for part in text.split(",") if text is not None else ():
        try:
            budget: float = TypeAdapter(PerWeek).validate_python(_number(part))
        except ValidationError as error:
            raise ConfigurationError(
                f"--sweep: found {part.strip()!r}; expected false incidents a week, such as 0.25,1,7, "
                "or budgets such as '1 per month,1 per week'"
            ) from error
        found.append(budget)
    return tuple(found)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _events(path: Path) -> tuple[KnownEvent, ...]:
    try:
        value = json.loads(read_text(path, "--events"))
    except ValueError as error:
        raise ConfigurationError(f"{path}: not valid JSON ({error}); expected a list of events") from error
    return read_events(value, str(path))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--report: {folder}: cannot make this folder ({error.strerror})") from error
