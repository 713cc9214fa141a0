"""The world around a daemon: feeds that grow, someone who pushes until answered, a desk that is told, and a past."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random

from tests.process.daemon import SETTLING, Daemon, free_port, until
from tests.process.news import Desk, Newsroom
from tests.process.prose import Prose, write_past

FEEDS = ("wire", "markets")

CONFIG = """
[store]
url = "{store}"
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
        self.acknowledged: list[str] = []  # titles
        self.outcomes: set[str] = set()

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
                self.acknowledged += [article["title"] for article in batch]
                self.outcomes |= {result["outcome"] for result in answer["results"]}
                return
            time.sleep(0.2)


class World:
    """One daemon with its surroundings; made by `world`."""

    def __init__(self, daemon: Daemon, newsroom: Newsroom, desk: Desk, prose: Prose, past: int) -> None:
        self.daemon = daemon
        self.newsroom = newsroom
        self.desk = desk
        self.prose = prose
        self.past = past  # articles of the archive
        self.pusher = Pusher(daemon, prose)

    @contextmanager
    def news_all_the_time(self) -> Iterator[None]:
        """Let feeds grow and articles be pushed while the block runs; then let the last push end."""
        enough, stop = threading.Event(), threading.Event()

        def publish() -> None:
            numbers = count(1)
            while not enough.wait(0.25):
                number = next(numbers)
                feed = FEEDS[number % len(FEEDS)]
                title, text = self.prose.article()
                self.newsroom.publish(feed, f"{feed}-{number}", title, text, datetime.now(UTC))

        def push() -> None:
            while not enough.wait(0.3):
                self.pusher.push(3, stop)

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

    def settle(self) -> None:
        """Wait until everything that was published has been stored."""
        wanted = {feed: len(self.newsroom.document(feed)[1]) for feed in FEEDS} | {"past": self.past}
        until(self.daemon, lambda: all(self.ledger(source)["stored"] >= size for source, size in wanted.items()))

    def ledger(self, source: str) -> Counter[str]:
        """Return what the daemon has made of a source's items; nothing where it cannot say."""
        status, answer = self.daemon.get("/api/v1/sources")
        sources = answer["sources"] if status == 200 else []
        return Counter(next((each["ledger"] for each in sources if each["id"] == source), {}))

    def handed_out(self) -> dict[str, list[str]]:
        """Return the titles that the daemon answers for, by source: sent whole, or acknowledged."""
        titles = {feed: self.newsroom.titles(feed, self.newsroom.handed_out[feed]) for feed in FEEDS}
        return titles | {"door": self.pusher.acknowledged}


@contextmanager
def world(folder: Path, store: str, random: Random, more: str = "") -> Iterator[World]:
    """Give a daemon that knows five calm days and has read each feed once; `more` is added to its configuration."""
    prose, newsroom, desk, port = Prose(random), Newsroom(), Desk(), free_port()
    past = write_past(folder / "past.jsonl", prose, days=5)
    (folder / "watchlist.toml").write_text(WATCHLIST, encoding="utf-8")
    for feed in FEEDS:
        newsroom.publish(feed, f"{feed}-first", *prose.article(calm=True), datetime.now(UTC))
    with ExitStack() as stack:
        news, hook = stack.enter_context(newsroom.open()), stack.enter_context(desk.open())
        config = folder / "newsquake.toml"
        config.write_text(CONFIG.format(store=store, port=port, news=news, hook=hook) + more, encoding="utf-8")
        daemon = Daemon(config, port)
        stack.callback(daemon.end)
        made = World(daemon, newsroom, desk, prose, past)
        daemon.start()
        made.settle()
        yield made
