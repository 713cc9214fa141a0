"""A feed as a source, read from a real web server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime
from random import Random
from typing import cast

import pytest

from monitor.core.schedule import Rhythm
from monitor.errors import ConfigurationError
from monitor.net import HttpClient
from monitor.ports import Batch
from monitor.sources.feed import CHUNK, FeedSource
from monitor.sources.fetch import Fetcher
from monitor.sources.parsers import ParserPool
from monitor.telemetry import Telemetry
from monitor.types import DeadLetter, Position, RawItem, SourceId
from tests.sources.world import NOON, LeapingClock, Reply, Seen, Site, site

WIRE = SourceId("wire")
MINUTE = timedelta(minutes=1)
RHYTHM = Rhythm(interval=5 * MINUTE, longest=60 * MINUTE, jitter=0.0)


class Desk:
    """One feed source with all it needs; `start` plays a fresh daemon that resumes at a stored position."""

    def __init__(self, world: Site) -> None:
        self.site = world
        self.clock = LeapingClock()
        self.telemetry = Telemetry()
        self.client = HttpClient(allow_private=["127.0.0.1"], timeout=5)
        self.parsers = ParserPool(size=1, seconds=60, memory=80 * 1024**2)
        self.sources: list[FeedSource] = []

    @asynccontextmanager
    async def start(
        self, position: Position | None = None, path: str = "/rss"
    ) -> AsyncIterator[AsyncGenerator[Batch, None]]:
        source = FeedSource(
            WIRE,
            self.site.url + path,
            fetcher=Fetcher(self.client, rate=1000),
            parsers=self.parsers,
            clock=self.clock,
            random=Random(1),
            telemetry=self.telemetry,
            rhythm=RHYTHM,
        )
        self.sources.append(source)
        batches = source.batches([] if position is None else [position])
        try:
            yield batches
        finally:
            await source.close()
            await batches.aclose()

    def polls(self, outcome: str) -> float:
        value = self.telemetry.registry.get_sample_value(
            "newsquake_source_polls_total", {"source": WIRE, "outcome": outcome}
        )
        return value or 0.0

    def error(self) -> str | None:
        return self.sources[-1].error

    async def close(self) -> None:
        await self.parsers.close()
        await self.client.close()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    with site() as world:
        made = Desk(world)
        yield made
        await made.close()


def rss(*titles: str) -> bytes:
    """Return a feed with these items, the newest first, a minute apart, the newest at noon."""
    items = "".join(
        f"<item><guid>{title}</guid><title>{title}</title><link>https://news.example/{title}</link>"
        f"<pubDate>{format_datetime(NOON - n * MINUTE)}</pubDate></item>"
        for n, title in enumerate(titles)
    )
    return f"<rss version='2.0'><channel>{items}</channel></rss>".encode()


def titles(batch: Batch) -> list[str]:
    return [item.title for item in raw(batch)]


def raw(batch: Batch) -> Sequence[RawItem]:
    assert all(isinstance(item, RawItem) for item in batch.items)
    return cast("Sequence[RawItem]", batch.items)


async def test_the_first_poll_ever_is_history_and_comes_oldest_first(desk: Desk) -> None:
    desk.site.serve(Reply(body=rss("c", "b", "a")), Reply(body=rss("d", "c", "b")))
    async with desk.start() as batches:
        first, second = await anext(batches), await anext(batches)
    assert titles(first) == ["a", "b", "c"]
    assert all(item.history for item in raw(first))
    item = raw(first)[0]
    assert (item.source, item.guid, item.link) == (WIRE, "a", "https://news.example/a")
    assert (item.published, item.received, item.handed_over) == (NOON - 2 * MINUTE, NOON, NOON)
    assert json.loads(item.raw)["title"] == "a"
    assert not any(item.history for item in raw(second))
    assert {item.guid for item in raw(first)} & {item.guid for item in raw(second)} == {"b", "c"}
    assert desk.polls("ok") == 2


async def test_items_without_a_time_keep_the_order_of_the_feed(desk: Desk) -> None:
    items = "".join(f"<item><title>{title}</title></item>" for title in "cba")
    desk.site.serve(Reply(body=f"<rss version='2.0'><channel>{items}</channel></rss>".encode()))
    async with desk.start() as batches:
        assert titles(await anext(batches)) == ["a", "b", "c"]


async def test_an_entry_taken_over_from_another_feed_names_its_publisher(desk: Desk) -> None:
    sources = ['<source url="https://feeds.bbc.co.uk/rss">BBC News</source>', "<source>The Wire</source>", ""]
    items = "".join(f"<item><title>{n}</title>{source}</item>" for n, source in enumerate(sources))
    desk.site.serve(Reply(body=f"<rss version='2.0'><channel>{items}</channel></rss>".encode()))
    async with desk.start() as batches:
        publishers = {item.title: item.publisher for item in raw(await anext(batches))}
    assert publishers == {"0": "bbc.co.uk", "1": "The Wire", "2": None}


async def test_an_unchanged_feed_is_asked_for_conditionally_and_brings_nothing(desk: Desk) -> None:
    desk.site.serve(
        Reply(body=rss("a"), headers={"ETag": '"1"', "Last-Modified": "Fri, 17 May 2024 11:00:00 GMT"}),
        Reply(304),
        Reply(body=rss("b", "a"), headers={"ETag": '"2"'}),
        Reply(304),
    )
    async with desk.start() as batches:
        _, unchanged, changed, _ = [await anext(batches) for _ in range(4)]
    assert unchanged.items == ()
    assert unchanged.position is not None
    assert titles(changed) == ["a", "b"]
    first, second, third, fourth = (seen.headers for seen in desk.site.seen)
    assert "if-none-match" not in first
    assert (second["if-none-match"], second["if-modified-since"]) == ('"1"', "Fri, 17 May 2024 11:00:00 GMT")
    assert third["if-none-match"] == '"1"'
    assert fourth["if-none-match"] == '"2"'
    assert "if-modified-since" not in fourth
    assert desk.polls("not_modified") == 2


async def test_the_same_bytes_from_a_server_without_validators_bring_nothing(desk: Desk) -> None:
    desk.site.serve(Reply(body=rss("a")))
    async with desk.start() as batches:
        assert titles(await anext(batches)) == ["a"]
        assert (await anext(batches)).items == ()


async def test_after_an_outage_the_backlog_says_how_long_nothing_was_read(desk: Desk) -> None:
    good = Reply(body=rss("a"))
    desk.site.serve(good, Reply(500), Reply(503), Reply(404), Reply(body=rss("b", "a")))
    async with desk.start() as batches:
        await anext(batches)
        late = await anext(batches)
    assert desk.clock.naps == [5 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE]
    assert {item.gap for item in raw(late)} == {40 * MINUTE}
    assert not any(item.history for item in raw(late))
    assert desk.polls("http_error") == 3


async def test_a_restart_goes_on_where_the_last_commit_was(desk: Desk) -> None:
    desk.site.serve(Reply(body=rss("a"), headers={"ETag": '"1"'}))
    async with desk.start() as batches:
        committed = (await anext(batches)).position
        desk.site.serve(Reply(body=rss("b", "a"), headers={"ETag": '"2"'}))
        await anext(batches)  # handed over, but the daemon dies before the commit
    desk.clock.time += 3 * 60 * MINUTE
    async with desk.start(committed) as batches:
        again = await anext(batches)
    assert desk.site.seen[-1].headers["if-none-match"] == '"1"'
    assert titles(again) == ["a", "b"]
    assert not any(item.history for item in raw(again))
    assert {item.gap for item in raw(again)} == {185 * MINUTE}


async def test_the_time_of_a_success_without_news_is_remembered_too(desk: Desk) -> None:
    desk.site.serve(Reply(body=rss("a"), headers={"ETag": '"1"'}), Reply(304), Reply(body=rss("b")))
    async with desk.start() as batches:
        await anext(batches)
        committed = (await anext(batches)).position
    async with desk.start(committed) as batches:
        assert {item.gap for item in raw(await anext(batches))} == {timedelta(0)}


async def test_another_address_under_the_same_name_is_another_feed(desk: Desk) -> None:
    desk.site.serve(Reply(body=rss("a"), headers={"ETag": '"1"'}))
    async with desk.start() as batches:
        committed = (await anext(batches)).position
    async with desk.start(committed, path="/other") as batches:
        assert all(item.history for item in raw(await anext(batches)))
    assert "if-none-match" not in desk.site.seen[-1].headers


async def test_a_position_keeps_no_secret_of_the_address(desk: Desk) -> None:
    desk.site.serve(Reply(body=rss("a")))
    async with desk.start(path="/rss?token=T0KEN") as batches:
        position = (await anext(batches)).position
    assert position is not None
    assert "T0KEN" not in json.dumps(dict(position.value))


async def test_a_link_holds_no_secret_of_the_address(desk: Desk) -> None:
    items = "".join(f"<item><title>x</title><link>{link}</link></item>" for link in ("/a", "#b", "?c"))
    desk.site.serve(Reply(body=f"<rss version='2.0'><channel>{items}</channel></rss>".encode()))
    desk.site.url = desk.site.url.replace("http://", "http://me:T0KEN@")
    async with desk.start(path="/rss?token=T0KEN") as batches:
        batch = await anext(batches)
    assert desk.site.seen[0].headers["authorization"].startswith("Basic ")
    host = desk.site.url.partition("@")[2]
    assert [item.link for item in raw(batch)] == [f"http://{host}/rss?c", f"http://{host}/rss#b", f"http://{host}/a"]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(body=b"<!doctype html><title>Sorry</title>", headers={"Content-Type": "text/html"}), "not_a_feed"),
        (Reply(body=b'{"items": []}'), "not_a_feed"),
        (Reply(body=b""), "not_a_feed"),
        (Reply(404), "http_error"),
        (Reply(500), "http_error"),
        (Reply(204), "http_error"),
        (Reply(429), "rate_limited"),
        (Reply(410), "gone"),
        (Reply(302, headers={"Location": "http://127.0.0.2:1/"}), "forbidden_address"),
        (Reply(302, headers={"Location": "/rss"}), "too_many_redirects"),
        (Reply(body=b"x" * 11_000_000), "too_large"),
        (Reply(body=b"no gzip", headers={"Content-Encoding": "gzip"}), "broken_answer"),
        (Reply(body=rss("a")[:50], headers={"Content-Length": "5000", "Connection": "close"}), "broken_answer"),
    ],
)  # fmt: skip
async def test_a_feed_that_fails_is_counted_and_read_again(desk: Desk, reply: Reply, outcome: str) -> None:
    def answer(_: Seen) -> Reply:  # it fails until the failure has been counted, redirects included
        return Reply(body=rss("a")) if desk.polls(outcome) else reply

    desk.site.answer = answer
    async with desk.start() as batches, asyncio.timeout(60):
        batch = await anext(batches)
        assert desk.error() is None
    assert desk.polls(outcome) == 1
    assert titles(batch) == ["a"]
    assert all(item.history for item in raw(batch))


async def test_a_server_that_asks_for_patience_gets_it(desk: Desk) -> None:
    later = format_datetime(NOON + 120 * MINUTE, usegmt=True)
    desk.site.serve(
        Reply(429, headers={"Retry-After": later}),
        Reply(503, headers={"Retry-After": "10800"}),
        Reply(410),
        Reply(body=rss("a"), headers={"Cache-Control": "max-age=600"}),
        Reply(body=b"<rss version='2.0'><channel><ttl>12</ttl></channel></rss>"),
        Reply(body=rss("b")),
    )
    async with desk.start() as batches:
        for _ in range(3):
            await anext(batches)
    assert desk.clock.naps == [120 * MINUTE, 180 * MINUTE, 24 * 60 * MINUTE, 10 * MINUTE, 12 * MINUTE]


async def test_a_feed_that_moved_is_followed_at_every_poll(desk: Desk) -> None:
    def answer(seen: Seen) -> Reply:
        if seen.path == "/rss":
            return Reply(301, headers={"Location": "/new"})
        return Reply(304) if "if-none-match" in seen.headers else Reply(body=rss("a"), headers={"ETag": '"1"'})

    desk.site.answer = answer
    async with desk.start() as batches:
        assert titles(await anext(batches)) == ["a"]
        assert (await anext(batches)).items == ()
    assert [seen.path for seen in desk.site.seen] == ["/rss", "/new", "/rss", "/new"]


# More than the desk's parser has memory for.
POISON = f"<rss version='2.0'><channel><item><title>{'x' * 10_000_000}</title></item></channel></rss>".encode()


async def test_a_document_that_kills_the_parser_is_one_dead_letter_and_not_read_again(desk: Desk) -> None:
    cure = Reply(body=rss("b", "a"))
    desk.site.serve(Reply(body=rss("0")), Reply(body=POISON), Reply(body=POISON), cure)
    async with desk.start() as batches:
        await anext(batches)
        batch = await anext(batches)
        (letter,) = batch.items
        assert isinstance(letter, DeadLetter)
        assert letter.raw == POISON
        assert "the document broke the parser" in letter.error
        assert desk.error() == letter.error
        assert desk.sources[-1].success == NOON
        assert (await anext(batches)).items == ()
        assert titles(await anext(batches)) == ["a", "b"]
        assert desk.error() is None
    assert desk.polls("parser_failed") == 1
    # A restart after that commit does not read it again either, and still knows how long nothing was read.
    desk.site.serve(Reply(body=POISON), cure)
    async with desk.start(batch.position) as batches:
        assert (await anext(batches)).items == ()
        assert titles(await anext(batches)) == ["a", "b"]


async def test_a_feed_whose_first_document_was_poison_begins_with_history(desk: Desk) -> None:
    desk.site.serve(Reply(body=POISON), Reply(304), Reply(body=rss("b")))
    async with desk.start() as batches:
        assert isinstance((await anext(batches)).items[0], DeadLetter)
        assert (await anext(batches)).items == ()
        assert [(item.title, item.history) for item in raw(await anext(batches))] == [("b", True)]


async def test_a_long_feed_comes_in_pieces_and_its_position_with_the_last(desk: Desk) -> None:
    desk.site.serve(Reply(body=rss(*(str(n) for n in range(2 * CHUNK + 1)))))
    async with desk.start() as batches:
        pieces = [await anext(batches) for _ in range(3)]
    assert [len(piece.items) for piece in pieces] == [CHUNK, CHUNK, 1]
    assert [piece.position is None for piece in pieces] == [True, True, False]
    assert all(item.history for piece in pieces for item in raw(piece))


async def test_what_no_database_can_keep_is_replaced(desk: Desk) -> None:
    desk.site.serve(Reply(body=b"<rss version='2.0'><channel><item><title>a&#xD800;&#0;b</title></item><oops>"))
    async with desk.start() as batches:
        (item,) = raw(await anext(batches))
    item.title.encode()
    item.raw.decode()
    assert "\x00" not in item.title


async def test_closing_ends_a_feed_that_sleeps_and_one_that_waits_for_its_server(desk: Desk) -> None:
    class EndlessNight(LeapingClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()

    desk.clock = EndlessNight()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)  # until the other side hangs up
        writer.close()

    silent = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with silent, asyncio.timeout(20):
        desk.site.serve(Reply(body=rss("a")))
        async with desk.start() as batches:
            await anext(batches)
            sleeping = asyncio.create_task(anext(batches, None))
            await asyncio.sleep(0.01)
            await desk.sources[-1].close()
            assert await sleeping is None
        desk.site.url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with desk.start() as batches:
            waiting = asyncio.create_task(anext(batches, None))
            await asyncio.sleep(0.05)
            await desk.sources[-1].close()
            assert await waiting is None


@pytest.mark.parametrize(
    "url", ["", "news.example/rss", "ftp://news.example/rss", "file:///etc/passwd", "https:///rss", "http://[::1/rss"]
)
async def test_an_address_that_is_none_is_a_configuration_error(desk: Desk, url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected one like"):
        FeedSource(
            WIRE,
            url,
            fetcher=Fetcher(desk.client),
            parsers=desk.parsers,
            clock=desk.clock,
            random=Random(1),
            telemetry=desk.telemetry,
        )
