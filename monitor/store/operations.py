"""What an operator does to a database as a whole: bring its schema up to date, back it up, restore it, prune it.

A copy is one SQLite file, whichever database it was made of, and goes into either: that is also how a desk moves from
SQLite to PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.engine import URL

from monitor.errors import StoreError
from monitor.store.carry import dump, load
from monitor.store.copies import Told, appearing, copy_file, in_silence, put_in_place, revision_of
from monitor.store.engine import check_folder, file_of, locate, plainly
from monitor.store.lock import FileLock
from monitor.store.migration import (
    Standing,
    bring_to,
    check_ours,
    check_schema,
    known_revisions,
    migrate,
    newest_revision,
    schema_state,
    upgrade,
)
from monitor.store.repository import SqlStore
from monitor.types import EPOCH, ArticleId

PRUNED_AT_ONCE = 500

__all__ = ["Standing", "backup", "check_schema", "prune", "restore", "schema_state", "upgrade"]


async def backup(url: str, path: Path, told: Told = in_silence) -> None:
    """Write a consistent copy of the database to a new file, while newsquake may go on writing to it.

    The copy has the schema of the database, also where that is an older one: it can be made before an upgrade.
    """
    place = locate(url)
    if path.exists():
        raise StoreError(f"{path}: this file exists already; name another one for the backup")
    state = await check_ours(url)
    if state.found is None:
        raise StoreError(f"{state.name}: there is nothing in this database")
    file = file_of(place)
    if file is not None:
        await asyncio.to_thread(copy_file, file, path, told)
        return
    with appearing(path) as part:
        await migrate(_sqlite(part), state.found)
        await dump(place, part, told)


async def restore(path: Path, url: str, *, force: bool = False, told: Told = in_silence) -> None:
    """Put a backup in the place of the database.

    Raise StoreError where a running newsquake uses the database, where there is one already and `force` is not given,
    or where `path` is no backup that this version can read.
    """
    place = locate(url)
    if not path.is_file():
        raise StoreError(f"{path}: there is no such file; expected a backup written by `newsquake db backup`")
    revision = await asyncio.to_thread(revision_of, path)
    if revision not in known_revisions():
        raise StoreError(f"{path}: found schema {revision}, which this version does not know; a newer one wrote it")
    file = file_of(place)
    if file is not None:
        await _restore_file(path, file, force=force, told=told)
        return
    state = await check_ours(url)
    if state.standing is not Standing.EMPTY:
        _need(force, state.name)
    async with _current(path, revision) as copy:
        await load(copy, place, bring_to, told)


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


async def _restore_file(path: Path, file: Path, *, force: bool, told: Told) -> None:
    check_folder(file)
    lock = FileLock(file)
    await lock.take()
    try:
        if file.exists() and file.stat().st_size > 0:
            _need(force, str(file))
        await asyncio.to_thread(put_in_place, path, file, told)
    finally:
        await lock.release()


def _need(force: bool, name: str) -> None:
    if not force:
        raise StoreError(f"{name}: there is a database already; `--force` replaces it, and what it holds is lost")


@asynccontextmanager
async def _current(path: Path, revision: str) -> AsyncIterator[Path]:
    """Give a copy of the present revision: the one there is, or one of it that was brought up to date."""
    if revision == newest_revision():
        yield path
        return
    with plainly(str(path)), TemporaryDirectory(prefix="newsquake-") as folder:
        newer = Path(folder) / path.name
        await asyncio.to_thread(copy_file, path, newer)
        await migrate(_sqlite(newer))
        yield newer


def _sqlite(file: Path) -> URL:
    return locate(f"sqlite:///{file}")
