"""The databases that the store is tested on: in memory, SQLite, and PostgreSQL where one is given.

`NEWSQUAKE_TEST_POSTGRESQL_URL` names a PostgreSQL whose user may make databases, for example
`postgresql://postgres@127.0.0.1:5433/postgres`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.ports import Store
from monitor.store.operations import upgrade
from monitor.store.repository import SqlStore
from tests.fakes import FakeClock, FakeDatabase, FakeStore

SERVER = os.environ.get("NEWSQUAKE_TEST_POSTGRESQL_URL")
if not SERVER and os.environ.get("NEWSQUAKE_REQUIRE_SERVERS"):
    raise RuntimeError("a PostgreSQL is required here: NEWSQUAKE_TEST_POSTGRESQL_URL names none")
SQL = ("sqlite", "postgresql") if SERVER else ("sqlite",)
BACKENDS = ("memory", *SQL)


class Database(Protocol):
    """One empty database, which any number of stores may open, as if each were in a process of its own."""

    async def open(self) -> Store: ...

    async def break_lock(self, store: Store) -> None:
        """Take the lock from a store that does not hear of it, as when its connection to the server breaks."""
        ...


class Memory:
    def __init__(self) -> None:
        self._database = FakeDatabase()

    async def open(self) -> Store:
        return FakeStore(self._database)

    async def break_lock(self, store: Store) -> None:
        self._database.owners.clear()


class Sql:
    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self.clock = FakeClock()
        self._stack = stack

    async def open(self) -> SqlStore:
        store = await SqlStore.open(self.url, self.clock)
        self._stack.push_async_callback(store.close)
        return store

    async def break_lock(self, store: Store) -> None:
        assert isinstance(store, SqlStore)
        await store._lock.release()


@asynccontextmanager
async def database(backend: str, folder: Path) -> AsyncIterator[Database]:
    """Give an empty database of this kind, whose schema is current; the stores opened on it are closed at the end."""
    if backend == "memory":
        yield Memory()
        return
    async with AsyncExitStack() as stack:
        if backend == "sqlite":
            url = f"sqlite:///{folder / 'newsquake.db'}"
            shutil.copy(await asyncio.to_thread(_empty_file), folder / "newsquake.db")
        else:
            url = await stack.enter_async_context(postgresql(await asyncio.to_thread(_empty_database)))
        yield Sql(url, stack)


@asynccontextmanager
async def postgresql(template: str = "template1") -> AsyncIterator[str]:
    """Give the URL of a PostgreSQL database made after another, and drop it at the end; skip where there is no server.

    That of `template1` is empty.
    """
    if not SERVER:
        pytest.skip("NEWSQUAKE_TEST_POSTGRESQL_URL names no PostgreSQL to test on")
    url = make_url(SERVER).set(database=f"newsquake_{uuid.uuid4().hex}")
    await _command(f"CREATE DATABASE {url.database} TEMPLATE {template}")
    yield url.render_as_string(hide_password=False)
    await _command(f"DROP DATABASE {url.database} WITH (FORCE)")


async def _command(statement: str) -> None:
    assert SERVER is not None
    engine = create_async_engine(make_url(SERVER).set(drivername="postgresql+asyncpg"), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@cache
def _empty_database() -> str:
    """Return the name of a PostgreSQL database with nothing but the tables, to be copied, kept until the tests end."""
    assert SERVER is not None
    name = f"newsquake_empty_{uuid.uuid4().hex}"
    asyncio.run(_command(f"CREATE DATABASE {name}"))
    atexit.register(lambda: asyncio.run(_command(f"DROP DATABASE {name} WITH (FORCE)")))
    asyncio.run(upgrade(make_url(SERVER).set(database=name).render_as_string(hide_password=False)))
    return name


@cache
def _empty_file() -> Path:
    """Return a SQLite file with nothing but the tables, migrated once and kept until the tests end."""
    folder = mkdtemp(prefix="newsquake-")
    atexit.register(shutil.rmtree, folder)
    file = Path(folder) / "empty.db"
    asyncio.run(upgrade(f"sqlite:///{file}"))
    return file
