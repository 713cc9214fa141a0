"""What an operator does to a database as a whole: bring its schema up to date, back it up, restore it, prune it."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL

from monitor.errors import StoreError
from monitor.store.copies import copy_file, open_to_read
from monitor.store.engine import APPLICATION, check_folder, file_of, locate, name_of, plainly, reading
from monitor.store.lock import FileLock
from monitor.store.migration import Standing, check_ours, check_schema, known_revisions, schema_state, upgrade
from monitor.store.repository import SqlStore
from monitor.store.schema import EPOCH
from monitor.types import ArticleId

PRUNED_AT_ONCE = 500

__all__ = ["Standing", "backup", "check_schema", "prune", "restore", "schema_state", "upgrade"]


async def backup(url: str, path: Path) -> None:
    """Write a consistent copy of the database to a new file, while newsquake may go on writing to it.

    A SQLite copy is a database of its own; of PostgreSQL it is what `pg_dump` writes in its custom format.
    """
    place = locate(url)
    if path.exists():
        raise StoreError(f"{path}: this file exists already; name another one for the backup")
    check_folder(path)
    await check_ours(url)
    file = file_of(place)
    if file is not None:
        await asyncio.to_thread(copy_file, file, path)
    else:
        await _postgresql(place, "pg_dump", "--format=custom", f"--file={path}")


async def restore(path: Path, url: str, *, force: bool = False) -> None:
    """Put a backup in the place of the database.

    Raise StoreError where a running newsquake uses the database, where there is one already and `force` is not given,
    or where `path` is no backup that this version can read.
    """
    place = locate(url)
    if not path.is_file():
        raise StoreError(f"{path}: there is no such file; expected a backup written by `newsquake db backup`")
    file = file_of(place)
    if file is not None:
        await _restore_file(path, file, force=force)
    else:
        await _restore_server(path, place, url, force=force)


async def prune(store: SqlStore, *, before: datetime) -> int:
    """Delete the texts of articles received before a moment, a few hundred at a time; return of how many.

    An article's row stays, with its title and text empty and so do those of its versions: fed again, it is still
    known, and its copies still find its story. Dead letters of that age go with their raw bytes. Judgements, rollups,
    incidents and the ledger stay.
    """
    pruned = 0
    mark = (EPOCH, "")
    while marks := await store.outdated(before, mark, PRUNED_AT_ONCE):
        async with store.transaction() as transaction:
            await transaction.blank([ArticleId(id_) for _, id_ in marks])
        pruned += len(marks)
        mark = marks[-1]
    async with store.transaction() as transaction:
        await transaction.drop_letters(before)
    return pruned


async def _restore_file(path: Path, file: Path, *, force: bool) -> None:
    check_folder(file)
    await asyncio.to_thread(_check_backup, path)
    lock = FileLock(file)
    await lock.take()
    try:
        if file.exists() and file.stat().st_size > 0 and not force:
            raise StoreError(f"{file}: there is a database already; `--force` replaces it, and what it holds is lost")
        await asyncio.to_thread(_replace, path, file)
    finally:
        await lock.release()


def _check_backup(path: Path) -> None:
    with plainly(str(path)), closing(open_to_read(path)) as connection:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreError(f"{path}: the backup is damaged ({found})")
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if tables else None
    if row is None or row[0] not in known_revisions():
        found = "no schema of newsquake's" if row is None else f"schema {row[0]}, which this version does not know"
        raise StoreError(f"{path}: found {found}; expected a backup written by `newsquake db backup`")


def _replace(path: Path, file: Path) -> None:
    fresh = file.with_name(file.name + ".restored")
    copy_file(path, fresh)
    with plainly(str(file)):
        for suffix in ("-wal", "-shm"):  # they belong to the database that goes
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        fresh.replace(file)


async def _restore_server(path: Path, place: URL, url: str, *, force: bool) -> None:
    state = await schema_state(url)
    if state.standing is not Standing.EMPTY and not force:
        raise StoreError(f"{state.name}: the database is not empty; `--force` replaces what it holds")
    engine = reading(place)
    asked = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = :name AND pid <> pg_backend_pid()"
    )
    try:
        with plainly(state.name):
            async with engine.connect() as connection:
                users = await connection.scalar(asked, {"name": APPLICATION})
    finally:
        await engine.dispose()
    if users:
        raise StoreError(f"{state.name}: a running newsquake uses this database; stop it first")
    options = ("--clean", "--if-exists", "--no-owner", "--exit-on-error", "--single-transaction")
    await _postgresql(place, "pg_restore", *options, str(path))


async def _postgresql(place: URL, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's own programs on the database; the password goes by its environment."""
    found = shutil.which(program)
    if found is None:
        raise StoreError(f"{name_of(place)}: {program} is not installed; it comes with PostgreSQL's client programs")
    address = place.set(drivername="postgresql", password=None).render_as_string()
    environment = {**os.environ, "PGPASSWORD": str(place.password or "")}
    process = await asyncio.create_subprocess_exec(
        found, f"--dbname={address}", *arguments, env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode != 0:
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise StoreError(f"{name_of(place)}: {program} failed: {last[0]}")
