"""The shipped model beside TF-IDF + logistic regression, on the valid rows of every set that it was trained on.

    python benchmarks/accuracy.py ../shared/data

The baseline sees word 1-2-grams and character 3-5-grams, one model for each set, fitted on all of the set's training
rows that the model had, its development part included; where a company is judged it is replaced by a placeholder.
Its C is the better of 1 and 10 on the development rows. Ends with 1 where the model loses anywhere.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union

from monitor.scoring.model import Model, open_model
from trainer.config import RECIPES, read_recipe
from trainer.data import DEV, TRAIN, VALID, Data, Row, load
from trainer.evaluate import confusion, report
from trainer.examine import scores

COMPANY = " thecompanyinquestion "


def marked(row: Row) -> str:
    text = row.text
    for start, stop in reversed(row.spans):
        text = text[:start] + COMPANY + text[stop:]
    return text


def baseline(rows: Sequence[Row], head: str, c: float) -> Any:
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=3),
    )
    model = make_pipeline(features, OneVsRestClassifier(LogisticRegression(C=c, solver="liblinear")))
    return model.fit([marked(row) for row in rows], [row.labels[head][0] for row in rows])


def judged(model: Any, rows: Sequence[Row], head: str, labels: Sequence[str]) -> dict[str, Any]:
    wanted = [labels.index(row.labels[head][0]) for row in rows]
    found = [labels.index(each) for each in model.predict([marked(row) for row in rows])]
    return report(confusion(wanted, found, len(labels)), labels)


def best_baseline(data: Data, source: str, head: str) -> Any:
    rows = {split: [row for row in data.part(split) if row.source == source] for split in (TRAIN, DEV)}
    tried = {c: judged(baseline(rows[TRAIN], head, c), rows[DEV], head, data.labels[head]) for c in (1.0, 10.0)}
    best = max(tried, key=lambda c: float(tried[c]["macro_f1"]))
    return baseline(rows[TRAIN] + rows[DEV], head, best)


def ours(model: Model, rows: Sequence[Row], head: str) -> dict[str, Any]:
    labels = model.heads[head].labels
    wanted = [labels.index(row.labels[head][0]) for row in rows]
    return report(confusion(wanted, scores(model, rows)[head].argmax(axis=1).tolist(), len(labels)), labels)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the default recipe's files")
    parser.add_argument("--model", default="builtin", help="any reference")
    arguments = parser.parse_args()
    recipe = read_recipe(RECIPES / "default.toml")
    data, _ = load(recipe, arguments.data)
    model = open_model(arguments.model)
    print(f"model {model.id}, {model.precision}")
    print(f"{'set':44}{'rows':>6}{'accuracy':>10}{'TF-IDF':>8}{'macro F1':>10}{'TF-IDF':>8}")
    lost = 0
    for file in recipe.data:
        for head in file.heads:
            plain = best_baseline(data, file.file, head)
            rows = [row for row in data.part(VALID) if row.source == file.file]
            parts = {file.file: rows, f"{file.file}, mixed sign": [row for row in rows if row.extra.get("mixed")]}
            for name, part in parts.items():
                if not part:
                    continue
                a, b = ours(model, part, head), judged(plain, part, head, data.labels[head])
                lost += a["macro_f1"] <= b["macro_f1"] or a["accuracy"] <= b["accuracy"]
                print(
                    f"{name.split('/')[-1]:44}{len(part):>6}{a['accuracy']:>10.3f}{b['accuracy']:>8.3f}"
                    f"{a['macro_f1']:>10.3f}{b['macro_f1']:>8.3f}",
                    flush=True,
                )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
