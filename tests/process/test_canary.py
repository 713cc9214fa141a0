"""A daemon that plants canaries: the shipped model judges them, and a desk sees them only where they are missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.process.daemon import Daemon, free_port, until

pytestmark = [pytest.mark.process, pytest.mark.model]


def configured(daemon: Daemon, canary: str) -> None:
    port = daemon.address.rpartition(":")[2]
    daemon.config.write_text(f'[api]\nbind = "127.0.0.1:{port}"\n{canary}', encoding="utf-8")


def incidents(daemon: Daemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = daemon.get("/api/v1/incidents")[1]["incidents"]
    return found


def test_canaries_measure_the_way_and_their_silence_is_an_incident(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "newsquake.toml", free_port())
    try:
        configured(daemon, '[canary]\nwithin = "0.0001 s"\n')
        daemon.start()
        until(daemon, lambda: incidents(daemon))
        (incident,) = incidents(daemon)
        assert (incident["kind"], incident["state"], incident["keys"]) == ("blind", "firing", ["source:canary"])
        assert daemon.metric("newsquake_canary_missed_total") == 1
        assert daemon.stop() == 0, daemon.tail()

        configured(daemon, "")
        daemon.start()
        until(daemon, lambda: incidents(daemon)[0]["state"] == "resolved")  # nobody waits for it any more
        assert daemon.stop() == 0, daemon.tail()

        configured(daemon, '[canary]\nlanguages = ["en", "zh"]\n')
        daemon.start()
        until(daemon, lambda: daemon.metric("newsquake_canary_seconds_count"))
        assert daemon.metric("newsquake_canary_missed_total") == 0
        assert daemon.metric('newsquake_items_total{outcome="canary"') == 2
        assert len(incidents(daemon)) == 1
        assert daemon.get("/api/v1/articles")[1]["articles"] == []
        assert daemon.get("/api/v1/keys")[1]["keys"] == []
        assert [each["id"] for each in daemon.get("/api/v1/sources")[1]["sources"]] == ["push"]
        assert daemon.stop() == 0, daemon.tail()
    finally:
        daemon.end()
