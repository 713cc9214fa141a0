"""The model is changed in the real daemon, which is killed again and again meanwhile: nothing is lost or counted twice,
a tampered model stays outside, and a rollback brings the old one back."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from monitor.core.manifest import NAME, parse
from monitor.scoring.references import BUILTIN
from monitor.store.models import Promotions
from monitor.types import ModelId
from tests.process.ahead import DaemonAhead
from tests.process.daemon import free_port
from tests.process.prose import Prose, write_past

KILLS = 6
PATIENCE = 180.0  # seconds; generous, for a busy machine

CONFIG = """
[store]
url = "sqlite:///{folder}/newsquake.db"
[api]
bind = "127.0.0.1:{port}"
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
WATCHLIST = """
[[company]]
id = "acme"
names = ["Acme Bank", "Acme"]
[[company]]
id = "bolt"
names = ["Bolt Motors", "Bolt"]
"""


def another(folder: Path) -> ModelId:
    """Write a model that judges as the shipped one does, and is another all the same; return its id."""
    shutil.copytree(BUILTIN, folder)
    manifest = json.loads((folder / NAME).read_bytes())
    (folder / NAME).write_text(json.dumps({**manifest, "licence": f"{manifest['licence']}; {folder.name}"}))
    return parse((folder / NAME).read_bytes(), folder.name)[1]


class World:
    """A daemon, articles pushed to it, and its database as others see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prose = Prose(Random(20261122))
        (folder / "watchlist.toml").write_text(WATCHLIST, encoding="utf-8")
        self.past = write_past(folder / "past.jsonl", self.prose, days=6)
        port = free_port()
        config = folder / "newsquake.toml"
        config.write_text(CONFIG.format(folder=folder, port=port), encoding="utf-8")
        self.daemon = DaemonAhead(config, port)
        self.stopped = threading.Event()
        self.pushed = 0

    def push(self) -> None:
        """Push articles until told to stop, each until it is acknowledged."""
        while not self.stopped.wait(0.3):
            title, text = self.prose.article()
            article = {"title": title, "text": text, "id": f"door-{self.pushed}", "publisher": "paper.example"}
            while not self.stopped.is_set():
                try:
                    status, _ = self.daemon.post("/api/v1/articles?source=door", {"articles": [article]})
                except OSError:
                    status = 0
                if status == 200:
                    self.pushed += 1
                    break
                time.sleep(0.2)

    def rows(self, query: str, *values: object) -> Sequence[Any]:
        with closing(sqlite3.connect(self.folder / "newsquake.db", timeout=30)) as db:
            return db.execute(query, values).fetchall()

    def states(self) -> dict[str, str]:
        return dict(self.rows("SELECT id, state FROM models"))

    def until(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not met():
            assert time.monotonic() < deadline, f"{self.states()}\n{self.daemon.tail()}"
            time.sleep(0.3)

    def ask(self, act: Callable[[Promotions], Any]) -> Any:
        """Do something to the models as another process does, while the daemon runs or not."""

        async def asked() -> Any:
            promotions = await Promotions.open(f"sqlite:///{self.folder}/newsquake.db")
            try:
                return await act(promotions)
            finally:
                await promotions.close()

        return asyncio.run(asked())

    def stage(self, folder: Path, id_: ModelId) -> None:
        self.ask(lambda promotions: promotions.stage(f"path:{folder}", id_, {}, datetime.now(UTC)))

    def judged(self, model: str) -> int:
        return int(self.rows("SELECT count(*) FROM judgements WHERE key = 'all' AND model = ?", model)[0][0])

    def articles(self) -> int:
        return int(self.rows("SELECT count(*) FROM articles")[0][0])

    def examine(self) -> None:
        """Hold the sums against the judgements, for each model, and the ledger against the articles."""
        counted = self.rows("SELECT model, key, sum(stories) FROM rollups GROUP BY model, key ORDER BY model, key")
        told = "SELECT model, key, sum(leads) FROM judgements GROUP BY model, key HAVING sum(leads) > 0"
        assert counted == self.rows(f"{told} ORDER BY model, key")
        assert self.rows("SELECT sum(stored), sum(dead) + sum(dropped) FROM ledger") == [(self.articles(), 0)]
        assert self.rows("SELECT count(*) FROM articles WHERE source = 'door'") == [(self.pushed,)]


@pytest.mark.process
@pytest.mark.model
def test_a_model_is_promoted_and_rolled_back_though_the_daemon_is_killed_meanwhile(tmp_path: Path) -> None:
    world, random = World(tmp_path), Random(7)
    daemon = world.daemon
    pushing = threading.Thread(target=world.push)
    try:
        daemon.start()
        world.until(lambda: world.articles() >= world.past)
        (old,) = world.states()
        pushing.start()

        new = another(tmp_path / "better")
        world.stage(tmp_path / "better", new)
        for number in range(KILLS):
            time.sleep(random.uniform(0.5, 4.0))
            daemon.kill()
            daemon.start(wait=number % 3 != 0)
        world.until(lambda: world.states()[new] in ("ready", "serving"))
        daemon.put_forward()
        world.until(lambda: world.states() == {old: "retired", new: "serving"})
        (changeover,) = world.rows("SELECT changeover FROM models WHERE id = ?", new)[0]
        assert changeover % 300_000_000 == 0
        world.until(lambda: world.judged(new) == world.articles())

        # A model that was tampered with stays outside, and the old one serves on.
        bad = another(tmp_path / "bad")
        weights = tmp_path / "bad" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
        world.stage(tmp_path / "bad", bad)
        world.until(lambda: world.states()[bad] == "refused")
        assert world.states()[new] == "serving"
        assert "was changed or cut short" in world.rows("SELECT error FROM models WHERE id = ?", bad)[0][0]
        assert daemon.get("/readyz")[0] == 200
        metrics = str(daemon.get("/metrics")[1])
        assert "newsquake_model_reload_successful 0.0" in metrics
        assert f'newsquake_model_info{{model="{new}"}} 1.0' in metrics

        # Rolled back, and killed before it is seen: the old one serves from the start on, and fills its gap.
        daemon.kill()
        assert world.ask(lambda promotions: promotions.rollback(datetime.now(UTC))).id == old
        daemon.start()
        assert world.states() == {old: "serving", new: "withdrawn", bad: "refused"}
        world.until(lambda: world.judged(old) == world.articles())
        world.stopped.set()
        pushing.join()
        world.until(lambda: world.judged(old) == world.articles())
        assert daemon.stop() == 0, daemon.tail()
    finally:
        world.stopped.set()
        daemon.end()
    world.examine()
