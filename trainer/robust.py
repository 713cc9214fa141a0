"""Whether labels stay when a text is written otherwise: the share that moves, and how far p(negative) does.

Both the text as it is and the changed one are read as the daemon reads an article, in the plain form of
monitor/core/text/normalise.py, which undoes some of the changes before the model sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

import numpy as np

from monitor.core.manifest import Head
from monitor.core.text.normalise import clean
from monitor.scoring.glossary import Span
from trainer.calibrate import Scores
from trainer.data import Row
from trainer.exam import Exam, exam
from trainer.perturb import PERTURBATIONS

Text: TypeAlias = tuple[str, Sequence[Span]]  # with the places of the company that is judged
Ask: TypeAlias = Callable[[Sequence[Text]], Mapping[str, Scores]]  # texts to {head: probabilities (row, label)}

SAMPLE = 500  # rows


def robustness(
    asked: Mapping[str, Mapping[str, Exam]], heads: Mapping[str, Head], ask: Ask, *, most: int = SAMPLE, seed: int = 1
) -> dict[str, dict[str, Any]]:
    """Return {file: {head: {"rows", perturbation: figures}}} on a sample of at most `most` rows, files sharing evenly.

    Of each perturbation `rows` says how many texts it changed, and the rest is about these: `moved` is the share whose
    label is another than before, `plain` and `accuracy` are the accuracy before and after, and `shift` is how far
    p(negative) moves in the mean, of the heads that know it.
    """
    share = max(1, most // sum(len(found) for found in asked.values()))
    chance = Random(seed)  # noqa: S311 - a sample of rows, not a secret
    return {
        source: {name: _robust(each, heads[name], ask, share, chance) for name, each in found.items()}
        for source, found in asked.items()
    }


def _robust(asked: Exam, head: Head, ask: Ask, most: int, chance: Random) -> dict[str, Any]:
    rows = list(asked.rows)
    if len(rows) > most:
        rows = chance.sample(rows, most)

    def answers(texts: Sequence[Text], rows: Sequence[Row]) -> Exam:
        given = ask([as_read(*text) for text in texts])[asked.head]
        return exam(rows, given, asked.head, head, asked.question)

    plain = answers([(row.text, row.spans) for row in rows], rows)
    found: dict[str, Any] = {"rows": len(rows)}
    for kind, perturb in PERTURBATIONS.items():
        changed = [perturb(row.text, row.spans, chance) for row in rows]
        touched = [i for i, row in enumerate(rows) if changed[i][0] != row.text]
        if touched:
            after = answers([changed[i] for i in touched], [rows[i] for i in touched])
            found[kind] = _told(plain.part(touched), after)
    return found


def _told(before: Exam, after: Exam) -> dict[str, Any]:
    wanted = before.wanted
    found = {
        "rows": len(before.rows),
        "moved": _share(before.given != after.given),
        "plain": round(1 - _share(before.given != wanted), 4),
        "accuracy": round(1 - _share(after.given != wanted), 4),
    }
    if before.negative is None or after.negative is None:
        return found
    return found | {"shift": round(float(np.abs(after.negative - before.negative).mean()), 4)}


def _share(differ: Any) -> float:
    return round(float(differ.any(axis=1).mean()), 4)


def as_read(text: str, spans: Sequence[Span]) -> Text:
    """Return a text as the daemon reads it, and where its company stands then."""
    read = clean(text)
    found = []
    for start, stop in spans:
        name = clean(text[start:stop])
        first = len(clean(f"{text[:start]}x")) - 1  # a letter, so that the space before the name stays
        if name and read.startswith(name, first):
            found.append((first, first + len(name)))
    return read, found
