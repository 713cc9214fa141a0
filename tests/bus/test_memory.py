from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from monitor.bus.memory import MemoryBus
from monitor.ports import Batch
from monitor.types import RawItem, SourceId

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def batch(size: int, source: str = "wire") -> Batch:
    item = RawItem(source=SourceId(source), raw=b"", handed_over=NOW, received=NOW)
    return Batch(source=SourceId(source), items=(item,) * size)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_waits_is_taken_together_in_order() -> None:
    bus = MemoryBus(100)
    for name in ("a", "b", "c"):
        await bus.put(batch(3, name))
    assert [each.source for each in await bus.take(7)] == ["a", "b"]
    assert bus.waiting() == 3


async def test_a_batch_larger_than_the_limit_still_comes_alone() -> None:
    bus = MemoryBus(100)
    await bus.put(batch(50))
    await bus.put(batch(1))
    assert [len(each.items) for each in await bus.take(10)] == [50]


async def test_a_full_queue_holds_the_source_up_and_drops_nothing() -> None:
    bus = MemoryBus(4)
    await bus.put(batch(3))
    waiting = asyncio.create_task(bus.put(batch(3)))
    await settle()
    assert not waiting.done()
    await bus.take(10)
    await waiting
    assert bus.waiting() == 3


async def test_a_batch_larger_than_the_queue_is_let_in_alone() -> None:
    bus = MemoryBus(4)
    await bus.put(batch(9))
    assert bus.waiting() == 9


async def test_a_position_without_items_passes_through() -> None:
    bus = MemoryBus(4)
    await bus.put(batch(0))
    (only,) = await bus.take(10)
    assert only.items == ()


async def test_a_source_that_gives_up_waiting_leaves_no_trace() -> None:
    bus = MemoryBus(2)
    await bus.put(batch(2))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bus.put(batch(2)), 0.01)
    assert bus.waiting() == 2
