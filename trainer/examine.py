"""Letting models answer labelled rows: one alone, or two beside each other."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.core.manifest import Head
from monitor.errors import ConfigurationError
from monitor.scoring.model import Model
from monitor.scoring.routed import open_model
from monitor.scoring.worker import judge_all
from trainer.bias import HEAD, probe
from trainer.calibrate import Scores
from trainer.compare import Answer, Comparison, compare, told
from trainer.config import HeadRecipe, Recipe
from trainer.data import DEV, Row, load
from trainer.evaluate import figures, summary
from trainer.exam import NOT_NEGATIVE, Exam, Question, exams, signed
from trainer.robust import Ask, Text, robustness
from trainer.slices import parts, require_columns
from trainer.wording import line

SHOWN = 20  # bad rows
AT_ONCE = 512  # texts judged between two moves of the bar


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is looked at beside the figures of each head.

    columns   part the rows by these too
    question  goes before the one that the labels of a set show
    robust    perturb at most so many rows; 0: none
    bias      tell the same events of other companies, countries, women and men
    """

    columns: tuple[str, ...] = ()
    question: Question | None = None
    robust: int = 0
    bias: bool = False

    @classmethod
    def of(cls, columns: Sequence[str] | None, question: str | None, *, robust: int = 0, bias: bool = False) -> View:
        """Return what the command line asks for."""
        asked = None if question is None else Question(question)
        return cls(columns=tuple(columns or ()), question=asked, robust=robust, bias=bias)


def run_evaluate(
    reference: str, recipe: Recipe, folder: Path, split: str | None, *, skip_bad: bool, view: View | None = None
) -> dict[str, Any]:
    """Return {"model", "sets": {file: {head: figures}}} of a model on the recipe's rows of one split (None: all of
    them), as far as it has their heads, and "bias" where asked for; the main figures in words go to standard error."""
    view = view or View()
    model = open_model(reference)
    rows = rows_for(model.heads, recipe, folder, split=split, skip_bad=skip_bad, question=view.question)
    require_columns(rows, view.columns)
    found: dict[str, Any] = {"model": {"reference": reference, "id": model.id}}
    with _progress() as progress:
        ask = _asking(model, progress)
        asked = exams(rows, ask([(row.text, row.spans) for row in rows]), model.heads, view.question)
        if not asked:
            raise ConfigurationError(f"--question {view.question}: no row is labelled negative or positive")
        found["sets"] = {source: {name: _seen(each, view) for name, each in of.items()} for source, of in asked.items()}
        if view.robust:
            for source, heads in robustness(asked, model.heads, ask, most=view.robust).items():
                for name, moved in heads.items():
                    found["sets"][source][name]["robustness"] = moved
        if view.bias:
            found["bias"] = probe(ask, model.heads[HEAD])
    sys.stderr.writelines(
        line(source, name, figure) + "\n" for source, of in found["sets"].items() for name, figure in of.items()
    )
    return found


def _seen(asked: Exam, view: View) -> dict[str, Any]:
    """Return the figures of an exam, and those of its parts."""
    said = {
        what: {name: summary(asked.part(chosen)) for name, chosen in named.items()}
        for what, named in parts(asked.rows, asked.head, view.columns).items()
    }
    return figures(asked) | ({"slices": said} if said else {})


def run_compare(
    first: str,
    second: str,
    recipe: Recipe,
    folder: Path,
    split: str | None,
    *,
    skip_bad: bool,
    view: View | None = None,
) -> dict[str, Any]:
    """Return {head: figures} of two models on the same rows and on parts of them; the main ones in words go to standard
    error."""
    view = view or View()
    models = open_model(first), open_model(second)
    heads = common(models[0].heads, models[1].heads)
    rows = rows_for(heads, recipe, folder, split=split, skip_bad=skip_bad, question=view.question)
    require_columns(rows, view.columns)
    found = answered(*models, heads, rows, view.question)
    sys.stderr.write(told(first, second, {head: each.compared() for head, each in found.items()}) + "\n")
    return {
        "first": {"reference": first, "model": models[0].id},
        "second": {"reference": second, "model": models[1].id},
        "heads": {head: _compared(each, view) for head, each in found.items()},
    }


def _compared(each: Answers, view: View) -> dict[str, Any]:
    several = parts(each.rows, each.head, view.columns)
    sources = dict.fromkeys(row.source for row in each.rows)
    if len(sources) > 1:
        several["file"] = {name: [i for i, row in enumerate(each.rows) if row.source == name] for name in sources}
    said = {
        what: {name: each.part(chosen).compared().to_json() for name, chosen in named.items()}
        for what, named in several.items()
    }
    return each.compared().to_json() | ({"slices": said} if said else {})


def common(first: Mapping[str, Head], second: Mapping[str, Head]) -> dict[str, Head]:
    """Return the heads that two models have both, with the labels of either."""
    return {
        name: Head(labels=tuple(dict.fromkeys((*head.labels, *second[name].labels))), kind=head.kind)
        for name, head in first.items()
        if name in second and second[name].kind == head.kind
    }


def rows_for(
    heads: Mapping[str, Head],
    recipe: Recipe,
    folder: Path,
    *,
    split: str | None,
    skip_bad: bool,
    question: Question | None = None,
) -> list[Row]:
    """Return a recipe's rows with a label for any of these heads: of one split, or, with None, all of them.

    Rows may also be labelled `not_negative` (see trainer/exam.py), unless the question is one for labels. Raise
    ConfigurationError where there are none, and for bad rows, unless they are to be left out.
    """
    known = {name: HeadRecipe(kind=head.kind, labels=_known(head, question)) for name, head in heads.items()}
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


def _known(head: Head, question: Question | None) -> tuple[str, ...]:
    return (*head.labels, NOT_NEGATIVE) if signed(head) and question is not Question.LABELS else head.labels


def scores(model: Model, rows: Sequence[Row]) -> dict[str, Scores]:
    """Return {head: probabilities (row, label)} for rows; raise the error of one that cannot be judged."""
    return judged(model, [(row.text, row.spans) for row in rows])


def judged(model: Model, texts: Sequence[Text]) -> dict[str, Scores]:
    """Return {head: probabilities (text, label)}; raise the error of a text that cannot be judged."""
    results, _ = judge_all(model, texts, model.budget)
    found: dict[str, list[list[float]]] = {name: [] for name in model.heads}
    for result in results:
        if isinstance(result, Exception):
            raise result
        for name, head in model.heads.items():
            found[name].append([result[name][label] for label in head.labels])
    return {
        name: np.array(each, dtype=np.float32).reshape(len(texts), len(model.heads[name].labels))
        for name, each in found.items()
    }


def _progress() -> Progress:
    shown = (TextColumn("judged"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*shown, console=Console(stderr=True), transient=True)


def _asking(model: Model, progress: Progress) -> Ask:
    """Return how to ask a model, in parts between which a bar moves on."""
    task = progress.add_task("", total=0)

    def ask(texts: Sequence[Text]) -> dict[str, Scores]:
        progress.update(task, total=(progress.tasks[0].total or 0) + len(texts))
        found = []
        for first in range(0, len(texts), AT_ONCE):
            part = texts[first : first + AT_ONCE]
            found.append(judged(model, part))
            progress.advance(task, len(part))
        return {name: np.concatenate([each[name] for each in found]) for name in model.heads}

    return ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What two models answered to rows that have a label for this head."""

    head: str
    rows: Sequence[Row]
    first: Sequence[Answer]
    second: Sequence[Answer]

    def part(self, chosen: Sequence[int]) -> Answers:
        """Return those to some of the rows."""
        return Answers(
            head=self.head,
            rows=[self.rows[i] for i in chosen],
            first=[self.first[i] for i in chosen],
            second=[self.second[i] for i in chosen],
        )

    def compared(self) -> Comparison:
        """Return how the second model fares beside the first."""
        return compare(self.rows, self.head, self.first, self.second)


def compared(first: Model, second: Model, heads: Mapping[str, Head], rows: Sequence[Row]) -> dict[str, Comparison]:
    """Return how the second model fares beside the first, for each of the heads that any row has a label for."""
    return {head: each.compared() for head, each in answered(first, second, heads, rows).items()}


def answered(
    first: Model, second: Model, heads: Mapping[str, Head], rows: Sequence[Row], question: Question | None = None
) -> dict[str, Answers]:
    """Return the answers of both models, for each of the heads that any row has a label for."""
    scored = [(model, scores(model, rows)) for model in (first, second)]
    found = {}
    for head in heads:
        both = question if all(signed(model.heads[head]) for model, _ in scored) else Question.LABELS
        asked = [exams(rows, given, {head: model.heads[head]}, both).values() for model, given in scored]
        one, other = ([each[head] for each in of] for of in asked)
        if one:
            found[head] = Answers(
                head=head,
                rows=[row for each in one for row in each.rows],
                first=[answer for each in one for answer in answers(each)],
                second=[answer for each in other for answer in answers(each)],
            )
    return found


def answers(asked: Exam) -> list[Answer]:
    """Return the labels that a model gave to each row of an exam."""
    return [frozenset(np.array(asked.labels)[flags].tolist()) for flags in asked.given]
