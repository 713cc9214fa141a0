from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import save_base
from trainer.commands import run_fit
from trainer.config import HeadRecipe, Recipe, recipe_for

BAD, GOOD, PLAIN = ("falls", "slumps"), ("rises", "jumps"), ("is", "was")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: object, name: str = "rows.jsonl") -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path / name

    return write


def headlines(count: int, seed: int) -> list[dict[str, str]]:
    """Invented rows: a word for the sign, one for the topic; half of them about one of two companies."""
    chance = random.Random(seed)
    rows = []
    for n in range(count):
        label, words = chance.choice([("negative", BAD), ("positive", GOOD), ("neutral", PLAIN)])
        company, topic = chance.choice(["acme", "borealis"]), chance.choice(["strike", "dividend"])
        text = f"{company} {chance.choice(words)} after {topic} {' '.join(chance.choices('xyz', k=n % 5 + 1))}"
        row = {"text": text, "label": label, "topic": topic, "group": str(n), "split": "train" if n % 4 else "valid"}
        rows.append(row | ({"entity": company} if n % 2 else {}))
    return rows


HEADS = {"sentiment": "label", "topic": "topic"}
SIGNS = HeadRecipe(labels=("negative", "neutral", "positive"))


def recipe(file: Path, base: Path, **other: object) -> Recipe:
    """A recipe that suits the tiny base: a fit takes a second."""
    made = recipe_for(None, [file], HEADS, {"base": f"path:{base}", "epochs": 6, "batch": 16, "rate": 5e-3, **other})
    fit = made.fit.model_copy(update={"limit": 32, "averaging": 0.8, "precision": "fp32", "dropout": 0.0})
    return made.model_copy(update={"fit": fit, "heads": {**made.heads, "sentiment": SIGNS}})


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 invented headlines, a quarter of them held out."""
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in headlines(400, seed=3)), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def fitted(rows_file: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that judges such headlines rightly."""
    out = tmp_path_factory.mktemp("fit") / "desk"
    run_fit(recipe(rows_file, base), Path(), out, skip_bad=False, licence="CC0-1.0", threads=None)
    return out


@pytest.fixture(scope="session")
def fitted_badly(rows_file: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has hardly learned."""
    out = tmp_path_factory.mktemp("fit") / "bad"
    asked = recipe(rows_file, base, epochs=1, rate=1e-5)
    run_fit(asked, Path(), out, skip_bad=False, licence="CC0-1.0", threads=None)
    return out


@pytest.fixture
def gate_set(write_rows: Callable[..., Path]) -> Path:
    rows = [
        {"text": row["text"], "sentiment": row["label"], "topic": row["topic"], "group": row["group"]}
        for row in headlines(150, seed=21)
    ]
    return write_rows(*rows, name="gate.jsonl")
