"""A database or a broker that is away, or refuses us: told plainly, and once; waited for; and nothing lost."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from tests.process.books import examine, read
from tests.process.command import refused
from tests.process.daemon import Daemon, free_port, until
from tests.process.servers import Server, kafka, postgresql
from tests.process.topic import HOSTILE
from tests.sources.topics import World as Topics
from tests.sources.topics import listeners

pytestmark = [pytest.mark.process, pytest.mark.model]

FAILED = 1  # the exit code
DRAIN = 10  # seconds: `limits.drain`
CLOSING = 15  # seconds that the steps of a stop and the end of the process may take beside it
OUTAGES = 2
LINES = 4  # of one part of the daemon in one outage: a connection is cut, the server is away, it comes up, all is well
SECRET = "sesame-open-4711"


def configured(folder: Path, text: str) -> Daemon:
    port = free_port()
    config = folder / "newsquake.toml"
    config.write_text(
        f'[api]\nbind = "127.0.0.1:{port}"\n[limits]\ndrain = "{DRAIN} s"\n'
        f'[[source]]\nid = "door"\nkind = "push"\n{text}',
        encoding="utf-8",
    )
    return Daemon(config, port)


def said(daemon: Daemon) -> str:
    return daemon.log.read_text(encoding="utf-8")


# --- the database ---


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    with postgresql() as server:
        yield server


def test_a_database_that_is_away_at_the_start_is_told_once_and_waited_for(tmp_path: Path, database: Server) -> None:
    url = make_url(database.address).set(password=SECRET)
    daemon = configured(tmp_path, f'[store]\nurl = "{url.render_as_string(hide_password=False)}"\n')
    database.kill()
    try:
        daemon.start(wait=False)
        until(daemon, lambda: "cannot be reached" in said(daemon))
        assert daemon.stop(within=DRAIN + CLOSING) == 0, "who waits can be stopped"
        (line,) = said(daemon).splitlines()
        assert url.render_as_string(hide_password=True) in line
        daemon.start(wait=False)
        until(daemon, lambda: said(daemon).count("cannot be reached") == 2)
        database.start()
        daemon.wait_ready()
        assert daemon.stop() == 0, daemon.tail()
    finally:
        daemon.end()
    assert SECRET not in said(daemon)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"username": "stranger", "password": SECRET}, "the server refuses this user"),
        ({"database": "absent"}, "there is no such database"),
        ({"database": "template1"}, "newsquake db upgrade"),
    ],
)
def test_a_database_that_cannot_be_used_is_told(
    tmp_path: Path, database: Server, change: dict[str, Any], words: str
) -> None:
    url = make_url(database.address).set(**change)
    configured(tmp_path, f'[store]\nurl = "{url.render_as_string(hide_password=False)}"\n')
    message = refused("run", folder=tmp_path, code=FAILED)
    assert message.startswith(f"{url.render_as_string(hide_password=True)}: ")
    assert words in message
    assert SECRET not in message


def test_a_database_that_goes_away_is_waited_for_and_nothing_is_lost(tmp_path: Path, database: Server) -> None:
    daemon = configured(tmp_path, f'[store]\nurl = "{database.address}"\n')
    titles = [f"Acme Bank opens branch number {number}" for number in range(40)]
    try:
        daemon.start()
        assert hand_over(daemon, titles[:10]) == ["stored"] * 10
        database.kill()
        waiting = Waiting(daemon, titles[10:20])
        until(daemon, lambda: daemon.get("/readyz")[0] == 503)
        trouble = next(check for check in daemon.get("/readyz")[1]["checks"] if check["name"] == "store")
        assert trouble["detail"].startswith(database.address)
        assert daemon.metric("newsquake_store_refusals_total") > 0
        database.start()
        assert waiting.outcomes() == ["stored"] * 10, "who waited is answered after the commit"
        until(daemon, lambda: daemon.get("/readyz")[0] == 200)
        assert hand_over(daemon, titles[20:30]) == ["stored"] * 10

        # A stop does not wait for it: what was not answered for is handed over again after the next start.
        database.kill()
        cut_off = Waiting(daemon, titles[30:])
        until(daemon, lambda: daemon.get("/readyz")[0] == 503)
        assert daemon.stop(within=DRAIN + CLOSING) == 0, daemon.tail()
        assert cut_off.status() == 503
        database.start()
        daemon.start()
        assert hand_over(daemon, titles[30:]) == ["stored"] * 10
        assert daemon.stop() == 0, daemon.tail()
    finally:
        daemon.end()
    log = said(daemon)
    assert "Traceback" not in log, daemon.tail()
    parts = Counter(line.partition("part=")[2].split()[0] for line in log.splitlines() if "the database " in line)
    assert parts, "an outage is told"
    assert max(parts.values()) <= OUTAGES * LINES, "and not with every try"
    examine(read(database.address), {"door": titles})


class Waiting:
    """Someone who pushes articles and waits for the answer, however long it takes."""

    def __init__(self, daemon: Daemon, titles: Sequence[str]) -> None:
        self._answer: tuple[int, Any] = (0, None)
        self._thread = threading.Thread(target=self._push, args=(daemon, titles))
        self._thread.start()

    def _push(self, daemon: Daemon, titles: Sequence[str]) -> None:
        self._answer = push(daemon, titles)

    def status(self) -> int:
        self._thread.join()
        return self._answer[0]

    def outcomes(self) -> list[str]:
        self._thread.join()
        return outcomes(self._answer)


def push(daemon: Daemon, titles: Sequence[str]) -> tuple[int, Any]:
    return daemon.post("/api/v1/articles", {"articles": [{"title": title, "id": title} for title in titles]})


def hand_over(daemon: Daemon, titles: Sequence[str]) -> list[str]:
    return outcomes(push(daemon, titles))


def outcomes(answer: tuple[int, Any]) -> list[str]:
    status, body = answer
    assert status == 200, body
    return [result["outcome"] for result in body["results"]]


# --- the broker ---

TOPICS = ("good", "missing", "stranger", "nowhere")
BAD = {  # a topic that cannot be read: what is said of it
    "missing": "there is no topic 'missing'",
    "stranger": "the username or the password is wrong",
    "nowhere": "cannot be reached",
}


@dataclass
class House:
    """A daemon that is to read four topics, of which one can be read; and what was written to that one."""

    daemon: Daemon
    broker: Server
    titles: list[str] = field(default_factory=list)
    hostile: list[bytes | None] = field(default_factory=list)

    def write(self, topic: str, *values: object) -> None:
        asyncio.run(Topics(self.broker).write(topic, *values, key=b"acme"))

    def publish(self, number: int) -> None:
        """Write so many articles to the good topic."""
        new = [f"Acme Bank opens branch number {len(self.titles) + place}" for place in range(number)]
        self.write("good", *[{"id": title, "title": title} for title in new])
        self.titles += new

    def source(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = next(
            each for each in self.daemon.get("/api/v1/sources")[1]["sources"] if each["id"] == id_
        )
        return found

    def wait_until_read(self) -> None:
        size = len(self.titles) + len(self.hostile)
        until(self.daemon, lambda: self.source("good")["ledger"]["received"] == size)

    def lines(self, words: str, source: str) -> int:
        """Return how many lines of the log say this of a source."""
        log = said(self.daemon).splitlines()
        return sum(words in line and f"source={source} " in line for line in log)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with kafka() as broker:
        asyncio.run(Topics(broker).make(name="good"))
        places = dict.fromkeys(TOPICS, broker.address) | {"nowhere": f"127.0.0.1:{free_port()}"}
        places["stranger"] = listeners(broker)["sasl"]
        sasl = 'sasl = { mechanism = "SCRAM-SHA-512", username = "desk", password = "file:wrong" }\n'
        (folder / "wrong").write_text(SECRET, encoding="utf-8")
        daemon = configured(
            folder,
            "".join(
                f'[[source]]\nid = "{topic}"\nkind = "kafka"\nbrokers = "{places[topic]}"\ntopic = "{topic}"\n'
                + (sasl if topic == "stranger" else "")
                for topic in TOPICS
            ),
        )
        try:
            daemon.start()
            house = House(daemon, broker)
            yield house
            assert daemon.stop(within=DRAIN + CLOSING) == 0, daemon.tail()
            assert "Traceback" not in said(daemon), daemon.tail()
            assert SECRET not in said(daemon)
            books = read(f"sqlite:///{folder}/newsquake.db")
            examine(books, {"good": house.titles})
            assert sorted(raw.partition(b"\n")[2] for raw in books.dead["good"]) == sorted(
                value or b"" for value in house.hostile
            )
        finally:
            daemon.end()


def test_each_topic_that_cannot_be_read_is_told_once_and_the_good_one_goes_on(house: House) -> None:
    until(house.daemon, lambda: all(house.daemon.metric(tries_of(topic)) >= 3 for topic in BAD))
    house.publish(5)
    house.wait_until_read()
    for topic, words in BAD.items():
        assert words in house.source(topic)["error"]
        assert house.source(topic)["ledger"]["received"] == 0
        assert house.daemon.metric(f'newsquake_source_failing{{source="{topic}"}}') == 1
        assert house.lines("a topic cannot be read", topic) == 1, "the log tells a trouble once, not with every try"
    assert house.source("good")["error"] is None
    assert house.daemon.get("/readyz")[0] == 200


def tries_of(topic: str) -> str:
    outcome = {"missing": "topic_missing", "stranger": "refused", "nowhere": "unreachable"}[topic]
    return f'newsquake_source_polls_total{{outcome="{outcome}",source="{topic}"}}'


def test_values_that_are_no_article_are_kept_as_dead_letters_and_their_neighbours_stored(house: House) -> None:
    hostile = [*HOSTILE, b'{"title": "Acme' + b"!" * 100, b'{"a":' * 100_000, b'"' + b"x" * 3_000_000 + b'"']
    for value in hostile:
        house.publish(1)
        house.write("good", value)
        house.hostile.append(value)
    house.wait_until_read()
    source = house.source("good")
    assert source["error"] is None
    assert source["dead_letters"] == source["ledger"]["dead"] == len(house.hostile)
    assert house.daemon.metric('newsquake_source_items_total{outcome="dead",source="good"}') == len(house.hostile)


def test_a_topic_that_is_made_later_is_read_without_a_restart(house: House) -> None:
    asyncio.run(Topics(house.broker).make(name="missing"))
    until(house.daemon, lambda: house.source("missing")["error"] is None)
    house.write("missing", {"title": "Acme Bank opens its last branch"})
    until(house.daemon, lambda: house.source("missing")["ledger"]["stored"] == 1)


def test_a_broker_that_goes_away_is_told_once_and_nothing_is_lost(house: House) -> None:
    house.publish(20)
    house.broker.kill()
    until(house.daemon, lambda: house.source("good")["error"])
    until(
        house.daemon,
        lambda: house.daemon.metric('newsquake_source_polls_total{outcome="unreachable",source="good"}') >= 3,
    )
    assert house.daemon.get("/readyz")[0] == 200, "what comes by other ways is stored all the same"
    assert house.lines("a topic cannot be read", "good") <= 2, "the connection that is cut, the broker that is away"
    house.broker.start()
    house.publish(20)
    house.wait_until_read()
    assert house.lines("the topic can be read again", "good") == 1


def test_a_stop_does_not_wait_for_a_broker_that_is_away(house: House) -> None:
    house.publish(20)
    house.broker.kill()
    until(house.daemon, lambda: house.source("good")["error"])
    assert house.daemon.stop(within=DRAIN + CLOSING) == 0, house.daemon.tail()
    house.daemon.start()
    until(house.daemon, lambda: house.source("good")["error"])
    house.broker.start()
    house.publish(20)
    house.wait_until_read()
    assert house.daemon.metric("newsquake_kafka_lag_") == 0
