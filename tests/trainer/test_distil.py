from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from monitor.core.manifest import parse
from monitor.errors import ConfigurationError
from monitor.scoring.model import open_model
from monitor.scoring.worker import judge_all
from tests.trainer.conftest import SIGNS, headlines, recipe
from trainer import distil
from trainer.commands import run_fit
from trainer.config import FileRecipe, HeadRecipe, Recipe, read_recipe
from trainer.data import TRAIN, Data, Row, load
from trainer.distil import FOLDS, RECIPE, TEACHERS, Wish, fold_of, run_distil
from trainer.linear import LinearHead, fit_linear

Write = Callable[..., Path]
HEADS = {"sentiment": SIGNS, "topic": HeadRecipe()}


@pytest.fixture
def two_files(write_rows: Write) -> Recipe:
    """One file with sentiment, some of it wrong, where every text stands twice; one with topics alone."""
    rows = headlines(120, seed=7)
    for row in rows[::10]:
        row["label"] = "positive"  # whatever it was: no teacher can be sure
    signed = [{key: each for key, each in row.items() if key != "topic"} | {"mixed": n} for n, row in enumerate(rows)]
    copies = [row | {"text": str(row["text"]).upper()} for row in signed]
    topics = [
        {"text": row["text"], "topic": row["topic"], "entity": ["A"], "group": row["group"]}
        for row in headlines(80, seed=8)
    ]
    made = Recipe(
        base="path:nowhere",
        heads=HEADS,
        data=(
            FileRecipe(
                file=str(write_rows(*signed, *copies, name="signed.jsonl")),
                heads={"sentiment": "label"},
                group="group",
                scale=0.5,
                licence="MIT",
                attribution="Signs 1.0",
            ),
            FileRecipe(
                file=str(write_rows(*topics, name="topics.jsonl")),
                heads={"topic": "topic"},
                entity="",
                licence="CC0-1.0",
            ),
        ),
    )
    return made.model_copy(update={"fit": recipe(Path("x"), Path("y")).fit.model_copy(update={"dev": 0.2})})


def wish(asked: Recipe, out: Path, **other: Any) -> Wish:
    settings: dict[str, Any] = {"folds": 3, "teachers": ("linear",), "blend": 0.5, "fill": (), "model": None}
    return Wish(recipe=asked, data=Path(), out=out, skip_bad=False, **{**settings, **other})


def told(asked: Wish) -> str:
    console = Console(file=StringIO(), width=300)
    run_distil(asked, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def student(out: Path) -> Data:
    return load(read_recipe(out / RECIPE), out)[0]


def by_text(rows: Sequence[Row]) -> dict[str, Row]:
    return {row.text: row for row in rows}


def test_no_teacher_answers_a_row_that_it_or_a_near_copy_of_it_taught(
    two_files: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[set[str], set[str]]] = []

    def overheard(rows: Sequence[Row], exam: Sequence[Row], *others: Any) -> LinearHead:
        fitted = fit_linear(rows, exam, *others)
        seen = {row.group for row in [*rows, *exam] if others[0] in row.labels}

        class Overheard(LinearHead):
            def probabilities(self, rows: Sequence[Row]) -> Any:
                asked.append((seen, {row.group for row in rows}))
                return super().probabilities(rows)

        return Overheard(**{name: getattr(fitted, name) for name in LinearHead.__slots__})

    monkeypatch.setattr(distil, "fit_linear", overheard)
    told(wish(two_files, tmp_path / "out", fill=("sentiment",)))
    assert len(asked) == 6  # folds times heads
    assert all(seen and answered and not seen & answered for seen, answered in asked)
    assert set.union(*(answered for _, answered in asked)) == {
        row.group for row in student(tmp_path / "out").part(TRAIN)
    }


def test_labels_are_blended_and_held_out_rows_are_left_alone(two_files: Recipe, tmp_path: Path) -> None:
    told(wish(two_files, tmp_path / "out", blend=0.25))
    before, after = load(two_files, Path())[0], student(tmp_path / "out")
    assert [(row.text, row.split, row.group, row.weight, row.spans) for row in before.rows] == [
        (row.text, row.split, row.group, row.weight, row.spans) for row in after.rows
    ]
    assert [row.extra.get("mixed") for row in before.rows] == [row.extra.get("mixed") for row in after.rows]
    for old, new in zip(before.rows, after.rows, strict=True):
        assert set(old.labels) == set(new.labels)
        if old.split == TRAIN:
            for head, (label,) in old.labels.items():
                assert new.soft[head][label] >= 0.75
        else:
            assert (new.labels, new.soft) == (old.labels, {})
    assert any(max(p.values()) < 0.99 for row in after.part(TRAIN) for p in row.soft.values())


def test_without_blending_labels_stay_and_only_gaps_are_filled(two_files: Recipe, tmp_path: Path) -> None:
    told(wish(two_files, tmp_path / "out", blend=0.0, fill=("sentiment",)))
    for row in student(tmp_path / "out").rows:
        signed = "signed" in row.source
        assert ("sentiment" in row.labels) == (signed or row.split == TRAIN)
        assert ("sentiment" in row.soft) == (not signed and row.split == TRAIN)
        assert "topic" not in row.soft
    filled = [row for row in student(tmp_path / "out").rows if row.soft and " falls " in f" {row.text} "]
    assert filled
    assert all(row.soft["sentiment"]["negative"] > 0.5 for row in filled)


def test_a_further_model_has_its_say_where_there_was_no_label(two_files: Recipe, fitted: Path, tmp_path: Path) -> None:
    told(wish(two_files, tmp_path / "alone", fill=("sentiment",)))
    told(wish(two_files, tmp_path / "two", fill=("sentiment",), model=f"path:{fitted}"))
    alone, two = student(tmp_path / "alone"), student(tmp_path / "two")
    model = open_model(f"path:{fitted}")
    for one, other in zip(alone.part(TRAIN), two.part(TRAIN), strict=True):
        if "signed" in one.source:
            assert one.soft == other.soft
        else:
            (answer,), _ = judge_all(model, [(one.text, [])], 1000)
            assert not isinstance(answer, Exception)
            mean = {name: (p + answer["sentiment"][name]) / 2 for name, p in one.soft["sentiment"].items()}
            assert other.soft["sentiment"] == pytest.approx(mean, abs=0.01)


def test_what_was_interrupted_goes_on_and_ends_the_same(
    two_files: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(wish(two_files, tmp_path / "whole"))
    fitted = 0

    def killed(*arguments: Any) -> LinearHead:
        nonlocal fitted
        fitted += 1
        if fitted > 3:  # in the midst of the second fold
            raise SystemExit
        return fit_linear(*arguments)

    monkeypatch.setattr(distil, "fit_linear", killed)
    with pytest.raises(SystemExit):
        told(wish(two_files, tmp_path / "cut"))
    assert not (tmp_path / "cut" / RECIPE).exists()
    monkeypatch.setattr(distil, "fit_linear", fit_linear)
    said = told(wish(two_files, tmp_path / "cut"))
    assert "fold 1 of 3: answered before" in said
    assert "fold 2 of 3: answered before" not in said
    for name in (RECIPE, "1-signed.jsonl", "2-topics.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_other_data_ask_the_teachers_anew(two_files: Recipe, tmp_path: Path) -> None:
    told(wish(two_files, tmp_path / "out"))
    with Path(two_files.data[0].file).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": "acme falls again", "label": "negative"}) + "\n")
    assert "answered before" not in told(wish(two_files, tmp_path / "out"))
    assert "answered before" in told(wish(two_files, tmp_path / "out", blend=0.1))


def test_the_network_teaches_and_one_command_fits_the_student_whose_sources_are_named(
    rows_file: Path, base: Path, tmp_path: Path
) -> None:
    made = recipe(rows_file, base)
    named = made.data[0].model_copy(update={"licence": "MIT", "attribution": "Rows 1.0", "group": "group"})
    asked = made.model_copy(update={"data": (named,)})
    out = tmp_path / "out"
    said = told(wish(asked, out, folds=2, teachers=TEACHERS["both"]))
    assert "linear: sentiment: macro F1 0.9" in said or "linear: sentiment: macro F1 1.0" in said
    assert "network: topic: macro F1 " in said
    assert len(list((out / FOLDS).iterdir())) == 4  # answers alone: the networks are gone
    run_fit(read_recipe(out / RECIPE), out, tmp_path / "run", skip_bad=False, licence="CC0-1.0", threads=None)
    manifest, _ = parse((tmp_path / "run" / "manifest.json").read_bytes(), "manifest.json")
    (file,) = manifest.training
    assert file.licence == "MIT"
    assert file.attribution.startswith("Rows 1.0; its labels blended with teachers' answers")
    figures: Any = manifest.metrics
    assert figures["1-rows.jsonl"]["topic"]["accuracy"] > 0.9


def test_a_head_that_nobody_answers_is_refused(two_files: Recipe, fitted: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--fill mood: expected one of sentiment, topic"):
        told(wish(two_files, tmp_path / "out", fill=("mood",)))
    other = two_files.model_copy(update={"heads": {**HEADS, "topic": HeadRecipe(labels=("dividend", "strike", "war"))}})
    with pytest.raises(ConfigurationError, match="topic: found dividend, strike, expected the labels dividend, strike"):
        told(wish(other, tmp_path / "out", fill=("topic",), model=f"path:{fitted}"))


def test_folds_are_even_and_stay_where_they_are() -> None:
    counts = [sum(fold_of(str(n), 5) == fold for n in range(5000)) for fold in range(5)]
    assert min(counts) > 900
    assert fold_of("acme falls", 5) == fold_of("acme falls", 5)
