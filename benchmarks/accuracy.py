"""The shipped model beside TF-IDF + logistic regression, on the valid rows of every set that it was trained on.

    python benchmarks/accuracy.py ../shared/data

The baseline (trainer/linear.py) is one model for each set and head, fitted on the set's training rows; the development
rows choose its C. Ends with 1 where the model loses anywhere.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from monitor.scoring.model import open_model
from trainer.config import recipe_for
from trainer.data import VALID, load
from trainer.evaluate import evaluate
from trainer.examine import scores
from trainer.floor import KEYS, below, floor_figures, floor_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the recipe's files")
    parser.add_argument("--model", default="builtin", help="any reference")
    parser.add_argument("--recipe", default="default", help="a shipped recipe, or a file")
    arguments = parser.parse_args()
    recipe = recipe_for(arguments.recipe, [], {}, {})
    data, _ = load(recipe, arguments.data)
    model = open_model(arguments.model)
    print(f"model {model.id}, {model.precision}")
    print(f"{'set':44}{'rows':>6}{'accuracy':>10}{'TF-IDF':>8}{'macro F1':>10}{'TF-IDF':>8}")
    lost = 0
    for file in recipe.data:
        for head in file.heads:
            floor = floor_of(data, file.file, head, recipe.heads[head].kind)
            rows = [row for row in data.part(VALID) if row.source == file.file]
            parts = {file.file: rows, f"{file.file}, mixed sign": [row for row in rows if row.extra.get("mixed")]}
            for name, part in parts.items():
                if not part:
                    continue
                ours = evaluate(part, scores(model, part), model.heads)[file.file][head]
                plain = floor_figures(floor, part, head)
                lost += below(ours, plain)
                cells = [f"{each:.3f}" for key in KEYS for each in (ours[key], plain[key])]
                print(f"{name.split('/')[-1]:44}{len(part):>6}{cells[0]:>10}{cells[1]:>8}{cells[2]:>10}{cells[3]:>8}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
