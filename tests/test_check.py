"""What `newsquake check` asks of a real Prometheus and a real Alertmanager."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.check import _prometheus, _target
from monitor.config import AlertmanagerTarget, Config, load
from monitor.errors import ConfigurationError, TargetError
from monitor.net import HttpClient
from tests.alerting import alertmanager, prometheus
from tests.process.news import Fixed, serving

RULES = Path(__file__).parent.parent / "deploy" / "prometheus"
PAGER = '[[target]]\nid = "pager"\nkind = "alertmanager"\nurl = "{}"\n'
LOG = '[[target]]\nid = "log"\nkind = "log"\n'


def configured(folder: Path, text: str, prometheus: str | None = None) -> Config:
    path = folder / "newsquake.toml"
    metrics = f'[metrics]\nprometheus = "{prometheus}"\n' if prometheus else ""
    path.write_text(metrics + PAGER.format("http://127.0.0.1:1") + LOG + text, encoding="utf-8")
    return load(path)


def route(target: str, match: str = "") -> str:
    return f'[[route]]\ntargets = ["{target}"]\nmatch = {{ {match} }}\n'


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with all the shipped rules."""
    with prometheus(tmp_path_factory.mktemp("prometheus"), f"rule_files: ['{RULES}/*.rules.yml']\n") as address:
        yield address


async def asked(config: Config) -> str:
    client = HttpClient(allow_private=["127.0.0.1"])
    try:
        return await _prometheus(config, client)
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "NewsquakeKeySurging"),  # without a route, every target gets everything
        (route("pager"), "NewsquakeKeySurging"),
        (route("pager", 'severity = ["critical"]'), "NewsquakeKeySurging"),
        (route("pager", 'kind = ["blind"]'), "NewsquakeSourceBlind"),
    ],
)
async def test_who_pushes_what_a_rule_tells_too_is_refused(tmp_path: Path, loaded: str, text: str, rule: str) -> None:
    with pytest.raises(ConfigurationError, match=f"has the rule {rule}.*told twice"):
        await asked(configured(tmp_path, text, loaded))


async def test_rules_alone_are_well_and_so_is_a_push_alone(tmp_path: Path, loaded: str) -> None:
    assert await asked(configured(tmp_path, route("log"), loaded)) == "16 of the shipped rules are loaded"
    only = f"rule_files: ['{RULES}/newsquake.rules.yml']\n"
    with prometheus(tmp_path, only) as address:
        assert await asked(configured(tmp_path, route("pager"), address)) == "14 of the shipped rules are loaded"


async def test_without_a_prometheus_to_ask_it_is_said_that_the_double_cannot_be_told(tmp_path: Path) -> None:
    assert "not asked: name it in metrics.prometheus" in await asked(configured(tmp_path, route("pager")))


async def test_an_alertmanager_is_known_by_its_status(tmp_path: Path) -> None:
    client = HttpClient(allow_private=["127.0.0.1"])
    with alertmanager(tmp_path) as (server, _):
        section = AlertmanagerTarget(id="pager", kind="alertmanager", url=server.url, peers=(f"{server.url}/",))
        said = await _target(section, client)
    assert said.count("Alertmanager 0.") == 2
    assert said.count("cluster disabled") == 2
    await client.close()


async def test_what_is_neither_of_them_is_told(tmp_path: Path) -> None:
    client = HttpClient(allow_private=["127.0.0.1"])
    answers: dict[str, tuple[int, bytes, dict[str, str]]] = {
        "/api/v2/status": (200, b"[]", {}),
        "/api/v1/rules?type=alert": (200, b'{"data": 3}', {}),
    }
    with serving(Fixed, answers=answers) as address:
        section = AlertmanagerTarget(id="pager", kind="alertmanager", url=address)
        with pytest.raises(TargetError, match="expected an Alertmanager's status"):
            await _target(section, client)
        with pytest.raises(TargetError, match="expected a Prometheus"):
            await asked(configured(tmp_path, "", address))
    await client.close()
