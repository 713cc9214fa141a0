"""PostgreSQL's rows into a copy, and a copy's rows into PostgreSQL: each in one transaction.

Both databases keep every value in the same form, but for truth values, which SQLite keeps as 0 and 1. So rows go
through as the drivers give them; nothing is decoded on the way.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Boolean, Table, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.errors import StoreError
from monitor.store.copies import Told, open_to_read
from monitor.store.engine import mending, name_of, plainly
from monitor.store.lock import claim
from monitor.store.schema import metadata, owners

ROWS = 5_000  # fetched and written at once
PLAIN = ("PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "PRAGMA cache_size=-131072")  # of a file not yet there


async def dump(place: URL, copy: Path, told: Told) -> None:
    """Write all rows, as they are at one moment, into a SQLite file that has the tables of the same revision."""
    engine = mending(place)
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    try:
        with plainly(name_of(place)):
            async with engine.connect() as connection:
                await connection.execution_options(**options)
                async with connection.begin():
                    await connection.execute(text("SELECT 1"))  # only the first statement begins it
                    await _dump_tables(await _driver(connection), copy, told)
    finally:
        await engine.dispose()


async def _dump_tables(driver: Any, copy: Path, told: Told) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None, check_same_thread=False)) as target:
        for pragma in PLAIN:
            target.execute(pragma)
        target.execute("BEGIN")
        for table in _tables(target):
            async for count in _dumped(driver, table, target, copy):
                told(f"{table}: {count:,} rows")
        with plainly(str(copy)):
            target.execute("COMMIT")


async def _dumped(driver: Any, table: str, target: sqlite3.Connection, copy: Path) -> AsyncIterator[int]:
    """Yield how many rows of a table have been written so far."""
    facts = target.execute(f"PRAGMA table_info({table})").fetchall()
    columns = [fact[1] for fact in facts]
    key = [fact[1] for fact in sorted(facts, key=lambda fact: fact[5]) if fact[5]]
    statement = f"INSERT INTO {table} ({_list(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - our names
    count = 0
    # In the order of the primary key, in which SQLite writes them quickest.
    cursor = await driver.cursor(f"SELECT {_list(columns)} FROM {table} ORDER BY {_list(key)}")  # noqa: S608
    while rows := await cursor.fetch(ROWS):
        with plainly(str(copy)):
            await asyncio.to_thread(target.executemany, statement, rows)
        count += len(rows)
        yield count


async def load(copy: Path, place: URL, migrate: Any, told: Told) -> None:
    """Replace everything in a database by what a copy of the current revision holds: all of it, or nothing.

    `migrate` brings the schema of a connection up to date. Epochs only grow, so that an owner of what was there before
    cannot commit any more. Raise StoreError, naming the holder, where a newsquake runs on the database.
    """
    engine = mending(place)
    try:
        with plainly(name_of(place)):
            async with engine.begin() as connection:
                await claim(connection, "")
                await connection.run_sync(migrate)
                deposed = (await connection.execute(select(owners))).mappings().all()
                names = [table.name for table in metadata.sorted_tables]
                await connection.execute(text(f"TRUNCATE {_list(names)}"))
                with closing(open_to_read(copy)) as source:
                    for table in metadata.sorted_tables:
                        try:
                            await _load_table(connection, table, source, told)
                        except (ValueError, TypeError, sqlite3.Error) as error:  # a value that is not of its column
                            raise StoreError(f"{copy}: {table.name}: {error}") from error
                if deposed:
                    theirs = insert(owners)
                    grown = {"epoch": func.greatest(owners.c.epoch, theirs.excluded.epoch)}
                    kept = theirs.on_conflict_do_update(index_elements=["partition"], set_=grown)
                    await connection.execute(kept, [dict(row) for row in deposed])
                await connection.execute(text("ANALYZE"))
    finally:
        await engine.dispose()


async def _load_table(connection: AsyncConnection, table: Table, source: sqlite3.Connection, told: Told) -> None:
    driver = await _driver(connection)
    columns = [column.name for column in table.columns]
    truths = [place for place, column in enumerate(table.columns) if isinstance(column.type, Boolean)]
    count = 0
    rows = source.execute(f"SELECT {_list(columns)} FROM {table.name}")  # noqa: S608 - our names
    while part := rows.fetchmany(ROWS):
        await driver.copy_records_to_table(table.name, records=_as_stored(part, truths), columns=columns)
        count += len(part)
        told(f"{table.name}: {count:,} rows")
    if count and isinstance(getattr(table.c.get("id"), "type", None), BigInteger):  # the database counts it up
        newest = select(func.max(table.c.id)).scalar_subquery()
        await connection.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), newest)))


def _as_stored(rows: Sequence[Sequence[Any]], truths: Sequence[int]) -> Iterator[list[Any]]:
    for row in rows:
        # PostgreSQL keeps no NUL in a text; in ours it can only be one of a foreign error message.
        values = [value.replace("\0", "") if isinstance(value, str) else value for value in row]
        for place in truths:
            values[place] = bool(values[place])
        yield values


async def _driver(connection: AsyncConnection) -> Any:
    """Return asyncpg's own connection, inside the transaction that is open on it; JSON is the text it is kept as."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.reset_type_codec("json", schema="pg_catalog")
    return driver


def _tables(target: sqlite3.Connection) -> list[str]:
    asked = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> ? ORDER BY 1"
    return [name for (name,) in target.execute(asked, ("alembic_version",))]


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
