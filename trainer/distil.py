"""Distillation from cross-fitted teachers (Hinton et al. 2015; cross-fitting as in Chernozhukov et al. 2018).

    training rows ─► folds, by groups of near-copies ─► for each fold: teachers fitted on the others answer it
                                                        └► its labels, blended with what they answered ─► student's rows

A teacher's answer to a row that it was fitted on says what the label says; one to a row that neither it nor a near-copy
of which it ever saw says how sure one can be. The student's rows are files of their own, one for each of the recipe's,
beside a recipe that keeps their licences and attributions: a plain `fit` on it trains the student.

The answers of each fold are kept in `folds/`, so that what was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from rich.console import Console
from safetensors.numpy import load_file, save

from monitor.errors import ConfigurationError
from monitor.scoring.model import open_model
from monitor.scoring.references import locate
from trainer.calibrate import Scores
from trainer.commands import tell_data
from trainer.config import FileRecipe, Recipe, written
from trainer.data import DEV, TRAIN, Data, Row, load, require_rows
from trainer.evaluate import macro_f1
from trainer.examine import scores
from trainer.fit import fit
from trainer.linear import fit_linear
from trainer.network import open_base
from trainer.progress import Bar, Interrupts
from trainer.registry import answers_of

Kind: TypeAlias = Literal["linear", "network"]
Answers: TypeAlias = Mapping[str, Scores]  # head to probabilities (row, label)

TEACHERS: Mapping[str, tuple[Kind, ...]] = {
    "linear": ("linear",),
    "network": ("network",),
    "both": ("linear", "network"),
}
RECIPE, FOLDS = "recipe.toml", "folds"
DIGITS = 4  # of a probability in the student's rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a distillation is asked for.

    blend     the teachers' part in the label of a row that has one; 0 leaves labels as they are
    fill      heads for which rows without a label get the teachers' answer
    model     a further teacher, for `fill` alone: it may have been trained on rows that have a label
    """

    recipe: Recipe
    data: Path
    out: Path
    folds: int
    teachers: tuple[Kind, ...]
    blend: float
    fill: tuple[str, ...]
    model: str | None
    skip_bad: bool


def run_distil(wish: Wish, console: Console) -> None:
    """Write the student's rows and recipe into `out`, and say how good the teachers are on what they never saw.

    Raise ConfigurationError for what is wrong with the recipe, its rows, `fill` or `model`.
    """
    for head in wish.fill:
        if head not in wish.recipe.heads:
            raise ConfigurationError(f"--fill {head}: expected one of {', '.join(wish.recipe.heads)}")
    data, problems = load(wish.recipe, wish.data, skip_bad=wish.skip_bad)
    tell_data(console, data, problems)
    require_rows(data)
    rows = data.part(TRAIN)
    further = _further(wish, data, rows)
    teachers = [_Teacher(kind, wish, data, console) for kind in wish.teachers]
    answers = [teacher.answers(rows) for teacher in teachers]
    for head, labels in data.labels.items():
        for kind, given in zip(wish.teachers, answers, strict=True):
            f1 = macro_f1(rows, _logits(given[head]), head, labels, wish.recipe.heads[head].kind)
            console.print(f"{kind}: {head}: macro F1 {f1:.4f} on training rows that it never saw")
    taught = _taught(rows, wish, data, answers, further)
    _write(wish, data, dict(zip(map(id, rows), taught, strict=True)))
    console.print(f"newsquake trainer fit --recipe {wish.out / RECIPE} --data {wish.out} --out …", markup=False)


def fold_of(group: str, folds: int) -> int:
    """Return a group's fold: the same in every run, and independent of how groups were set apart for development."""
    return int.from_bytes(hashlib.sha256(f"fold:{group}".encode()).digest()[:8], "big") % folds


class _Teacher:
    """One kind of teacher, fitted once for each fold on the rows of the others; its answers are kept on disk."""

    def __init__(self, kind: Kind, wish: Wish, data: Data, console: Console) -> None:
        self._kind, self._wish, self._data, self._console = kind, wish, data, console
        self._base = open_base(wish.recipe.base, locate(wish.recipe.base)) if kind == "network" else None
        under = [self._base.pretrained.sha256, self._base.parent] if self._base else []
        given = [kind, wish.folds, wish.recipe.model_dump(mode="json"), dict(data.sha256), under]
        self._name = f"{kind}-{hashlib.sha256(json.dumps(given).encode()).hexdigest()[:12]}"

    def answers(self, rows: Sequence[Row]) -> Answers:
        """Return the answers to the training rows, each by a teacher that never saw the row's group."""
        folds = [fold_of(row.group, self._wish.folds) for row in rows]
        found = {head: np.zeros((len(rows), len(names)), np.float32) for head, names in self._data.labels.items()}
        for fold in range(self._wish.folds):
            mine = [i for i, its in enumerate(folds) if its == fold]
            if mine:
                others = [row for row, its in zip(rows, folds, strict=True) if its != fold]
                for head, given in self._fold(fold, others, [rows[i] for i in mine]).items():
                    found[head][mine] = given
        return found

    def _fold(self, fold: int, others: Sequence[Row], rows: Sequence[Row]) -> Answers:
        file = self._wish.out / FOLDS / f"{self._name}-{fold}.safetensors"
        told = f"{self._kind}: fold {fold + 1} of {self._wish.folds}"
        if file.is_file():
            self._console.print(f"{told}: answered before")
            return load_file(file)
        self._console.print(f"{told}: {len(others)} rows teach, {len(rows)} are answered")
        answer = self._linear if self._kind == "linear" else self._network
        found = answer(replace(self._data, rows=[*others, *self._data.part(DEV)]), rows, file.with_suffix(""))
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part")
        unfinished.write_bytes(save(dict(found)))
        unfinished.rename(file)
        return found

    def _linear(self, data: Data, rows: Sequence[Row], _: Path) -> Answers:
        found = {}
        for head, labels in data.labels.items():
            kind = self._wish.recipe.heads[head].kind
            teacher = fit_linear(data.part(TRAIN), data.part(DEV), head, labels, kind)
            found[head] = teacher.probabilities(rows)
        return found

    def _network(self, data: Data, rows: Sequence[Row], work: Path) -> Answers:
        assert self._base is not None
        with Bar(self._console) as bar, Interrupts() as interrupts:
            network = fit(self._wish.recipe, data, self._base, work, bar.tell, halted=interrupts.came)
        found = answers_of(network, self._wish.recipe, data, self._base, rows)
        shutil.rmtree(work)
        return found


def _logits(probabilities: Scores) -> Scores:
    """Return what `macro_f1` takes: above 0 is yes, and the highest is the answer."""
    return np.asarray(probabilities - 0.5, dtype=np.float32)


def _further(wish: Wish, data: Data, rows: Sequence[Row]) -> list[Answers]:
    """Return the answers of `model`, if there is one, to the rows that are to be filled; to the others nothing."""
    if wish.model is None:
        return []
    model = open_model(wish.model)
    found = {}
    for head in wish.fill:
        names, asked = data.labels[head], model.heads.get(head)
        if asked is None or set(asked.labels) != set(names):
            theirs = ", ".join(asked.labels) if asked else "no such head"
            raise ConfigurationError(
                f"--model {wish.model}: {head}: found {theirs}, expected the labels {', '.join(names)}"
            )
        found[head] = np.zeros((len(rows), len(names)), np.float32)
        if bare := [i for i, row in enumerate(rows) if head not in row.labels]:
            columns = [asked.labels.index(name) for name in names]
            found[head][bare] = scores(model, [rows[i] for i in bare])[head][:, columns]
    return [found]


def _taught(
    rows: Sequence[Row], wish: Wish, data: Data, answers: Sequence[Answers], further: Sequence[Answers]
) -> list[dict[str, Any]]:
    """Return what each training row teaches the student: for each head probabilities, or the label as it was."""
    found: list[dict[str, Any]] = [{} for _ in rows]
    for head, names in data.labels.items():
        said = np.mean([each[head] for each in answers], axis=0)
        filling = np.mean([each[head] for each in (*answers, *further)], axis=0) if head in wish.fill else said
        for i, row in enumerate(rows):
            if head not in row.labels:
                if head in wish.fill:
                    found[i][head] = _soft(names, filling[i])
            elif wish.blend:
                label = np.array(row.wanted(head, names))
                found[i][head] = _soft(names, (1 - wish.blend) * label + wish.blend * said[i])
            else:
                found[i][head] = _plain(row, head, wish.recipe)
    return found


def _soft(names: Sequence[str], p: npt.NDArray[Any]) -> dict[str, float]:
    return {name: round(float(each), DIGITS) for name, each in zip(names, p, strict=True)}


def _plain(row: Row, head: str, recipe: Recipe) -> Any:
    if head in row.soft:
        return dict(row.soft[head])
    return list(row.labels[head]) if recipe.heads[head].kind == "multi" else row.labels[head][0]


def _write(wish: Wish, data: Data, taught: Mapping[int, Mapping[str, Any]]) -> None:
    """Write a file of rows for each of the recipe's files, and the student's recipe beside them, last."""
    recipe, files = wish.recipe, list[FileRecipe]()
    used = ("text", "entity", "spans", "split", "group", "weight")
    for number, file in enumerate({file.file: file for file in recipe.data}.values(), start=1):
        name = f"{number}-{re.sub(r'[^A-Za-z0-9_]+', '-', Path(file.file).name.split('.')[0])}.jsonl"
        with (wish.out / name).open("w", encoding="utf-8") as out:
            for row in data.rows:
                if row.source == file.file:
                    labels = taught.get(id(row)) or {head: _plain(row, head, recipe) for head in row.labels}
                    extra = {key: value for key, value in row.extra.items() if key not in {*used, *recipe.heads}}
                    cells = (row.text, row.entity, row.spans, row.split, row.group, row.weight)
                    row_out = {**extra, **dict(zip(used, cells, strict=True)), **labels}
                    out.write(json.dumps(row_out, ensure_ascii=False) + "\n")
        origin = f"its labels blended with teachers' answers; the file was sha256 {data.sha256[file.file][:16]}…"
        files.append(
            FileRecipe(
                file=name,
                heads={head: head for head in recipe.heads},
                licence=file.licence,
                attribution="; ".join(filter(None, (file.attribution, origin))),
            )
        )
    heads = {name: head.model_copy(update={"labels": data.labels[name]}) for name, head in recipe.heads.items()}
    student = recipe.model_copy(update={"heads": heads, "data": tuple(files)})
    (wish.out / RECIPE).write_text(written(student), encoding="utf-8")
