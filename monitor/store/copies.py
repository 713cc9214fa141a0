"""Copies of a SQLite file: consistent while it is in use, and there only when they are complete."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from monitor.store.engine import plainly


def copy_file(source: Path, target: Path) -> None:
    """Copy a SQLite database that may be in use into one plain file, which appears only when it is complete."""
    part = target.with_name(target.name + ".part")
    with plainly(str(target)):
        part.unlink(missing_ok=True)
        with closing(open_to_read(source)) as old, closing(sqlite3.connect(part)) as new:
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)


def open_to_read(file: Path) -> sqlite3.Connection:
    """Open a SQLite file that is not to be changed."""
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
