"""What is wrong with rows is found before the first step, with file and line, and with what is done about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.errors import ConfigurationError
from trainer.audit import Fate, Finding, audit, mended
from trainer.cli import app
from trainer.config import FileRecipe, FitRecipe, HeadRecipe, Recipe
from trainer.data import Data, Problem, load

Write = Callable[..., Path]
SIGNS = HeadRecipe(labels=("negative", "positive"))


def read(*files: Path) -> tuple[Data, list[Problem]]:
    columns = tuple(FileRecipe(file=file.name, heads={"sentiment": "label"}) for file in files)
    recipe = Recipe(heads={"sentiment": SIGNS}, data=columns, fit=FitRecipe(dev=0.0))
    return load(recipe, files[0].parent, skip_bad=True)


def found(*files: Path) -> list[Finding]:
    return audit(*read(*files), bad_rows=Fate.REFUSED, contradictions=Fate.REFUSED)


def row(text: str, label: object = "negative", **other: object) -> dict[str, object]:
    return {"text": text, "label": label, **other}


RISE = row("Bolt rises", "positive")


def test_rows_without_fault_are_passed_over(write_rows: Write) -> None:
    assert found(write_rows(row("Acme falls"), RISE)) == []


def test_one_text_labelled_in_two_ways_is_found_across_files(write_rows: Write) -> None:
    files = (
        write_rows(row("Acme falls."), RISE),
        write_rows(row("ACME falls https://t.co/1", "positive"), name="b.jsonl"),
    )
    (finding,) = found(*files)
    assert str(finding) == (
        "refused: 1 training texts are labelled in two ways\n"
        "  rows.jsonl:1 (sentiment negative), b.jsonl:1 (sentiment positive): Acme falls."
    )
    data, _ = read(*files)
    with pytest.raises(ConfigurationError, match=r"rows.jsonl:1 .*, b.jsonl:1 "):
        mended(data, skip_bad=False)
    assert [each.text for each in mended(data, skip_bad=True).rows] == ["Bolt rises"]


@pytest.mark.parametrize(
    "other",
    [
        row("Acme falls 5%", "positive"),
        row("Acme falls 3%", "positive", entity="Acme"),
        row("Acme falls 3%", {"negative": 0.4, "positive": 0.6}),
    ],
)
def test_other_figures_another_company_and_a_teacher_s_doubt_contradict_nothing(
    write_rows: Write, other: dict[str, object]
) -> None:
    data, _ = read(write_rows(row("Acme falls 3%"), other, RISE))
    assert mended(data, skip_bad=False) is data


def test_held_out_rows_that_contradict_each_other_are_told_and_kept(write_rows: Write) -> None:
    held = [row("Acme falls", label, split="valid") for label in SIGNS.labels]
    file = write_rows(*held, row("Cog sinks"), RISE)
    assert [(finding.fate, len(finding.places)) for finding in found(file)] == [(Fate.KEPT, 1)]
    data, _ = read(file)
    assert mended(data, skip_bad=False) is data


def test_a_leak_is_told_with_both_places(write_rows: Write) -> None:
    (finding,) = found(write_rows(row("Acme falls", split="valid"), row("Acme falls 3%"), row("Cog sinks"), RISE))
    assert finding.fate is Fate.DROPPED
    assert finding.places == ["rows.jsonl:2 of rows.jsonl:1 (valid): Acme falls 3%"]


def test_repeats_empty_labels_and_bad_rows_are_told(write_rows: Write) -> None:
    findings = found(write_rows(row("Acme falls"), row("acme falls"), row("Cog", "bad")))
    assert [(finding.what, finding.fate) for finding in findings] == [
        ("1 rows cannot be read", Fate.REFUSED),
        ("1 training texts stand there more than once, and weigh as often", Fate.KEPT),
        ("1 labels have no training row", Fate.KEPT),
    ]
    assert findings[2].places == ["heads.sentiment: positive"]


def test_a_head_that_nothing_teaches_is_refused(write_rows: Write) -> None:
    (finding,) = found(write_rows(row("Acme falls", split="valid")))
    assert (finding.fate, finding.places) == (Fate.REFUSED, ["heads.sentiment"])


def test_five_examples_are_shown_and_the_others_counted() -> None:
    told = str(Finding("7 faults", Fate.KEPT, [str(n) for n in range(7)]))
    assert told.splitlines() == ["kept: 7 faults", *(f"  {n}" for n in range(5)), "  and 2 more"]


def test_the_command_exits_with_1_where_something_must_be_mended(write_rows: Write) -> None:
    good = write_rows(row("Acme falls"), RISE)
    bad = write_rows(row("Acme falls"), row("Acme falls", "positive"), name="bad.jsonl")
    for file, code, said in ((good, 0, "train: 2 rows"), (bad, 1, "labelled in two ways")):
        result = CliRunner().invoke(app, ["check", str(file), "--head", "sentiment=label"])
        assert (result.exit_code, said in result.output) == (code, True), result.output
