"""The parser process: every document ends as a feed, as no feed, or as a plain error, and the next one is read."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.sources.parsers import Feed, ParserFailed, ParserPool

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "feedparser" / "tests"
HERE = "https://news.example/feeds/all.xml"
XML = "application/xml"


@pytest.fixture
async def pool() -> AsyncIterator[ParserPool]:
    made = ParserPool(size=1, seconds=20)
    yield made
    await made.close()


def rss(items: str, head: str = "") -> bytes:
    return f"<rss version='2.0'><channel>{head}{items}</channel></rss>".encode()


GOOD = rss("<item><guid>1</guid><title>Acme opens</title></item>")


async def read(pool: ParserPool, document: bytes, content_type: str | None = XML) -> Feed:
    return await pool.read(document, content_type, HERE)


async def test_an_rss_item_keeps_what_matters(pool: ParserPool) -> None:
    feed = await read(
        pool,
        rss(
            """<item><guid isPermaLink="false">story-1</guid><title>A &amp; B merge</title><link>/news/1</link>
            <pubDate>Fri, 17 May 2024 17:30:00 +0800</pubDate><description>short</description>
            <content:encoded xmlns:content="http://purl.org/rss/1.0/modules/content/">&lt;p&gt;long text&lt;/p&gt;
            </content:encoded><source url="https://wire.example/rss">Wire</source></item>""",
            head="<language>en-us</language><ttl>60</ttl>",
        ),
    )
    assert (feed.format, feed.ttl) == ("rss20", "60")
    assert feed.entries == (
        {
            "guid": "story-1",
            "title": "A & B merge",
            "link": "https://news.example/news/1",
            "body": "<p>long text</p>",
            "published": "2024-05-17T09:30:00+00:00",
            "publisher": "https://wire.example/rss",
            "language": "en-us",
        },
    )


async def test_atom_and_rdf_are_feeds_too(pool: ParserPool) -> None:
    atom = await read(
        pool,
        """<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="zh-CN"><entry>
        <id>tag:a</id><title>艾克米银行被调查</title>
        <link href="https://a.example/1"/><updated>2024-05-17T09:30:00Z</updated><summary>摘要</summary></entry></feed>
        """.encode(),
    )
    assert atom.format == "atom10"
    assert atom.entries[0] == {
        "guid": "tag:a",
        "title": "艾克米银行被调查",
        "link": "https://a.example/1",
        "body": "摘要",
        "published": "2024-05-17T09:30:00+00:00",
        "language": "zh-CN",
    }
    rdf = await read(
        pool,
        b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
        xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="https://a.example/"><title>t</title></channel>
        <item rdf:about="https://a.example/1"><title>One</title><link>https://a.example/1</link>
        <dc:date>2024-05-17T09:30:00Z</dc:date></item></rdf:RDF>""",
    )
    assert rdf.format == "rss10"
    assert rdf.entries[0]["guid"] == "https://a.example/1"
    assert rdf.entries[0]["published"] == "2024-05-17T09:30:00+00:00"


@pytest.mark.parametrize("encoding", ["gb2312", "gbk", "gb18030", "big5", "utf-16", "utf-16-le", "utf-8-sig", "utf-8"])
@pytest.mark.parametrize("content_type", [XML, "text/xml", "text/html", None])
async def test_chinese_is_read_in_every_encoding(pool: ParserPool, encoding: str, content_type: str | None) -> None:
    title = "銀行股價下跌" if encoding == "big5" else "银行股价下跌"
    declared = encoding.removesuffix("-sig").removesuffix("-le")
    document = f'<?xml version="1.0" encoding="{declared}"?>' + rss(f"<item><title>{title}</title></item>").decode()
    feed = await read(pool, document.encode(encoding), content_type)
    assert [entry["title"] for entry in feed.entries] == [title]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("&#55357;&#56832; up", "\N{GRINNING FACE} up"),
        ("&#xD83D;&#xde00; up", "\N{GRINNING FACE} up"),
        ("&#55357; lone", "\N{REPLACEMENT CHARACTER} lone"),
        ("&#55000;&#57999;", "\ud6d8\ue28f"),
        ("&#0;x&#1;", None),
    ],
)
async def test_a_broken_character_costs_no_feed(pool: ParserPool, written: str, meant: str | None) -> None:
    feed = await read(pool, rss(f"<item><title>{written}</title></item><item><title>next</title></item>"))
    assert feed.entries[1]["title"] == "next"
    assert meant is None or feed.entries[0]["title"] == meant


async def test_an_identity_does_not_hang_on_the_address_of_the_feed(pool: ParserPool) -> None:
    document = rss("<item><guid>4711</guid><title>x</title></item>")
    for location in (HERE, "https://mirror.example/other/rss"):
        feed = await pool.read(document, XML, location)
        assert feed.entries == ({"guid": "4711", "title": "x"},)


async def test_a_bare_day_ends_and_a_time_stays(pool: ParserPool) -> None:
    written = ["2024-05-17", "Fri, 17 May 2024", "2024-05-17T09:30:00Z", "2024-05-17 00:00:00"]
    feed = await read(pool, rss("".join(f"<item><pubDate>{date}</pubDate></item>" for date in written)))
    end, time = "2024-05-17T23:59:59+00:00", "2024-05-17T09:30:00+00:00"
    midnight = "2024-05-17T00:00:00+00:00"
    assert [entry.get("published") for entry in feed.entries] == [end, end, time, midnight]


async def test_entries_without_anything_or_with_nonsense_are_read_all_the_same(pool: ParserPool) -> None:
    feed = await read(
        pool,
        rss(
            "<item/><item><title></title><pubDate>yesterday</pubDate></item>"
            "<item><title>far</title><pubDate>Fri, 17 May 99999 09:30:00 GMT</pubDate><link>http://[bad/</link></item>"
        ),
    )
    assert [entry.get("title") for entry in feed.entries] == [None, None, "far"]
    assert all("published" not in entry for entry in feed.entries)
    assert feed.entries[2]["link"] == "http://[bad/"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b" ",
        b"<!doctype html><html><head><title>Not found</title></head><body><p>Sorry</p></body></html>",
        b'{"version": "https://jsonfeed.org/version/1.1", "items": []}',
        b"/etc/passwd",
        b"http://127.0.0.1/",
        bytes(range(256)) * 50,
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["empty", "blank", "html", "json", "a path", "an address", "binary", "another xml"],
)
async def test_what_is_no_feed_has_no_format(pool: ParserPool, document: bytes) -> None:
    feed = await read(pool, document)
    assert (feed.format, feed.entries) == ("", ())


async def test_a_feed_without_entries_is_a_feed(pool: ParserPool) -> None:
    feed = await read(pool, rss(""))
    assert (feed.format, feed.entries) == ("rss20", ())


async def test_entities_that_multiply_do_no_harm(pool: ParserPool) -> None:
    entities = '<!ENTITY a "lol">' + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
    leak = '<!ENTITY file SYSTEM "file:///etc/passwd">'
    feed = await read(
        pool, f"<!DOCTYPE rss [{entities}{leak}]>".encode() + rss("<item><title>&m; &file;</title></item>")
    )
    assert len(feed.entries[0].get("title", "")) < 1000
    assert "root:" not in str(feed)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the feedparser corpus is not beside this checkout")
async def test_no_document_of_the_corpus_breaks_the_parser(pool: ParserPool) -> None:
    documents = sorted(CORPUS.rglob("*.xml"))
    assert len(documents) > 90
    for path in documents:
        for content_type in (XML, None):
            feed = await pool.read(path.read_bytes(), content_type, HERE)
            assert all(isinstance(value, str) for entry in feed.entries for value in entry.values()), path
    assert len(pool.pids) == 1


async def test_a_document_that_hangs_the_parser_is_given_up_and_the_next_is_read() -> None:
    pool = ParserPool(size=1, seconds=2)
    try:
        await read(pool, GOOD)
        (stuck,) = pool.pids
        os.kill(stuck, signal.SIGSTOP)
        with pytest.raises(ParserFailed, match="busy for more than 2 s"):
            await read(pool, GOOD)
        assert len((await read(pool, GOOD)).entries) == 1
        assert pool.pids != (stuck,)
    finally:
        await pool.close()


async def test_a_document_that_eats_the_memory_is_given_up_and_the_next_is_read() -> None:
    pool = ParserPool(size=1, seconds=60, memory=100 * 1024**2)
    try:
        with pytest.raises(ParserFailed, match=r"the document (broke|ended) the parser"):
            await read(pool, rss(f"<item><title>{'x' * 20_000_000}</title></item>"))
        assert len((await read(pool, GOOD)).entries) == 1
    finally:
        await pool.close()


async def test_a_parser_that_somebody_else_killed_costs_no_document(pool: ParserPool) -> None:
    await read(pool, GOOD)
    (first,) = pool.pids
    os.kill(first, signal.SIGKILL)
    assert len((await read(pool, GOOD)).entries) == 1
    assert pool.pids != (first,)


async def test_the_signals_that_end_the_daemon_leave_the_parser_to_it(pool: ParserPool) -> None:
    await read(pool, GOOD)
    pids = pool.pids
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pids[0], number)
    assert len((await read(pool, GOOD)).entries) == 1
    assert pool.pids == pids


async def test_a_reader_that_is_cancelled_leaves_no_half_read_answer_behind(pool: ParserPool) -> None:
    await read(pool, GOOD)
    (used,) = pool.pids
    task = asyncio.create_task(read(pool, rss("<item><title>x</title></item>" * 20_000)))
    await asyncio.sleep(0)
    while pool.pids:  # noqa: ASYNC110 the pool tells nobody when it takes a worker
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len((await read(pool, GOOD)).entries) == 1
    assert pool.pids != (used,)


async def test_closing_ends_the_processes_and_may_be_repeated(pool: ParserPool) -> None:
    await read(pool, GOOD)
    (pid,) = pool.pids
    await pool.close()
    await pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


ORPHAN = """
import asyncio, os, signal
from monitor.sources.parsers import ParserPool

async def main():
    pool = ParserPool(size=1)
    await pool.read(b"<rss version='2.0'/>", None, "https://news.example/")
    print(pool.pids[0], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_parser_does_not_outlive_a_daemon_that_was_killed() -> None:
    daemon = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", ORPHAN], capture_output=True, check=False, timeout=60
    )
    assert daemon.returncode == -signal.SIGKILL
    stat = Path(f"/proc/{int(daemon.stdout)}/stat")
    async with asyncio.timeout(30):
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":  # noqa: ASYNC110 another process
            await asyncio.sleep(0.02)
