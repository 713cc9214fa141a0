from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from monitor.reading import KeyLevel, Live, TargetLevel, WindowLevel
from monitor.telemetry import Telemetry, configure_log, installed_version, window_label
from monitor.types import Key, SourceId
from tests.api.conftest import ACME, LIVE, an_incident
from tests.samples import DESK

DOCUMENT = Path(__file__).parent.parent / "docs" / "metrics.md"
Row = tuple[str, str, frozenset[str]]


def level(key: str, *, surging: bool = False, blind: bool = False) -> KeyLevel:
    window = WindowLevel(window=timedelta(hours=1), stories=1, negative=0.5, expected=0.25)
    return KeyLevel(key=Key(key), surging=surging, blind=blind, learning_since=None, windows=(window,))


def live_of(*levels: KeyLevel) -> Live:
    return Live(model=None, ticked=None, keys=levels, incidents=(an_incident(1),), sources=())


def shown(telemetry: Telemetry) -> list[Metric]:
    return list(text_string_to_metric_families(generate_latest(telemetry.registry).decode()))


def at_work() -> Telemetry:
    """Return a daemon's metrics after everything has happened once."""
    telemetry = Telemetry()
    telemetry.watch(lambda: LIVE)
    for metric in vars(telemetry).values():
        names = getattr(metric, "_labelnames", ())
        child = metric.labels(*("x" for _ in names)) if names else metric
        for verb in ("inc", "set", "observe"):
            if verb in dir(child):
                getattr(child, verb)(1)
                break
    return telemetry


def exposed() -> Iterator[Row]:
    for family in shown(at_work()):
        if family.name.endswith("_created"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield name, family.type, frozenset(label for each in family.samples for label in each.labels if label != "le")


def documented() -> Iterator[Row]:
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if row := re.match(r"\| `(\w+)` \| (\w+) \| (.*?) ?\| \S.*\|$", line):
            yield row[1], row[2], frozenset(re.findall(r"`(\w+)`", row[3]))


def test_every_metric_is_documented_and_every_documented_one_is_there() -> None:
    rows = list(documented())
    assert len(rows) == len(set(rows)) > 20
    assert set(exposed()) == set(rows)


def test_names_are_as_prometheus_wants_them() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        assert not os.environ.get("NEWSQUAKE_REQUIRE_SERVERS"), "promtool is required here, and is not in the path"
        pytest.skip("promtool is not installed (it comes with Prometheus)")
    text = generate_latest(at_work().registry)
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_the_keys_that_matter_are_shown_where_there_are_too_many() -> None:
    telemetry = Telemetry()
    quiet = [level(f"entity:{number:04}") for number in range(1000)]
    telemetry.watch(
        lambda: live_of(*quiet, level("topic:a", blind=True), level("topic:z", surging=True), level(ACME)), max_keys=4
    )
    keys = {each.labels["key"] for family in shown(telemetry) for each in family.samples if "key" in each.labels}
    assert keys == {ACME, "topic:a", "topic:z", "entity:0000"}
    count = telemetry.registry.get_sample_value
    assert count("newsquake_keys", {"state": "calm"}) == 1001
    assert count("newsquake_keys", {"state": "learning"}) == 0


def test_the_needle_is_read_when_somebody_asks() -> None:
    telemetry = Telemetry()
    now = [live_of(level("all"))]
    telemetry.watch(lambda: now[0])
    read = telemetry.registry.get_sample_value
    assert read("newsquake_key_surging", {"key": "all"}) == 0
    now[0] = live_of(level("all", surging=True))
    assert read("newsquake_key_surging", {"key": "all"}) == 1
    assert read("newsquake_key_expected_negative_stories", {"key": "all", "window": "1h"}) == 0.25
    assert read("newsquake_incidents_open", {"kind": "surge", "severity": "high"}) == 1
    assert read("newsquake_incidents_open", {"kind": "blind", "severity": "low"}) == 0


def test_what_keeps_messages_and_commits_from_their_ends_is_shown() -> None:
    telemetry = Telemetry()
    now = [replace(live_of(), targets=(TargetLevel(id=DESK, kind="webhook", undelivered=2),), trouble="disk full")]
    telemetry.watch(lambda: now[0])
    read = telemetry.registry.get_sample_value
    assert read("newsquake_target_undelivered_messages", {"target": "desk"}) == 2
    assert read("newsquake_store_failing") == 1
    now[0] = live_of()
    assert read("newsquake_target_undelivered_messages", {"target": "desk"}) is None
    assert read("newsquake_store_failing") == 0


def test_counters_stand_at_nought_before_the_first_event_so_that_prometheus_sees_it_as_a_rise() -> None:
    telemetry = Telemetry()
    telemetry.expect_source(SourceId("wire"))
    telemetry.expect_target(DESK)
    read = telemetry.registry.get_sample_value
    assert read("newsquake_source_items_total", {"source": "wire", "outcome": "dead"}) == 0
    assert read("newsquake_deliveries_total", {"target": "desk", "outcome": "expired"}) == 0


def test_nothing_has_failed_to_be_loaded_before_it_was_tried() -> None:
    read = Telemetry().registry.get_sample_value
    assert read("newsquake_model_reload_successful") == read("newsquake_config_reload_successful") == 1


def test_a_key_with_quotes_and_line_ends_breaks_no_line() -> None:
    telemetry = Telemetry()
    telemetry.watch(lambda: live_of(level('topic:"a"\\b\nc|é')))
    keys = {each.labels["key"] for family in shown(telemetry) for each in family.samples if "key" in each.labels}
    assert keys == {'topic:"a"\\b\nc|é'}


def test_two_daemons_in_one_process_do_not_mix() -> None:
    one, other = Telemetry(), Telemetry()
    one.items.labels("watch", "stored").inc()
    assert other.registry.get_sample_value("newsquake_items_total", {"stage": "watch", "outcome": "stored"}) is None


def test_the_build_is_told() -> None:
    (info,) = [family for family in shown(Telemetry()) if family.name == "newsquake_build_info"]
    assert info.samples[0].labels["version"] == installed_version()


@pytest.mark.parametrize(("minutes", "label"), [(15, "15m"), (60, "1h"), (360, "6h"), (1440, "24h"), (90, "90m")])
def test_windows_have_short_names(minutes: int, label: str) -> None:
    assert window_label(timedelta(minutes=minutes)) == label


def fail(password: str) -> None:
    raise ZeroDivisionError(len(password))


@pytest.fixture
def log_afterwards() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.usefixtures("log_afterwards")
def test_a_traceback_in_the_log_shows_no_values(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure_log(json=as_json)
    try:
        fail("hunter" + "2")
    except ZeroDivisionError:
        structlog.get_logger().exception("a request failed")
    written = capsys.readouterr().err
    assert "ZeroDivisionError" in written
    assert "hunter2" not in written
    if as_json:
        assert json.loads(written)["event"] == "a request failed"
