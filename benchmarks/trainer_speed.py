"""A fit beside the plain transformers Trainer with its default settings, from rows to weights, on the same machine.

    python benchmarks/trainer_speed.py ../shared/data --rows 3000

The same base, rows, epochs and batch size; wall time of tokenising and training, of ours also of the exams that choose
the epoch; then macro F1 on the same held-out rows. The Trainer has its own rate of 5e-5, fp32, rows in any order, each
batch padded to its longest. Ends with 1 where ours is not twice as fast, or more than 0.01 worse in macro F1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from monitor.scoring.references import locate
from trainer.config import FileRecipe, HeadRecipe, Recipe
from trainer.data import TRAIN, VALID, Data, Row, load
from trainer.evaluate import macro_f1
from trainer.fit import fit
from trainer.methods import predict
from trainer.network import open_base

HEAD = "sentiment"
LABELS = ("negative", "neutral", "positive")


def plain(rows: Sequence[Row], exam: Sequence[Row], recipe: Recipe) -> tuple[float, float]:
    """Return seconds and macro F1 of the Trainer."""
    folder = str(locate(recipe.base))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(LABELS))

    def encoded(part: Sequence[Row]) -> list[dict[str, Any]]:
        found = tokenizer([row.text for row in part], truncation=True, max_length=recipe.fit.limit)
        return [
            {"input_ids": ids, "attention_mask": mask, "labels": LABELS.index(row.labels[HEAD][0])}
            for ids, mask, row in zip(found["input_ids"], found["attention_mask"], part, strict=True)
        ]

    with TemporaryDirectory() as folder_out:
        arguments = TrainingArguments(
            output_dir=folder_out,
            num_train_epochs=recipe.fit.epochs,
            per_device_train_batch_size=recipe.fit.batch,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        begun = time.perf_counter()
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=encoded(rows),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        seconds = time.perf_counter() - begun
        logits = trainer.predict(encoded(exam)).predictions  # type: ignore[arg-type]  # as above
    return seconds, macro_f1(exam, np.asarray(logits, np.float32), HEAD, LABELS)


def ours(data: Data, exam: Sequence[Row], recipe: Recipe) -> tuple[float, float]:
    """Return seconds and macro F1 of our fit."""
    base = open_base(recipe.base, locate(recipe.base))
    with TemporaryDirectory() as out:
        begun = time.perf_counter()
        network = fit(recipe, data, base, Path(out), lambda _: None)
        seconds = time.perf_counter() - begun
    prepared = base.preparer(recipe).prepare([(row.text, ()) for row in exam])
    return seconds, macro_f1(exam, predict(network, prepared, precision="fp32")[HEAD], HEAD, LABELS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the default recipe's files")
    parser.add_argument("--rows", type=int, default=3000, help="to train on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    asked = parser.parse_args()
    file = FileRecipe(
        file="twitter_financial_news_sentiment/tfns.jsonl.gz", heads={HEAD: "label"}, entity="", rows=asked.rows
    )
    recipe = Recipe(heads={HEAD: HeadRecipe(labels=LABELS)}, data=(file,))
    fit_recipe = recipe.fit.model_copy(update={"epochs": asked.epochs, "batch": asked.batch, "averaging": 0.98})
    recipe = recipe.model_copy(update={"fit": fit_recipe})
    data, _ = load(recipe, asked.data)
    rows, exam = data.part(TRAIN), data.part(VALID)
    torch.manual_seed(recipe.fit.seed)
    theirs = plain(rows, exam, recipe)
    mine = ours(data, exam, recipe)
    figures = {
        "rows": len(rows),
        "epochs": asked.epochs,
        "batch": asked.batch,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "trainer": {"seconds": round(theirs[0], 1), "macro_f1": round(theirs[1], 4)},
        "newsquake": {"seconds": round(mine[0], 1), "macro_f1": round(mine[1], 4)},
        "ratio": round(theirs[0] / mine[0], 2),
    }
    print(json.dumps(figures, indent=1))
    return 0 if theirs[0] >= 2 * mine[0] and mine[1] >= theirs[1] - 0.01 else 1


if __name__ == "__main__":
    sys.exit(main())
