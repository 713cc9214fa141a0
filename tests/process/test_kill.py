"""The promises across power cuts: the real daemon on real feeds, pushes and a webhook, killed again and again."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.process.daemon import Daemon, free_port
from tests.process.news import Desk, Newsroom
from tests.process.prose import Prose, write_past

KILLS = 12
SETTLING = 120.0  # seconds in which the last items must arrive; generous, for a busy machine
FEEDS = ("wire", "markets")

CONFIG = """
[store]
url = "sqlite:///{folder}/newsquake.db"
[api]
bind = "127.0.0.1:{port}"
[watchlist]
files = ["watchlist.toml"]
[http]
allow_private = ["127.0.0.1"]
[[source]]
id = "past"
kind = "archive"
path = "past.jsonl"
[[source]]
id = "wire"
kind = "feed"
url = "{news}/wire.xml"
interval = "1 s"
[[source]]
id = "markets"
kind = "feed"
url = "{news}/markets.xml"
interval = "1 s"
[[source]]
id = "door"
kind = "push"
[[target]]
id = "desk"
kind = "webhook"
url = "{hook}/hook"
secret = "env:DESK_SECRET"
"""
WATCHLIST = """
[[company]]
id = "acme"
names = ["Acme Bank", "Acme"]
[[company]]
id = "bolt"
names = ["Bolt Motors", "Bolt"]
"""


class Pusher:
    """Pushes articles, and again under the same ids until they are acknowledged."""

    def __init__(self, daemon: Daemon, prose: Prose) -> None:
        self._daemon = daemon
        self._prose = prose
        self._numbers = count(1)
        self.acknowledged: dict[str, str] = {}  # id to outcome

    def push(self, size: int, stop: threading.Event) -> None:
        batch = []
        for _ in range(size):
            title, text = self._prose.article()
            number = next(self._numbers)
            batch.append(
                {
                    "title": title,
                    "text": text,
                    "id": f"door-{number}",
                    "publisher": f"paper{number % 9}.example",
                    "published": datetime.now(UTC).isoformat(),
                }
            )
        while not stop.is_set():
            try:
                status, answer = self._daemon.post("/api/v1/articles?source=door", {"articles": batch})
            except OSError:
                status, answer = 0, None
            if status == 200:
                for article, result in zip(batch, answer["results"], strict=True):
                    self.acknowledged[article["id"]] = result["outcome"]
                return
            time.sleep(0.2)


@contextmanager
def news_all_the_time(newsroom: Newsroom, pusher: Pusher, prose: Prose) -> Iterator[None]:
    """Let feeds grow and articles be pushed while the block runs; then let the last push end."""
    enough, stop = threading.Event(), threading.Event()

    def publish() -> None:
        numbers = count(1)
        while not enough.wait(0.25):
            number = next(numbers)
            feed = FEEDS[number % len(FEEDS)]
            title, text = prose.article()
            newsroom.publish(feed, f"{feed}-{number}", title, text, datetime.now(UTC))

    def push() -> None:
        while not enough.wait(0.3):
            pusher.push(3, stop)

    threads = [threading.Thread(target=publish), threading.Thread(target=push)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        threads[0].join()
        threads[1].join(timeout=SETTLING)
        stop.set()
        threads[1].join()


@pytest.mark.process
@pytest.mark.model
def test_killed_again_and_again_it_loses_nothing_and_tells_nothing_twice(tmp_path: Path) -> None:
    random = Random(20261122)
    prose = Prose(random)
    newsroom, desk, port = Newsroom(), Desk(), free_port()
    past = write_past(tmp_path / "past.jsonl", prose, days=5)
    (tmp_path / "watchlist.toml").write_text(WATCHLIST, encoding="utf-8")
    with newsroom.open() as news, desk.open() as hook:
        config = tmp_path / "newsquake.toml"
        config.write_text(CONFIG.format(folder=tmp_path, port=port, news=news, hook=hook), encoding="utf-8")
        daemon = Daemon(config, port)
        pusher = Pusher(daemon, prose)
        try:
            for feed in FEEDS:
                newsroom.publish(feed, f"{feed}-first", *prose.article(calm=True), datetime.now(UTC))
            daemon.start()
            settle(daemon, newsroom, past)  # a past to know what is normal, and each feed's first poll
            with news_all_the_time(newsroom, pusher, prose):
                for number in range(KILLS):
                    time.sleep(random.uniform(0.1, 4.0))
                    daemon.kill()
                    daemon.start(wait=number % 3 != 0)  # every third time it may be killed while it starts
                daemon.wait_ready()
                time.sleep(3.0)
            settle(daemon, newsroom, past)
            assert daemon.stop() == 0, daemon.tail()
        finally:
            daemon.end()
        examine(tmp_path / "newsquake.db", newsroom, pusher, desk, past)


def settle(daemon: Daemon, newsroom: Newsroom, past: int) -> None:
    """Wait until everything that was published has been read, and every message has gone out."""
    wanted = {feed: len(newsroom.document(feed)[1]) for feed in FEEDS} | {"past": past}
    deadline = time.monotonic() + SETTLING
    stored: dict[str, int] = {}
    while time.monotonic() < deadline:
        _, answer = daemon.get("/api/v1/sources")
        stored = {source["id"]: source["ledger"]["stored"] for source in answer["sources"]}
        if all(stored.get(source, 0) >= size for source, size in wanted.items()):
            return
        time.sleep(0.5)
    raise AssertionError(f"stored {stored} of {wanted}\n{daemon.tail()}")


def examine(database: Path, newsroom: Newsroom, pusher: Pusher, desk: Desk, past: int) -> None:
    """Hold the database against what the world handed out and was told."""
    with closing(sqlite3.connect(database)) as db:

        def rows(query: str, *values: object) -> Sequence[Any]:
            return db.execute(query, values).fetchall()

        # Nothing lost, nothing stored twice: what stands there is what was handed out, title by title.
        for feed in FEEDS:
            titles = sorted(title for (title,) in rows("SELECT title FROM articles WHERE source = ?", feed))
            assert titles == sorted(newsroom.titles(feed, newsroom.handed_out[feed]))
        pushed = [title for (title,) in rows("SELECT title FROM articles WHERE source = 'door'")]
        assert len(pushed) == len(set(pushed))
        assert len(pushed) == len(pusher.acknowledged)
        assert set(pusher.acknowledged.values()) <= {"stored", "duplicate"}

        # The ledger adds up, and agrees with the tables.
        for source, received, stored, duplicate, dead, dropped in rows(
            "SELECT source, received, stored, duplicate, dead, dropped FROM ledger"
        ):
            assert received == stored + duplicate + dead + dropped
            assert (dead, dropped) == (0, 0)
            assert rows("SELECT count(*) FROM articles WHERE source = ?", source) == [(stored,)]
        assert rows("SELECT stored FROM ledger WHERE source = 'past'") == [(past,)]

        # Each article was counted once.
        articles = rows("SELECT count(*) FROM articles")
        assert rows("SELECT count(*) FROM judgements WHERE key = 'all'") == articles
        assert rows("SELECT key, sum(leads) FROM judgements GROUP BY key ORDER BY key") == rows(
            "SELECT key, sum(stories) FROM rollups GROUP BY key ORDER BY key"
        )

        # The desk was told everything, each change of each incident under one key.
        outbox = rows("SELECT key, state, incident FROM outbox WHERE target = 'desk'")
        assert outbox, "nothing was told: no incident opened"
        assert {state for _, state, _ in outbox} == {"sent"}
        told = desk.told()
        assert set(told) == {key for key, _, _ in outbox}
        changes = [(body["data"]["id"], body["type"], body["data"]["severity"]) for body in told.values()]
        assert len(changes) == len(set(changes))
        assert any("entity:acme" in body["data"]["keys"] for body in told.values())
        for key, body in desk.received:
            assert body == told[key], "a message that comes again is the same message"
