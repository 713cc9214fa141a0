"""What the world sends that is wrong, to a daemon that runs: each gets one plain answer, and all else goes on."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.process.daemon import Daemon, free_port
from tests.process.news import Fixed, Newsroom, serving
from tests.process.prose import Prose

pytestmark = [pytest.mark.process, pytest.mark.model]

NAUGHTY = Path(__file__).parents[3] / "shared" / "corpora" / "naughty-strings" / "blns.json"
MAX_BODY = 3_000_000
LONGEST = 1_000_000  # characters of a text: `limits.text`
SETTLING = 120.0  # seconds; generous, for a busy machine
RSS = {"Content_Type": "application/rss+xml"}

FEEDS = {  # a bad feed: what its server answers, and what is to be said of it
    "page": ((200, b"<!doctype html><title>Welcome</title><p>No news", {"Content_Type": "text/html"}), "expected RSS"),
    "nothing": ((200, b"", RSS), "found 0 bytes"),
    "noise": ((200, Random(7).randbytes(4000), RSS), "expected RSS or Atom"),
    "failing": ((500, b"", {}), "the server answered 500; expected 200"),
    "gone": ((410, b"", {}), "gone for good (410)"),
    "huge": ((200, b" " * (10 * 1024 * 1024 + 1), RSS), "the body is larger than 10485760 bytes"),
    "bomb": (
        (200, gzip.compress(bytes(100_000_000)), {**RSS, "Content_Encoding": "gzip"}),
        "the body is larger than 10485760 bytes",
    ),
    "loop": ((302, b"", {"Location": "/loop"}), "more than 5 redirects"),
}


@dataclass
class House:
    """A daemon with one good feed, all the bad ones, and a door; and what its answers at the door add up to."""

    daemon: Daemon
    newsroom: Newsroom
    tally: Counter[str] = field(default_factory=Counter)

    def push(self, articles: Sequence[object]) -> list[dict[str, Any]]:
        """Hand articles over; return the results, which must be as many."""
        status, answer = self.daemon.post("/api/v1/articles", {"articles": articles})
        assert status == 200, answer
        results: list[dict[str, Any]] = answer["results"]
        assert len(results) == len(articles)
        for result in results:
            dead = result["outcome"] == "dead"
            assert (result["article_id"] is None, "error" in result) == (dead, dead), result
            self.tally[result["outcome"]] += 1
        return results

    def sources(self) -> dict[str, Any]:
        return {source["id"]: source for source in self.daemon.get("/api/v1/sources")[1]["sources"]}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder, port, newsroom = tmp_path_factory.mktemp("house"), free_port(), Newsroom()
    newsroom.publish("wire", "first", *Prose(Random(1)).article(), datetime.now(UTC))
    answers = {f"/{name}": answer for name, (answer, _) in FEEDS.items()}
    with newsroom.open() as news, serving(Fixed, answers=answers) as bad:
        feeds = {name: f"{bad}/{name}" for name in FEEDS}
        feeds |= {"wire": f"{news}/wire.xml", "unreachable": f"http://127.0.0.1:{free_port()}/rss"}
        config = folder / "newsquake.toml"
        config.write_text(
            f'[api]\nbind = "127.0.0.1:{port}"\nmax_body = {MAX_BODY}\n[http]\nallow_private = ["127.0.0.1"]\n'
            '[[source]]\nid = "door"\nkind = "push"\n'
            + "".join(
                f'[[source]]\nid = "{name}"\nkind = "feed"\nurl = "{url}"\ninterval = "1 s"\n'
                for name, url in feeds.items()
            ),
            encoding="utf-8",
        )
        daemon = Daemon(config, port)
        try:
            daemon.start()
            yield House(daemon, newsroom)
            assert daemon.get("/readyz")[0] == 200
            assert daemon.stop() == 0, daemon.tail()
            assert "Traceback" not in daemon.log.read_text(encoding="utf-8"), daemon.tail()
        finally:
            daemon.end()


# --- feeds ---


def test_each_bad_feed_is_told_and_the_good_one_goes_on(house: House) -> None:
    said = {name: words for name, (_, words) in FEEDS.items()} | {"unreachable": "cannot be reached"}
    deadline = time.monotonic() + SETTLING
    while time.monotonic() < deadline and not all(house.sources()[name]["error"] for name in said):
        time.sleep(0.2)
    house.newsroom.publish("wire", "second", *Prose(Random(2)).article(), datetime.now(UTC))
    while time.monotonic() < deadline and house.sources()["wire"]["ledger"]["stored"] < 2:
        time.sleep(0.2)
    sources = house.sources()
    for name, words in said.items():
        assert words in (sources[name]["error"] or ""), name
        assert sources[name]["last_success"] is None
        assert sources[name]["ledger"]["received"] == 0
    assert sources["wire"]["error"] is None
    assert sources["wire"]["ledger"]["stored"] == 2
    assert house.daemon.get("/readyz")[0] == 200
    _, metrics = house.daemon.get("/metrics")
    assert 'newsquake_source_failing{source="huge"} 1.0' in metrics
    assert 'newsquake_source_failing{source="wire"} 0.0' in metrics


# --- the door ---


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b'{"articles": [', "application/json", 422, "the body is not valid JSON"),
        (b"\xff\xfe{}", "application/json", 422, "the body is not valid JSON"),
        (b'{"articles": [{"title": NaN}]}', "application/json", 422, "the body is not valid JSON"),
        (b"[" * 100_000, "application/json", 422, "the body is not valid JSON"),
        (b"", "application/json", 422, "the body is not valid JSON"),
        (b"[]", "application/json", 422, "body: found an array"),
        (b"{}", "application/json", 422, "articles: missing"),
        (b'{"articles": {"title": "Acme"}}', "application/json", 422, "articles: found an object"),
        (b'{"articles": [{"title": "Acme \\ud83d"}]}', "application/json", 422, "the body is not valid JSON"),
        (b'{"articles": []}', "text/plain", 415, "found 'text/plain'; expected application/json"),
        (b" " * (MAX_BODY + 1), "application/json", 413, f"the body is larger than {MAX_BODY} bytes (api.max_body)"),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused_as_a_whole(
    house: House, body: bytes, kind: str, status: int, said: str
) -> None:
    before = house.sources()["door"]["ledger"]
    found, answer = house.daemon.send("/api/v1/articles", body, kind)
    assert found == status, answer
    assert answer["error"]["message"].startswith(said)
    assert house.sources()["door"]["ledger"] == before


def test_a_door_that_is_not_there_is_named(house: House) -> None:
    status, answer = house.daemon.post("/api/v1/articles?source=wire", {"articles": []})
    assert status == 404
    assert answer["error"]["message"] == "source: found 'wire'; expected one of door"


def test_a_bad_article_does_not_hold_up_its_neighbours(house: House) -> None:
    results = house.push(
        [
            {"title": "Acme Bank opens an office"},
            {"title": "", "text": None},
            {"title": "<p>\u200b&nbsp;</p>"},
            "Acme Bank",
            None,
            {"title": 7},
            {"title": "Acme Bank", "published": "yesterday"},
            {"title": "Acme Bank to hold its annual meeting", "url": "javascript:alert(1)", "colour": "red"},
        ]
    )
    assert [result["outcome"] for result in results] == ["stored", *["dead"] * 6, "stored"]
    said = [
        "there is no text; expected at least one of title, text",
        "no text: title and body are empty once cleaned",
        "the article is no object",
        "the article is no object",
        "title is a number; expected text",
        "published: ",
    ]
    for result, words in zip(results[1:-1], said, strict=True):
        assert result["error"].startswith(words)
    _, article = house.daemon.get(f"/api/v1/articles/{results[-1]['article_id']}")
    assert article["link"] is None, "nobody can click on a link that is none"


def test_a_text_of_a_megabyte_is_taken_and_a_longer_one_is_not(house: House) -> None:
    title = "Acme Bank reports"
    longest = ("profit and loss " * LONGEST)[: LONGEST - len(title) - 1].rstrip()
    results = house.push([{"title": title, "text": longest}, {"title": title, "text": "x" * LONGEST}])
    assert [result["outcome"] for result in results] == ["stored", "dead"]
    assert results[1]["error"] == "the text has 1,000,017 characters: expected at most 1,000,000"
    _, article = house.daemon.get(f"/api/v1/articles/{results[0]['article_id']}")
    assert len(article["text"]) == len(longest)


def test_naughty_strings_are_answered_in_order_and_known_again(house: House) -> None:
    if not NAUGHTY.is_file():
        pytest.skip(f"the list of naughty strings is not at {NAUGHTY}")
    articles = [{"title": text, "text": "told"} for text in json.loads(NAUGHTY.read_text(encoding="utf-8"))]
    first, again = house.push(articles), house.push(articles)
    assert {result["outcome"] for result in first} <= {"stored", "duplicate"}, "each has a text"
    assert [result["article_id"] for result in first] == [result["article_id"] for result in again]
    assert {result["outcome"] for result in again} == {"duplicate"}


def test_a_nul_is_kept_out_of_the_database(house: House) -> None:
    (result,) = house.push([{"title": "Acme\x00Bank opens a branch"}])
    assert result["outcome"] == "stored"
    _, article = house.daemon.get(f"/api/v1/articles/{result['article_id']}")
    assert "\x00" not in article["title"]
    assert article["title"].startswith("Acme")


def test_what_was_answered_at_the_door_is_what_the_ledger_holds(house: House) -> None:
    house.push([{"title": ""}])
    door = house.sources()["door"]
    ledger = door["ledger"]
    outcomes = ("stored", "duplicate", "dead", "dropped")
    assert {name: ledger[name] for name in outcomes} == {name: house.tally[name] for name in outcomes}
    assert ledger["received"] == house.tally.total()
    assert door["dead_letters"] == house.tally["dead"]
    _, metrics = house.daemon.get("/metrics")
    assert f'newsquake_source_items_total{{outcome="dead",source="door"}} {house.tally["dead"]:.1f}' in metrics
