"""The past as two models tell it, lived through side by side: what the change-over exchanges the baseline by."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from monitor.core.counting import bucket_of
from monitor.core.detect.changeover import Taught, relive
from monitor.core.detect.detector import Rules, decide, fresh
from monitor.promotion.ports import ModelStore
from monitor.types import ModelId

SLICE = timedelta(days=1)  # of rollups in memory at once


class Lessons:
    """Lives through the rollups of two models from the same moment on, as far as it is asked to."""

    def __init__(self, store: ModelStore, rules: Rules, *, before: ModelId, after: ModelId, since: datetime) -> None:
        self._store = store
        self._models = (before, after)
        self._states = [fresh(rules), fresh(rules)]
        self._lived = bucket_of(since)
        self._begun = False

    async def until(self, now: datetime) -> Taught:
        """Live on until `now`, a tick, and return what that taught. Costs a thread's time, not the event loop's."""
        end = bucket_of(now)
        while self._lived < end:
            upto = min(self._lived + SLICE, end)
            await self._live(upto, upto if upto < end else now)
            self._lived = upto
        return Taught(*self._states)

    async def _live(self, upto: datetime, now: datetime) -> None:
        pasts = [await self._store.rollups(self._lived, upto, model) for model in self._models]
        if not self._begun and any(pasts):  # both begin when the first has something to tell
            first = min(past[0].bucket for past in pasts if past)
            self._states = [decide((), state, first).state for state in self._states]
            self._begun = True
        if self._begun:
            self._states = [
                await asyncio.to_thread(relive, state, past, now)
                for state, past in zip(self._states, pasts, strict=True)
            ]
