from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.ports import Store
from tests.databases import BACKENDS, Database, database


@pytest.fixture(params=BACKENDS)
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database that several stores may open."""
    async with database(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
async def store(shared: Database) -> Store:
    """A store on an empty database."""
    return await shared.open()
