"""Copies of a database in one SQLite file: consistent while it is in use, and there only when they are complete.

The same file serves both databases: PostgreSQL's rows are written into one and loaded from one (`store.carry`), so that
a copy needs none of PostgreSQL's own programs, and what a desk has gathered moves from one database to the other.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from monitor.errors import ConfigurationError, StoreError
from monitor.store.engine import plainly

Told: TypeAlias = Callable[[str], None]
"""Is told, again and again, how far long work has come."""

PAGES = 4096  # copied between two words about it


def in_silence(_: str) -> None:
    """Say nothing."""


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes the target when the block is done, and goes when it fails.

    Raise ConfigurationError where no such file can be made, StoreError where writing fails.
    """
    if not target.parent.is_dir():
        raise ConfigurationError(f"{target}: the folder {target.parent} does not exist; make it, or name another file")
    part = target.with_name(target.name + ".part")
    with plainly(str(target)):
        try:
            part.unlink(missing_ok=True)
            yield part
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def copy_file(source: Path, target: Path, told: Told = in_silence) -> None:
    """Copy a SQLite database that may be in use into one plain file, which appears only when it is complete."""
    name = str(source)

    def tell(_: int, left: int, total: int) -> None:
        told(f"{name}: {(total - left) * 100 // max(total, 1)} %")

    with appearing(target) as part, closing(open_to_read(source)) as old, closing(sqlite3.connect(part)) as new:
        # One moment of the old database is held meanwhile; else each commit of a writer would begin the copy anew.
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM sqlite_master").fetchone()
        old.backup(new, pages=PAGES, progress=tell)
        old.execute("COMMIT")
        new.execute("PRAGMA journal_mode=DELETE")


def open_to_read(file: Path) -> sqlite3.Connection:
    """Open a SQLite file that is not to be changed."""
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, isolation_level=None)


def revision_of(copy: Path) -> str:
    """Return the schema revision of a copy. Raise StoreError where the file is damaged, or none of ours."""
    with plainly(str(copy)), closing(open_to_read(copy)) as connection:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreError(f"{copy}: the backup is damaged ({found})")
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if tables else None
    if row is None:
        raise StoreError(f"{copy}: found no schema of newsquake's; expected a backup written by `newsquake db backup`")
    return str(row[0])


def put_in_place(copy: Path, file: Path, told: Told = in_silence) -> None:
    """Replace a SQLite database, which nobody uses, by a copy: at every moment one of the two is there, whole."""
    fresh = file.with_name(file.name + ".restored")
    copy_file(copy, fresh, told)
    with plainly(str(file)):
        _fold_log(file)
        for suffix in ("-wal", "-shm"):  # they belong to the database that goes
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        fresh.replace(file)


def _fold_log(file: Path) -> None:
    """Bring what the write-ahead log holds into the file, so that it is whole without; leave one that is damaged."""
    if file.exists() and file.stat().st_size > 0:
        try:
            with closing(sqlite3.connect(file)) as old:
                old.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.DatabaseError:
            return
