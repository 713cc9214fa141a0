"""A news feed, RSS or Atom over HTTP, as a source."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import structlog

from monitor.core.intake import registrable_domain, usable_link
from monitor.core.schedule import Heard, Rhythm, wait
from monitor.errors import ConfigurationError
from monitor.ports import Batch, Clock
from monitor.sources.fetch import Document, Fetcher, PollFailed, Unchanged, Validators
from monitor.sources.parsers import Feed, ParserFailed, ParserPool
from monitor.sources.records import whole
from monitor.telemetry import Telemetry
from monitor.types import DeadLetter, Json, Position, RawItem, SourceId

CHUNK = 500  # items in one batch; the position travels with the last
DEFAULT_RHYTHM = Rhythm()
NOTHING = Validators()

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """What a feed's position holds: its validators, and when it was last read successfully (None: never)."""

    validators: Validators
    success: datetime | None = None

    @classmethod
    def read(cls, value: Mapping[str, Json], url: str) -> Self:
        """Take up a stored position. One of another address counts for nothing: that was another feed."""
        if value.get("url") != _fingerprint(url):
            return cls(validators=NOTHING)
        etag, modified, digest, success = (
            text if isinstance(text := value.get(name), str) else None
            for name in ("etag", "modified", "digest", "success")
        )
        return cls(
            validators=Validators(etag=etag, modified=modified, digest=digest),
            success=None if success is None else datetime.fromisoformat(success).astimezone(UTC),
        )

    def position(self, source: SourceId, url: str) -> Position:
        """Return what `read` takes up."""
        value: dict[str, Json] = {
            "url": _fingerprint(url),
            "etag": self.validators.etag,
            "modified": self.validators.modified,
            "digest": self.validators.digest,
            "success": None if self.success is None else self.success.isoformat(),
        }
        return Position(source=source, value=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What one look at the feed brought; `items` are oldest first. `error` is that of a document nobody could read."""

    outcome: str
    bookmark: Bookmark
    items: tuple[RawItem | DeadLetter, ...] = ()
    fresh: timedelta | None = None
    error: str | None = None


class _Closed(Exception):
    """The source was closed while it waited."""


class FeedSource:
    """Reads one feed at the rhythm given, and backs off while it fails.

    The first successful poll ever is history; the items of later polls carry the time since the last success as their
    gap, also over a restart. A document that kills the parser becomes one dead letter and is not read again. A feed
    that fails is logged, counted and tried again: `batches` ends only by `close`.
    """

    def __init__(
        self,
        source: SourceId,
        url: str,
        *,
        fetcher: Fetcher,
        parsers: ParserPool,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        rhythm: Rhythm = DEFAULT_RHYTHM,
    ) -> None:
        """`fetcher` and `parsers` are shared by all feeds and closed by who made them. Raises ConfigurationError."""
        if not _is_address(url):
            raise ConfigurationError(f"source {source!r}: found a url that is none; expected one like https://host/rss")
        self._source = source
        self._url = url
        self._fetcher = fetcher
        self._parsers = parsers
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._rhythm = rhythm
        self._closed = asyncio.Event()
        self._moved: str | None = None
        self.success: datetime | None = None  # when it was last read, as far as this process knows
        self.error: str | None = None  # why the last poll failed, in one sentence; None where it did not

    @property
    def id(self) -> SourceId:
        return self._source

    async def batches(self, resume: Sequence[Position]) -> AsyncGenerator[Batch, None]:
        bookmark = Bookmark.read(resume[0].value, self._url) if resume else Bookmark(validators=NOTHING)
        self.success = bookmark.success
        failures = 0
        try:
            while True:
                try:
                    poll = await self._until_closed(self._poll(bookmark))
                except PollFailed as failure:
                    failures += 1
                    heard = Heard(failures=failures, asked=failure.asked, gone=failure.gone)
                    self._note(failure.outcome, str(failure))
                    log.warning("a feed failed", source=self._source, error=self.error, in_a_row=failures)
                else:
                    failures = 0
                    heard = Heard(fresh=poll.fresh)
                    bookmark = poll.bookmark
                    self._note(poll.outcome, poll.error)
                    for batch in self._cut(poll):
                        yield batch
                pause = wait(self._rhythm, heard, self._random.random())
                await self._until_closed(self._clock.sleep(pause.total_seconds()))
        except _Closed:
            return

    async def close(self) -> None:
        self._closed.set()

    async def _poll(self, bookmark: Bookmark) -> Poll:
        fetched = await self._fetcher.fetch(self._url, bookmark.validators, self._clock.now())
        now = self._clock.now()
        if isinstance(fetched, Unchanged):
            # A feed of which nothing could be read yet stays without a success: its first items are history still.
            success = bookmark.success and now
            return Poll(
                outcome="not_modified",
                bookmark=Bookmark(validators=fetched.validators, success=success),
                fresh=fetched.fresh,
            )
        self._note_move(fetched.moved)
        try:
            feed = await self._parsers.read(fetched.body, fetched.content_type, fetched.location)
        except ParserFailed as failure:
            log.warning("a feed's document is kept as a dead letter", source=self._source, error=str(failure))
            letter = DeadLetter(source=self._source, raw=fetched.body, error=str(failure), received=now)
            return Poll(
                outcome="parser_failed",
                bookmark=replace(bookmark, validators=fetched.validators),
                items=(letter,),
                fresh=fetched.fresh,
                error=letter.error,
            )
        if not feed.format:
            raise PollFailed("not_a_feed", _no_feed(fetched))
        return Poll(
            outcome="ok",
            bookmark=Bookmark(validators=fetched.validators, success=now),
            items=self._items(feed, now, bookmark.success),
            fresh=max(filter(None, (fetched.fresh, _ttl(feed.ttl))), default=None),
        )

    def _items(self, feed: Feed, now: datetime, success: datetime | None) -> tuple[RawItem, ...]:
        """Turn entries into items, oldest first. Feeds list the newest first, where no times tell otherwise."""
        gap = timedelta(0) if success is None else max(timedelta(0), now - success)
        items = [self._item(entry, now, gap, history=success is None) for entry in reversed(feed.entries)]
        return tuple(sorted(items, key=lambda item: item.published or now))

    def _item(self, entry: Mapping[str, str], now: datetime, gap: timedelta, *, history: bool) -> RawItem:
        fields = {name: whole(value) for name, value in entry.items()}
        published = fields.get("published")
        return RawItem(
            source=self._source,
            raw=json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode(),
            handed_over=now,
            received=now,
            title=fields.get("title", ""),
            body=fields.get("body", ""),
            guid=fields.get("guid"),
            link=fields.get("link"),
            publisher=_publisher(fields.get("publisher")),
            published=None if published is None else datetime.fromisoformat(published).astimezone(UTC),
            language=fields.get("language"),
            gap=gap,
            history=history,
        )

    def _cut(self, poll: Poll) -> Iterator[Batch]:
        """Cut a poll into batches. The position comes with the last, so that a poll cut short is read again."""
        position = poll.bookmark.position(self._source, self._url)
        for start in range(0, max(1, len(poll.items)), CHUNK):
            last = start + CHUNK >= len(poll.items)
            yield Batch(
                source=self._source,
                items=poll.items[start : start + CHUNK],
                position=position if last else None,
            )

    def _note(self, outcome: str, error: str | None) -> None:
        self.error = error
        self._telemetry.source_polls.labels(source=self._source, outcome=outcome).inc()
        if error is None:
            self.success = self._clock.now()
            self._telemetry.source_success.labels(source=self._source).set(self.success.timestamp())

    def _note_move(self, moved: str | None) -> None:
        if moved is not None and moved != self._moved:
            log.warning("a feed has moved for good; change its url", source=self._source, url=moved)
        self._moved = moved

    async def _until_closed(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`; raise _Closed, and cancel it, where `close` comes first."""
        task = asyncio.ensure_future(work)
        closing = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait((task, closing), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise _Closed
        finally:
            task.cancel()
            closing.cancel()
            await asyncio.gather(task, closing, return_exceptions=True)


def _publisher(source: str | None) -> str | None:
    """Name the publisher of an entry that was taken over: by its domain, as everywhere, where an address tells it."""
    link = usable_link(source)
    return registrable_domain(link) if link else source


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _fingerprint(url: str) -> str:
    """Tell one address from another without keeping it: it may hold a secret."""
    return sha256(url.encode()).hexdigest()[:16]


def _no_feed(document: Document) -> str:
    found = document.content_type or "no content type"
    begin = document.body[:40].decode("utf-8", "replace")
    return f"found {len(document.body)} bytes ({found}) that begin {begin!r}; expected RSS or Atom"


def _ttl(minutes: str) -> timedelta | None:
    return timedelta(minutes=int(minutes)) if minutes.isdecimal() and len(minutes) < 6 else None
