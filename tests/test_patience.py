"""What the database refuses is tried again, and told once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from monitor.errors import OwnershipLost, StoreAway, StoreError
from monitor.patience import FIRST, LAST, Patience
from monitor.telemetry import Telemetry
from tests.fakes import FakeClock


class Database:
    """Answers a question as it was told to: raises what is an exception, and returns the rest."""

    def __init__(self, *answers: object) -> None:
        self._answers: Iterator[object] = iter(answers)

    async def ask(self) -> object:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Waiting(FakeClock):
    """A clock that notes how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.meanwhile()
        await asyncio.sleep(0)


def refusals(telemetry: Telemetry) -> float | None:
    return telemetry.registry.get_sample_value("newsquake_store_refusals_total", {"part": "watch"})


async def test_it_waits_longer_each_time_says_why_once_and_says_when_it_is_over() -> None:
    clock, telemetry = Waiting(), Telemetry()
    patience = Patience("watch", clock=clock, telemetry=telemetry)
    seen: list[str | None] = []
    clock.meanwhile = lambda: seen.append(patience.trouble)
    full, away = StoreError("the disk is full"), StoreAway("the server is away")
    with capture_logs() as said:
        assert await patience.insist(Database(full, full, away, *[away] * 7, "done").ask) == "done"
    assert clock.waits[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert clock.waits[-1] == LAST
    assert seen == ["the disk is full"] * 2 + ["the server is away"] * 8
    assert patience.trouble is None
    assert refusals(telemetry) == 10
    assert [(entry["log_level"], entry.get("error")) for entry in said] == [
        ("warning", "the disk is full"),
        ("warning", "the server is away"),
        ("info", None),
    ]


async def test_another_owner_is_waited_for_by_nobody() -> None:
    patience = Patience("watch", clock=Waiting(), telemetry=Telemetry())
    with pytest.raises(OwnershipLost):
        await patience.insist(Database(OwnershipLost("taken over")).ask)


async def test_only_what_is_worth_it_is_waited_for() -> None:
    clock, telemetry = Waiting(), Telemetry()
    patience = Patience("watch", clock=clock, telemetry=telemetry, worth=StoreAway)
    with pytest.raises(StoreError, match="an old schema"):
        await patience.insist(Database(StoreAway("away"), StoreError("an old schema")).ask)
    assert (len(clock.waits), refusals(telemetry)) == (1, 1)
