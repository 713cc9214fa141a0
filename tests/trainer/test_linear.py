from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from monitor.errors import ConfigurationError
from tests.trainer.conftest import headlines
from trainer.calibrate import Scores
from trainer.data import Row, places
from trainer.linear import COMPANY, fit_linear, read

SIGNS = ("negative", "neutral", "positive")
CHINESE = {
    "negative": ("大幅亏损", "被立案调查"),
    "neutral": ("召开会议", "发布公告"),
    "positive": ("业绩大增", "中标大单"),
}


def row(text: str, *labels: str, entity: str | None = None, weight: float = 1.0) -> Row:
    return Row(
        text=text,
        entity=entity,
        spans=places(text, entity) if entity else (),
        labels={"sentiment": labels} if labels else {},
        soft={},
        split="train",
        weight=weight,
        group=text,
        source="rows.jsonl",
        extra={},
    )


def english(count: int, seed: int) -> list[Row]:
    return [row(each["text"], each["label"], entity=each.get("entity")) for each in headlines(count, seed)]


def chinese(count: int, seed: int) -> list[Row]:
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        label = chance.choice(SIGNS)
        company = "".join(chance.choices("甲乙丙丁戊己庚辛", k=3))
        rows.append(row(f"{company}{chance.choice(CHINESE[label])}", label))
    return rows


def right(rows: list[Row], p: Scores) -> float:
    return float(np.mean([SIGNS[i] == row.labels["sentiment"][0] for i, row in zip(p.argmax(1), rows, strict=True)]))


def test_the_company_in_question_is_seen_and_its_name_is_not() -> None:
    assert read(row("Acme gains as Borealis slumps", entity="Borealis")) == f"Acme gains as {COMPANY} slumps"
    assert read(row("Acme gains as Borealis slumps")) == "Acme gains as Borealis slumps"


def test_it_learns_english_chinese_and_both_at_once() -> None:
    for rows, asked in (
        (english(200, 1), english(60, 2)),
        (chinese(200, 1), chinese(60, 2)),
        (english(200, 1) + chinese(200, 1), english(60, 2) + chinese(60, 2)),
    ):
        fitted = fit_linear(rows, [], "sentiment", SIGNS)
        p = fitted.probabilities(asked)
        assert right(asked, p) > 0.95
        assert p.sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_rows_apart_choose_how_freely_it_fits_and_how_sure_it_is() -> None:
    chance = random.Random(4)
    noisy = [
        replace(each, labels={"sentiment": (chance.choice(SIGNS),)}) if chance.random() < 0.3 else each
        for each in english(400, 3)
    ]
    fitted = fit_linear(noisy[:300], noisy[300:], "sentiment", SIGNS)
    p = fitted.probabilities(noisy[300:])
    assert p.max(axis=1).mean() == pytest.approx(right(noisy[300:], p), abs=0.1)
    assert fitted.temperature != 1.0


def test_several_labels_at_once_each_have_a_probability_of_their_own() -> None:
    rows = [
        row(" ".join(["acme", *(word for word, on in (("strike", a), ("fraud", b)) if on), "xyz"[n % 3]]), "other")
        for n in range(60)
        for a, b in (divmod(n % 4, 2),)
    ]
    labelled = [
        replace(each, labels={"sentiment": tuple(word for word in ("strike", "fraud") if word in each.text)})
        for each in rows
    ]
    fitted = fit_linear(labelled, labelled, "sentiment", ("strike", "fraud", "merger"), "multi")
    p = fitted.probabilities([row("acme strike fraud x"), row("acme x")])
    assert (p[0, :2] > 0.5).all()
    assert (p[1, :2] < 0.5).all()
    assert (p[:, 2] < 0.01).all()  # nothing taught it


def test_a_row_that_weighs_nothing_teaches_nothing() -> None:
    rows = english(200, 1)
    lies = [replace(each, labels={"sentiment": ("negative",)}, weight=1e-6) for each in rows] * 3
    assert right(rows, fit_linear(rows + lies, [], "sentiment", SIGNS).probabilities(rows)) > 0.95


def test_nothing_to_learn_is_said_not_guessed() -> None:
    with pytest.raises(ConfigurationError, match=r"bear \['negative'\], expected two labels"):
        fit_linear([row("acme falls", "negative"), row("acme", "negative")], [], "sentiment", SIGNS)
    strange = [row(chr(0x400 + n), SIGNS[n % 3]) for n in range(60)]
    with pytest.raises(ConfigurationError, match="nothing to learn from in 60 texts"):
        fit_linear(strange, [], "sentiment", SIGNS)
