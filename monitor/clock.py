"""The two clocks: the machine's, and one that is driven, for replays and tests, where hours take milliseconds."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return the present moment, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` later."""
        await asyncio.sleep(seconds)


class DrivenClock:
    """Time that stands still until it is driven on. Whoever sleeps is woken in the order of the moments due."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._order = count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the moment the clock was driven to."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been driven `seconds` on."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), woken))
        await woken

    def next_due(self) -> datetime | None:
        """Return the moment for which the first sleeper waits."""
        return min((due for due, _, woken in self._sleepers if not woken.done()), default=None)

    async def drive(self, to: datetime) -> None:
        """Move time on to `to`, waking each sleeper at its own moment. Time never goes back."""
        while self._sleepers and self._sleepers[0][0] <= to:
            due, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            if not woken.done():
                woken.set_result(None)
            # What was woken may sleep again within the same span: let it run before the next one wakes.
            for _ in range(10):
                await asyncio.sleep(0)
        self._now = max(self._now, to)
