from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from monitor.core.manifest import parse
from monitor.errors import ConfigurationError
from monitor.scoring.model import open_model
from monitor.scoring.worker import judge_all
from tests.trainer.conftest import SIGNS, headlines, recipe
from trainer.batches import length_grouped
from trainer.calibrate import calibration_error, probabilities, temperature
from trainer.commands import run_fit, stated_by
from trainer.config import HeadRecipe, heads_from, recipe_for, require_files
from trainer.data import load
from trainer.evaluate import confusion, report
from trainer.examine import run_evaluate
from trainer.fit import fit
from trainer.listing import listed
from trainer.network import build, open_base

Write = Callable[..., Path]
SWAPPED = HeadRecipe(labels=("positive", "neutral", "negative"))  # no head of these: it begins anew


def test_a_fit_ends_as_an_artefact_that_serves(fitted: Path, base: Path) -> None:
    model = open_model(f"path:{fitted}")
    (falls, rises), _ = judge_all(
        model, [("acme falls after strike x", [(0, 4)]), ("acme jumps after dividend x", [])], 1000
    )
    assert not isinstance(falls, Exception)
    assert not isinstance(rises, Exception)
    assert max(falls["sentiment"], key=falls["sentiment"].__getitem__) == "negative"
    assert max(rises["sentiment"], key=rises["sentiment"].__getitem__) == "positive"
    assert max(falls["topic"], key=falls["topic"].__getitem__) == "strike"


def test_the_artefact_says_what_it_is_and_came_from(fitted: Path, rows_file: Path, base: Path) -> None:
    raw = (fitted / "manifest.json").read_bytes()
    manifest, identity = parse(raw, "manifest.json")
    assert identity == open_model(f"path:{fitted}").id
    assert manifest.licence == "CC0-1.0"
    assert manifest.base.reference == f"path:{base}"
    assert {name: head.labels for name, head in manifest.heads.items()} == {
        "sentiment": ("negative", "neutral", "positive"),
        "topic": ("dividend", "strike"),
    }
    card = (fitted / "README.md").read_text(encoding="utf-8")
    assert "| negative |" in card
    assert str(rows_file) in card
    assert sorted(path.name for path in (fitted).iterdir()) == [
        "README.md",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_evaluate_gives_figures_for_each_class(fitted: Path, rows_file: Path, base: Path) -> None:
    asked = recipe(rows_file, base)
    found = run_evaluate(f"path:{fitted}", asked, Path(), "valid", skip_bad=False)
    figures = found["sets"][str(rows_file)]["sentiment"]
    assert figures["rows"] == 100
    assert figures["accuracy"] > 0.9
    assert set(figures["classes"]) == {"negative", "neutral", "positive"}
    manifest, _ = parse((fitted / "manifest.json").read_bytes(), "manifest.json")
    assert manifest.metrics[str(rows_file)]["sentiment"]["macro_f1"] == pytest.approx(  # type: ignore[call-overload, index]
        figures["macro_f1"], abs=0.02
    )


def test_evaluate_refuses_rows_that_say_nothing_to_the_model(fitted: Path, rows_file: Path) -> None:
    with pytest.raises(ConfigurationError, match="has the heads sentiment, topic"):
        run_evaluate(
            f"path:{fitted}",
            recipe_for(None, [rows_file], {"mood": "label"}, {}),
            Path(),
            "valid",
            skip_bad=False,
        )


def test_a_refit_learns_the_held_out_rows_and_states_whose_figures_it_bears(
    fitted: Path, rows_file: Path, base: Path, tmp_path: Path
) -> None:
    asked = recipe(rows_file, base, epochs=1, refit=True)
    run_fit(
        asked, Path(), tmp_path / "refit", skip_bad=False, licence="CC0-1.0", threads=None, measured=f"path:{fitted}"
    )
    manifest, _ = parse((tmp_path / "refit" / "manifest.json").read_bytes(), "manifest.json")
    former, identity = parse((fitted / "manifest.json").read_bytes(), "manifest.json")
    assert manifest.training[0].rows > former.training[0].rows
    assert manifest.metrics == former.metrics
    assert manifest.measured == identity
    assert f"gave these to `{identity}`" in (tmp_path / "refit" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("refit", "message"), [(False, "expected --refit beside it"), (True, "expected figures of its own")]
)
def test_only_a_refit_states_figures_and_only_of_the_same_heads(
    fitted: Path, rows_file: Path, base: Path, *, refit: bool, message: str
) -> None:
    asked = recipe(rows_file, base, refit=refit).model_copy(update={"heads": {"sentiment": SIGNS}})
    with pytest.raises(ConfigurationError, match=message):
        stated_by(f"path:{fitted}", asked)


def test_artefacts_are_listed_with_what_they_reached(fitted: Path) -> None:
    (line,) = listed(fitted.parent)
    assert "desk" in line
    assert "rows sentiment 0.9" in line or "rows sentiment 1.0" in line


def test_the_same_seed_gives_the_same_weights(base: Path, write_rows: Write, tmp_path: Path) -> None:
    file = write_rows(*headlines(60, seed=5))
    asked = recipe(file, base, epochs=1)
    data, _ = load(asked, Path())
    opened = open_base(asked.base, base)
    one, other = (fit(asked, data, opened, tmp_path / name, lambda _: None).state_dict() for name in ("a", "b"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_frozen_words_stay_the_bases(base: Path, fitted: Path) -> None:
    manifest, _ = parse((fitted / "manifest.json").read_bytes(), "manifest.json")
    assert manifest.words == "base"
    from safetensors import safe_open

    with safe_open(fitted / "model.safetensors", framework="pt") as file:
        assert not [name for name in file.keys() if "words" in name]  # noqa: SIM118 - not a mapping


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
    wanted = np.eye(3, dtype=np.float32)[truth]
    assert temperature(logits, wanted) == pytest.approx(1.0, abs=0.1)
    assert temperature(logits * 3, wanted) == pytest.approx(3.0, abs=0.3)
    assert temperature(logits * 3, probabilities(logits, 1.0, "single")) == pytest.approx(3.0, abs=0.01)


def test_calibration_error_is_the_distance_of_word_and_deed() -> None:
    assert calibration_error([0.8] * 10, [True] * 8 + [False] * 2, bins=1) == pytest.approx(0.0)
    assert calibration_error([0.8] * 10, [False] * 10) == pytest.approx(0.8)


def test_a_report_counts_as_one_would_by_hand() -> None:
    figures = report(confusion([0, 0, 1, 1], [0, 1, 1, 1], 3), ["a", "b", "c"])
    assert figures["accuracy"] == 0.75
    assert figures["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert figures["classes"]["a"] == {"precision": 1.0, "recall": 0.5, "f1": 0.6667, "rows": 2}
    assert figures["macro_f1"] == pytest.approx((0.6667 + 0.8) / 2, abs=1e-4)


@pytest.mark.parametrize("method", ["lora", "head"])
def test_a_method_that_leaves_the_encoder_teaches_as_well(
    fitted: Path, rows_file: Path, tmp_path: Path, method: str
) -> None:
    asked = recipe(rows_file, fitted, epochs=4, method=method)
    asked = asked.model_copy(update={"heads": {**asked.heads, "sentiment": SWAPPED}})
    run_fit(asked, Path(), tmp_path / "new", skip_bad=False, licence="CC0-1.0", threads=None, board=tmp_path / "board")
    found = run_evaluate(f"path:{tmp_path / 'new'}", asked, Path(), "valid", skip_bad=False)
    assert found["sets"][str(rows_file)]["sentiment"]["accuracy"] > 0.9
    manifest, _ = parse((tmp_path / "new" / "manifest.json").read_bytes(), "manifest.json")
    assert (manifest.method, manifest.words) == (method, "base")
    assert "Trained: " in (tmp_path / "new" / "README.md").read_text(encoding="utf-8")


def test_the_heads_alone_leave_the_encoder_as_it_was(fitted: Path, rows_file: Path, tmp_path: Path) -> None:
    asked = recipe(rows_file, fitted, epochs=1, method="head")
    run_fit(asked, Path(), tmp_path / "new", skip_bad=False, licence="CC0-1.0", threads=None)
    old, new = (load_file(folder / "model.safetensors") for folder in (fitted, tmp_path / "new"))
    assert {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])} == {"heads"}


def test_a_fit_that_goes_on_begins_where_the_model_stands(fitted: Path, rows_file: Path, tmp_path: Path) -> None:
    asked = recipe(rows_file, fitted)
    base = open_base(asked.base, fitted)
    labels = {"sentiment": ("negative", "neutral", "positive"), "topic": ("other", "labels")}
    network = build(base, labels, 0.0).state_dict()
    old = load_file(fitted / "model.safetensors")
    assert all(torch.equal(network[name], old[name].float()) for name in old if not name.startswith("heads.topic"))
    assert network["heads.topic.4.weight"].shape == (2, 32)
    assert base.parent == parse((fitted / "manifest.json").read_bytes(), "")[1]
    run_fit(asked, Path(), tmp_path / "new", skip_bad=False, licence="CC0-1.0", threads=None)
    manifest, _ = parse((tmp_path / "new" / "manifest.json").read_bytes(), "manifest.json")
    assert manifest.parent == base.parent
    assert manifest.base == base.pretrained


def test_words_once_trained_stay_in_the_artefact(base: Path, write_rows: Write, tmp_path: Path) -> None:
    file = write_rows(*headlines(60, seed=5))
    first = recipe(file, base, epochs=1)
    thawed = first.model_copy(update={"fit": first.fit.model_copy(update={"freeze_words": False})})
    run_fit(thawed, Path(), tmp_path / "a", skip_bad=False, licence="CC0-1.0", threads=None)
    run_fit(
        recipe(file, tmp_path / "a", epochs=1, method="head"),
        Path(),
        tmp_path / "b",
        skip_bad=False,
        licence="CC0-1.0",
        threads=None,
    )
    one, other = (load_file(tmp_path / name / "model.safetensors")["encoder.words.weight"] for name in "ab")
    assert torch.equal(one, other)
    open_model(f"path:{tmp_path / 'b'}")


def test_the_course_of_a_fit_is_read_back_from_tensorboard(base: Path, write_rows: Write, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    asked = recipe(write_rows(*headlines(60, seed=5)), base, epochs=2)
    run_fit(asked, Path(), tmp_path / "out", skip_bad=False, licence="CC0-1.0", threads=None, board=tmp_path / "board")
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    per_epoch = {f"dev/{head}/{what}" for head in ("sentiment", "topic") for what in ("macro_f1", "loss")}
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/rate", *per_epoch}
    losses, rates = events.Scalars("train/loss"), events.Scalars("train/rate")
    assert [each.step for each in losses] == list(range(1, len(losses) + 1))
    assert max(each.value for each in rates) == pytest.approx(asked.fit.rate)
    assert [each.step for each in events.Scalars("dev/topic/macro_f1")] == [len(losses) // 2, len(losses)]


def test_a_teacher_s_probabilities_are_learned_as_they_are(base: Path, write_rows: Write, tmp_path: Path) -> None:
    taught = {"negative": 0.2, "neutral": 0.5, "positive": 0.3}
    rows = [{"text": f"acme is {' '.join('xyz'[: n % 3 + 1])}", "label": taught, "group": str(n)} for n in range(60)]
    made = recipe_for(None, [write_rows(*rows)], {"sentiment": "label"}, {"base": f"path:{base}", "epochs": 8})
    settings = {
        "limit": 32,
        "averaging": 0.8,
        "precision": "fp32",
        "dropout": 0.0,
        "batch": 8,
        "rate": 5e-3,
        "dev": 0.2,
    }
    heads = {"sentiment": SIGNS}
    asked = made.model_copy(update={"fit": made.fit.model_copy(update=settings), "heads": heads})
    run_fit(asked, Path(), tmp_path / "out", skip_bad=False, licence="CC0-1.0", threads=None)
    (answer,), _ = judge_all(open_model(f"path:{tmp_path / 'out'}"), [("acme is x y", [])], 1000)
    assert not isinstance(answer, Exception)
    assert answer["sentiment"] == pytest.approx(taught, abs=0.05)


def test_the_command_line_asks_for_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match="NAME=COLUMN"):
        heads_from(["sentiment"])
    with pytest.raises(ConfigurationError, match="--recipe, or FILES"):
        recipe_for(None, [], {}, {})
    with pytest.raises(ConfigurationError, match="leave out FILES"):
        recipe_for("default", [Path("x")], {}, {})


def test_a_model_takes_its_glossary_with_it_and_hands_it_on(base: Path, write_rows: Write, tmp_path: Path) -> None:
    words = tmp_path / "words.tsv"
    words.write_text("zh\ten\n上涨\trises\n下跌\tfalls\n", encoding="utf-8")
    asked = recipe(write_rows(*headlines(200, seed=5)), base).model_copy(update={"glossary": str(words)})
    run_fit(asked, Path(), tmp_path / "a", skip_bad=False, licence="CC0-1.0", threads=None)
    manifest, _ = parse((tmp_path / "a" / "manifest.json").read_bytes(), "manifest.json")
    assert manifest.preparation == 2
    model = open_model(f"path:{tmp_path / 'a'}")
    (chinese, english), _ = judge_all(model, [("acme下跌", [(0, 4)]), ("acme falls", [(0, 4)])], 1000)
    assert chinese == english
    run_fit(
        recipe(write_rows(*headlines(60, seed=6)), tmp_path / "a", epochs=1),
        Path(),
        tmp_path / "b",
        skip_bad=False,
        licence="CC0-1.0",
        threads=None,
    )
    assert (tmp_path / "b" / "glossary.tsv").read_bytes() == words.read_bytes()
    open_model(f"path:{tmp_path / 'b'}")


def test_a_glossary_that_is_none_is_named(base: Path, rows_file: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.tsv"
    words.write_text("zh,en\n", encoding="utf-8")
    asked = recipe(rows_file, base).model_copy(update={"glossary": str(words)})
    with pytest.raises(ConfigurationError, match=r"words\.tsv:1: .* expected the header"):
        run_fit(asked, Path(), tmp_path / "a", skip_bad=False, licence="CC0-1.0", threads=None)
    with pytest.raises(ConfigurationError, match="no such glossary; expected zh_en"):
        require_files(asked.model_copy(update={"glossary": "zh_fr"}), Path())
