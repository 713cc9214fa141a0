"""How good a head is: accuracy, macro F1, correlation, per-class precision and recall, the confusion matrix,
calibration, and how far each may be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.core.manifest import Head
from trainer import tally
from trainer.calibrate import Scores, calibration_bins, calibration_error
from trainer.data import Row
from trainer.exam import Exam, Question, exams

Matrix = npt.NDArray[np.int64]


def confusion(wanted: Sequence[int], found: Sequence[int], labels: int) -> Matrix:
    """Count (wanted, found) pairs: one row per true label, one column per answer."""
    matrix = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(matrix, (np.asarray(wanted, dtype=int), np.asarray(found, dtype=int)), 1)
    return matrix


def report(matrix: Matrix, labels: Sequence[str]) -> dict[str, Any]:
    """Return the figures of one head on one set, ready for JSON. Labels that the set lacks do not count in macro F1."""
    right, wanted, given = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    counts = np.array([matrix.sum(), np.trace(matrix), *right, *wanted, *given], dtype=float)
    return _counted(counts, labels, several=False) | {"confusion": matrix.tolist()}


def _counted(counts: tally.Counts, labels: Sequence[str], *, several: bool) -> dict[str, Any]:
    precision, recall, f1 = tally.per_label(counts)
    wanted = np.split(counts[2:], 3)[1]
    return {
        "rows": int(counts[0]),
        "accuracy": round(float(tally.accuracy(counts)), 4) if counts[0] else 0.0,
        "macro_f1": round(float(tally.macro_f1(counts)), 4),
        **({} if several else {"mcc": round(float(tally.correlation(counts)), 4)}),
        "classes": {
            name: {
                "precision": round(float(precision[i]), 4),
                "recall": round(float(recall[i]), 4),
                "f1": round(float(f1[i]), 4),
                "rows": int(wanted[i]),
            }
            for i, name in enumerate(labels)
        },
    }


def macro_f1(rows: Sequence[Row], logits: Scores, head: str, labels: Sequence[str], kind: str = "single") -> float:
    """The mean F1 over the labels of a head; of a `multi` head each label is yes where its logit is above 0."""
    chosen = [i for i, row in enumerate(rows) if head in row.labels]
    if not chosen:
        return 0.0
    wanted = np.array([[name in rows[i].labels[head] for name in labels] for i in chosen])
    best = logits[chosen].argmax(axis=1)
    given = logits[chosen] > 0 if kind == "multi" else np.arange(len(labels)) == best[:, None]
    return float(tally.macro_f1(tally.tally(wanted, given).sum(axis=0)))


def evaluate(
    rows: Sequence[Row], scores: Mapping[str, Scores], heads: Mapping[str, Head], question: Question | None = None
) -> dict[str, Any]:
    """Return {file: {head: figures}} for the probabilities (row, label) that a model gave each row."""
    asked = exams(rows, scores, heads, question)
    return {source: {name: figures(each) for name, each in found.items()} for source, found in asked.items()}


def figures(exam: Exam, *, seed: int = 1) -> dict[str, Any]:
    """Return what can be said of an exam, ready for JSON.

    `between` holds where 95 % of resamples put each figure; `calibration_error` is that of p(negative), of the heads
    that know it, and `calibration` tells it before the temperature too, with the ten bins behind it.
    """
    wanted, given = exam.wanted, exam.given
    counts = tally.tally(wanted, given)
    resamples = tally.Resamples([row.group for row in exam.rows], seed=seed)
    found = _counted(counts.sum(axis=0), exam.labels, several=exam.several)
    if not exam.several:
        matrix = confusion(wanted.argmax(axis=1).tolist(), given.argmax(axis=1).tolist(), len(exam.labels))
        found["confusion"] = matrix.tolist()
    found |= {"question": str(exam.question), "groups": resamples.groups}
    found |= _calibrated(exam)
    return found | {"between": _ranges(resamples.sums(counts), exam)}


def summary(exam: Exam, *, seed: int = 1) -> dict[str, Any]:
    """Return the main figures of an exam alone: of a part of a set."""
    counts = tally.tally(exam.wanted, exam.given)
    drawn = tally.Resamples([row.group for row in exam.rows], seed=seed).sums(counts)
    whole = counts.sum(axis=0)
    named = {"accuracy": tally.accuracy, "macro_f1": tally.macro_f1}
    return {
        "rows": len(exam.rows),
        **{name: round(float(figure(whole)), 4) for name, figure in named.items()},
        **({"calibration_error": _calibrated(exam)["calibration_error"]} if exam.negative is not None else {}),
        "between": {name: _range(figure(drawn)) for name, figure in named.items()},
    }


def _calibrated(exam: Exam) -> dict[str, Any]:
    if exam.negative is None or exam.uncalibrated is None:
        return {}
    after, happened = exam.negative.tolist(), exam.happened
    error = round(calibration_error(after, happened), 4)
    before = round(calibration_error(exam.uncalibrated.tolist(), happened), 4)
    bins = [
        {"rows": rows, "said": round(said, 4), "was": round(was, 4)}
        for rows, said, was in calibration_bins(after, happened)
    ]
    return {"calibration_error": error, "calibration": {"before": before, "after": error, "bins": bins}}


def _ranges(drawn: tally.Counts, exam: Exam) -> dict[str, Any]:
    there = tally.present(drawn)
    precision, recall, f1 = (np.where(there, each, np.nan) for each in tally.per_label(drawn))
    named = {"accuracy": tally.accuracy, "macro_f1": tally.macro_f1}
    if not exam.several:
        named["mcc"] = tally.correlation
    return {name: _range(figure(drawn)) for name, figure in named.items()} | {
        "classes": {
            label: {
                "precision": _range(precision[:, i]),
                "recall": _range(recall[:, i]),
                "f1": _range(f1[:, i]),
            }
            for i, label in enumerate(exam.labels)
            if there[:, i].any()
        }
    }


def _range(values: tally.Counts) -> list[float]:
    low, high = tally.between(values)
    return [round(low, 4), round(high, 4)]
