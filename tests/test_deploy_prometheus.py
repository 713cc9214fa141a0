"""The shipped rules and dashboard: Prometheus reads them, they fire when they should, and they name real metrics."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from monitor.check import RULES
from tests.alerting import required

ROOT = Path(__file__).parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULE_FILES = sorted(PROMETHEUS.glob("*.rules.yml"))
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


@pytest.mark.parametrize("file", [*RULE_FILES, *TEST_FILES], ids=lambda file: str(file.name))
def test_rules_rest_on_metrics_that_there_are(file: Path) -> None:
    assert named(file.read_text(encoding="utf-8")) <= known_metrics()
