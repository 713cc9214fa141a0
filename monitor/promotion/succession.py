"""Which model serves, over time: the stored state of every promotion, polled and brought forward.

    staged      the artefact is opened aside, verified and warmed up; one that fails is refused, and the old one serves
    rescoring   it judges the recent past, after everybody else; what arrives meanwhile is judged by the serving one
    ready       it has judged all of that, and waits for a bucket's edge; what arrives until then it judges, too
    serving     between two commits: what is still missing is judged, the needle's state is exchanged and the row
                changed in one transaction, and the model's thread goes on with the new one

A rollback does the last at once. Then the model that is back judges what it has missed, and what is normal is exchanged
when that is done; until then it stays as it was, and is doubted.

Killed at any point, it goes on from what is stored: the row's state, and what the store lacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

import structlog

from monitor.core.counting import bucket_of
from monitor.core.detect.changeover import Taught, absorb, change_over
from monitor.core.detect.detector import STATE_VERSION, Decision, dump
from monitor.core.detect.state import tracks_of
from monitor.patience import Patience
from monitor.pipeline import Judged
from monitor.ports import Clock, Promotion
from monitor.promotion.lessons import Lessons
from monitor.promotion.ports import Judge, ModelStore, Seat, Way
from monitor.promotion.rescoring import Progress, Rescorer
from monitor.telemetry import Telemetry
from monitor.types import BUCKET, EPOCH, UNDER_WAY, Json, ModelId, ModelState

POLL = 10.0  # seconds between two looks at the table
WINDOWS = timedelta(hours=25)  # of rollups: what the detector's windows are rebuilt from
HOPELESS = 0.01  # the share of articles beyond which a model that cannot judge them is refused
FEW = 10  # of them are forgiven

Opener: TypeAlias = Callable[[str], Awaitable[tuple[Judge, Mapping[str, Json]]]]

log = structlog.get_logger()


class Succession:
    """Brings promotions forward, one at a time. `default` is the model that the configuration names."""

    def __init__(
        self,
        *,
        store: ModelStore,
        seat: Seat,
        open_: Opener,
        way: Way,
        clock: Clock,
        telemetry: Telemetry,
        horizon: timedelta,
        default: str,
    ) -> None:
        """`open_` opens a model aside and lets it stand by; `horizon` is how far back a new model judges the past."""
        self.default = default
        self.progress: Progress | None = None
        self.trouble: str | None = None  # why the last model that was to be opened was refused
        self._store = store
        self._seat = seat
        self._open = open_
        self._way = way
        self._clock = clock
        self._telemetry = telemetry
        self._horizon = horizon
        self._aside: Judge | None = None
        self._whole: ModelId | None = None  # the serving model, once it has been seen to lack nothing
        self._unfit: str | None = None  # a configured reference that could not be opened

    async def run(self) -> None:
        """Look again and again. What the database refuses is done another time."""
        patience = Patience("models", clock=self._clock, telemetry=self._telemetry)
        while True:
            await patience.insist(self.look)
            await self._clock.sleep(POLL)

    async def look(self) -> None:
        """Bring forward what is under way, as far as it goes; where nothing is, see that the serving model is whole."""
        rows = await self._store.promotions()
        self._tell(rows)
        moving = next((row for row in rows if row.state in UNDER_WAY), None)
        if moving is None:
            self._stand_down()
            await self._make_whole()
            await self._obey(rows)
        elif not await self._opened(moving):
            pass
        elif moving.state is ModelState.RECALLED:
            await self._way.between(partial(self._serve, moving, None))
        else:
            await self._promote(moving)
        self._tell(await self._store.promotions())

    # --- a promotion ---

    async def _opened(self, row: Promotion) -> bool:
        """Let the model stand by, verified; refuse the promotion where that fails."""
        if self._aside is not None and self._aside.id == row.id:
            return True
        self._stand_down()
        why = None
        try:
            self._aside, _ = await self._open(row.reference)
        except Exception as error:  # noqa: BLE001 - whatever opening a folder provokes is a fault of that folder
            why = f"{type(error).__name__}: {error}"
        else:
            if self._aside.id != row.id:
                why = f"{row.reference} holds {self._aside.id} now: it was replaced"
        if why is not None:
            await self._refuse(row, why)
            return False
        self._telemetry.model_reload_successful.set(1)
        self.trouble = None
        return True

    async def _refuse(self, row: Promotion, why: str) -> None:
        self._stand_down()
        self._telemetry.model_reload_successful.set(0)
        self.trouble = f"{row.id} ({row.reference}) was refused: {why}"
        log.error("a model is refused; the old one serves on", model=row.id, reference=row.reference, error=why)
        async with self._store.transaction() as transaction:
            await transaction.move_model(row.id, ModelState.REFUSED, of=row.state, error=why)

    async def _promote(self, row: Promotion) -> None:
        if row.state is ModelState.STAGED and not await self._move(row, ModelState.RESCORING, of=row.state):
            return
        rescorer, progress = await self._rescorer(row.id)
        log.info("a new model judges the past", model=row.id, articles=progress.left)
        while unit := await rescorer.next():
            await self._write(rescorer, unit)
            if await self._state(row) not in (ModelState.RESCORING, ModelState.READY):
                return
        if progress.failed > FEW + HOPELESS * progress.judged:
            await self._refuse(await self._row(row), f"it cannot judge {progress.failed} of the stored articles")
            return
        await self._take_the_edge(row, rescorer)

    async def _take_the_edge(self, row: Promotion, rescorer: Rescorer) -> None:
        """Keep up with what arrives until the next bucket's edge, and change over there."""
        state = self._way.needle.state
        lessons = None
        if state.pulse.model is not None:
            teacher = state.pulse.taught or state.pulse.model
            lessons = Lessons(self._store, state.rules, before=teacher, after=row.id, since=rescorer.since)
            await lessons.until(self._present())
        if await self._state(row) is ModelState.RESCORING:
            await self._move(row, ModelState.READY, of=ModelState.RESCORING)
        edge = bucket_of(self._clock.now()) + BUCKET
        while (now := self._clock.now()) < edge:
            while unit := await rescorer.next():
                await self._write(rescorer, unit)
            if await self._state(row) is not ModelState.READY:
                return
            await self._clock.sleep(min(POLL, (edge - now).total_seconds()))

        async def at_the_edge() -> None:
            while unit := await rescorer.next():
                await self._write(rescorer, unit)
            taught = await lessons.until(self._present()) if lessons else None
            await self._serve(await self._row(row), taught)

        await self._way.between(at_the_edge)

    async def _serve(self, row: Promotion, taught: Taught | None) -> None:
        """Let the model that stands by take the needle over. Runs between two commits."""
        if row.state not in (ModelState.READY, ModelState.RECALLED):
            return  # called off in the last moment
        now = self._clock.now()
        at = now if row.state is ModelState.RECALLED else bucket_of(now)
        decision = await self._exchanged(row.id, now, taught)
        async with self._store.transaction() as transaction:
            if not await transaction.serve_model(row.id, at, of=row.state):
                return
            await transaction.save_state(dump(decision.state, decision.changed), STATE_VERSION)
        self._way.needle.adopt(decision.state)
        old = self._seat.take_over()
        self._stand_down()
        self._whole = None
        self._telemetry.model_info.remove(old)
        self._telemetry.model_info.labels(row.id).set(1)
        log.info("another model serves", model=row.id, reference=row.reference, instead_of=old)

    async def _exchanged(self, model: ModelId, now: datetime, taught: Taught | None) -> Decision:
        state = self._way.needle.state
        rollups = await self._store.rollups(now - WINDOWS, now + BUCKET, model)
        return change_over(state, tracks_of(rollups, 0), model, now, taught)

    # --- the model that serves ---

    async def _make_whole(self) -> None:
        """Let the serving model judge what only others have judged: after a rollback, and what came in too late."""
        model = self._seat.model
        if self._whole == model:
            return
        rescorer, _ = await self._rescorer(model)
        while unit := await rescorer.next():
            await self._way.between(partial(self._fill, rescorer, unit))
            if any(row.state in UNDER_WAY for row in await self._store.promotions()):
                return
        state = self._way.needle.state
        if state.pulse.taught is not None:
            lessons = Lessons(self._store, state.rules, before=state.pulse.taught, after=model, since=rescorer.since)
            await lessons.until(self._present())
            await self._way.between(partial(self._reteach, lessons, model))
        self._whole = model

    async def _fill(self, rescorer: Rescorer, unit: Sequence[Judged]) -> None:
        needle = self._way.needle
        async with self._store.transaction() as transaction:
            rollups = await rescorer.write(unit, transaction)
            decision = absorb(needle.state, rollups, self._clock.now())
            if decision.changed:
                await transaction.save_state(dump(decision.state, decision.changed), STATE_VERSION)
        needle.adopt(decision.state)
        self._count(rescorer, unit)

    async def _reteach(self, lessons: Lessons, model: ModelId) -> None:
        taught = await lessons.until(self._present())
        decision = await self._exchanged(model, self._clock.now(), taught)
        async with self._store.transaction() as transaction:
            await transaction.save_state(dump(decision.state, decision.changed), STATE_VERSION)
        self._way.needle.adopt(decision.state)
        log.info("what is normal was learned anew", model=model)

    async def _obey(self, rows: Sequence[Promotion]) -> None:
        """Stage the model that the configuration names, where that is another one than when it was last asked."""
        named = next((row for row in rows if row.configured), None)
        if self.default in (self._unfit, None if named is None else named.reference):
            return
        serving = next((row for row in rows if row.state is ModelState.SERVING), None)
        id_ = serving.id if serving is not None and serving.reference == self.default else None
        if id_ is None:
            try:
                self._aside, manifest = await self._open(self.default)
            except Exception as error:  # noqa: BLE001 - as with a promotion
                self._unfit = self.default
                self._telemetry.model_reload_successful.set(0)
                self.trouble = f"{self.default}, which the configuration names: {type(error).__name__}: {error}"
                log.error("the configured model cannot be opened; the old one serves on", error=self.trouble)  # noqa: TRY400
                return
            id_ = self._aside.id
        async with self._store.transaction() as transaction:
            if serving is None or id_ != serving.id:
                await transaction.stage_model(self.default, id_, manifest)
            await transaction.configure_model(id_)

    # --- small things ---

    async def _rescorer(self, model: ModelId) -> tuple[Rescorer, Progress]:
        since = self._clock.now() - self._horizon
        rescorer = Rescorer(self._store, self._seat.score_quietly, lambda: self._way.desk, model=model, since=since)
        self.progress = Progress(model=model, left=await self._store.count_unjudged(model, since))
        return rescorer, self.progress

    async def _write(self, rescorer: Rescorer, unit: Sequence[Judged]) -> None:
        async with self._store.transaction() as transaction:
            await rescorer.write(unit, transaction)
        self._count(rescorer, unit)

    def _count(self, rescorer: Rescorer, unit: Sequence[Judged]) -> None:
        if self.progress is not None:
            self.progress.judged += len(unit)
            self.progress.failed = len(rescorer.failed)
            self.progress.left = max(0, self.progress.left - len(unit))
            self._telemetry.model_rescoring.labels("judged").set(self.progress.judged)
            self._telemetry.model_rescoring.labels("failed").set(self.progress.failed)
            self._telemetry.model_rescoring.labels("left").set(self.progress.left)

    def _tell(self, rows: Sequence[Promotion]) -> None:
        states = Counter(row.state for row in rows)
        for state in ModelState:
            self._telemetry.models.labels(state.value).set(states[state])

    async def _move(self, row: Promotion, state: ModelState, *, of: ModelState) -> bool:
        async with self._store.transaction() as transaction:
            return await transaction.move_model(row.id, state, of=of)

    async def _row(self, row: Promotion) -> Promotion:
        return next(each for each in await self._store.promotions() if each.id == row.id)

    async def _state(self, row: Promotion) -> ModelState:
        return (await self._row(row)).state

    def _present(self) -> datetime:
        """Return the last tick that the needle has seen."""
        return EPOCH + timedelta(seconds=max(0, self._way.needle.state.pulse.now))

    def _stand_down(self) -> None:
        if self._aside is not None:
            self._aside = None
            self._seat.stand_down()
