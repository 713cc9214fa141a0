"""Connections to the database, set up for one writer and many readers, and what it says when it fails, in plain words.

PostgreSQL's own part is in `store.server`. SQLite runs in WAL mode: the writer has a connection of its own and begins
with BEGIN IMMEDIATE; readers have theirs, see the last commit and never wait for it. `synchronous=FULL` syncs each
commit to the disk, so that what a push was answered for outlives a power cut too; one commit holds a whole batch, so
that this costs little.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from monitor.errors import ConfigurationError, StoreAway, StoreError
from monitor.store import server

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
BUSY_SECONDS = 10.0  # how long a statement waits for a lock that a backup or another program holds
PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=OFF",  # rows are append-only and written together: keys between tables would only cost
    "PRAGMA cache_size=-32768",  # KiB
    "PRAGMA wal_autocheckpoint=8000",  # pages: copy signatures touch the same ones again and again
)
READERS = 4


def locate(url: str) -> URL:
    """Return the URL with our driver. Raise ConfigurationError where it is neither a SQLite file nor PostgreSQL."""
    expected = "expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    try:
        parsed = make_url(url)
    except ArgumentError as error:  # the text may hold a password: it is not repeated
        raise ConfigurationError(f"store.url cannot be read: {expected}") from error
    driver = DRIVERS.get(parsed.drivername)
    if driver is None or not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError(f"store.url is {name_of(parsed)!r}: {expected}")
    return (
        parsed.set(drivername=driver) if driver == "sqlite+aiosqlite" else server.locate(parsed).set(drivername=driver)
    )


def name_of(url: URL) -> str:
    """Return the database as messages name it: the file, or the URL without its password."""
    if url.get_backend_name() == "sqlite" and url.database:
        return url.database
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def file_of(url: URL) -> Path | None:
    """Return the SQLite file, or None for a server."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def check_folder(file: Path) -> None:
    """Raise where no database can live at this path, before SQLite says so in fewer words."""
    if not file.parent.is_dir():
        raise ConfigurationError(f"{file}: the folder {file.parent} does not exist; make it, or change store.url")
    if file.is_dir():
        raise ConfigurationError(f"{file}: this is a folder; store.url needs a file")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise StoreError(f"{file}: the folder {file.parent} is not writable for this user; SQLite needs to write there")
    if file.exists() and not os.access(file, os.R_OK | os.W_OK):
        raise StoreError(f"{file}: the file is not writable for this user")


def writing(url: URL) -> AsyncEngine:
    """Return the engine of the writer: one connection, whose transactions on SQLite take the write lock at once.

    On PostgreSQL that one session also holds the lock that says who owns the database: what cannot commit any more
    owns nothing, and what does not own it cannot commit.
    """
    if url.get_backend_name() != "sqlite":
        return server.connect(url, name_of(url), pool_size=1, max_overflow=0)
    return _sqlite_writer(url)


def mending(url: URL) -> AsyncEngine:
    """Return an engine for work on the database as a whole, which may take hours; else as `writing`."""
    if url.get_backend_name() != "sqlite":
        return server.connect(url, name_of(url), patient=True, pool_size=1, max_overflow=0)
    return _sqlite_writer(url)


def reading(url: URL) -> AsyncEngine:
    """Return the engine of the readers: each transaction sees one moment, and cannot write."""
    if url.get_backend_name() != "sqlite":
        return server.connect(
            url,
            name_of(url),
            settings={"statement_timeout": f"{server.READING_SECONDS}s"},
            execution_options={"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"},
            pool_size=server.READERS,
            max_overflow=server.MORE_READERS,
        )
    engine = _sqlite(url, (*PRAGMAS, "PRAGMA query_only=ON"), pool_size=READERS, max_overflow=READERS)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


@contextmanager
def plainly(name: str) -> Iterator[None]:
    """Raise StoreError, naming the database, for whatever goes wrong in opening it or working on it as a whole.

    It is a StoreAway where the database may be back by itself.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise _told(name, error) from error
    except Exception as error:
        if server.meaning(error) is None:  # the driver's own exceptions, where SQLAlchemy is not in between
            raise
        raise _told(name, error) from error


@contextmanager
def failing_plainly(name: str) -> Iterator[None]:
    """Raise StoreError for what may befall a good database in use: disk full, connection lost, file damaged.

    Wrong statements and broken constraints are our own mistakes and surface as they are.
    """
    try:
        yield
    except (DBAPIError, OSError) as error:
        if not _befalls(error):
            raise
        raise _told(name, error) from error


def _befalls(error: DBAPIError | OSError) -> bool:
    if isinstance(error, OSError):
        return True
    if (code := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        # The driver calls a wrong statement operational too.
        return type(error) in (DatabaseError, InterfaceError, OperationalError) and code != sqlite3.SQLITE_ERROR
    return server.meaning(error) is not None


def _told(name: str, error: BaseException) -> StoreError:
    if not name.startswith("postgresql") or not server.is_away(error):
        return StoreError(f"{name}: {reason(error)}")
    unreached = "cannot be reached: " if isinstance(error, OSError) else ""
    return StoreAway(f"{name}: {unreached}{reason(error)}")


def reason(error: BaseException) -> str:
    """Return what a database error means, in one line."""
    cause = getattr(error, "orig", None) or error
    if (understood := server.meaning(error)) is not None:
        return understood
    if isinstance(cause, OSError):
        return str(cause.strerror or cause) or "no answer in time"
    code = getattr(cause, "sqlite_errorcode", None)
    known = {
        sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
        sqlite3.SQLITE_CORRUPT: "the database is damaged; restore a backup",
        sqlite3.SQLITE_CANTOPEN: "the file cannot be opened or made; look at the folder and its rights",
        sqlite3.SQLITE_READONLY: "the database or its folder is read-only",
        sqlite3.SQLITE_FULL: "the disk is full",
        sqlite3.SQLITE_IOERR: "the disk cannot be read or written; is it full, or broken?",
        sqlite3.SQLITE_BUSY: f"another program has kept the database locked for {BUSY_SECONDS:.0f} s",
    }
    meaning = None if code is None else known.get(code & 0xFF)  # the low byte is the primary code
    return meaning or " ".join(str(cause).split()) or type(cause).__name__


def _sqlite_writer(url: URL) -> AsyncEngine:
    engine = _sqlite(url, PRAGMAS, pool_size=1, max_overflow=0)
    event.listen(engine.sync_engine, "begin", _begin_immediate)
    return engine


def _sqlite(url: URL, pragmas: tuple[str, ...], **pool: Any) -> AsyncEngine:
    engine = create_async_engine(
        url,
        json_serializer=server.dumps,
        # The driver begins nothing by itself; every transaction is ended by us, so that nothing is left to reset.
        connect_args={"isolation_level": None, "timeout": BUSY_SECONDS, "cached_statements": 256},
        pool_reset_on_return=None,
        **pool,
    )

    def prepare(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    event.listen(engine.sync_engine, "connect", prepare)
    return engine


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
