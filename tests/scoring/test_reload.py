from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.errors import ArtefactError
from monitor.scoring.bench import bench, documents
from monitor.scoring.references import BUILTIN
from monitor.scoring.reload import open_worker, swap
from monitor.telemetry import Telemetry
from monitor.types import Mention, Score
from tests.fakes import FakeClock
from tests.samples import article
from tests.tiny import save_classifier

pytestmark = pytest.mark.model
NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def gauge(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return telemetry.registry.get_sample_value(name, labels)


async def test_a_good_model_takes_over_and_a_bad_one_leaves_it_serving(tmp_path: Path) -> None:
    telemetry = Telemetry()
    folder = save_classifier(tmp_path / "m", ["positive", "negative", "neutral"])
    worker = await open_worker(f"path:{folder}", clock=FakeClock(NOW))
    first = worker.model
    second = await swap(worker, "builtin", telemetry)
    assert second == worker.model != first
    assert gauge(telemetry, "newsquake_model_reload_successful") == 1.0
    assert gauge(telemetry, "newsquake_model_info", model=second) == 1.0

    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_bytes((BUILTIN / "manifest.json").read_bytes())
    with pytest.raises(ArtefactError, match=r"model\.safetensors"):
        await swap(worker, f"path:{broken}", telemetry)
    assert gauge(telemetry, "newsquake_model_reload_successful") == 0.0
    (score,) = await worker.score([Mention(article=article("x", title="Acme Bank shares plunge on fraud", text=""))])
    assert isinstance(score, Score)
    assert (score.model, score.sentiment.label) == (second, "negative")
    await worker.close()


def test_bench_measures_both_in_one_run() -> None:
    figures = bench(seconds=0.01)
    assert figures["documents"] == 128
    assert figures["token_limit"] == 128
    assert float(str(figures["ratio"])) > 0


def test_benchmark_news_is_of_mixed_length_and_always_the_same() -> None:
    lengths = [len(text.split()) for text in documents(500, seed=1)]
    assert documents(500, seed=1) == documents(500, seed=1)
    assert min(lengths) < 17
    assert max(lengths) > 249
