"""The events come in the order of the commits: who has seen one has missed none before it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from monitor.reading import Event
from monitor.store.queries import Queries
from monitor.types import IncidentId
from tests.core.telling import incident
from tests.databases import BACKENDS, Sql, database
from tests.samples import hex_id

FIRST, SECOND = (incident("all", id=IncidentId(hex_id(name))) for name in ("first", "second"))


@pytest.mark.parametrize("backend", [each for each in BACKENDS if each != "memory"])
async def test_no_event_is_committed_behind_one_that_was_read(backend: str, tmp_path: Path) -> None:
    async with database(backend, tmp_path) as opened:
        assert isinstance(opened, Sql)
        one, other = await opened.open(), await opened.open()
        reader = Queries(one.reader)
        inserted, go = asyncio.Event(), asyncio.Event()

        async def slowly() -> None:
            async with one.transaction() as tx:
                await tx.save_incidents([FIRST])
                inserted.set()
                await go.wait()

        async def quickly() -> None:
            await inserted.wait()
            asyncio.get_running_loop().call_later(0.2, go.set)
            async with other.transaction() as tx:
                await tx.save_incidents([SECOND])

        told: list[Event] = []
        writing = asyncio.gather(slowly(), quickly())
        async with asyncio.timeout(20):
            while not writing.done() or len(told) < 2:
                told += await reader.events(after=told[-1].id if told else 0, limit=10)
                await asyncio.sleep(0.01)
            await writing
        assert [event.subject for event in told] == [each.id for each in (FIRST, SECOND)]
        assert await reader.last_event() == told[-1].id
