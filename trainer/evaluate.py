"""How good a head is: accuracy, macro F1, per-class precision and recall, the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.core.manifest import Head
from trainer.calibrate import calibration_error
from trainer.data import Row

Matrix = npt.NDArray[np.int64]


def confusion(wanted: Sequence[int], found: Sequence[int], labels: int) -> Matrix:
    """Count (wanted, found) pairs: one row per true label, one column per answer."""
    matrix = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(matrix, (np.asarray(wanted, dtype=int), np.asarray(found, dtype=int)), 1)
    return matrix


def per_class(matrix: Matrix) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return precision, recall and F1 of each label; 0 where there is nothing to divide by."""
    hits = np.diag(matrix).astype(float)
    precision = hits / np.maximum(matrix.sum(axis=0), 1)
    recall = hits / np.maximum(matrix.sum(axis=1), 1)
    return precision, recall, 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def report(matrix: Matrix, labels: Sequence[str]) -> dict[str, Any]:
    """Return the figures of one head on one set, ready for JSON. Labels that the set lacks do not count in macro F1."""
    precision, recall, f1 = per_class(matrix)
    present = matrix.sum(axis=1) > 0
    return {
        "rows": int(matrix.sum()),
        "accuracy": round(float(np.trace(matrix) / max(1, matrix.sum())), 4),
        "macro_f1": round(float(f1[present].mean()), 4) if present.any() else 0.0,
        "classes": {
            name: {
                "precision": round(float(precision[i]), 4),
                "recall": round(float(recall[i]), 4),
                "f1": round(float(f1[i]), 4),
                "rows": int(matrix[i].sum()),
            }
            for i, name in enumerate(labels)
        },
        "confusion": matrix.tolist(),
    }


def judged(rows: Sequence[Row], scores: npt.NDArray[np.float32], head: str, labels: Sequence[str]) -> Matrix:
    """Compare a head's scores (row, label) with the rows that have a label for it."""
    chosen = [i for i, row in enumerate(rows) if head in row.labels]
    wanted = [labels.index(rows[i].labels[head][0]) for i in chosen]
    return confusion(wanted, scores[chosen].argmax(axis=1).tolist() if chosen else [], len(labels))


def several_f1(rows: Sequence[Row], yes: npt.NDArray[np.bool_], head: str, labels: Sequence[str]) -> float:
    """The mean F1 over the labels of a head that takes several at once; `yes` is (row, label)."""
    chosen = [i for i, row in enumerate(rows) if head in row.labels]
    wanted = np.array([[name in rows[i].labels[head] for name in labels] for i in chosen])
    hits = (wanted & yes[chosen]).sum(axis=0)
    return float(np.mean(2 * hits / np.maximum(wanted.sum(axis=0) + yes[chosen].sum(axis=0), 1)))


def macro_f1(
    rows: Sequence[Row], logits: npt.NDArray[np.float32], head: str, labels: Sequence[str], kind: str = "single"
) -> float:
    """The mean F1 over the labels of a head; of a `multi` head each label is yes where its logit is above 0."""
    if kind == "multi":
        return several_f1(rows, logits > 0, head, labels)
    return float(report(judged(rows, logits, head, labels), labels)["macro_f1"])


def evaluate(
    rows: Sequence[Row], scores: Mapping[str, npt.NDArray[np.float32]], heads: Mapping[str, Head]
) -> dict[str, Any]:
    """Return {file: {head: figures}} for the probabilities (row, label) that a model gave each row.

    For a sentiment head the figures also hold `calibration_error`, of p(negative).
    """
    found: dict[str, Any] = {}
    for source in dict.fromkeys(row.source for row in rows):
        mine = [i for i, row in enumerate(rows) if row.source == source]
        part = [rows[i] for i in mine]
        for name, head in heads.items():
            if not any(name in row.labels for row in part):
                continue
            given = scores[name][mine]
            if head.kind == "multi":
                f1 = several_f1(part, given > 0.5, name, head.labels)
                figures: dict[str, Any] = {"rows": len(part), "macro_f1": round(f1, 4)}
            else:
                figures = report(judged(part, given, name, head.labels), head.labels)
            if "negative" in head.labels and head.kind == "single":
                p = given[:, head.labels.index("negative")]
                known = [i for i, row in enumerate(part) if name in row.labels]
                happened = [part[i].labels[name][0] == "negative" for i in known]
                figures["calibration_error"] = round(calibration_error(p[known].tolist(), happened), 4)
            found.setdefault(source, {})[name] = figures
    return found
