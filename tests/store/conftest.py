from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.store.repository import SqlStore
from tests.databases import Sql, database


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the SQLite database of `store` lies, or a new one will."""
    return tmp_path / "newsquake.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SqlStore]:
    """A store on an empty SQLite file."""
    async with database("sqlite", file.parent) as opened:
        assert isinstance(opened, Sql)
        yield await opened.open()
