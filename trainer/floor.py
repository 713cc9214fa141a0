"""The floor beside a model: on each set, the linear model that was fitted on the set's own training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monitor.core.manifest import Head
from trainer.config import Recipe
from trainer.data import DEV, TRAIN, Data, Row, load
from trainer.evaluate import evaluate
from trainer.linear import Kind, LinearHead, fit_linear

KEYS = ("accuracy", "macro_f1")


def floor_of(data: Data, source: str, head: str, kind: Kind, *, apart: bool = False) -> LinearHead:
    """Fit a set's floor on its training rows. Its development rows choose C, and are learned from thereafter.

    With `apart` they are not: they are what is to be judged.
    """
    rows, exam = ([row for row in data.part(split) if row.source == source] for split in (TRAIN, DEV))
    chosen = fit_linear(rows, exam, head, data.labels[head], kind)
    if apart:
        return chosen
    both = fit_linear([*rows, *exam], [], head, data.labels[head], kind, strengths=[chosen.strength])
    return replace(both, temperature=chosen.temperature)


def floor_figures(floor: LinearHead, rows: Sequence[Row], head: str) -> dict[str, Any]:
    """Return the floor's figures on rows of one set, as `evaluate` gives them; empty where none has a label for it."""
    rows = [row for row in rows if head in row.labels]
    judged = evaluate(rows, {head: floor.probabilities(rows)}, {head: Head(labels=floor.labels, kind=floor.kind)})
    return next((dict(found[head]) for found in judged.values()), {})


def below(model: Mapping[str, Any], floor: Mapping[str, Any]) -> bool:
    """Say whether a model's figures are no better than the floor's in any of KEYS that both have."""
    return any(model[key] <= floor[key] for key in KEYS if key in model and key in floor)


def beside(figures: Mapping[str, Any], recipe: Recipe, folder: Path, split: str, *, skip_bad: bool) -> list[str]:
    """Put the floor beside each of a model's figures ({file: {head: figures}}) as `floor`, where there is one.

    Return, in words, where the model is no better. A set without training rows of two labels has no floor.
    """
    data, _ = load(recipe, folder, skip_bad=skip_bad)
    lost = []
    for source, heads in figures.items():
        rows = [row for row in data.part(split) if row.source == source]
        for head, ours in heads.items():
            taught = {label for row in data.part(TRAIN) if row.source == source for label in row.labels.get(head, ())}
            if len(taught) < 2 or split == TRAIN:
                continue
            found = floor_figures(floor_of(data, source, head, recipe.heads[head].kind, apart=split == DEV), rows, head)
            ours["floor"] = {key: found[key] for key in KEYS if key in found}
            if below(ours, found):
                told = ", ".join(f"{key} {ours[key]} (floor {found[key]})" for key in KEYS if key in found)
                lost.append(f"{source}: {head}: no better than the floor: {told}")
    return lost
