from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from scipy.stats import binomtest

from monitor.errors import ConfigurationError
from tests.trainer.conftest import headlines
from trainer.compare import Answer, compare, told
from trainer.config import recipe_for
from trainer.data import Row
from trainer.examine import run_compare

Write = Callable[..., Path]
NEGATIVE, POSITIVE = frozenset({"negative"}), frozenset({"positive"})


def rows(labels: Sequence[str], groups: Sequence[int] | None = None) -> list[Row]:
    return [
        Row(
            text=str(n),
            entity=None,
            spans=(),
            labels={"sentiment": (label,)},
            soft={},
            split="valid",
            weight=1.0,
            group=str(groups[n] if groups else n),
            source="rows",
            extra={},
        )
        for n, label in enumerate(labels)
    ]


def test_a_comparison_counts_as_one_would_by_hand() -> None:
    asked = rows(["negative"] * 4 + ["positive"] * 4)
    first: list[Answer] = [NEGATIVE] * 4 + [POSITIVE] * 2 + [NEGATIVE] * 2
    second: list[Answer] = [NEGATIVE] * 3 + [POSITIVE] * 5
    found = compare(asked, "sentiment", first, second)
    assert (found.rows, found.groups, found.only_first, found.only_second) == (8, 8, 1, 2)
    assert (found.accuracy.first, found.accuracy.second) == (6 / 8, 7 / 8)
    assert found.macro_f1.first == pytest.approx((2 * 4 / 10 + 2 * 2 / 6) / 2)
    assert found.macro_f1.second == pytest.approx((2 * 3 / 7 + 2 * 4 / 9) / 2)
    assert found.chance == binomtest(2, 3).pvalue == 1.0
    assert found.chance_of_loss == binomtest(2, 3, alternative="less").pvalue


def test_a_clear_loss_is_told_from_luck() -> None:
    asked = rows(["negative"] * 100)
    worse = compare(asked, "sentiment", [NEGATIVE] * 100, [POSITIVE] * 12 + [NEGATIVE] * 88)
    assert worse.chance < 0.001
    assert worse.chance_of_loss < 0.001
    assert worse.accuracy.between[1] < 0
    better = compare(asked, "sentiment", [POSITIVE] * 12 + [NEGATIVE] * 88, [NEGATIVE] * 100)
    assert better.chance_of_loss == 1.0
    same = compare(asked, "sentiment", [NEGATIVE] * 100, [NEGATIVE] * 100)
    assert (same.chance, same.accuracy.between, same.macro_f1.difference) == (1.0, (0.0, 0.0), 0.0)


def test_copies_of_one_text_say_little_more_than_one_of_them() -> None:
    labels, first, second = ["negative"] * 40, [NEGATIVE] * 40, [POSITIVE] * 10 + [NEGATIVE] * 30
    alone = compare(rows(labels), "sentiment", first, second)
    copies = compare(rows(labels, [0] * 10 + list(range(1, 31))), "sentiment", first, second)
    assert copies.groups == 31
    assert copies.accuracy.difference == alone.accuracy.difference
    assert alone.accuracy.between[1] < 0 == copies.accuracy.between[1]


def test_the_same_seed_gives_the_same_ranges() -> None:
    asked = rows(["negative", "positive"] * 20)
    given = [NEGATIVE] * 40, [POSITIVE, NEGATIVE, NEGATIVE, POSITIVE] * 10
    assert compare(asked, "sentiment", *given, seed=3) == compare(asked, "sentiment", *given, seed=3)
    assert compare(asked, "sentiment", *given, seed=3) != compare(asked, "sentiment", *given, seed=4)


def test_a_head_that_takes_several_labels_is_right_with_all_of_them() -> None:
    both = frozenset({"negative", "positive"})
    asked = rows(["negative"] * 2)
    found = compare(asked, "sentiment", [both, NEGATIVE], [NEGATIVE, frozenset()])
    assert (found.only_first, found.only_second) == (1, 1)
    assert found.macro_f1.first == 1.0
    assert found.macro_f1.second == pytest.approx(2 / 3)


def test_two_models_answer_the_same_rows(
    fitted: Path, fitted_badly: Path, write_rows: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_rows(*headlines(200, seed=11))
    asked = recipe_for(None, [file], {"sentiment": "label", "topic": "topic"}, {})
    found = run_compare(f"path:{fitted}", f"path:{fitted_badly}", asked, Path(), None, skip_bad=False)
    assert json.loads(json.dumps(found)) == found
    assert found["first"]["model"] != found["second"]["model"]
    sentiment = found["heads"]["sentiment"]
    assert sentiment["rows"] == 200
    assert sentiment["accuracy"]["first"] > 0.9 > sentiment["accuracy"]["second"]
    assert sentiment["chance"] < 0.001
    assert "sentiment, 200 rows: accuracy " in capsys.readouterr().err


def test_rows_that_cannot_be_read_are_named_or_left_out(
    fitted: Path, write_rows: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_rows({"text": "acme falls", "label": "negative"}, {"text": "acme falls", "label": "bad"})
    asked = recipe_for(None, [file], {"sentiment": "label"}, {})
    model = f"path:{fitted}"
    with pytest.raises(ConfigurationError, match=r"rows.jsonl:2: label: found 'bad'"):
        run_compare(model, model, asked, Path(), None, skip_bad=False)
    assert run_compare(model, model, asked, Path(), None, skip_bad=True)["heads"]["sentiment"]["rows"] == 1
    assert "left out: " in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="no rows are marked 'valid'"):
        run_compare(model, model, asked, Path(), "valid", skip_bad=True)


def test_a_comparison_is_told_in_words() -> None:
    found = compare(rows(["negative"] * 4), "sentiment", [NEGATIVE] * 4, [NEGATIVE] * 3 + [POSITIVE])
    assert told("builtin", "path:new", {"sentiment": found}).splitlines()[0] == "A = builtin, B = path:new"
    assert "A alone is right on 1, B alone on 0" in told("a", "b", {"sentiment": found})
