"""Who is alive on a database: a lock that the operating system, or PostgreSQL, lets go of when its holder dies.

The lock tells whether another process lives; the epoch in the table `owners` keeps one that lost it from committing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.errors import StoreError
from monitor.store.engine import name_of
from monitor.store.server import APPLICATION, sqlstate, whoami

TAKEN = "55P03"  # the SQLSTATE of a lock that was not to be had in time
DYING = 3  # seconds that a server may need to notice that a session has died
HOLDER = text(
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid() "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid = CAST(CAST(:high AS bigint) AS oid) AND objid = CAST(CAST(:low AS bigint) AS oid)"
)

_descriptors: set[int] = set()  # of the locks this process holds


def _let_go_in_child() -> None:
    """A forked child shares its parent's locks and would keep them alive after the parent: it closes its copies."""
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


class Lock(Protocol):
    """A lock on a database, or on a partition of it."""

    async def take(self, partition: str) -> None:
        """Take it, at once. Raise StoreError, naming the holder, where another process has it."""
        ...

    async def hold(self, connection: AsyncConnection) -> None:
        """Make sure, inside a transaction, that what was taken is held still. Raise StoreError where it is not."""
        ...

    async def release(self) -> None:
        """Let go; safe to call twice."""
        ...


class FileLock:
    """`flock` on `<database>.lock`: one process owns a SQLite file, with all its partitions.

    The file stays when the lock is let go: taking it away would let two processes hold two files of one name.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    async def take(self, partition: str = "") -> None:  # noqa: ARG002 - the file is locked as a whole
        if self._descriptor is not None:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot open the lock file ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise StoreError(
                f"{self._database}: {holder} is using this database; stop it first, or give this one another store.url"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, whoami().encode(), 0)
        self._descriptor = descriptor
        _descriptors.add(descriptor)

    async def hold(self, connection: AsyncConnection) -> None:
        """Nothing takes a file lock from a process that lives."""

    async def release(self) -> None:
        if self._descriptor is not None:
            _descriptors.discard(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


class ServerLock:
    """Advisory locks of PostgreSQL: one for each partition, and a shared one that keeps others from the whole.

    The session that commits holds them, so none is lost without its transactions being lost too. A new session, after
    a cut connection or a restart of the server, takes them again before it commits anything; whether somebody else
    was the owner in between is told by the epoch.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._partitions: set[str] = set()

    async def take(self, partition: str = "") -> None:
        async with self._engine.begin() as connection:
            await self._lock(connection, {*self._partitions, partition})
        self._partitions.add(partition)

    async def hold(self, connection: AsyncConnection) -> None:
        if connection.info.get("partitions") != self._partitions:
            await self._lock(connection, self._partitions)

    async def release(self) -> None:
        self._partitions = set()
        with contextlib.suppress(DBAPIError, OSError):  # the session may be gone already, and its locks with it
            async with self._engine.begin() as connection:
                connection.info.pop("partitions", None)
                await connection.execute(text("SELECT pg_advisory_unlock_all()"))

    async def _lock(self, connection: AsyncConnection, partitions: set[str]) -> None:
        await claim(connection, "", shared=True)
        held: set[str] = connection.info.setdefault("partitions", set())
        for partition in sorted(partitions - held):
            await claim(connection, partition)
            held.add(partition)


async def claim(connection: AsyncConnection, partition: str, *, shared: bool = False) -> None:
    """Take the lock of a partition, or of the database as a whole (""), for as long as the session lives.

    One that somebody holds is waited for as long as the server may need to notice that a session has died. Raise
    StoreError, naming the holder, where it lives. The transaction is of no more use then.
    """
    number = int.from_bytes(hashlib.sha256(f"newsquake:{partition}".encode()).digest()[:8], signed=True)
    halves = {"high": number >> 32 & 0xFFFFFFFF, "low": number & 0xFFFFFFFF}
    holder = (await connection.scalar(HOLDER, halves) or "another process").removeprefix(f"{APPLICATION}: ")
    await connection.execute(text(f"SET LOCAL lock_timeout = '{DYING}s'"))
    function = "pg_advisory_lock_shared" if shared else "pg_advisory_lock"
    try:
        await connection.execute(text(f"SELECT {function}(:number)"), {"number": number})
    except DBAPIError as error:
        if sqlstate(error) != TAKEN:
            raise
        raise StoreError(
            f"{name_of(connection.engine.url)}: {holder} is using this database; stop it first, or give this one "
            "another store.url"
        ) from error
