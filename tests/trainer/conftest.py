from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import save_base

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
