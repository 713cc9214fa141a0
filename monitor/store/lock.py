"""Who is alive on a database: a lock that the operating system, or PostgreSQL, lets go of when its holder dies.

The lock tells whether another process lives; the epoch in the table `owners` keeps one that lost it from committing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
from pathlib import Path
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.errors import StoreError
from monitor.store.engine import name_of

_descriptors: set[int] = set()  # of the locks this process holds


def _let_go_in_child() -> None:
    """A forked child shares its parent's locks and would keep them alive after the parent: it closes its copies."""
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


def whoami() -> str:
    """Return this process, as another one will name it: `process 4711 on desk-1`."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class Lock(Protocol):
    """A lock on a database, or on a partition of it."""

    async def take(self, partition: str) -> None:
        """Take it, at once. Raise StoreError, naming the holder, where another process has it."""
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

    async def release(self) -> None:
        if self._descriptor is not None:
            _descriptors.discard(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


class ServerLock:
    """A session's advisory lock in PostgreSQL for each partition, on a connection that is kept for it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None

    async def take(self, partition: str = "") -> None:
        if self._connection is None:
            connection = await self._engine.connect()
            self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        number = int.from_bytes(hashlib.sha256(f"newsquake:{partition}".encode()).digest()[:8], signed=True)
        taken = await self._connection.scalar(text("SELECT pg_try_advisory_lock(:number)"), {"number": number})
        if not taken:
            holder = await self._connection.scalar(
                text("SELECT holder FROM owners WHERE partition = :partition"), {"partition": partition}
            )
            raise StoreError(
                f"{name_of(self._engine.url)}: {holder or 'another process'} owns partition {partition!r} of this "
                "database; stop it first, or give this one another store.url"
            )

    async def release(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(DBAPIError):  # the session may be gone already, and its locks with it
                await connection.execute(text("SELECT pg_advisory_unlock_all()"))
            await connection.close()
