"""What the source tests share: a real web server on loopback, and a clock that never makes anybody wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Site:
    """A web server whose `answer` a test may change at any time."""

    url: str
    answer: Callable[[Seen], Reply]
    seen: list[Seen] = field(default_factory=list)

    def serve(self, *replies: Reply) -> None:
        """Answer with these in turn, and with the last for ever."""
        rest = list(replies)
        self.answer = lambda _: rest.pop(0) if len(rest) > 1 else rest[0]


@contextmanager
def site(host: str = "127.0.0.1") -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = Seen(self.command, self.path, headers, body)
            world.seen.append(seen)
            reply = world.answer(seen)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = handle_one  # noqa: N815 the parent's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the parent's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up is what some tests are about

    server = Server((host, 0), Handler)
    world = Site(f"http://{host}:{server.server_address[1]}", lambda _: Reply(404))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class LeapingClock:
    """Time that passes only by sleeping, and then at once."""

    def __init__(self, start: datetime = NOON) -> None:
        self.time = start
        self.naps: list[timedelta] = []

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.naps.append(timedelta(seconds=seconds))
        self.time += timedelta(seconds=seconds)
        await asyncio.sleep(0)
