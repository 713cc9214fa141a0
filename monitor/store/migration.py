"""Which schema a database has, and how it is brought up to date.

The migrations lie in this package and are run from code; there is no alembic.ini.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

from monitor.errors import StoreError
from monitor.store.copies import copy_file
from monitor.store.engine import check_folder, file_of, locate, mending, name_of, plainly, reading
from monitor.store.lock import FileLock, claim

MIGRATIONS = Path(__file__).parent / "migrations"


class Standing(StrEnum):
    """How a database stands to this version of newsquake."""

    EMPTY = "empty"
    OLD = "old"
    CURRENT = "current"
    NEWER = "newer"
    FOREIGN = "foreign"  # it holds tables, and they are not ours


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """The schema revision found in a database, None where there is none, and the one this version works with."""

    name: str
    standing: Standing
    found: str | None
    expected: str


async def schema_state(url: str) -> SchemaState:
    """Look at a database without changing it. Raise StoreError where it cannot be read."""
    place = locate(url)
    expected = newest_revision()
    file = file_of(place)
    if file is not None:
        check_folder(file)
        if not file.exists():
            return SchemaState(name=name_of(place), standing=Standing.EMPTY, found=None, expected=expected)
    engine = reading(place)
    try:
        with plainly(name_of(place)):
            async with engine.connect() as connection:
                found, tables = await connection.run_sync(_look)
    finally:
        await engine.dispose()
    return SchemaState(name=name_of(place), standing=_standing(found, tables, expected), found=found, expected=expected)


async def check_schema(url: str) -> None:
    """Raise StoreError, saying what to do, unless the database is ready for this version of newsquake."""
    state = await schema_state(url)
    _refuse_strange(state)
    if state.standing is not Standing.CURRENT:
        found = "is empty" if state.standing is Standing.EMPTY else f"has schema {state.found}"
        raise StoreError(
            f"{state.name}: the database {found}, this newsquake works with schema {state.expected}: "
            "run `newsquake db upgrade`"
        )


async def upgrade(url: str) -> SchemaState:
    """Bring the schema up to date, all of it or nothing, and return how it was found.

    A SQLite file that holds something is first copied to `<file>.<its revision>.backup`. Raise StoreError where the
    database is newer, is not newsquake's, or is in use by a running newsquake.
    """
    state = await schema_state(url)
    _refuse_strange(state)
    if state.standing is Standing.CURRENT:
        return state
    place = locate(url)
    file = file_of(place)
    if file is None:
        await migrate(place)
        return state
    lock = FileLock(file)
    await lock.take()
    try:
        if state.standing is Standing.OLD:
            await asyncio.to_thread(copy_file, file, file.with_name(f"{file.name}.{state.found}.backup"))
        await migrate(place)
    finally:
        await lock.release()
    return state


async def check_ours(url: str) -> SchemaState:
    """Raise StoreError where the database holds what is not newsquake's, or a newer newsquake's."""
    state = await schema_state(url)
    _refuse_strange(state)
    return state


def _look(connection: Connection) -> tuple[str | None, list[str]]:
    if connection.dialect.name == "postgresql":
        encoding = connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise StoreError(
                f"{name_of(connection.engine.url)}: the database keeps texts as {encoding}, which cannot hold every "
                "language; make one with ENCODING 'UTF8' TEMPLATE template0"
            )
    tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
    return MigrationContext.configure(connection).get_current_revision(), sorted(tables)


def _standing(found: str | None, tables: list[str], expected: str) -> Standing:
    if found is None:
        return Standing.FOREIGN if tables else Standing.EMPTY
    if found == expected:
        return Standing.CURRENT
    return Standing.OLD if found in known_revisions() else Standing.NEWER


def newest_revision() -> str:
    """Return the schema revision that this version of newsquake works with."""
    return _scripts().get_current_head() or ""


def known_revisions() -> frozenset[str]:
    """Return the schema revisions that this version of newsquake can read or bring up to date."""
    return frozenset(script.revision for script in _scripts().walk_revisions())


def _refuse_strange(state: SchemaState) -> None:
    if state.standing is Standing.FOREIGN:
        raise StoreError(f"{state.name}: this database holds tables that are not newsquake's; give newsquake its own")
    if state.standing is Standing.NEWER:
        raise StoreError(
            f"{state.name}: the database has schema {state.found}, which a newer newsquake wrote; this one works with "
            f"schema {state.expected}: install the newer version, or restore a backup"
        )


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())


def alembic_config(connection: Connection | None = None) -> Config:
    """Return what alembic needs to know, for a connection whose transaction the caller ends."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def bring_to(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to a revision, inside the transaction that is open."""
    command.upgrade(alembic_config(connection), revision)


async def migrate(place: URL, revision: str = "head") -> None:
    """Bring a database to a revision: all the way, or not at all. Raise StoreError where a newsquake runs on it."""
    engine = mending(place)
    try:
        with plainly(name_of(place)):
            async with engine.begin() as connection:
                if file_of(place) is None:
                    await claim(connection, "")
                await connection.run_sync(bring_to, revision)
    finally:
        await engine.dispose()
