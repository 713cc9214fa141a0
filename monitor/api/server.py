"""The API as an application, and the server that runs it inside the daemon's own loop and life."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Collection, Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic.json_schema import models_json_schema
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor.api import files, problems, routes, stream, writing
from monitor.api.auth import Authority
from monitor.api.guard import Guard
from monitor.api.listen import Address, listen
from monitor.api.services import Services
from monitor.api.stream import Pace, Streams
from monitor.telemetry import installed_version

DESCRIPTION = """newsquake watches financial news and raises one alert when negative stories about a company or a topic
surge past what is normal. Here is what it has read, what it made of it, and how it fares; and a door for more."""


class Api(FastAPI):
    """FastAPI, with the bodies that are read by hand, and the stream's events, in its OpenAPI document too."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            for shapes in (
                [(model, "validation") for model in writing.BODIES],
                [(model, "serialization") for model in stream.SHAPES],
            ):
                _, found = models_json_schema(shapes, ref_template="#/components/schemas/{model}")
                document["components"]["schemas"].update(found["$defs"])
        return super().openapi()


def create_app(
    services: Services, *, hosts: Collection[str], max_body: int, closed: bool = False, pace: Pace | None = None
) -> FastAPI:
    """Return the API.

    hosts     names beside those of this machine under which it may be called
    max_body  bytes of a request's body
    closed    whether tokens are needed also where none was ever made: other machines can reach it
    pace      how its streams are timed
    """
    app = Api(
        title="newsquake",
        version=installed_version(),
        description=DESCRIPTION,
        docs_url=None,  # these pages would fetch scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.max_body = max_body
    app.state.page = files.read_page()
    app.state.streams = Streams(services, pace or Pace())
    app.state.authority = Authority(services.tokens, services.clock, closed=closed)
    problems.install(app)
    for router in (routes.health, routes.reading, writing.writing, stream.streaming, files.page):
        app.include_router(router)
    app.add_middleware(Guard, hosts=hosts, telemetry=services.telemetry)
    return app


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the daemon's own lifecycle stays in charge."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(H11Protocol):
    """uvicorn's, which also tells a request how to cut its connection off, as `request.state.abort`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": transport.abort}


class ApiServer:
    """Serves an app at an address. `bind` first, then `serve` as a task, then `stop`."""

    def __init__(self, app: ASGIApp, address: Address) -> None:
        self._wanted = address
        self._socket: socket.socket | None = None
        self._server = _Server(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
            )
        )
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def address(self) -> Address:
        """Where it listens, with the real port; only after `bind`."""
        if self._socket is None:
            raise RuntimeError("bind first: before that there is no address")
        return Address(self._wanted.ip, self._socket.getsockname()[1])

    def bind(self) -> None:
        """Take the address; connections wait from now on. Raise NewsquakeError where it cannot be had."""
        self._socket = listen(self._wanted)

    async def serve(self) -> None:
        """Answer requests until `stop` is called or the task is cancelled."""
        assert self._socket is not None, "bind first"
        if self._server.should_exit:  # stopped before it began
            return
        self._ended.clear()
        try:
            await self._server.serve(sockets=[self._socket])
        except asyncio.CancelledError:
            self._server.config.timeout_graceful_shutdown = 0
            if self._server.started:
                await self._server.shutdown(sockets=[self._socket])
            raise
        finally:
            self._socket.close()
            self._ended.set()

    async def stop(self, grace: float) -> None:
        """Take no more requests, and return when those under way are answered, or cut off after `grace` seconds."""
        self._server.config.timeout_graceful_shutdown = int(grace)
        self._server.should_exit = True
        await self._ended.wait()
        if self._socket is not None:
            self._socket.close()
