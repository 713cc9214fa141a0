"""What the daemon does when it is told to stop, and when it is told to read its configuration again."""

from __future__ import annotations

import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.process.daemon import START, Daemon, free_port, until
from tests.process.news import Desk, Newsroom
from tests.process.prose import Prose, write_past

pytestmark = [pytest.mark.process, pytest.mark.model]

DRAIN = 10  # seconds: `limits.drain`
CLOSING = 10  # seconds that the steps of a stop and the end of the process may take beside it
ACME = '[[company]]\nid = "acme"\nnames = ["Acme Bank"]\n'
BOLT = '[[company]]\nid = "bolt"\nnames = ["Bolt Motors"]\n'


def stored(daemon: Daemon, source: str) -> int:
    sources = daemon.get("/api/v1/sources")[1]["sources"]
    return sum(each["ledger"]["stored"] for each in sources if each["id"] == source)


def push(daemon: Daemon, title: str, **more: str) -> dict[str, Any]:
    """Hand one article over; return it as it is stored."""
    article = {"title": title, "published": datetime.now(UTC).isoformat(), **more}
    status, answer = daemon.post("/api/v1/articles", {"articles": [article]})
    assert status == 200, answer
    found: dict[str, Any] = daemon.get(f"/api/v1/articles/{answer['results'][0]['article_id']}")[1]
    return found


# --- SIGTERM ---


class Pushers:
    """Several who push at once, without a pause, until the door is shut; `acknowledged` are the titles answered for."""

    def __init__(self, daemon: Daemon, number: int) -> None:
        self._daemon = daemon
        self._numbers = count(1)
        self.acknowledged: set[str] = set()
        self._threads = [threading.Thread(target=self._push) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def _push(self) -> None:
        while True:
            titles = [f"Acme Bank branch {next(self._numbers)} reports a loss" for _ in range(5)]
            try:
                status, _ = self._daemon.post("/api/v1/articles", {"articles": [{"title": each} for each in titles]})
            except OSError:  # the door is shut
                return
            if status == 200:
                self.acknowledged.update(titles)
            else:
                assert status == 503, "stopping is the one reason to refuse"

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def test_a_stop_keeps_what_was_answered_for_and_waits_for_nobody_who_dawdles(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "newsquake.toml"
    config.write_text(f'[api]\nbind = "127.0.0.1:{port}"\n[limits]\ndrain = "{DRAIN} s"\n', encoding="utf-8")
    daemon = Daemon(config, port)
    try:
        daemon.start()
        with socket.create_connection(("127.0.0.1", port)) as dawdler:  # its body never comes
            dawdler.sendall(
                f"POST /api/v1/articles HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                "Content-Length: 1000\r\n\r\n{".encode()
            )
            pushers = Pushers(daemon, 4)
            until(daemon, lambda: len(pushers.acknowledged) >= 50)
            assert daemon.stop(within=DRAIN + CLOSING) == 0, daemon.tail()
            pushers.join()
            assert dawdler.recv(100).startswith(b"HTTP/1.1 503 ")
    finally:
        daemon.end()
    assert "Traceback" not in daemon.log.read_text(encoding="utf-8"), daemon.tail()
    with closing(sqlite3.connect(tmp_path / "newsquake.db")) as db:
        titles = [title for (title,) in db.execute("SELECT title FROM articles")]
        (ledger,) = db.execute("SELECT received, stored, duplicate, dead, dropped FROM ledger").fetchall()
    assert len(titles) == len(set(titles))
    assert pushers.acknowledged <= set(titles)
    assert ledger == (len(titles), len(titles), 0, 0, 0)


# --- SIGHUP ---


class House:
    """A daemon that knows five calm days, and the configuration it can be made to read again."""

    def __init__(self, folder: Path, news: str, hook: str) -> None:
        port = free_port()
        self._folder = folder
        self._news, self._hook = news, hook
        self._port = port
        self.config = folder / "newsquake.toml"
        self.write("wire", watchlist=ACME)
        self.daemon = Daemon(self.config, port)

    def write(self, feed: str, *, watchlist: str, more: str = "") -> None:
        """Write a configuration with this feed and watchlist."""
        (self._folder / "watchlist.toml").write_text(watchlist, encoding="utf-8")
        self.config.write_text(
            f'[api]\nbind = "127.0.0.1:{self._port}"\n[watchlist]\nfiles = ["watchlist.toml"]\n'
            '[http]\nallow_private = ["127.0.0.1"]\n[[source]]\nid = "past"\nkind = "archive"\npath = "past.jsonl"\n'
            f'[[source]]\nid = "{feed}"\nkind = "feed"\nurl = "{self._news}/{feed}.xml"\ninterval = "1 s"\n{more}',
            encoding="utf-8",
        )

    def desk(self) -> str:
        """Return the section of a target and a route to it."""
        return (
            f'[[target]]\nid = "desk"\nkind = "webhook"\nurl = "{self._hook}/hook"\nsecret = "env:DESK_SECRET"\n'
            '[[route]]\ntargets = ["desk"]\nmatch = { keys = ["entity:acme"] }\n'
        )

    def reread(self, word: str) -> None:
        """Let the daemon read its configuration again, and wait until its log says this word of it once more."""
        before = self.said(word)
        self.daemon.signal(signal.SIGHUP)
        until(self.daemon, lambda: self.said(word) > before)

    def said(self, word: str) -> int:
        return self.daemon.log.read_text(encoding="utf-8").count(word)

    def successful(self) -> bool:
        _, metrics = self.daemon.get("/metrics")
        (line,) = [line for line in metrics.splitlines() if line.startswith("newsquake_config_reload_successful ")]
        return bool(float(line.split()[1]))


@pytest.fixture
def newsroom() -> Newsroom:
    newsroom = Newsroom()
    prose = Prose(Random(5))
    for feed in ("wire", "markets"):
        newsroom.publish(feed, f"{feed}-1", *prose.article(calm=True), datetime.now(UTC))
    return newsroom


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def house(tmp_path: Path, newsroom: Newsroom, desk: Desk) -> Iterator[House]:
    with newsroom.open() as news, desk.open() as hook:
        house = House(tmp_path, news, hook)
        try:
            yield house
        finally:
            house.daemon.end()


def test_a_changed_configuration_takes_effect_at_once_and_a_broken_one_never(
    house: House, newsroom: Newsroom, desk: Desk, tmp_path: Path
) -> None:
    daemon, past = house.daemon, write_past(tmp_path / "past.jsonl", Prose(Random(6)), days=5)
    daemon.start()
    until(daemon, lambda: stored(daemon, "past") == past and stored(daemon, "wire") == 1)
    article = push(daemon, "Acme Bank opens an office with Bolt Motors")
    assert {each["entity"] for each in article["judgements"]} == {None, "acme"}

    # A broken file: the old one stays in force, whole.
    house.write("markets", watchlist=ACME + BOLT, more="[detect]\nfalse_alarm = 3\n")
    house.reread("the old one stays in force")
    assert not house.successful()
    assert house.said("detect.false_alarm: unknown key; did you mean 'false_alarms'?") == 1
    house.write("markets", watchlist=BOLT.replace("names", "name"))
    house.reread("the old one stays in force")
    assert not house.successful()
    article = push(daemon, "Acme Bank and Bolt Motors open another office")
    assert {each["entity"] for each in article["judgements"]} == {None, "acme"}
    assert newsroom.polls["markets"] == 0

    # A good one: another feed, another company, another target. Signals that come fast are obeyed one by one.
    house.write("markets", watchlist=ACME + BOLT, more=house.desk())
    for _ in range(5):
        daemon.signal(signal.SIGHUP)
        time.sleep(0.01)
    house.reread("the configuration was read again")
    until(daemon, house.successful)
    until(daemon, lambda: stored(daemon, "markets") == 1)
    article = push(daemon, "Bolt Motors and Acme Bank open a third office")
    assert {each["entity"] for each in article["judgements"]} == {None, "acme", "bolt"}
    polls = newsroom.polls["wire"]
    until(daemon, lambda: newsroom.polls["markets"] >= 3)
    assert newsroom.polls["wire"] == polls, "the feed that is gone is left in peace"
    prose, numbers = Prose(Random(7)), count()

    def told() -> bool:  # bad news goes on until the next full minute: then what was normal has been learned
        title, text = prose.article()
        push(daemon, title, text=text, publisher=f"paper{next(numbers) % 6}.example")
        return bool(desk.told())

    until(daemon, told)
    assert any("entity:acme" in body["data"]["keys"] for body in desk.told().values())
    assert daemon.stop() == 0, daemon.tail()
    assert house.said("Traceback") == 0, daemon.tail()


def test_a_change_while_it_starts_is_taken_up_once_it_stands(house: House, newsroom: Newsroom, tmp_path: Path) -> None:
    write_past(tmp_path / "past.jsonl", Prose(Random(6)), days=1)
    daemon = house.daemon
    daemon.start(wait=False)
    wait_for_care(daemon, signal.SIGHUP)
    house.write("markets", watchlist=ACME + BOLT)
    daemon.signal(signal.SIGHUP)
    daemon.wait_ready()
    until(daemon, lambda: stored(daemon, "markets") == 1)
    article = push(daemon, "Bolt Motors opens an office")
    assert {each["entity"] for each in article["judgements"]} == {None, "bolt"}
    assert daemon.stop() == 0, daemon.tail()
    assert house.said("Traceback") == 0, daemon.tail()


def wait_for_care(daemon: Daemon, number: signal.Signals) -> None:
    """Wait until a starting process minds a signal; before that it ends by it, as any program does."""
    status = Path(f"/proc/{daemon.pid}/status")
    if not status.exists():
        pytest.skip("this system does not tell (no /proc) when a process begins to mind a signal")
    deadline = time.monotonic() + START
    while not caught(status) >> (number - 1) & 1:
        assert time.monotonic() < deadline, daemon.tail()
        time.sleep(0.01)


def caught(status: Path) -> int:
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
