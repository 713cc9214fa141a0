"""The bus of a daemon in one process: a queue bounded in items, not in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from monitor.ports import Batch


class MemoryBus:
    """Holds at most `capacity` items. A batch larger than that is let in alone, so that nothing waits for ever."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._batches: deque[Batch] = deque()
        self._items = 0
        self._changed = asyncio.Condition()

    async def put(self, batch: Batch) -> None:
        """Hand a batch over, waiting for room."""
        size = len(batch.items)
        async with self._changed:
            await self._changed.wait_for(lambda: not self._batches or self._items + size <= self._capacity)
            self._batches.append(batch)
            self._items += size
            self._changed.notify_all()

    async def take(self, limit: int) -> Sequence[Batch]:
        """Return what waits, at least one batch, stopping before `limit` items unless the first alone exceeds it."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._batches))
            taken = [self._batches.popleft()]
            size = len(taken[0].items)
            while self._batches and size + len(self._batches[0].items) <= limit:
                taken.append(self._batches.popleft())
                size += len(taken[-1].items)
            self._items -= size
            self._changed.notify_all()
            return taken

    def waiting(self) -> int:
        """Return the number of items that wait."""
        return self._items
