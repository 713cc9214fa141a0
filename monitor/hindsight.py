"""`newsquake replay`: when would this have fired? An archive is lived through, and what came of it is written down.

The judging is the slow part: it is done once, and every budget of a sweep has a needle of its own for what is judged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from monitor.clock import SystemClock
from monitor.config import Config, PerWeek, load, read_text
from monitor.core.keys import ALL
from monitor.core.known import Alarm, KnownEvent, compare, read_events
from monitor.core.moments import is_day, read_moment
from monitor.errors import ConfigurationError
from monitor.pipeline import UNIT
from monitor.ports import Ledger, Scorer
from monitor.replay import ARCHIVE, Rehearsal, read_archive, rehearsal
from monitor.report import Run, document, page, summary
from monitor.scoring.reload import open_worker
from monitor.store.queries import Queries
from monitor.types import DeadLetter, Incident, IncidentKind, Key, RawItem, Rollup

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What `newsquake replay` is asked, as it was typed."""

    archive: Path
    config: Path
    report: Path
    until: str | None = None
    events: Path | None = None
    sweep: str | None = None


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
    """Live through an archive and write report.json and report.html to a folder."""
    clock = SystemClock()
    errand = await understood(question, clock.now())
    model = errand.config.model
    scorer = await open_worker(model.reference, labels=model.labels, threads=model.threads or None, clock=clock)
    try:
        await run(errand, scorer)
    finally:
        await scorer.close()


async def understood(question: Question, now: datetime) -> Errand:
    """Read all that a question names, and make the report's folder. Raise ConfigurationError for what cannot be."""
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
    _make(question.report)
    return Errand(question=question, config=config, items=items, until=until, budgets=budgets, events=events)


async def run(errand: Errand, scorer: Scorer) -> None:
    """Live through the items, and write the report."""
    began = errand.items[0].received
    async with AsyncExitStack() as stack:
        stages = [
            await stack.enter_async_context(rehearsal(_with_budget(errand.config, budget), scorer, began))
            for budget in errand.budgets
        ]
        unreadable = await _live(stages, errand.items, errand.until)
        runs = await _runs(stages, errand, began)
        await _write(errand.question, stages[0], runs, unreadable)


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


async def _write(question: Question, stage: Rehearsal, runs: Sequence[Run], unreadable: Sequence[str]) -> None:
    """Write the report: of the first run all that it told, of the others how many."""
    queries, first = Queries(stage.store.reader), runs[0]
    ledger = (await stage.store.ledgers()).get(ARCHIVE, Ledger())
    days = {key: await _days(queries, key, first) for key in sorted({ALL, *(each.keys[0] for each in first.incidents)})}
    told = document(str(question.archive), runs, model=stage.scorer.model, ledger=ledger, unreadable=unreadable)
    folder, text = question.report, json.dumps(told, ensure_ascii=False, indent=2) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(page(told, runs, days), encoding="utf-8")
    print(summary(runs, ledger))
    print(folder / "report.html")


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
