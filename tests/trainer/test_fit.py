from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from monitor.core.manifest import parse
from monitor.errors import ArtefactError, ConfigurationError
from monitor.scoring.model import open_model
from monitor.scoring.worker import judge_all
from tests.trainer.conftest import headlines
from trainer.calibrate import calibration_error, temperature
from trainer.commands import heads_from, listed, recipe_for, run_evaluate, run_fit
from trainer.config import Recipe
from trainer.data import load
from trainer.evaluate import confusion, report
from trainer.fit import CHECKPOINT, Epoch, Step, fit, length_grouped
from trainer.network import open_base

Write = Callable[..., Path]
HEADS = {"sentiment": "label", "topic": "topic"}


def recipe(file: Path, base: Path, **other: object) -> Recipe:
    made = recipe_for(None, [file], HEADS, {"base": f"path:{base}", "epochs": 6, "batch": 16, "rate": 5e-3, **other})
    fit_recipe = made.fit.model_copy(update={"limit": 32, "averaging": 0.8, "precision": "fp32", "dropout": 0.0})
    return made.model_copy(update={"fit": fit_recipe})


@pytest.fixture(scope="module")
def fitted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit")
    rows = headlines(400, seed=3)
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    run_fit(
        recipe(folder / "rows.jsonl", base), Path(), folder / "desk", skip_bad=False, licence="CC0-1.0", threads=None
    )
    return folder


def test_a_fit_ends_as_an_artefact_that_serves(fitted: Path, base: Path) -> None:
    model = open_model(f"path:{fitted / 'desk'}")
    (falls, rises), _ = judge_all(
        model, [("acme falls after strike x", [(0, 4)]), ("acme jumps after dividend x", [])], 1000
    )
    assert not isinstance(falls, Exception)
    assert not isinstance(rises, Exception)
    assert max(falls["sentiment"], key=falls["sentiment"].__getitem__) == "negative"
    assert max(rises["sentiment"], key=rises["sentiment"].__getitem__) == "positive"
    assert max(falls["topic"], key=falls["topic"].__getitem__) == "strike"


def test_the_artefact_says_what_it_is_and_came_from(fitted: Path, base: Path) -> None:
    raw = (fitted / "desk" / "manifest.json").read_bytes()
    manifest, identity = parse(raw, "manifest.json")
    assert identity == open_model(f"path:{fitted / 'desk'}").id
    assert manifest.licence == "CC0-1.0"
    assert manifest.base.reference == f"path:{base}"
    assert {name: head.labels for name, head in manifest.heads.items()} == {
        "sentiment": ("negative", "neutral", "positive"),
        "topic": ("dividend", "strike"),
    }
    card = (fitted / "desk" / "README.md").read_text(encoding="utf-8")
    assert "| negative |" in card
    assert str(fitted / "rows.jsonl") in card
    assert sorted(path.name for path in (fitted / "desk").iterdir()) == [
        "README.md",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_evaluate_gives_figures_for_each_class(fitted: Path, base: Path) -> None:
    asked = recipe(fitted / "rows.jsonl", base)
    found = run_evaluate(f"path:{fitted / 'desk'}", asked, Path(), "valid", skip_bad=False)
    figures = found[str(fitted / "rows.jsonl")]["sentiment"]
    assert figures["rows"] == 100
    assert figures["accuracy"] > 0.9
    assert set(figures["classes"]) == {"negative", "neutral", "positive"}
    manifest, _ = parse((fitted / "desk" / "manifest.json").read_bytes(), "manifest.json")
    assert manifest.metrics[str(fitted / "rows.jsonl")]["sentiment"]["macro_f1"] == pytest.approx(  # type: ignore[call-overload, index]
        figures["macro_f1"], abs=0.02
    )


def test_evaluate_refuses_rows_that_say_nothing_to_the_model(fitted: Path) -> None:
    with pytest.raises(ConfigurationError, match="has the heads sentiment, topic"):
        run_evaluate(
            f"path:{fitted / 'desk'}",
            recipe_for(None, [fitted / "rows.jsonl"], {"mood": "label"}, {}),
            Path(),
            "valid",
            skip_bad=False,
        )


def test_artefacts_are_listed_with_what_they_reached(fitted: Path) -> None:
    (line,) = listed(fitted)
    assert "desk" in line
    assert "rows sentiment 0.9" in line or "rows sentiment 1.0" in line


def test_the_same_seed_gives_the_same_weights(base: Path, write_rows: Write, tmp_path: Path) -> None:
    file = write_rows(*headlines(60, seed=5))
    asked = recipe(file, base, epochs=1)
    data, _ = load(asked, Path())
    opened = open_base(asked.base, base)
    one, other = (fit(asked, data, opened, tmp_path / name, lambda _: None).state_dict() for name in ("a", "b"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_interrupted_fit_keeps_its_best_epoch(base: Path, write_rows: Write, tmp_path: Path) -> None:
    asked = recipe(write_rows(*headlines(60, seed=5)), base, epochs=3)
    data, _ = load(asked, Path())
    seen: list[Step | Epoch] = []

    def tell(event: Step | Epoch) -> None:
        seen.append(event)
        if isinstance(event, Step) and event.epoch == 2:
            raise KeyboardInterrupt

    fit(asked, data, open_base(asked.base, base), tmp_path / "out", tell)
    assert isinstance(seen[-2], Epoch)
    assert (tmp_path / "out" / CHECKPOINT).is_file()
    with pytest.raises(KeyboardInterrupt):
        fit(
            asked,
            data,
            open_base(asked.base, base),
            tmp_path / "none",
            lambda _: (_ for _ in ()).throw(KeyboardInterrupt),
        )


def test_frozen_words_stay_the_bases(base: Path, fitted: Path) -> None:
    manifest, _ = parse((fitted / "desk" / "manifest.json").read_bytes(), "manifest.json")
    assert manifest.words == "base"
    from safetensors import safe_open

    with safe_open(fitted / "desk" / "model.safetensors", framework="pt") as file:
        assert not [name for name in file.keys() if "words" in name]  # noqa: SIM118 - not a mapping


def test_a_base_that_is_not_there_or_no_bert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="cannot read the base model"):
        open_base("path:none", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ArtefactError, match="is a 't5', expected 'bert'"):
        open_base("path:x", tmp_path)


def test_batches_hold_every_row_once_and_like_lengths() -> None:
    lengths = [n % 50 for n in range(1000)]
    batches = list(length_grouped(lengths, 10, random.Random(1)))
    assert sorted(i for batch in batches for i in batch) == list(range(1000))
    spread = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches]
    assert sum(spread) / len(spread) < 5


def test_temperature_tames_an_overconfident_head() -> None:
    chance = np.random.default_rng(1)
    truth = chance.integers(0, 3, 3000)
    logits = chance.normal(size=(3000, 3)).astype(np.float32)
    logits[np.arange(3000), truth] += 1.0
    assert temperature(logits, truth) == pytest.approx(1.0, abs=0.1)
    assert temperature(logits * 3, truth) == pytest.approx(3.0, abs=0.3)


def test_calibration_error_is_the_distance_of_word_and_deed() -> None:
    assert calibration_error([0.8] * 10, [True] * 8 + [False] * 2, bins=1) == pytest.approx(0.0)
    assert calibration_error([0.8] * 10, [False] * 10) == pytest.approx(0.8)


def test_a_report_counts_as_one_would_by_hand() -> None:
    figures = report(confusion([0, 0, 1, 1], [0, 1, 1, 1], 3), ["a", "b", "c"])
    assert figures["accuracy"] == 0.75
    assert figures["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert figures["classes"]["a"] == {"precision": 1.0, "recall": 0.5, "f1": 0.6667, "rows": 2}
    assert figures["macro_f1"] == pytest.approx((0.6667 + 0.8) / 2, abs=1e-4)


def test_the_command_line_asks_for_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match="NAME=COLUMN"):
        heads_from(["sentiment"])
    with pytest.raises(ConfigurationError, match="--recipe, or FILES"):
        recipe_for(None, [], {}, {})
    with pytest.raises(ConfigurationError, match="leave out FILES"):
        recipe_for("default", [Path("x")], {}, {})
