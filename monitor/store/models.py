"""Where promotions stand: the table `models`, for the daemon and for whoever asks it to change its model.

A promotion is a stored state that the daemon polls (`ports.Promotion`):

    staged → rescoring → ready → serving → retired          promoted
    retired → recalled → serving                            rolled back to
    serving, staged, rescoring, ready → withdrawn           rolled back from, or called off
    staged, rescoring, ready, recalled → refused            not to be opened; the serving one stays

One model at most serves, and one promotion at most is under way. `Promotions` is what another process uses: each call
is one short transaction, so the daemon hardly waits for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.errors import PromotionError
from monitor.ports import Promotion
from monitor.store import schema
from monitor.store.engine import failing_plainly, locate, name_of, plainly, reading, writing
from monitor.store.migration import check_schema
from monitor.types import UNDER_WAY, Json, ModelId, ModelState

TABLE = schema.models


class Promotions:
    """The models of one database, seen and changed from outside the daemon. Raises StoreError where it fails."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader
        self._name = name_of(writer.url)

    @classmethod
    async def open(cls, url: str) -> Promotions:
        """Open the database at `url`, in use or not.

        Raise ConfigurationError where the URL cannot be meant, StoreError where the database cannot be reached or its
        schema is not this version's.
        """
        place = locate(url)
        await check_schema(url)
        return cls(writing(place), reading(place))

    async def standing(self) -> Sequence[Promotion]:
        """Return every model that was ever staged or served here, the last changed first."""
        with failing_plainly(self._name):
            async with self._reader.begin() as connection:
                return await standing(connection)

    async def serving(self) -> Promotion | None:
        """Return the model that serves; None before the daemon's first start, when none does."""
        return _serving(await self.standing())

    async def stage(self, reference: str, id_: ModelId, manifest: Mapping[str, Json], at: datetime) -> Promotion:
        """Ask for a model to be promoted, and return its row.

        `reference` is opened by the daemon, so a path in it is absolute; a model whose id is then another is refused.
        Raise PromotionError where it serves already, or another promotion is under way.
        """
        async with self._changing() as connection:
            return await stage(connection, reference, id_, manifest, at)

    async def rollback(self, at: datetime) -> Promotion:
        """Undo the last promotion, and return the row of the model that serves from then on.

        One that is under way is called off, and the serving model stays; else the model that served before serves
        again as soon as the daemon has opened it, and the one rolled back from is never returned to by itself.
        Raise PromotionError where there is nothing to roll back to, or a rollback is under way already.
        """
        async with self._changing() as connection:
            return await rollback(connection, at)

    async def close(self) -> None:
        """Let go of the database; safe to call twice."""
        await self._writer.dispose()
        await self._reader.dispose()

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncConnection]:
        with plainly(self._name):
            connection = await self._writer.connect()
        try:
            with failing_plainly(self._name):
                async with connection.begin():
                    yield connection
        finally:
            await connection.close()


async def standing(connection: AsyncConnection) -> list[Promotion]:
    """Return every row, the last changed first."""
    rows = await connection.execute(select(TABLE).order_by(TABLE.c.since.desc(), TABLE.c.id))
    return [_promotion(row) for row in rows]


async def stage(
    connection: AsyncConnection, reference: str, id_: ModelId, manifest: Mapping[str, Json], at: datetime
) -> Promotion:
    """As `Promotions.stage`, within a transaction."""
    rows = await _locked(connection)
    serving, moving = _serving(rows), _under_way(rows)
    if serving is not None and serving.id == id_:
        raise PromotionError(f"{id_} ({serving.reference}) serves already, since {serving.since:%Y-%m-%d %H:%M} UTC")
    if moving is not None:
        raise PromotionError(
            f"a promotion is under way already: {moving.id} ({moving.reference}) is {moving.state}; wait for it, or "
            "call it off with `newsquake trainer rollback`"
        )
    staged = Promotion(id=id_, reference=reference, state=ModelState.STAGED, since=at, manifest=manifest)
    await put(connection, staged)
    return staged


async def rollback(connection: AsyncConnection, at: datetime) -> Promotion:
    """As `Promotions.rollback`, within a transaction."""
    rows = await _locked(connection)
    serving, moving = _serving(rows), _under_way(rows)
    if moving is not None and moving.state is ModelState.RECALLED:
        raise PromotionError(f"a rollback is under way already, to {moving.id} ({moving.reference})")
    if serving is None:
        raise PromotionError("no model serves yet: start the daemon first (`newsquake run`)")
    if moving is not None:
        await move(connection, moving.id, ModelState.WITHDRAWN, at, of=moving.state)
        return serving
    former = next((row for row in rows if row.state is ModelState.RETIRED), None)
    if former is None:
        raise PromotionError(f"nothing to roll back to: no model served before {serving.id} ({serving.reference})")
    await move(connection, former.id, ModelState.RECALLED, at, of=ModelState.RETIRED)
    return await get(connection, former.id)


async def get(connection: AsyncConnection, id_: ModelId) -> Promotion:
    """Return the row of a model that has one."""
    return _promotion((await connection.execute(select(TABLE).where(TABLE.c.id == id_))).one())


async def put(connection: AsyncConnection, row: Promotion) -> None:
    """Insert or replace a row."""
    await connection.execute(delete(TABLE).where(TABLE.c.id == row.id))
    values = {column.name: getattr(row, column.name) for column in TABLE.columns}
    await connection.execute(insert(TABLE), {**values, "state": row.state.value, "manifest": dict(row.manifest)})


async def move(
    connection: AsyncConnection,
    id_: ModelId,
    state: ModelState,
    at: datetime,
    *,
    of: ModelState,
    error: str | None = None,
) -> bool:
    """Let a model's row pass from one state to another; False where somebody else has changed it meanwhile."""
    mine = (TABLE.c.id == id_) & (TABLE.c.state == of.value)
    changed = await connection.execute(update(TABLE).where(mine).values(state=state.value, since=at, error=error))
    return bool(changed.rowcount)


async def serve(connection: AsyncConnection, id_: ModelId, at: datetime, *, of: ModelState) -> bool:
    """Let a model serve from `at` on, and the one that did be retired, or withdrawn if this one was recalled.

    False, and nothing is changed, where somebody else has changed its state meanwhile.
    """
    rows = await _locked(connection)
    mine = next((row for row in rows if row.id == id_ and row.state is of), None)
    if mine is None:
        return False
    former = _serving(rows)
    if former is not None:
        end = ModelState.WITHDRAWN if of is ModelState.RECALLED else ModelState.RETIRED
        await move(connection, former.id, end, at, of=ModelState.SERVING)
    await put(connection, replace(mine, state=ModelState.SERVING, since=at, changeover=at, error=None))
    return True


async def install(
    connection: AsyncConnection, reference: str, id_: ModelId, manifest: Mapping[str, Json], at: datetime
) -> None:
    """Let a model serve because it is what was found: at the first start, or in the place of the one that served."""
    former = _serving(await _locked(connection))
    if former is not None:
        await move(connection, former.id, ModelState.RETIRED, at, of=ModelState.SERVING)
    row = Promotion(id=id_, reference=reference, state=ModelState.SERVING, since=at, manifest=manifest, changeover=at)
    await put(connection, row)


async def configure(connection: AsyncConnection, id_: ModelId) -> None:
    """Mark the model that the configuration names, and no other."""
    await connection.execute(update(TABLE).values(configured=TABLE.c.id == id_))


async def _locked(connection: AsyncConnection) -> list[Promotion]:
    """Return the rows, which nobody else changes before our commit."""
    if connection.dialect.name == "postgresql":  # SQLite's writer is alone from its beginning
        await connection.execute(text("LOCK TABLE models IN SHARE ROW EXCLUSIVE MODE"))
    return await standing(connection)


def _serving(rows: Sequence[Promotion]) -> Promotion | None:
    return next((row for row in rows if row.state is ModelState.SERVING), None)


def _under_way(rows: Sequence[Promotion]) -> Promotion | None:
    return next((row for row in rows if row.state in UNDER_WAY), None)


def _promotion(row: Row[*tuple[Any, ...]]) -> Promotion:
    return Promotion(
        id=ModelId(row.id),
        reference=row.reference,
        state=ModelState(row.state),
        since=row.since,
        manifest=row.manifest,
        changeover=row.changeover,
        error=row.error,
        configured=row.configured,
    )
