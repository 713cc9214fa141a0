from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.errors import ArtefactError
from monitor.scoring.bench import bench, documents
from monitor.scoring.references import BUILTIN
from monitor.scoring.reload import open_aside, open_worker
from monitor.types import Mention, Score
from tests.fakes import FakeClock
from tests.samples import article
from tests.tiny import save_classifier

pytestmark = pytest.mark.model
NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


async def test_a_model_is_opened_aside_and_a_bad_one_leaves_the_old_serving(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "m", ["positive", "negative", "neutral"])
    worker = await open_worker(f"path:{folder}", clock=FakeClock(NOW))
    first = worker.model
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_bytes((BUILTIN / "manifest.json").read_bytes())
    with pytest.raises(ArtefactError, match=r"model\.safetensors"):
        await open_aside(f"path:{broken}")
    assert worker.model == first

    worker.stand_by(await open_aside("builtin"))
    assert worker.take_over() == first
    (score,) = await worker.score([Mention(article=article("x", title="Acme Bank shares plunge on fraud", text=""))])
    assert isinstance(score, Score)
    assert (score.model, score.sentiment.label) == (worker.model, "negative")
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
