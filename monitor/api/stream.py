"""The live stream: server-sent events that tell what has changed, in the order of the commits.

The stream tails the table `events`, so it may be resumed after any id, and a caller who was away misses nothing. What
is sent, and when, is one generator (`Streams.follow`); the response around it gives up on a reader that does not read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeAlias, TypeVar

import structlog
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from monitor.api import models, views
from monitor.api.auth import needs, still_good
from monitor.api.routes import CLOSED, PROBLEM
from monitor.api.services import Services
from monitor.errors import Busy, StoreError
from monitor.reading import Event
from monitor.reading import Scope as Opens
from monitor.telemetry import installed_version, state_of
from monitor.types import IncidentId

T = TypeVar("T")
Allowed: TypeAlias = Callable[[], Coroutine[Any, Any, bool]]  # says whether the caller may still listen

BATCH = 200  # events read at once

log = structlog.get_logger()
streaming = APIRouter(prefix="/api/v1", responses={**PROBLEM, **CLOSED}, dependencies=[needs(Opens.READ)])

SHAPES = (models.Pulse, models.Event)  # what the events hold; with the bodies, they are in the OpenAPI document


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How streams are timed, in seconds of the wall (the network's time, also where a replay drives the clock)."""

    poll: float = 0.5  # between two looks for new events
    pulse: float = 10.0  # between two signs of life
    patience: float = 30.0  # for a reader that takes nothing
    streams: int = 64  # at most so many at once


class Streams:
    """All streams of one app. However many there are, the database is asked for news once in `pace.poll` seconds."""

    def __init__(self, services: Services, pace: Pace) -> None:
        self.pace = pace
        self.open = 0
        self._services = services
        self._looking = asyncio.Lock()
        self._looked = 0.0
        self._newest = 0
        self._readings: set[asyncio.Task[Any]] = set()  # the loop itself keeps no hold of a task

    async def newest(self) -> int:
        """Return the id of the newest event, as of at most `pace.poll` seconds ago."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if not self._looked or now - self._looked >= self.pace.poll:
                self._newest = await self._whole(self._services.reader.last_event())
                self._looked = now
            return self._newest

    async def follow(self, position: int, allowed: Allowed) -> AsyncGenerator[bytes, None]:
        """Yield a pulse, every event after `position`, and a pulse now and then, until the daemon stops.

        Before each pulse `allowed` is asked, so that a token that is revoked ends the streams it opened. A
        database that cannot be read ends the stream too: who resumes it, once it can be read again, misses nothing.
        """
        clock = asyncio.get_running_loop().time
        due = clock()
        try:
            while not self._services.stopping.is_set():
                if clock() >= due:
                    if not await self._whole(allowed()):
                        return
                    yield frame("pulse", pulse(self._services), position)
                    due = clock() + self.pace.pulse
                if await self.newest() > position:
                    for event in await self._whole(self._services.reader.events(after=position, limit=BATCH)):
                        position = event.id
                        yield frame(event.kind, await self._event(event), position)
                else:
                    await self._rest()
        except StoreError as error:
            log.warning("a stream ends: the database cannot be read", error=str(error))
            return
        yield frame("end", None, position)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self.pace.poll):
                await self._services.stopping.wait()
        except TimeoutError:
            return

    async def _event(self, event: Event) -> models.Event:
        found = None
        if event.kind == "incident":
            found = await self._whole(self._services.reader.incident(IncidentId(event.subject)))
        return models.Event(
            at=event.at, subject=event.subject, incident=None if found is None else views.incident(found)
        )

    async def _whole(self, reading: Coroutine[Any, Any, T]) -> T:
        """Read to the end, though the stream be cut off meanwhile: torn from a query, a connection would be lost."""
        task = asyncio.ensure_future(reading)
        self._readings.add(task)
        task.add_done_callback(self._read)
        return await asyncio.shield(task)

    def _read(self, task: asyncio.Task[Any]) -> None:
        self._readings.discard(task)
        if not task.cancelled():
            task.exception()  # of one that nobody waits for any more: it is nobody's concern


def pulse(services: Services) -> models.Pulse:
    """Return how the daemon is, in a few numbers."""
    live, checks = services.live(), services.ready()
    states = Counter(state_of(level) for level in live.keys)
    return models.Pulse(
        at=services.clock.now(),
        version=installed_version(),
        model=live.model,
        ticked=live.ticked,
        ready=all(check.ok for check in checks),
        checks=[models.CheckResult(name=each.name, ok=each.ok, detail=each.detail) for each in checks],
        keys=models.KeyCounts(**{state: states[state] for state in models.KeyCounts.model_fields}),
        days=live.days,
        incidents=len(live.incidents),
    )


def frame(kind: str, data: BaseModel | None, id_: int) -> bytes:
    """Return one event in the format of the HTML standard; JSON has no line breaks of its own."""
    return f"event: {kind}\nid: {id_}\ndata: {'{}' if data is None else data.model_dump_json()}\n\n".encode()


class EventStream(StreamingResponse):
    """A response that counts as an open stream, and is cut off where its reader takes nothing for too long."""

    media_type = "text/event-stream"

    def __init__(
        self,
        streams: Streams,
        position: int,
        *,
        allowed: Allowed,
        abort: Callable[[], None],
    ) -> None:
        events = streams.follow(position, allowed)
        super().__init__(events, headers={"x-accel-buffering": "no"})  # a proxy must not hold it back
        self._streams = streams
        self._abort = abort

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the stream ends, the reader goes, or has to go."""
        self._streams.open += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.open -= 1

    async def stream_response(self, send: Send) -> None:
        """Send what `follow` yields."""

        async def sent_in_time(message: Message) -> None:
            async with asyncio.timeout(self._streams.pace.patience):
                await send(message)

        try:
            await super().stream_response(sent_in_time)
        except TimeoutError:
            log.info("a stream was cut off: its reader takes nothing", seconds=self._streams.pace.patience)
            self._abort()


STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events, as the HTML standard has them.",
        "content": {
            "text/event-stream": {
                "schema": {"oneOf": [{"$ref": f"#/components/schemas/{shape.__name__}"} for shape in SHAPES]}
            }
        },
    },
    429: {"model": models.ErrorAnswer, "description": "Too many streams are open."},
}


@streaming.get("/stream", tags=["stream"], response_class=StreamingResponse, responses=STREAM)
async def stream(
    request: Request,
    last_event_id: Annotated[
        int | None, Header(ge=0, lt=2**63, description="The id of the last event that was seen; a browser sends it.")
    ] = None,
) -> EventStream:
    """Tell what changes, as it is committed.

    `event: pulse` comes first and every ten seconds and says how the daemon is; `event: incident` whenever an incident
    was opened or changed, with the incident as it is now; `event: end` where the daemon stops, or the token is good no
    more. Each bears an `id`: asked again with it as `Last-Event-ID`, the stream goes on after it and leaves nothing
    out. Without it, the stream begins with what comes.
    """
    streams: Streams = request.app.state.streams
    if streams.open >= streams.pace.streams:
        raise Busy(streams.pace.pulse, f"{streams.open} streams are open, which is the limit")
    newest = await streams.newest()
    position = newest if last_event_id is None else min(last_event_id, newest)  # an id to come is another database's
    return EventStream(streams, position, allowed=partial(still_good, request), abort=request.state.abort)
