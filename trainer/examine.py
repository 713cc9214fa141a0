"""Letting models answer labelled rows: one alone, or two beside each other."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor.core.manifest import Head
from monitor.errors import ConfigurationError
from monitor.scoring.model import Model, open_model
from monitor.scoring.worker import judge_all
from trainer.compare import Answer, Comparison, compare, told
from trainer.config import HeadRecipe, Recipe
from trainer.data import DEV, Row, load
from trainer.evaluate import evaluate

SHOWN = 20  # bad rows


def run_evaluate(reference: str, recipe: Recipe, folder: Path, split: str, *, skip_bad: bool) -> dict[str, Any]:
    """Return {file: {head: figures}} for a model on the recipe's rows of one split, as far as it has their heads."""
    model = open_model(reference)
    rows = rows_for(model.heads, recipe, folder, split=split, skip_bad=skip_bad)
    return evaluate(rows, scores(model, rows), model.heads)


def run_compare(
    first: str, second: str, recipe: Recipe, folder: Path, split: str | None, *, skip_bad: bool
) -> dict[str, Any]:
    """Return {head: figures} of two models on the same rows, and say it in words on standard error."""
    models = open_model(first), open_model(second)
    heads = common(models[0].heads, models[1].heads)
    rows = rows_for(heads, recipe, folder, split=split, skip_bad=skip_bad)
    found = compared(*models, heads, rows)
    sys.stderr.write(told(first, second, found) + "\n")
    return {
        "first": {"reference": first, "model": models[0].id},
        "second": {"reference": second, "model": models[1].id},
        "heads": {head: each.to_json() for head, each in found.items()},
    }


def common(first: Mapping[str, Head], second: Mapping[str, Head]) -> dict[str, Head]:
    """Return the heads that two models have both, with the labels of either."""
    return {
        name: Head(labels=tuple(dict.fromkeys((*head.labels, *second[name].labels))), kind=head.kind)
        for name, head in first.items()
        if name in second and second[name].kind == head.kind
    }


def rows_for(
    heads: Mapping[str, Head], recipe: Recipe, folder: Path, *, split: str | None, skip_bad: bool
) -> list[Row]:
    """Return a recipe's rows with a label for any of these heads: of one split, or, with None, all of them.

    Raise ConfigurationError where there are none, and for bad rows, unless they are to be left out.
    """
    known = {name: HeadRecipe(kind=head.kind, labels=head.labels) for name, head in heads.items()}
    files = [
        file.model_copy(update={"heads": columns, "rows": None})
        for file in recipe.data
        if (columns := {head: column for head, column in file.heads.items() if head in heads})
    ]
    if not files:
        asked = ", ".join({head for file in recipe.data for head in file.heads})
        raise ConfigurationError(f"the model has the heads {', '.join(heads)}; found labels for {asked}")
    asked_for = recipe.model_copy(update={"heads": known, "data": tuple(files)})
    data, problems = load(asked_for, folder, skip_bad=skip_bad, carve=split == DEV)
    sys.stderr.writelines(f"left out: {problem}\n" for problem in problems[:SHOWN])
    rows = list(data.rows) if split is None else data.part(split)
    if not rows:
        raise ConfigurationError("found no rows" if split is None else f"no rows are marked {split!r}; see --split")
    return rows


def scores(model: Model, rows: Sequence[Row]) -> dict[str, Any]:
    """Return {head: probabilities (row, label)} for rows; raise the error of one that cannot be judged."""
    results, _ = judge_all(model, [(row.text, row.spans) for row in rows], model.budget)
    found: dict[str, list[list[float]]] = {name: [] for name in model.heads}
    for result in results:
        if isinstance(result, Exception):
            raise result
        for name, head in model.heads.items():
            found[name].append([result[name][label] for label in head.labels])
    return {name: np.array(each, dtype=np.float32) for name, each in found.items()}


def compared(first: Model, second: Model, heads: Mapping[str, Head], rows: Sequence[Row]) -> dict[str, Comparison]:
    """Return how the second model fares beside the first, for each of the heads that any row has a label for."""
    given = [(model, scores(model, rows)) for model in (first, second)]
    found = {}
    for head in heads:
        chosen = [i for i, row in enumerate(rows) if head in row.labels]
        if chosen:
            one, other = (answers(model.heads[head], scored[head][chosen]) for model, scored in given)
            found[head] = compare([rows[i] for i in chosen], head, one, other)
    return found


def answers(head: Head, scored: Any) -> list[Answer]:
    """Return the labels that a head's probabilities (row, label) mean."""
    if head.kind == "multi":
        return [frozenset(label for label, p in zip(head.labels, row, strict=True) if p > 0.5) for row in scored]
    return [frozenset([head.labels[i]]) for i in scored.argmax(axis=1)]
