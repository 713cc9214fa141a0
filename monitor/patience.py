"""What the database refuses is tried again: with back-off, counted, told once, until it accepts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from monitor.errors import OwnershipLost, StoreError
from monitor.ports import Clock
from monitor.telemetry import Telemetry

FIRST, LAST = 0.5, 30.0  # seconds between two tries

T = TypeVar("T")

log = structlog.get_logger()


class Patience:
    """The patience of one part of the daemon. A stale epoch is the one refusal that it never mends."""

    def __init__(self, part: str, *, clock: Clock, telemetry: Telemetry, worth: type[StoreError] = StoreError) -> None:
        """`worth` is what is waited for; any other refusal is raised."""
        self._part = part
        self._clock = clock
        self._refusals = telemetry.store_refusals.labels(part)
        self._worth = worth
        self.trouble: str | None = None  # why the database refuses at present

    async def insist(self, step: Callable[[], Awaitable[T]]) -> T:
        """Try until the database accepts, and return what came of it."""
        pause = FIRST
        while True:
            try:
                result = await step()
            except OwnershipLost:
                raise
            except self._worth as error:
                self._refusals.inc()
                self._tell(str(error))
                await self._clock.sleep(pause)
                pause = min(2 * pause, LAST)
            else:
                if self.trouble is not None:
                    log.info("the database accepts again", part=self._part)
                self.trouble = None
                return result

    def _tell(self, trouble: str) -> None:
        """Say why, once for as long as it is the same."""
        if trouble != self.trouble:
            log.warning("the database refused; trying again until it accepts", part=self._part, error=trouble)
        self.trouble = trouble
