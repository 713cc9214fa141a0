"""A copy is one file, whichever database it was made of, and goes into either."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import text

from monitor.errors import ConfigurationError, StoreError
from monitor.ports import Ledger
from monitor.store import schema
from monitor.store.engine import locate, writing
from monitor.store.migration import alembic_config, migrate
from monitor.store.operations import backup, restore, upgrade
from monitor.store.repository import SqlStore
from tests.databases import SERVER, postgresql
from tests.fakes import FakeClock
from tests.samples import T0, WIRE, article
from tests.store.rows import everything, fill

pytestmark = pytest.mark.skipif(not SERVER, reason="NEWSQUAKE_TEST_POSTGRESQL_URL names no PostgreSQL to test on")


class Databases:
    """Makes empty databases of either kind."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._made = 0

    async def make(self, kind: str) -> str:
        self._made += 1
        if kind == "sqlite":
            return f"sqlite:///{self._folder / f'{self._made}.db'}"
        return await self._stack.enter_async_context(postgresql())


@pytest.fixture
async def databases(tmp_path: Path) -> AsyncIterator[Databases]:
    async with AsyncExitStack() as stack:
        yield Databases(tmp_path, stack)


@pytest.fixture
async def server(databases: Databases) -> str:
    """A PostgreSQL with the tables of today."""
    await upgrade(url := await databases.make("postgresql"))
    return url


async def execute(url: str, statement: str, **values: Any) -> None:
    engine = writing(locate(url))
    async with engine.begin() as connection:
        await connection.execute(text(statement), values)
    await engine.dispose()


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
@pytest.mark.parametrize("source", ["sqlite", "postgresql"])
async def test_every_row_of_every_table_goes_from_one_database_into_another(
    databases: Databases, tmp_path: Path, source: str, to: str
) -> None:
    old, new, copy = await databases.make(source), await databases.make(to), tmp_path / "copy.db"
    await upgrade(old)
    await fill(old)
    said: list[str] = []
    await backup(old, copy, said.append)
    await restore(copy, new, told=said.append)
    assert await everything(new) == await everything(old)
    assert [file.name for file in tmp_path.iterdir() if "copy" in file.name] == ["copy.db"]
    assert any(each.endswith(("100 %", "3 rows")) for each in said)


async def test_what_is_written_after_a_restore_gets_numbers_of_its_own(server: str, tmp_path: Path) -> None:
    await fill(server)
    await backup(server, tmp_path / "copy.db")
    await restore(tmp_path / "copy.db", server, force=True)
    await execute(server, "INSERT INTO events (at, kind, subject) VALUES (0, 'incident', 'next')")
    rows = (await everything(server))["events"]
    assert [row["id"] for row in rows if row["subject"] == "next"] == [1_003]


async def test_a_copy_of_an_older_schema_is_brought_up_to_date_on_its_way(
    databases: Databases, server: str, tmp_path: Path
) -> None:
    old = await databases.make("postgresql")
    await migrate(locate(old), "0001")
    await execute(old, "INSERT INTO models VALUES ('m', 'builtin', 'serving', 0, '{}')")
    await backup(old, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    await restore(tmp_path / "copy.db", server, force=True)
    (model,) = (await everything(server))["models"]
    assert (model["id"], model["changeover"]) == ("m", None)


async def test_an_old_database_is_replaced_by_a_copy_of_today(
    databases: Databases, server: str, tmp_path: Path
) -> None:
    old = await databases.make("postgresql")
    await migrate(locate(old), "0001")
    await fill(server)
    await backup(server, tmp_path / "copy.db")
    await restore(tmp_path / "copy.db", old, force=True)
    assert await everything(old) == await everything(server)


async def test_a_database_that_is_there_is_replaced_only_by_force(server: str, tmp_path: Path) -> None:
    await backup(server, tmp_path / "copy.db")
    await fill(server)
    before = await everything(server)
    with pytest.raises(StoreError, match=r"there is a database already; `--force` replaces it"):
        await restore(tmp_path / "copy.db", server)
    assert await everything(server) == before
    await restore(tmp_path / "copy.db", server, force=True)
    assert {name for name, rows in (await everything(server)).items() if rows} == {"owners"}, "epochs only grow"


async def test_a_database_in_use_is_not_replaced_even_by_force(server: str, tmp_path: Path) -> None:
    store = await SqlStore.open(server, FakeClock())
    await store.own("all")
    await backup(server, tmp_path / "copy.db")
    for work in (restore(tmp_path / "copy.db", server, force=True), migrate(locate(server))):
        with pytest.raises(StoreError, match=r"process \d+ on .* is using this database; stop it first"):
            await work
    async with store.transaction() as tx:
        await tx.tick(T0)
    await store.close()
    await restore(tmp_path / "copy.db", server, force=True)


async def test_a_copy_is_of_one_moment_while_newsquake_goes_on_writing(server: str, tmp_path: Path) -> None:
    store = await SqlStore.open(server, FakeClock())
    writing: list[asyncio.Task[None]] = []

    async def write(name: str) -> None:
        async with store.transaction() as tx:
            await tx.add_articles([article(name)], [[1]])
            await tx.settle(WIRE, Ledger(received=1, stored=1))

    def meanwhile(said: str) -> None:
        if said == "articles: 1 rows":
            writing.append(asyncio.create_task(write("second")))

    await write("first")
    await backup(server, tmp_path / "copy.db", meanwhile)
    await asyncio.gather(*writing)
    assert (await store.ledgers())[WIRE].stored == 2
    await store.close()
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*), (SELECT stored FROM ledger) FROM articles").fetchone() == (1, 1)


async def test_a_restore_that_fails_changes_nothing(server: str, tmp_path: Path) -> None:
    await fill(server)
    await backup(server, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy, copy:
        copy.execute("UPDATE ticks SET at = 'noon' WHERE at = (SELECT max(at) FROM ticks)")
    before = await everything(server)
    with pytest.raises(StoreError, match=r"copy\.db: ticks: .*integer"):
        await restore(tmp_path / "copy.db", server, force=True)
    assert await everything(server) == before


async def test_an_owner_of_what_was_replaced_stays_deposed(server: str, tmp_path: Path) -> None:
    await backup(server, tmp_path / "copy.db")
    for _ in range(3):
        store = await SqlStore.open(server, FakeClock())
        epoch = (await store.own("all")).epoch
        await store.close()
    await restore(tmp_path / "copy.db", server, force=True)
    store = await SqlStore.open(server, FakeClock())
    assert (await store.own("all")).epoch > epoch
    await store.close()


async def test_a_nul_that_sqlite_kept_does_not_stop_the_move(databases: Databases, server: str, tmp_path: Path) -> None:
    await upgrade(old := await databases.make("sqlite"))
    await execute(old, "INSERT INTO dead_letters VALUES (1, 'wire', 0, :error, :raw)", error="a\0b", raw=b"\0")
    await backup(old, tmp_path / "copy.db")
    await restore(tmp_path / "copy.db", server, force=True)
    (letter,) = (await everything(server))["dead_letters"]
    assert (letter["error"], letter["raw"]) == ("ab", b"\0")


async def test_a_copy_of_a_newer_newsquake_is_refused(server: str, tmp_path: Path) -> None:
    await backup(server, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy, copy:
        copy.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="found schema 9999, which this version does not know"):
        await restore(tmp_path / "copy.db", server, force=True)


async def test_a_folder_that_is_not_there_is_named(server: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the folder .*/none does not exist; make it, or name another file"):
        await backup(server, tmp_path / "none" / "copy.db")


async def test_each_step_of_the_migrations_can_be_taken_and_taken_back_over_rows(
    databases: Databases, server: str
) -> None:
    for kind in ("sqlite", "postgresql"):
        url = await databases.make(kind)
        await upgrade(url)
        await fill(url)
        before = dict(await everything(url))
        before["articles"] = [{**row, "event": None, "gist": None} for row in before["articles"]]  # came with the step
        engine = writing(locate(url))
        async with engine.begin() as connection:
            await connection.run_sync(lambda plain: command.downgrade(alembic_config(plain), "-1"))
        await engine.dispose()
        await upgrade(url)
        after = await everything(url)
        for table in ("articles", "judgements", "rollups", "incidents", "owners", "ledger", "events"):
            assert after[table] == before[table], (kind, table)
    assert schema.metadata.tables
