"""The store on SQL: SQLite by default, PostgreSQL by its URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import CompoundSelect, exists, func, literal, select, tuple_, union
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.errors import OwnershipLost
from monitor.ports import Case, Clock, Export, Ledger, Owner, Pending, Promotion, Waiting
from monitor.reading import Mark
from monitor.store import history, models, schema
from monitor.store.doubt import committed
from monitor.store.engine import failing_plainly, file_of, locate, name_of, plainly, reading, writing
from monitor.store.lock import FileLock, Lock, ServerLock
from monitor.store.migration import check_schema
from monitor.store.rows import cases_of, ledger_of, pending_of, rollups_of
from monitor.store.schema import HexId, Moment
from monitor.store.server import is_away, whoami
from monitor.store.statements import Statements
from monitor.store.transaction import SqlTransaction, known
from monitor.types import (
    EPOCH,
    Article,
    ArticleId,
    IncidentId,
    IncidentState,
    Json,
    ModelId,
    Position,
    Rollup,
    SourceId,
    TargetId,
)


class SqlStore:
    """`ports.Store` on a database whose schema is current; see `SqlStore.open`.

    One transaction is open at a time, on the writer's own connection. Reading uses other connections, sees the last
    commit and never waits. Once a partition is owned, every transaction checks that it still is.
    """

    def __init__(self, *, writer: AsyncEngine, reader: AsyncEngine, lock: Lock, clock: Clock) -> None:
        self.reader = reader
        self.name = name_of(writer.url)
        self._writer = writer
        self._lock = lock
        self._clock = clock
        self._sql = Statements(writer.dialect)
        self._writing = asyncio.Lock()
        self._owned: dict[str, int] = {}
        self._stamp = EPOCH
        self.trouble: str | None = None

    @classmethod
    async def open(cls, url: str, clock: Clock) -> SqlStore:
        """Open the database at `url`.

        Raise ConfigurationError where the URL cannot be meant, StoreError where the database cannot be reached or its
        schema is not this version's (see `operations.upgrade`).
        """
        place = locate(url)
        await check_schema(url)
        writer, reader = writing(place), reading(place)
        return cls(writer=writer, reader=reader, lock=_lock(place, writer), clock=clock)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        async with self._begun() as begun:
            if self._owned:
                rows = (await begun.connection.execute(self._sql.epochs)).all()
                self._check({row.partition: row.epoch for row in rows})
                await self._lock.hold(begun.connection)
                begun.ticket = rows[0].ticket
            yield SqlTransaction(begun.connection, self._sql, self._next_stamp())

    async def own(self, partition: str) -> Owner:
        async with self._writing:
            with plainly(self.name):
                await self._lock.take(partition)
        row = {"partition": partition, "holder": whoami(), "taken": self._clock.now()}
        async with self._begun() as begun:
            epoch = (await begun.connection.execute(self._sql.own, row)).scalar_one()
        self._owned[partition] = epoch
        return Owner(partition=partition, epoch=epoch)

    async def known(self, ids: Collection[ArticleId]) -> Mapping[ArticleId, str]:
        async with self._connected(self.reader) as connection:
            return await known(connection, self._sql, ids)

    async def positions(self, source: SourceId) -> Sequence[Position]:
        table = schema.positions
        asked = select(table).where(table.c.source == source).order_by(table.c.partition)
        async with self._connected(self.reader) as connection:
            rows = await connection.execute(asked)
            return [Position(source=source, partition=row.partition, value=row.value) for row in rows]

    async def ledgers(self) -> Mapping[SourceId, Ledger]:
        async with self._connected(self.reader) as connection:
            rows = await connection.execute(select(schema.ledger))
            return {SourceId(row["source"]): ledger_of(row) for row in rows.mappings()}

    async def load_state(self) -> tuple[Mapping[str, Json], int | None]:
        table = schema.detector_state
        async with self._connected(self.reader) as connection:
            rows = (await connection.execute(select(table).order_by(table.c.name))).all()
        return {row.name: row.value for row in rows}, rows[0].version if rows else None

    async def last_tick(self) -> datetime | None:
        async with self._connected(self.reader) as connection:
            newest: datetime | None = await connection.scalar(select(func.max(schema.ticks.c.at)))
        return newest

    async def rollups(self, since: datetime, until: datetime, model: ModelId | None = None) -> Sequence[Rollup]:
        """As `ports.Store.rollups`; where a model is named, only its own."""
        table, parts = schema.rollups, schema.rollup_origins
        asked = (
            select(table)
            .where(table.c.bucket >= since, table.c.bucket < until)
            .order_by(table.c.bucket, table.c.key, table.c.model, table.c.history)
        )
        origins = (
            select(parts)
            .where(parts.c.bucket >= since, parts.c.bucket < until)
            .order_by(parts.c.publisher, parts.c.source)
        )
        if model is not None:
            asked, origins = asked.where(table.c.model == model), origins.where(parts.c.model == model)
        async with self._connected(self.reader) as connection:
            rows = (await connection.execute(asked)).all()
            return rollups_of(rows, await connection.execute(origins))

    async def exports(self, limit: int) -> Sequence[Waiting]:
        table = schema.exports
        asked = select(table).order_by(table.c.id).limit(limit)
        async with self._connected(self.reader) as connection:
            return [
                Waiting(number=row.id, export=Export(kind=row.kind, key=row.key, value=row.value))
                for row in await connection.execute(asked)
            ]

    async def pending(self, target: TargetId, now: datetime, limit: int) -> Sequence[Pending]:
        rows, earlier = schema.outbox, schema.outbox.alias("earlier")
        held = exists().where(
            earlier.c.target == rows.c.target,
            earlier.c.state == "pending",
            earlier.c.incident == rows.c.incident,
            tuple_(earlier.c.revision, earlier.c.created, earlier.c.key)
            < tuple_(rows.c.revision, rows.c.created, rows.c.key),
        )
        asked = (
            select(rows.c.value, rows.c.attempts)
            .where(rows.c.target == target, rows.c.state == "pending", rows.c.due <= now, ~held)
            .order_by(rows.c.created, rows.c.revision, rows.c.key)
            .limit(limit)
        )
        async with self._connected(self.reader) as connection:
            return [pending_of(row) for row in await connection.execute(asked)]

    async def stranded(self, kept: Collection[TargetId]) -> Mapping[TargetId, int]:
        rows = schema.outbox.c
        waiting = (rows.state == "pending") & rows.target.not_in(kept)
        asked = select(rows.target, func.count()).where(waiting).group_by(rows.target).order_by(rows.target)
        async with self._connected(self.reader) as connection:
            return {TargetId(target): messages for target, messages in await connection.execute(asked)}

    async def cases(self, target: TargetId, since: datetime) -> Sequence[Case]:
        rows, incidents = schema.outbox.c, schema.incidents.c
        mine = select(rows.incident).where(rows.target == target)
        is_open = incidents.state != IncidentState.RESOLVED.value
        wanted = union(
            mine.where(rows.incident.in_(select(incidents.id).where(is_open))),
            mine.where(rows.state == "pending"),
            mine.where(rows.ended >= since),
        )
        return await self._cases(target, wanted)

    async def case(self, target: TargetId, incident: IncidentId) -> Case | None:
        found = await self._cases(target, [incident])
        return found[0] if found else None

    async def _cases(self, target: TargetId, wanted: CompoundSelect[str] | Sequence[IncidentId]) -> Sequence[Case]:
        incidents, rows = schema.incidents.c, schema.outbox.c
        asked = (
            select(incidents.value.label("incident"), rows.value.label("message"), rows.created, rows.ended)
            .join_from(schema.incidents, schema.outbox, incidents.id == rows.incident)
            .where(rows.target == target, incidents.id.in_(wanted))
            .order_by(incidents.opened, incidents.id, rows.revision, rows.created, rows.key)
        )
        async with self._connected(self.reader) as connection:
            return cases_of(await connection.execute(asked))

    async def promotions(self) -> Sequence[Promotion]:
        """Return every model that was ever staged or served here, the last changed first."""
        async with self._connected(self.reader) as connection:
            return await models.standing(connection)

    async def unjudged(self, model: ModelId, since: datetime, after: Mark, limit: int) -> Sequence[Article]:
        """As `history.unjudged`."""
        async with self._connected(self.reader) as connection:
            return await history.unjudged(connection, model, since, after, limit)

    async def count_unjudged(self, model: ModelId, since: datetime) -> int:
        """As `history.count_unjudged`."""
        async with self._connected(self.reader) as connection:
            return await history.count_unjudged(connection, model, since)

    async def outdated(self, before: datetime, after: Mark, limit: int) -> Sequence[Mark]:
        """Return articles received before a moment whose texts are still kept, oldest first, beginning after a mark."""
        table = schema.articles
        asked = (
            select(table.c.received, table.c.id)
            .where(table.c.received < before, schema.texts_kept)
            .where(tuple_(table.c.received, table.c.id) > tuple_(literal(after[0], Moment), literal(after[1], HexId)))
            .order_by(table.c.received, table.c.id)
            .limit(limit)
        )
        async with self._connected(self.reader) as connection:
            return [(row.received, row.id) for row in await connection.execute(asked)]

    async def close(self) -> None:
        async with self._writing:
            await self._lock.release()
            await self.reader.dispose()
            await self._writer.dispose()

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        with plainly(self.name):
            connection = await engine.connect()
        try:
            with failing_plainly(self.name):
                yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[_Begun]:
        """Begin, and commit at the end. Where the answer to COMMIT is lost, end only when it is known what became."""
        async with self._writing:
            async with self._connected(self._writer) as connection:
                transaction = await connection.begin()
                begun = _Begun(connection)
                try:
                    yield begun
                    begun.ending = True
                    await transaction.commit()
                except BaseException as error:
                    if not is_away(error):
                        await transaction.rollback()
                        raise
                    await connection.invalidate()  # nothing more is said to a server that does not answer
                    if not begun.ending or begun.ticket is None:
                        raise
                    begun.lost = error
            if begun.lost is not None and not await self._was_committed(str(begun.ticket)):
                with failing_plainly(self.name):
                    raise begun.lost

    async def _was_committed(self, ticket: str) -> bool:
        self.trouble = f"{self.name}: a commit was not answered; waiting for the server to say how it ended"
        try:
            return await committed(self._writer, ticket, self._clock)
        finally:
            self.trouble = None

    def _next_stamp(self) -> datetime:
        """Return the present, or a moment after the last one where the clock stood still: no two are the same."""
        self._stamp = max(self._clock.now(), self._stamp + timedelta(milliseconds=1))
        return self._stamp

    def _check(self, epochs: Mapping[str, int]) -> None:
        for partition, ours in self._owned.items():
            theirs = epochs.get(partition)
            if theirs != ours:
                raise OwnershipLost(
                    f"{self.name}: partition {partition!r} was taken over by another process (epoch {theirs}, ours was "
                    f"{ours}); nothing of this transaction was stored"
                )


@dataclass(slots=True)
class _Begun:
    """A transaction under way."""

    connection: AsyncConnection
    ticket: str | None = None  # the server's number for it, where it has one
    ending: bool = False  # COMMIT has been sent
    lost: BaseException | None = None  # what kept the answer to it from us


def _lock(place: URL, writer: AsyncEngine) -> Lock:
    file = file_of(place)
    return ServerLock(writer) if file is None else FileLock(file)
