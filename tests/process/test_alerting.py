"""The real daemon with a real Prometheus and a real Alertmanager: what is told, by which way, and for how long."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.alerting import Alertmanager, Pager, alertmanager, asked, prometheus, until
from tests.process.world import World, world

pytestmark = [pytest.mark.process, pytest.mark.model]

RULES = Path(__file__).parent.parent.parent / "deploy" / "prometheus"
PATIENCE = 120.0  # seconds; generous, for a busy machine: nothing is asserted about speed
PAGER = '[[target]]\nid = "pager"\nkind = "alertmanager"\nurl = "{}"\nlabels = {{ team = "risk" }}\n'
CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}/*.rules.yml"]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
scrape_configs: [{{job_name: newsquake, static_configs: [{{targets: ["{daemon}"]}}]}}]
"""


def surge(here: World) -> None:
    """Bring more bad news about Acme Bank than five calm days have let expect."""
    here.settle()
    read = datetime.now(UTC)
    until(lambda: last_tick(here) > read, PATIENCE)  # what was read as the past is learned with a tick
    here.pusher.push(60, threading.Event())


def last_tick(here: World) -> datetime:
    found = re.search(
        r"^newsquake_detector_last_tick_timestamp_seconds (\S+)$", here.daemon.get("/metrics")[1], re.MULTILINE
    )
    return datetime.fromtimestamp(float(found[1]) if found else 0.0, UTC)


def alerts_of_acme(server: Alertmanager) -> list[dict[str, Any]]:
    return [each for each in server.alerts() if each["labels"]["key"] == "entity:acme"]


def known_by(alert: dict[str, Any]) -> tuple[str, str]:
    return alert["fingerprint"], alert["startsAt"]


def test_a_surge_is_one_alert_through_the_death_of_either_side(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/newsquake.db"
    with (
        alertmanager(tmp_path) as (server, pager),
        world(tmp_path, store, Random(3), PAGER.format(server.url)) as here,
    ):
        surge(here)
        until(lambda: pager.got("firing", key="entity:acme"), PATIENCE)
        until(lambda: len(alerts_of_acme(server)) == 1, PATIENCE)
        [alert] = alerts_of_acme(server)
        [incident] = [
            each
            for each in here.daemon.get("/api/v1/incidents")[1]["incidents"]
            if each["id"] == alert["labels"]["incident"]
        ]
        assert alert["labels"] == {
            "alertname": "NewsquakeSurge",
            "kind": "surge",
            "key": "entity:acme",
            "incident": incident["id"],
            "severity": incident["severity"],
            "team": "risk",
        }
        assert alert["annotations"]["headline"] in here.pusher.acknowledged

        here.daemon.kill()
        here.daemon.start()
        until(lambda: alerts_of_acme(server)[0]["updatedAt"] > alert["updatedAt"], PATIENCE)
        assert [known_by(each) for each in alerts_of_acme(server)] == [known_by(alert)]

        told = len(pager.got("firing", key="entity:acme", severity=alert["labels"]["severity"]))
        assert told == 1
        server.kill(forget=True)
        server.start()
        until(lambda: alerts_of_acme(server), PATIENCE)  # with the next round, within a minute
        assert [known_by(each) for each in alerts_of_acme(server)] == [known_by(alert)]
        assert here.daemon.stop() == 0, here.daemon.tail()


def test_the_shipped_rules_tell_of_a_surge_of_a_dead_letter_and_of_the_daemons_end(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    for file in RULES.glob("*.rules.yml"):  # as shipped, but nobody waits two minutes here
        hasty = re.sub(r"^( +for): .*$", r"\1: 1s", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (rules / file.name).write_text(hasty, encoding="utf-8")
    with (
        alertmanager(tmp_path) as (server, pager),
        world(tmp_path, f"sqlite:///{tmp_path}/newsquake.db", Random(3)) as here,
        prometheus(
            tmp_path,
            CONFIG.format(
                rules=rules,
                alertmanager=server.url.removeprefix("http://"),
                daemon=here.daemon.address.removeprefix("http://"),
            ),
        ) as address,
    ):
        until(lambda: value(address, 'newsquake_source_items_total{source="door", outcome="dead"}') == "0", PATIENCE)
        dead = {"title": 3, "published": datetime.now(UTC).isoformat()}
        assert here.daemon.post("/api/v1/articles?source=door", {"articles": [dead]})[0] == 200
        surge(here)
        until(lambda: pager.got("firing", alertname="NewsquakeDeadLetters", source="door"), PATIENCE)
        until(lambda: pager.got("firing", alertname="NewsquakeKeySurging", key="entity:acme"), PATIENCE)
        assert pager.got("firing", alertname="NewsquakeDown") == []
        assert value(address, "newsquake_model_reload_successful") == "1"
        here.daemon.kill()
        until(lambda: pager.got("firing", alertname="NewsquakeDown", severity="critical"), PATIENCE)
        here.daemon.start()
        until(lambda: pager.got("resolved", alertname="NewsquakeDown"), PATIENCE)
        assert told_of(pager) <= {"NewsquakeDeadLetters", "NewsquakeKeySurging", "NewsquakeDown"}
        assert here.daemon.stop() == 0, here.daemon.tail()


def value(prometheus: str, series: str) -> str | None:
    """Return the value of one series as Prometheus has it, or None where it has none yet."""
    answer = asked(f"{prometheus}/api/v1/query?query={series.replace(' ', '%20')}")
    found = answer["data"]["result"]
    return str(found[0]["value"][1]) if found else None


def told_of(pager: Pager) -> set[str]:
    return {each["labels"]["alertname"] for each in pager.notified}
