from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.process.servers import Server, kafka
from tests.sources.topics import World


@pytest.fixture(scope="session")
def broker() -> Iterator[Server]:
    """A broker that all share: nobody stops it, each makes topics of its own."""
    with kafka() as server:
        yield server


@pytest.fixture
def world(broker: Server) -> World:
    return World(broker)
