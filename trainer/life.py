"""The life of models on a daemon's database, as one sees and asks for it from outside; the daemon does the rest.

What a daemon does with a staged model, and when, is the table of states in `monitor/store/models.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from monitor.clock import SystemClock
from monitor.config import Config, load
from monitor.errors import PromotionError
from monitor.ports import Clock, Promotion
from monitor.scoring.references import joined, named_parts
from monitor.store.models import Promotions
from monitor.types import UNDER_WAY, ModelState

POLL = 1.0  # seconds between two looks at a promotion that is followed
PATIENCE = timedelta(seconds=30)  # then it is remarked upon that nobody takes a model up
HOW = (
    "the daemon verifies it, lets it judge the recent past, and changes over when five minutes begin; "
    "`newsquake trainer list -c FILE` shows how far it is, `newsquake trainer rollback -c FILE` undoes it"
)
NEXT = {
    ModelState.STAGED: "waits for the daemon, which verifies it",
    ModelState.RESCORING: "judges the recent past, behind the serving model's back",
    ModelState.READY: "has judged the recent past; it takes over when the next five minutes begin",
    ModelState.SERVING: "serves",
    ModelState.RETIRED: "no longer serves",
    ModelState.RECALLED: "is called back; it serves as soon as the daemon has opened it",
    ModelState.WITHDRAWN: "was called off",
    ModelState.REFUSED: "was refused; the model that served serves on",
}


async def rollback(config_path: Path, *, wait: bool) -> None:
    """Call off the promotion under way, or call back the model that served before; with `wait`, until it serves.

    Raise PromotionError where there is nothing to roll back.
    """
    config, console, clock = load(config_path), console_for_people(), SystemClock()
    async with opened(config) as promotions:
        row = await promotions.rollback(clock.now())
        if row.state is ModelState.SERVING:
            print(f"the promotion is called off; {row.id} serves on: {row.reference}")
            return
        print(f"{row.id} is called back: {row.reference}")
        if wait:
            await follow(promotions, row, clock, console)
        else:
            console.print("next: a running daemon lets it serve within seconds; one that is not running, at its start")


async def stored(config_path: Path) -> list[str]:
    """Return one line for each model that was ever staged or served on a configuration's database, the newest first."""
    async with opened(load(config_path)) as promotions:
        return [_line(row) for row in await promotions.standing()]


def console_for_people() -> Console:
    """Return a console on standard error that shows text as it is."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Promotions]:
    """Open the table of models for the length of a `with`."""
    promotions = await Promotions.open(config.store.url)
    try:
        yield promotions
    finally:
        await promotions.close()


async def serving_of(promotions: Promotions, config: Config) -> str:
    """Return the reference of the model that serves, or, before any has, of the one that the configuration names."""
    row = await promotions.serving()
    return config.model.reference if row is None else row.reference


def require_room(rows: Sequence[Promotion]) -> None:
    """Raise PromotionError where another promotion is under way: before minutes go into examining a model."""
    for row in rows:
        if row.state in UNDER_WAY:
            raise PromotionError(
                f"a promotion is under way already: {row.id} ({row.reference}) {NEXT[row.state]}; wait for it, or call "
                "it off with `newsquake trainer rollback`"
            )


def lasting(reference: str) -> str:
    """Return a reference that means the same in another process's folder."""
    parts = {language: part.partition(":") for language, part in named_parts(reference).items()}
    return joined(
        {
            language: f"path:{Path(name).resolve()}" if kind == "path" else f"{kind}{colon}{name}"
            for language, (kind, colon, name) in parts.items()
        }
    )


def _line(row: Promotion) -> str:
    note = row.manifest.get("gate")
    forced = "  (--force)" if isinstance(note, dict) and note.get("forced") else ""
    error = f"  {row.error}" if row.error else ""
    return f"{row.state:9}  {row.id}  since {row.since:%Y-%m-%d %H:%M} UTC  {row.reference}{forced}{error}"


async def follow(promotions: Promotions, row: Promotion, clock: Clock, console: Console) -> None:
    """Say what becomes of a promotion, until its model serves. Raise PromotionError where it never will."""
    state, since, remarked = None, clock.now(), False
    while True:
        now = next(each for each in await promotions.standing() if each.id == row.id)
        if now.state is not state:
            state, since = now.state, clock.now()
            console.print(f"{now.id} {NEXT[state]}")
        if state is ModelState.SERVING:
            return
        if state not in UNDER_WAY:
            raise PromotionError(f"{now.id} ({now.reference}) {NEXT[state]}{': ' + now.error if now.error else ''}")
        if not remarked and state in (ModelState.STAGED, ModelState.RECALLED) and clock.now() - since > PATIENCE:
            console.print("no daemon takes it up: is `newsquake run` running on this database?")
            remarked = True
        await clock.sleep(POLL)
