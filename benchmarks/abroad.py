"""A model on sets that it was never trained on: whether it learned the sets at home, or the language of bad news.

    python benchmarks/abroad.py ../shared/data
    python benchmarks/abroad.py ../shared/data --floor
    python benchmarks/abroad.py ../shared/data --model path:runs/zh --rows 500 --json

Nothing here was trained on, so all rows are asked, those marked `train` too; `--rows` takes so many of each set by
chance. A company that a row names is judged where it stands in the text; where it does not stand there, the text is
judged as a whole, as `newsquake score` does. Sets of two classes are scored by p(negative) against p(positive), or
against all the rest (see trainer/exam.py). `--floor` puts TF-IDF with logistic regression beside it, which learned from
the same rows as the shipped model. The licences of these sets forbid or do not grant commercial use: they serve to
measure, and no row of theirs enters a model or this repository.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.core.manifest import Head
from monitor.scoring.model import open_model
from trainer.calibrate import Scores
from trainer.config import RECIPES, read_recipe
from trainer.data import DEV, TRAIN, VALID, Row, load, normalised, places
from trainer.evaluate import figures
from trainer.exam import exam
from trainer.examine import scores
from trainer.linear import LinearHead, fit_linear

HEAD = "sentiment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abroad:
    """One set: its file, the column of the company that is judged, and which of its rows count."""

    file: str
    entity: str = ""
    only: Mapping[str, object] = field(default_factory=dict)


PHRASEBANK = "financial_phrasebank/phrasebank.jsonl"
SHARES = "zh_news_pos_neg/zh_news.jsonl.gz"
SETS = {
    "PhraseBank": Abroad(file=PHRASEBANK),
    "PhraseBank, all annotators agree": Abroad(file=PHRASEBANK, only={"agree": 100}),
    "FiQA and SemEval, per company": Abroad(file="fiqa_semeval/fiqa_semeval.jsonl", entity="entity"),
    "A-share headlines, per company": Abroad(file=SHARES, entity="entity"),
    "A-share headlines, whole": Abroad(file=SHARES),
    "FinFE, Chinese forum posts": Abroad(file="zh_fincuge/finfe_sentiment.jsonl"),
    "FinNSP, Chinese news": Abroad(file="zh_fincuge/finnsp_negative_entity.jsonl.gz"),
}


def read(folder: Path, asked: Abroad) -> list[Row]:
    raw = (folder / asked.file).read_bytes()
    text = (gzip.decompress(raw) if asked.file.endswith(".gz") else raw).decode()
    cells = [json.loads(line) for line in text.split("\n") if line]
    return [row(each, asked) for each in cells if all(each[name] == value for name, value in asked.only.items())]


def row(cells: Mapping[str, Any], asked: Abroad) -> Row:
    company = cells[asked.entity] if asked.entity else None
    return Row(
        text=cells["text"],
        entity=company,
        spans=places(cells["text"], company) if company else (),
        labels={HEAD: (cells["label"],)},
        soft={},
        split=VALID,
        weight=1.0,
        group=normalised(cells["text"]) or cells["text"],
        source=asked.file,
        extra={},
    )


def floor_from(folder: Path) -> LinearHead:
    recipe = read_recipe(RECIPES / "default.toml")
    data, _ = load(recipe, folder)
    return fit_linear(data.part(TRAIN), data.part(DEV), HEAD, data.labels[HEAD])


def measured(rows: list[Row], found: Scores, labels: tuple[str, ...]) -> dict[str, Any]:
    return figures(exam(rows, found, HEAD, Head(labels=labels)))


def line(name: str, found: Mapping[str, Any], plain: Mapping[str, Any] | None) -> str:
    low, high = found["between"]["macro_f1"]
    told = (
        f"{name:34}{found['rows']:>6}  {found['question']:10}{found['accuracy']:>8.3f}{found['macro_f1']:>10.3f}"
        f"  {low:.3f}-{high:.3f}{found['calibration_error']:>13.3f}"
    )
    return told if plain is None else f"{told}{plain['accuracy']:>10.3f}{plain['macro_f1']:>10.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that the sets' folders lie in")
    parser.add_argument("--model", default="builtin", help="any reference")
    parser.add_argument("--rows", type=int, help="at most so many of each set, by chance")
    parser.add_argument("--seed", type=int, default=1, help="of that chance")
    parser.add_argument("--floor", action="store_true", help="TF-IDF + logistic regression beside it")
    parser.add_argument("--json", action="store_true", help="print all figures of each set as JSON")
    arguments = parser.parse_args()
    model = open_model(arguments.model)
    table = sys.stderr if arguments.json else sys.stdout
    print(f"model {model.id}, {model.precision}", file=table)
    print(
        f"{'set':34}{'rows':>6}  {'question':10}{'accuracy':>8}{'macro F1':>10}  {'95 %':11}{'calibration':>13}"
        + (f"{'TF-IDF':>10}{'macro F1':>10}" if arguments.floor else ""),
        file=table,
    )
    plain = floor_from(arguments.data) if arguments.floor else None
    found, beside = {}, {}
    for name, asked in SETS.items():
        rows = read(arguments.data, asked)
        if arguments.rows and arguments.rows < len(rows):
            rows = random.Random(arguments.seed).sample(rows, arguments.rows)
        found[name] = measured(rows, scores(model, rows)[HEAD], model.heads[HEAD].labels)
        if plain is not None:
            beside[name] = measured(rows, plain.probabilities(rows), plain.labels)
        print(line(name, found[name], beside.get(name)), file=table, flush=True)
    if arguments.json:
        print(json.dumps({"model": model.id, "sets": found, "floor": beside}, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
