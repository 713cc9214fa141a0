"""The clock that the tests tell the time by."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.fakes import NOON, FakeClock


async def test_time_stands_still_until_it_is_advanced() -> None:
    clock = FakeClock()
    assert clock.now() == NOON
    await clock.advance(timedelta(hours=1))
    assert clock.now() == NOON + timedelta(hours=1)


async def test_sleepers_wake_in_order_each_at_its_own_moment() -> None:
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, (clock.now() - NOON).total_seconds()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleep("often", 10, 10, 10))
        group.create_task(sleep("late", 25))
        group.create_task(sleep("never", 31))
        await clock.advance(30)
        assert woken == [("often", 10), ("often", 20), ("late", 25), ("often", 30)]
        await clock.advance(1)
    assert woken[-1] == ("never", 31)


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    task.cancel()
    await clock.advance(10)
    assert task.cancelled()
