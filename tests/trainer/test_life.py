from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from monitor.clock import SystemClock
from monitor.errors import PromotionError
from monitor.store.models import Promotions
from monitor.store.operations import upgrade
from monitor.store.repository import SqlStore
from monitor.types import ModelId, ModelState
from trainer.life import follow

NEW = ModelId("0123456789abcdef")
START = datetime(2026, 3, 2, 10, tzinfo=UTC)


class Meanwhile:
    """A clock: while somebody sleeps on it, the daemon brings the model into its next state, and a minute passes."""

    def __init__(self, store: SqlStore, states: Sequence[ModelState | None]) -> None:
        self._store, self._states = store, list(states)
        self._now, self._last = START, ModelState.STAGED

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += timedelta(minutes=1)
        state = self._states.pop(0)
        if state is None:
            return
        async with self._store.transaction() as transaction:
            why = "the file was changed or cut short" if state is ModelState.REFUSED else None
            assert await transaction.move_model(NEW, state, of=self._last, error=why)
        self._last = state


@pytest.fixture
async def url(tmp_path: Path) -> str:
    await upgrade(f"sqlite:///{tmp_path}/newsquake.db")
    return f"sqlite:///{tmp_path}/newsquake.db"


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    opened = await SqlStore.open(url, SystemClock())
    yield opened
    await opened.close()


@pytest.fixture
async def promotions(url: str) -> AsyncIterator[Promotions]:
    opened = await Promotions.open(url)
    yield opened
    await opened.close()


async def followed(promotions: Promotions, store: SqlStore, *states: ModelState | None) -> str:
    """Return what is said while a staged model passes through states; None is a minute in which nothing happens."""
    row = await promotions.stage("path:/models/new", NEW, {}, START)
    console = Console(record=True, quiet=False, width=200)
    try:
        await follow(promotions, row, Meanwhile(store, states), console)
    finally:
        text = console.export_text()
    return text


async def test_each_step_to_the_end_is_told(promotions: Promotions, store: SqlStore) -> None:
    states = ModelState.RESCORING, ModelState.READY, ModelState.SERVING
    told = (await followed(promotions, store, None, *states)).splitlines()
    assert [line.split(" ", 1)[1].split(",")[0] for line in told if line.startswith(NEW)] == [
        "waits for the daemon",
        "judges the recent past",
        "has judged the recent past; it takes over when the next five minutes begin",
        "serves",
    ]
    assert "no daemon takes it up: is `newsquake run` running on this database?" in told


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (ModelState.REFUSED, "serves on: the file was changed or cut short"),
        (ModelState.WITHDRAWN, "was called off"),
    ],
)
async def test_a_promotion_that_fails_is_told_with_its_reason(
    promotions: Promotions, store: SqlStore, state: ModelState, message: str
) -> None:
    with pytest.raises(PromotionError, match=message):
        await followed(promotions, store, state)
