"""The example configurations are read as `newsquake check` reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.assembly import desk_of, rules_of, sources_of, targets_of
from monitor.config import load

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
CONFIGURATIONS = sorted(path for path in EXAMPLES.glob("*.toml") if path.name != "watchlist.toml")


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_every_example_is_a_whole_configuration(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DESK_SECRET", "DB_PASSWORD", "KAFKA_PASSWORD"):
        monkeypatch.setenv(name, "s3cret")
    config = load(path)
    desk = desk_of(config)
    assert desk.watchlist.companies, "an example watches somebody"
    assert sources_of(config)
    assert {str(target) for route in desk.routes for target in route.targets} <= {
        target.id for target in targets_of(config)
    }
    assert rules_of(config).surges == 1.0


def test_there_is_one_for_each_way_to_begin() -> None:
    names = {path.stem for path in CONFIGURATIONS}
    assert names == {"newsquake", "laptop", "newsroom", "kafka", "kafka-postgresql", "hub"}
