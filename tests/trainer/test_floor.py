from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import recipe
from trainer.data import load
from trainer.floor import KEYS, below, beside, floor_figures, floor_of


def figures(file: Path, value: float) -> dict[str, Any]:
    return {str(file): {head: dict.fromkeys(KEYS, value) for head in ("sentiment", "topic")}}


def test_a_model_below_the_floor_is_named_and_one_above_it_is_not(rows_file: Path) -> None:
    asked = recipe(rows_file, Path("nowhere"))
    poor, perfect = figures(rows_file, 0.4), figures(rows_file, 1.1)
    lost = beside(poor, asked, Path(), "valid", skip_bad=False)
    assert [line.split(": no better than the floor: accuracy 0.4 (floor ")[0] for line in lost] == [
        f"{rows_file}: sentiment",
        f"{rows_file}: topic",
    ]
    assert poor[str(rows_file)]["sentiment"]["floor"]["macro_f1"] > 0.9
    assert beside(perfect, asked, Path(), "valid", skip_bad=False) == []


@pytest.mark.parametrize("split", ["valid", "dev"])
def test_rows_that_are_judged_teach_the_floor_nothing(
    rows_file: Path, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import floor
    from trainer.linear import fit_linear

    taught: set[str] = set()

    def overheard(rows: Any, exam: Any, *others: Any, **named: Any) -> Any:
        taught.update(row.group for row in rows)
        return fit_linear(rows, exam, *others, **named)

    monkeypatch.setattr(floor, "fit_linear", overheard)
    asked = recipe(rows_file, Path("nowhere"))
    beside(figures(rows_file, 0.5), asked, Path(), split, skip_bad=False)
    data, _ = load(asked, Path())
    judged = {row.group for row in data.part(split)}
    assert taught
    assert not taught & judged
    assert taught >= {row.group for row in data.part("train")}


def test_equal_is_not_above(rows_file: Path) -> None:
    asked = recipe(rows_file, Path("nowhere"))
    data, _ = load(asked, Path())
    found = floor_figures(floor_of(data, str(rows_file), "topic", "single"), data.part("valid"), "topic")
    assert below(found, found)
    assert not below(dict.fromkeys(KEYS, 2.0), found)
