"""Planting canaries (see `core.canary`), and telling where one does not come through in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from monitor.core.canary import SOURCE, articles_at, signal
from monitor.errors import OwnershipLost, StoreError
from monitor.pipeline import Pipeline
from monitor.ports import Batch, Clock, Settled
from monitor.telemetry import Telemetry
from monitor.types import Language, ModelId, SignalKind

SOONER = timedelta(minutes=1)  # at least, between one that was missed and the next

log = structlog.get_logger()


class Canary:
    """Plants articles again and again, the next ones when the last have come through or are given up."""

    def __init__(
        self,
        *,
        every: timedelta,
        within: timedelta,
        languages: Sequence[Language],
        silent: bool,
        way: Pipeline,
        model: Callable[[], ModelId],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """`within` is how long the way may take; `silent` whether it is told already that none comes through."""
        self._every = every
        self._within = within
        self._languages = languages
        self._silent = silent
        self._way = way
        self._model = model
        self._clock = clock
        self._telemetry = telemetry

    async def run(self) -> None:
        """Plant for ever: every so often, and sooner again where the last one was missed."""
        while True:
            heard = await self._plant()
            pause = self._every if heard else min(self._every, max(self._within, SOONER))
            await self._clock.sleep(pause.total_seconds())

    async def _plant(self) -> bool:
        """Plant once; return whether all articles were counted in time."""
        began = self._clock.now()
        error = await self._awaited(self._passage(began))
        if error is None:
            self._telemetry.canary_seconds.observe((self._clock.now() - began).total_seconds())
        else:
            self._telemetry.canary_missed.inc()
            log.error("the canary did not come through", error=error)
        if self._silent == (error is None):
            kind = SignalKind.SEEING if self._silent else SignalKind.BLIND
            await self._tell(kind)
        return error is None

    async def _passage(self, at: datetime) -> str | None:
        """Send the articles on their way, and return what went wrong with them once they have been committed."""
        ended: asyncio.Future[Sequence[Settled]] = asyncio.get_running_loop().create_future()

        async def receipt(settled: Sequence[Settled]) -> None:
            if not ended.done():
                ended.set_result(settled)

        await self._way.submit(Batch(source=SOURCE, items=articles_at(at, self._languages), receipt=receipt))
        return "; ".join(each.error for each in await ended if each.error is not None) or None

    async def _awaited(self, passage: Awaitable[str | None]) -> str | None:
        going, bound = (
            asyncio.ensure_future(passage),
            asyncio.ensure_future(self._clock.sleep(self._within.total_seconds())),
        )
        try:
            await asyncio.wait({going, bound}, return_when=asyncio.FIRST_COMPLETED)
            return going.result() if going.done() else f"it was not counted within {self._within}"
        finally:
            for each in (going, bound):
                each.cancel()
            await asyncio.gather(going, bound, return_exceptions=True)

    async def _tell(self, kind: SignalKind) -> None:
        """Let the desk know. What the database refuses now is told after the next canary."""
        try:
            await self._way.tell([signal(kind, self._clock.now(), self._within, self._model())])
        except OwnershipLost:
            raise
        except StoreError as error:
            log.warning("the canary's silence could not be told", error=str(error))
        else:
            self._silent = kind is SignalKind.BLIND
