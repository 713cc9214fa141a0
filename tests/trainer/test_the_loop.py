"""The whole loop: false alarms, the desk says so, one command, and the running daemon judges better."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.acceptance.desk import WORDS
from tests.process.ahead import DaemonAhead
from tests.process.command import newsquake
from tests.process.daemon import free_port
from tests.tiny import WORDS as KNOWN
from tests.trainer.house import COMPANIES, signs

PATIENCE = 180.0  # seconds; generous, for a busy machine
CONFIG = """
[store]
url = "sqlite:///{folder}/newsquake.db"
[api]
bind = "127.0.0.1:{port}"
[model]
default = "path:{model}"
threads = 1
[watchlist]
files = ["watchlist.toml"]
[[source]]
id = "past"
kind = "archive"
path = "past.jsonl"
[[source]]
id = "door"
kind = "push"
"""
# For a model of a few kilobytes; the one that is shipped goes on at the rate that is built in.
RECIPE = """
[fit]
epochs = 10
batch = 8
rate = 2e-3
averaging = 0.8
dropout = 0.0
unmarked = 0.0
precision = "fp32"
"""


class Desk:
    """A daemon with a tiny model, and what a desk does with it over the API."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.chance = Random(11)
        companies = "".join(f'[[company]]\nid = "{name}"\nnames = ["{name}"]\n' for name in COMPANIES)
        (folder / "watchlist.toml").write_text(companies, encoding="utf-8")
        (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
        self._write_past(days=6)
        port = free_port()
        self.config = folder / "newsquake.toml"
        self.config.write_text(CONFIG.format(folder=folder, port=port, model=model), encoding="utf-8")
        self.daemon = DaemonAhead(self.config, port)

    def headline(self, company: str, word: str) -> str:
        return f"{company} {word} {' '.join(self.chance.sample(WORDS, 7))}"

    def _write_past(self, days: int) -> None:
        start = datetime.now(UTC) - timedelta(days=days, hours=1)
        rows = [
            {
                "title": self.headline(COMPANIES[n % 4], self.chance.choice(("was", "was", "falls", "rises"))),
                "published": (start + timedelta(hours=n / 2)).isoformat(),
                "id": str(n),
            }
            for n in range(days * 48)
        ]
        (self.folder / "past.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    def write_gate(self) -> Path:
        words = {"falls": "negative", "rises": "positive", "was": "neutral"}
        rows = [
            {"text": self.headline(company, word), "entity": company, "sentiment": sign}
            for company in COMPANIES
            for word, sign in words.items()
            for _ in range(8)
        ]
        (self.folder / "gate.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return self.folder / "gate.jsonl"

    def get(self, path: str) -> Any:
        status, answer = self.daemon.get(path)
        assert status == 200, answer
        return answer

    def post(self, path: str, value: object) -> Any:
        status, answer = self.daemon.post(path, value)
        assert status in (200, 201), answer
        return answer

    def push(self, titles: Sequence[str]) -> list[str]:
        """Push articles of several publishers, and return their ids."""
        articles = [{"title": title, "publisher": f"paper-{n % 4}.example"} for n, title in enumerate(titles)]
        answer = self.post("/api/v1/articles?source=door", {"articles": articles})
        assert {each["outcome"] for each in answer["results"]} == {"stored"}
        return [each["article_id"] for each in answer["results"]]

    def incidents(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v1/incidents")["incidents"]
        return found

    def judged(self, texts: Sequence[str]) -> list[str]:
        """Return what the serving model calls texts, for the company that begins each."""
        return [self.post("/api/v1/score", {"text": text, "entity": text.split()[0]})["label"] for text in texts]

    def until(self, met: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not met():
            assert time.monotonic() < deadline, self.daemon.tail()
            time.sleep(0.2)

    def ticks(self) -> int:
        with closing(sqlite3.connect(self.folder / "newsquake.db", timeout=30)) as db:
            return int(db.execute("SELECT count(*) FROM ticks").fetchone()[0])

    def models(self) -> list[str]:
        ended = newsquake("trainer", "list", "-c", self.config, folder=self.folder)
        assert ended.code == 0, ended.err
        return [line.split()[0] for line in ended.out.splitlines()]


@pytest.mark.process
def test_the_desk_s_verdicts_become_a_better_model_and_the_needle_is_still(base: Path, tmp_path: Path) -> None:
    desk = Desk(tmp_path, signs(tmp_path, base, "neutral"))
    gate = desk.write_gate()
    try:
        desk.daemon.start()
        desk.until(lambda: desk.daemon.metric("newsquake_source_items_total") >= 288)
        read = desk.ticks()
        desk.until(lambda: desk.ticks() > read)  # what was read as the past is learned with a tick

        # A word that says nothing bad, and that the model takes for bad news: a surge that is none.
        words = sorted(set(KNOWN) - {*COMPANIES, "falls", "rises", "was", ".", ","})
        wrong = max(words, key=lambda word: desk.judged([desk.headline("acme", word)] * 3).count("negative"))
        held_out = [desk.headline(company, wrong) for company in COMPANIES for _ in range(10)]
        before = desk.judged(held_out).count("neutral")
        assert before < 20
        articles = desk.push([desk.headline("acme", wrong) for _ in range(40)])
        desk.until(desk.incidents)

        # The desk says so, over the API.
        (incident,) = {each["id"] for each in desk.incidents() if "entity:acme" in each["keys"]}
        for article in articles:
            verdict = {"verdict": "wrong_sentiment", "article": article, "entity": "acme", "sentiment": "neutral"}
            desk.post(f"/api/v1/incidents/{incident}/verdict", verdict)

        # One command.
        options = ("--out", "runs", "--recipe", "recipe.toml", "--gate", gate, "--promote")
        ended = newsquake("trainer", "retrain", "-c", desk.config, *options, folder=tmp_path)
        assert ended.code == 0, ended.err
        assert " is staged: path:" in ended.out

        # The running daemon takes it up, and nothing is told by that.
        told = {each["id"]: each["state"] for each in desk.incidents()}
        desk.until(lambda: desk.models()[0] in ("ready", "serving"))
        desk.daemon.put_forward()
        desk.until(lambda: sorted(desk.models()) == ["retired", "serving"])
        desk.until(lambda: desk.judged(held_out).count("neutral") > before + 15)
        assert set(told) == {each["id"] for each in desk.incidents()}
        assert desk.daemon.stop() == 0, desk.daemon.tail()
    finally:
        desk.daemon.end()
