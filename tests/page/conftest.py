from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser

from monitor.api.listen import Address, address_of
from monitor.api.server import ApiServer, create_app
from monitor.api.stream import Pace
from monitor.core.codec import to_json
from monitor.store import schema
from monitor.types import Incident
from tests.api.conftest import NOON, Archive, Desk, archive
from tests.page.browser import chromium

__all__ = ["archive"]  # a fixture

PACE = Pace(poll=0.05, pulse=1.0)


class Served(Desk):
    """The API's desk with the page in front: its server may be stopped and started again at the same address."""

    address: Address | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    async def open(self) -> None:
        app = create_app(self.services(), hosts=(), max_body=100_000, pace=PACE)
        self.server = ApiServer(app, self.address or address_of("127.0.0.1:0"))
        self.server.bind()
        self.address = self.server.address
        self.served = asyncio.create_task(self.server.serve())

    async def close(self) -> None:
        """Stop as the daemon does."""
        assert self.server is not None
        self.stopping.set()
        await self.server.stop(10)
        await self.served
        self.stopping.clear()

    async def cut(self) -> None:
        """Break off, without a word to anybody."""
        self.served.cancel()
        await asyncio.wait([self.served])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        await self.open()
        try:
            yield
        finally:
            await self.close()

    async def commit_incident(self, number: int, **values: object) -> None:
        """Store an incident as the daemon does: with the event that tells of it."""
        incident = await self.archive.incident(number, **values)
        await self.archive.put(schema.events, at=NOON, kind="incident", subject=incident.id)

    async def replace_incident(self, incident: Incident) -> None:
        """Change a stored incident, with the event that tells of it."""
        async with self.archive.writer.begin() as connection:
            row = schema.incidents.c.id == incident.id
            values = {"state": incident.state, "revision": incident.revision, "value": to_json(incident)}
            await connection.execute(schema.incidents.update().where(row).values(**values))
        await self.archive.put(schema.events, at=NOON, kind="incident", subject=incident.id)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.fixture
def desk(archive: Archive) -> Served:
    return Served(archive)
