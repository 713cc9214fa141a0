"""Real HTTP servers on loopback that play the world outside: news feeds that grow, and a desk that honours keys."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.sax.saxutils import escape


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], **world: Any) -> Iterator[str]:
    """Serve on a free port of loopback; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), world))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Fixed(Handler):
    """Answers each path as `answers` says, {path: (status, body, headers)}, and every other with 500."""

    answers: Mapping[str, tuple[int, bytes, Mapping[str, str]]] = {}

    def do_GET(self) -> None:
        status, body, headers = self.answers.get(self.path, (500, b"", {}))
        self.answer(status, body, **headers)


class Newsroom:
    """Feeds that only grow. `handed_out` holds each guid that stood in an answer that was sent to its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: dict[str, list[tuple[str, str, str, datetime]]] = defaultdict(list)
        self.handed_out: dict[str, set[str]] = defaultdict(set)
        self.polls: Counter[str] = Counter()

    def publish(self, feed: str, guid: str, title: str, text: str, published: datetime) -> None:
        with self._lock:
            self._items[feed].append((guid, title, text, published))

    def titles(self, feed: str, guids: set[str]) -> list[str]:
        """Return the titles of these items."""
        with self._lock:
            return [title for guid, title, _, _ in self._items[feed] if guid in guids]

    def document(self, feed: str) -> tuple[bytes, list[str], str]:
        with self._lock:
            items = list(self._items[feed])
        entries = "".join(
            f"<item><guid isPermaLink='false'>{escape(guid)}</guid><title>{escape(title)}</title>"
            f"<link>https://{feed}.example/{escape(guid)}</link><description>{escape(text)}</description>"
            f"<pubDate>{format_datetime(published)}</pubDate></item>"
            for guid, title, text, published in items
        )
        body = f"<?xml version='1.0'?><rss version='2.0'><channel><title>{feed}</title>{entries}</channel></rss>"
        return body.encode(), [item[0] for item in items], f'"{feed}-{len(items)}"'

    @contextmanager
    def open(self) -> Iterator[str]:
        with serving(FeedHandler, newsroom=self) as address:
            yield address


class FeedHandler(Handler):
    newsroom: Newsroom

    def do_GET(self) -> None:
        feed = self.path.strip("/").removesuffix(".xml")
        body, guids, etag = self.newsroom.document(feed)
        self.newsroom.polls[feed] += 1
        if self.headers.get("If-None-Match") == etag:
            self.answer(304, ETag=etag)
            return
        self.answer(200, body, ETag=etag, Content_Type="application/rss+xml")
        self.newsroom.handed_out[feed] |= set(guids)


class Desk:
    """A receiver that honours keys: it acts on a key once, however often it comes."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []

    def told(self) -> dict[str, dict[str, Any]]:
        """Return what the desk acted on, by key."""
        return dict(reversed(self.received))

    @contextmanager
    def open(self) -> Iterator[str]:
        with serving(DeskHandler, desk=self) as address:
            yield address


class DeskHandler(Handler):
    desk: Desk

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.desk.received.append((self.headers["webhook-id"], json.loads(body)))
        self.answer(204)
