"""The migrations build the tables of the schema, and say plainly where they cannot."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, select, text

from monitor.errors import ConfigurationError, StoreError
from monitor.store import migration, schema
from monitor.store.engine import locate, writing
from monitor.store.lock import FileLock
from monitor.store.migration import Standing, alembic_config, check_schema, migrate, schema_state, upgrade
from monitor.store.repository import SqlStore
from tests.databases import SERVER, postgresql
from tests.fakes import FakeClock

T = TypeVar("T")


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, file: Path) -> AsyncIterator[str]:
    """The URL of a database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{file}"
        return
    if not SERVER:
        pytest.skip("NEWSQUAKE_TEST_POSTGRESQL_URL names no PostgreSQL to test on")
    async with postgresql() as given:
        yield given


async def on(url: str, work: Callable[[Connection], T]) -> T:
    engine = writing(locate(url))
    async with engine.begin() as connection:
        result = await connection.run_sync(work)
    await engine.dispose()
    return result


async def test_the_migrations_build_what_the_schema_says(url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), schema.metadata))

    found = await upgrade(url)
    assert (found.standing, found.found) == (Standing.EMPTY, None)
    assert await on(url, differences) == []
    assert (await schema_state(url)).standing is Standing.CURRENT
    assert (await upgrade(url)).standing is Standing.CURRENT


async def test_the_migrations_can_be_taken_back(url: str) -> None:
    await upgrade(url)
    await on(url, lambda connection: command.downgrade(alembic_config(connection), "base"))
    assert await on(url, lambda connection: inspect(connection).get_table_names()) == ["alembic_version"]
    await upgrade(url)
    await check_schema(url)


async def test_postgresql_orders_words_by_their_bytes_as_sqlite_does(url: str) -> None:
    words = ["a", "B", "_", "é", "艾", "entity:b", "entity-b", "Z"]
    await upgrade(url)
    table = schema.ledger
    row = {"received": 0, "stored": 0, "duplicate": 0, "dead": 0, "dropped": 0}
    await on(url, lambda connection: connection.execute(table.insert(), [{"source": word, **row} for word in words]))
    asked = select(table.c.source).order_by(table.c.source)
    assert await on(url, lambda connection: connection.scalars(asked).all()) == sorted(words, key=str.encode)
    if url.startswith("postgresql"):
        others = text(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() "
            "AND data_type = 'character varying' AND collation_name IS DISTINCT FROM 'C'"
        )
        assert await on(url, lambda connection: connection.execute(others).all()) == [
            ("alembic_version", "version_num")
        ]


async def test_messages_that_wait_at_an_upgrade_keep_their_order(url: str) -> None:
    await migrate(locate(url), "0001")
    insert = text(
        "INSERT INTO outbox (key, target, incident, state, attempts, due, created, expires, value) "
        "VALUES ('i.opened', 'desk', 'i', 'pending', 0, 0, 0, 0, :value)"
    )
    value = '{"incident": {"revision": 7}}'
    await on(url, lambda connection: connection.execute(insert, {"value": value}))
    await upgrade(url)
    assert await on(url, lambda connection: connection.scalar(select(schema.outbox.c.revision))) == 7


async def test_the_index_of_copies_is_partial_in_both(file: Path) -> None:
    def made_of(connection: Connection) -> str:
        asked = "SELECT sql FROM sqlite_master WHERE name = 'ix_judgements_copies'"
        return str(connection.exec_driver_sql(asked).scalar_one())

    migrated, direct = f"sqlite:///{file}", f"sqlite:///{file.with_name('direct.db')}"
    await upgrade(migrated)
    await on(direct, schema.metadata.create_all)
    assert await on(migrated, made_of) == await on(direct, made_of)


async def set_revision(url: str, revision: str) -> None:
    await on(
        url,
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision}),
    )


async def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    await upgrade(url)
    await set_revision(url, "9999")
    for refused in (upgrade, check_schema):
        with pytest.raises(StoreError, match=r"has schema 9999, which a newer newsquake wrote.*schema 0002"):
            await refused(url)


async def test_somebody_elses_database_is_left_alone(url: str) -> None:
    await on(url, lambda connection: connection.execute(text("CREATE TABLE invoices (id INTEGER)")))
    with pytest.raises(StoreError, match="tables that are not newsquake's"):
        await upgrade(url)


async def test_an_empty_database_is_not_opened_before_it_is_upgraded(url: str) -> None:
    with pytest.raises(StoreError, match=r"the database is empty.*newsquake db upgrade"):
        await SqlStore.open(url, FakeClock())


async def test_looking_at_a_database_makes_no_file(file: Path) -> None:
    assert (await schema_state(f"sqlite:///{file}")).standing is Standing.EMPTY
    assert not file.exists()


async def test_a_database_in_use_is_not_migrated(file: Path) -> None:
    holder = FileLock(file)
    await holder.take()
    with pytest.raises(StoreError, match=rf"process {os.getpid()} on .* is using this database"):
        await upgrade(f"sqlite:///{file}")
    await holder.release()
    await upgrade(f"sqlite:///{file}")


def with_one_migration_more(folder: Path, body: str) -> Path:
    """Return the folder of a package that has one migration more."""
    newer = folder / "migrations"
    shutil.copytree(migration.MIGRATIONS, newer)
    (newer / "versions" / "third.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        "revision, down_revision = '0003', '0002'\n"
        f"def upgrade():\n    op.create_table('third', sa.Column('id', sa.Integer))\n    {body}\n"
    )
    return newer


async def test_an_old_sqlite_database_is_copied_before_it_is_migrated(
    file: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upgrade(f"sqlite:///{file}")
    newer = with_one_migration_more(tmp_path_factory.mktemp("package"), "op.drop_table('ticks')")
    monkeypatch.setattr(migration, "MIGRATIONS", newer)
    assert (await upgrade(f"sqlite:///{file}")).standing is Standing.OLD
    backup = file.with_name("newsquake.db.0002.backup")
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0002",)]


async def test_a_migration_that_fails_changes_nothing(
    file: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upgrade(f"sqlite:///{file}")
    newer = with_one_migration_more(tmp_path_factory.mktemp("package"), "op.execute('nonsense')")
    with monkeypatch.context() as patched:
        patched.setattr(migration, "MIGRATIONS", newer)
        with pytest.raises(StoreError, match="nonsense"):
            await upgrade(f"sqlite:///{file}")
    await check_schema(f"sqlite:///{file}")
    assert "third" not in await on(f"sqlite:///{file}", lambda connection: inspect(connection).get_table_names())


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "newsquake.db", ""], ids=str)
async def test_a_url_that_names_no_database_of_ours_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected sqlite:///FILE or postgresql://"):
        await schema_state(url)
