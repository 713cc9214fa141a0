"""The stream, over real connections and a real database."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from monitor.api import models
from monitor.api.listen import address_of
from monitor.api.server import ApiServer, create_app
from monitor.api.services import Check
from monitor.api.stream import Pace
from monitor.store import schema
from tests.api.conftest import LIVE, NOON, Archive, Desk, hex_id

QUICK = Pace(poll=0.01, pulse=0.2, patience=0.5, streams=3)


@dataclass
class Told:
    """One event of a stream."""

    kind: str
    id: int
    data: Any


@asynccontextmanager
async def streaming(archive: Archive, pace: Pace = QUICK) -> AsyncIterator[Desk]:
    desk = Desk(archive)
    desk.server = ApiServer(create_app(desk.services(), hosts=(), max_body=1000, pace=pace), address_of("127.0.0.1:0"))
    desk.server.bind()
    serving = asyncio.create_task(desk.server.serve())
    async with httpx2.AsyncClient(base_url=f"http://{desk.server.address}", verify=False) as client:
        desk.client = client
        yield desk
        desk.stopping.set()
    await desk.server.stop(5)
    await serving


@asynccontextmanager
async def listening(desk: Desk, after: int | None = None) -> AsyncIterator[AsyncIterator[Told]]:
    headers = {} if after is None else {"last-event-id": str(after)}
    async with desk.client.stream("GET", "/api/v1/stream", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events_of(answer.aiter_lines())


async def events_of(lines: AsyncIterator[str]) -> AsyncIterator[Told]:
    fields: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            yield Told(fields["event"], int(fields["id"]), json.loads(fields["data"]))
            fields = {}


async def committed(desk: Desk, number: int, kind: str = "incident") -> None:
    await desk.archive.put(schema.events, at=NOON, kind=kind, subject=hex_id(number))


async def next_of(kind: str, events: AsyncIterator[Told]) -> Told:
    async for event in events:
        if event.kind == kind:
            return event
    raise AssertionError(f"the stream ended without {kind}")


async def test_the_first_word_says_how_the_daemon_is(archive: Archive) -> None:
    async with streaming(archive) as desk, listening(desk) as events:
        first = await anext(events)
        assert (first.kind, first.id) == ("pulse", 0)
        pulse = models.Pulse.model_validate(first.data, extra="forbid")
        assert pulse.ready
        assert pulse.ticked == pulse.at == NOON
        assert pulse.keys == models.KeyCounts(surge=1, blind=1, learning=1, calm=0)
        assert pulse.incidents == 1


async def test_pulses_keep_coming_and_tell_when_something_is_wrong(archive: Archive) -> None:
    async with streaming(archive) as desk, listening(desk) as events:
        assert (await anext(events)).data["ready"]
        desk.checks = [Check(name="store", ok=False, detail="the disk is full")]
        while (second := await next_of("pulse", events)).data["ready"]:
            pass
        assert second.data["checks"] == [{"name": "store", "ok": False, "detail": "the disk is full"}]


async def test_an_incident_is_told_as_it_is_now(archive: Archive) -> None:
    incident = await archive.incident(7)
    async with streaming(archive) as desk, listening(desk) as events:
        await anext(events)
        await committed(desk, 7)
        told = await next_of("incident", events)
        assert told.data["subject"] == incident.id
        assert told.data["incident"]["evidence"][0]["title"] == "Acme Bank under investigation"
        models.Event.model_validate(told.data, extra="forbid")


async def test_what_the_stream_does_not_know_is_told_by_its_name(archive: Archive) -> None:
    async with streaming(archive) as desk, listening(desk) as events:
        await anext(events)
        await committed(desk, 3, kind="model")
        told = await next_of("model", events)
        assert told.data == {"at": "2026-03-02T12:00:00Z", "subject": hex_id(3), "incident": None}


async def test_who_was_away_misses_nothing_and_hears_nothing_twice(archive: Archive) -> None:
    async with streaming(archive) as desk:
        async with listening(desk) as events:
            begun = (await anext(events)).id
        for number in range(450):  # more than is read at once
            await committed(desk, number)
        async with listening(desk, after=begun + 100) as events:
            seen = [await next_of("incident", events) for _ in range(350)]
        assert [event.id for event in seen] == list(range(begun + 101, begun + 451))
        assert [event.data["subject"] for event in seen] == [hex_id(number) for number in range(100, 450)]
        async with listening(desk) as events:  # a newcomer begins with what comes
            assert (await anext(events)).id == begun + 450


async def test_an_id_of_another_database_begins_with_what_comes(archive: Archive) -> None:
    async with streaming(archive) as desk:
        await committed(desk, 1)
        async with listening(desk, after=10**9) as events:
            assert (await anext(events)).id == 1
            await committed(desk, 2)
            assert (await next_of("incident", events)).id == 2


@pytest.mark.parametrize("written", ["", "last", "-1", "1e3", str(2**64)])
async def test_an_id_that_is_none_is_refused(archive: Archive, written: str) -> None:
    async with streaming(archive) as desk:
        answer = await desk.client.get("/api/v1/stream", headers={"last-event-id": written})
        assert answer.status_code == 422
        assert answer.json()["error"]["where"] == "last-event-id"


async def test_a_stopping_daemon_ends_its_streams_and_says_so(archive: Archive) -> None:
    async with streaming(archive) as desk, listening(desk) as events:
        await anext(events)
        assert desk.server is not None
        desk.stopping.set()
        async with asyncio.timeout(20):
            await desk.server.stop(60)  # far longer than it may take
            assert [event.kind async for event in events if event.kind != "pulse"] == ["end"]


async def test_there_are_so_many_streams_and_no_more(archive: Archive) -> None:
    async with streaming(archive) as desk:
        async with listening(desk) as one, listening(desk) as two, listening(desk) as three:
            for events in (one, two, three):
                await anext(events)
            refused = await desk.client.get("/api/v1/stream")
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert "3 streams" in refused.json()["error"]["message"]
        await answered(desk, 200)


async def answered(desk: Desk, status: int) -> None:
    """Return once another stream is answered so: who comes and goes is noticed a moment later."""
    async with asyncio.timeout(20):
        while True:
            async with desk.client.stream("GET", "/api/v1/stream") as answer:
                if answer.status_code == status:
                    return


async def test_who_takes_nothing_is_cut_off_and_keeps_nobody_waiting(archive: Archive) -> None:
    headline = replace(LIVE.incidents[0].evidence[0], title="x" * 100_000)
    await archive.incident(1, evidence=(headline,))
    async with streaming(archive, replace(QUICK, streams=1)) as desk:
        for _ in range(120):  # far more than the buffers on the way hold
            await committed(desk, 1)
        assert desk.server is not None
        with socket.create_connection((str(desk.server.address.ip), desk.server.address.port)) as deaf:
            deaf.sendall(b"GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\nlast-event-id: 0\r\n\r\n")
            with capture_logs() as logs:
                assert await asyncio.to_thread(deaf.recv, 15) == b"HTTP/1.1 200 OK"
                await answered(desk, 200)
            assert [each["event"] for each in logs] == ["a stream was cut off: its reader takes nothing"]


async def test_a_database_that_cannot_be_read_ends_the_stream(archive: Archive) -> None:
    async with streaming(archive) as desk, listening(desk) as events:
        await anext(events)
        archive.lose()
        with capture_logs() as logs:
            assert {event.kind async for event in events} <= {"pulse"}
        assert "the database cannot be read" in logs[0]["event"]


async def test_a_token_that_is_revoked_ends_the_stream_it_opened(archive: Archive) -> None:
    async with streaming(archive) as desk:
        desk.client.headers.update(desk.token("read"))
        async with listening(desk) as events:
            assert (await anext(events)).kind == "pulse"
            desk.token("read", revoked=NOON)
            assert {event.kind async for event in events} <= {"pulse"}  # no "end": the daemon does not stop
        assert (await desk.client.get("/api/v1/stream")).status_code == 401
