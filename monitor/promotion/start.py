"""Which model a starting daemon serves, and that the stored state agrees with what was found in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from monitor.core.detect.changeover import change_over
from monitor.core.detect.detector import STATE_VERSION, State, dump
from monitor.core.detect.state import tracks_of
from monitor.ports import Promotion
from monitor.promotion.ports import ModelStore
from monitor.promotion.succession import WINDOWS
from monitor.types import BUCKET, Json, ModelId, ModelState

log = structlog.get_logger()


def references(rows: Sequence[Promotion], default: str) -> list[str]:
    """Return where to look for the model to serve, best first: the recalled one, then the one that served.

    Where no model has served yet, it is the `default` of the configuration.
    """
    by_state = {row.state: row.reference for row in rows}
    recalled = [by_state[ModelState.RECALLED]] if ModelState.RECALLED in by_state else []
    return [*recalled, by_state.get(ModelState.SERVING, default)]


async def begin(
    store: ModelStore,
    state: State,
    *,
    model: ModelId,
    reference: str,
    manifest: Mapping[str, Json],
    default: str,
    now: datetime,
) -> State:
    """Let the model that was opened at `reference` serve, and return the needle's state for it.

    Where another one lay there before (a folder was overwritten, a package upgraded), that one is gone: the new one
    takes over at once, as after a rollback.
    """
    rows = await store.promotions()
    mine = next((row for row in rows if row.id == model), None)
    served = next((row for row in rows if row.state is ModelState.SERVING), None)
    decision = None
    if state.pulse.model not in (None, model):
        log.warning("another model is found than the one that served", model=model, before=state.pulse.model)
        tracks = tracks_of(await store.rollups(now - WINDOWS, now + BUCKET, model), 0)
        decision = change_over(state, tracks, model, now)
    async with store.transaction() as transaction:
        if mine is not None and mine.state is ModelState.RECALLED:
            await transaction.serve_model(model, now, of=ModelState.RECALLED)
        elif served is None or served.id != model:
            await transaction.install_model(reference, model, manifest)
        if reference == default:
            await transaction.configure_model(model)
        if decision is not None:
            await transaction.save_state(dump(decision.state, decision.changed), STATE_VERSION)
    return state if decision is None else decision.state
