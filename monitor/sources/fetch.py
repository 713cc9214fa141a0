"""Fetching feed documents politely: conditionally, one request to a host at a time, and not too many of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import urlsplit, urlunsplit

from aiolimiter import AsyncLimiter

from monitor.core.schedule import max_age, retry_after
from monitor.errors import SourceError
from monitor.net import HttpClient, NetError

ACCEPT = (
    "application/rss+xml, application/atom+xml, application/rdf+xml, application/xml;q=0.9, text/xml;q=0.8, */*;q=0.1"
)
BURST = 10  # requests to one host that may follow each other without a pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What tells a server, or us, that a document has not changed. `digest` is the sha256 of its bytes."""

    etag: str | None = None
    modified: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document as it came, from `location`; `moved` is that again where the server says it has moved for good.

    Neither holds a name, a password or a query, which may be secret: links are resolved against it, and are shown.
    """

    body: bytes
    content_type: str | None
    location: str
    moved: str | None
    validators: Validators
    fresh: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """The document is the one that was read last time."""

    validators: Validators
    fresh: timedelta | None


class PollFailed(SourceError):
    """A feed that could not be read this time. `outcome` is a word fit for a metric's label."""

    def __init__(self, outcome: str, message: str, *, asked: timedelta | None = None, gone: bool = False) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.asked = asked
        self.gone = gone


class Fetcher:
    """Fetches for all feeds together.

    rate  requests a second that one host may get in the long run
    """

    def __init__(self, client: HttpClient, *, rate: float = 2.0) -> None:
        self._client = client
        self._rate = rate
        self._gates: dict[str, tuple[asyncio.Lock, AsyncLimiter]] = {}

    async def fetch(self, url: str, known: Validators, now: datetime) -> Document | Unchanged:
        """Fetch a document, or learn that it is still the `known` one. Raises PollFailed."""
        headers = {"Accept": ACCEPT}
        if known.etag:
            headers["If-None-Match"] = known.etag
        if known.modified:
            headers["If-Modified-Since"] = known.modified
        async with self._turn(url):
            try:
                answer = await self._client.get(url, headers)
            except NetError as error:
                raise PollFailed(error.reason, str(error)) from error
        fresh = max_age(answer.headers.get("cache-control"))
        if answer.status == 304:
            return Unchanged(validators=known, fresh=fresh)
        if answer.status != 200:
            raise _refused(answer.status, answer.headers.get("retry-after"), now)
        validators = Validators(
            etag=answer.headers.get("etag"),
            modified=answer.headers.get("last-modified"),
            digest=sha256(answer.body).hexdigest(),
        )
        if validators.digest == known.digest:
            return Unchanged(validators=validators, fresh=fresh)
        return Document(
            body=answer.body,
            content_type=answer.headers.get("content-type"),
            location=_public(answer.url),
            moved=answer.moved and _public(answer.moved),
            validators=validators,
            fresh=fresh,
        )

    @asynccontextmanager
    async def _turn(self, url: str) -> AsyncIterator[None]:
        host = urlsplit(url).netloc.rpartition("@")[2].lower()
        if host not in self._gates:
            self._gates[host] = asyncio.Lock(), AsyncLimiter(BURST, BURST / self._rate)
        lock, limiter = self._gates[host]
        async with lock, limiter:
            yield


def _public(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _refused(status: int, header: str | None, now: datetime) -> PollFailed:
    asked = retry_after(header, now)
    if status == 410:
        return PollFailed("gone", "the server says that the feed is gone for good (410)", gone=True)
    if status == 429:
        return PollFailed("rate_limited", "the server asks for fewer requests (429)", asked=asked)
    return PollFailed("http_error", f"the server answered {status}; expected 200", asked=asked)
