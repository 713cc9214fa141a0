"""The shipped rules and dashboard: Prometheus reads them, they fire when they should, and they name real metrics."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it carries no types

from monitor.check import RULES
from tests.alerting import asked, prometheus, required

ROOT = Path(__file__).parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULE_FILES = sorted(PROMETHEUS.glob("*.rules.yml"))
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "newsquake.json"
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.test.yml"))


def promtool(*arguments: object) -> str:
    program = required("promtool")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60, cwd=PROMETHEUS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts(file: Path) -> list[str]:
    return re.findall(r"^ +- alert: (\w+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)


def known_metrics() -> set[str]:
    """Return every name under which a documented metric is stored."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", (ROOT / "docs" / "metrics.md").read_text("utf-8"), flags=re.MULTILINE)
    assert len(rows) > 30
    parts = {"histogram": ("_bucket", "_sum", "_count")}
    return {f"{name}{part}" for name, kind in rows for part in parts.get(kind, ("",))}


def named(text: str) -> set[str]:
    return set(re.findall(r"\b(?:newsquake|process)_[a-z_]+\b", text))


def test_prometheus_reads_the_shipped_configuration_with_all_rules() -> None:
    assert f"{len(RULE_FILES)} rule files found" in promtool("check", "config", PROMETHEUS / "prometheus.yml")
    for file in RULE_FILES:
        assert f"{len(alerts(file))} rules found" in promtool("check", "rules", file)


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: str(file.name))
def test_the_rules_fire_when_they_should_and_only_then(file: Path) -> None:
    promtool("test", "rules", file)


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda file: str(file.name))
def test_every_rule_is_tested_and_documented(file: Path) -> None:
    tested = (PROMETHEUS / "tests" / file.name.replace(".rules.", ".test.")).read_text(encoding="utf-8")
    documented = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in alerts(file) if name not in tested] == []
    assert [name for name in alerts(file) if f"`{name}`" not in documented] == []


def test_what_is_told_twice_is_looked_for_by_the_right_names() -> None:
    assert set(RULES.values()) == set(alerts(PROMETHEUS / "newsquake-incidents.rules.yml"))


@pytest.mark.parametrize("file", [*RULE_FILES, *TEST_FILES, DASHBOARD], ids=lambda file: str(file.name))
def test_rules_rest_on_metrics_that_there_are(file: Path) -> None:
    assert named(file.read_text(encoding="utf-8")) <= known_metrics()


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def test_no_two_panels_lie_on_each_other_and_each_says_what_it_shows() -> None:
    places: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        own = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not own & places, panel["title"]
        assert at["x"] + at["w"] <= 24
        places |= own
        assert panel["type"] == "row" or panel["description"]
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))


def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    given = {"$__rate_interval": "1m", "$instance": ".*", "$window": "1h", "$key": ".*"}
    expressions = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    assert len(expressions) > 20
    with prometheus(tmp_path, "global: {}\n") as address:
        for expression in expressions:
            for name, value in given.items():
                expression = expression.replace(name, value)  # noqa: PLW2901 - one after the other
            assert "$" not in expression
            answer = asked(f"{address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
            assert answer["status"] == "success", expression


def test_grafana_is_told_of_a_prometheus_and_of_where_the_dashboard_lies() -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))
    providers = yaml.safe_load((folder / "dashboards" / "newsquake.yml").read_text(encoding="utf-8"))
    assert [each["type"] for each in sources["datasources"]] == ["prometheus"]
    assert [Path(each["options"]["path"]).name for each in providers["providers"]] == [DASHBOARD.parent.name]
