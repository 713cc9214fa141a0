"""What a head is asked on one set, and what it answered.

Most sets are asked for their labels. Some know two classes only, where a model knows three: a headline that is called
neutral would then be wrong whatever it says. Which question a set puts is seen from the labels of its rows:

    only `negative` and `positive`    signs: p(negative) against p(positive), the rest left aside
    any `not_negative`                negative: p(negative) against all the rest, at 0.5; other labels count as such
    else                              labels: each row is answered by its likeliest label
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from monitor.core.manifest import Head
from trainer.calibrate import Scores, tempered
from trainer.data import Row
from trainer.tally import Flags

TINY = np.finfo(np.float32).tiny
NEGATIVE, POSITIVE, NOT_NEGATIVE = "negative", "positive", "not_negative"


class Question(StrEnum):
    """What rows ask a head for."""

    LABELS = "labels"
    SIGNS = "signs"
    NEGATIVE = "negative"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """One head's answers to rows that have a label for it: `probabilities` (row, label) of the labels asked for.

    `negative` is p(negative) as the model states it, `uncalibrated` the same without the head's temperature: of a head
    that takes one label and knows this one, else None.
    """

    head: str
    question: Question
    labels: tuple[str, ...]
    several: bool  # labels for one row
    rows: Sequence[Row]
    probabilities: Scores
    negative: Scores | None
    uncalibrated: Scores | None

    @property
    def wanted(self) -> Flags:
        """What the rows say (row, label)."""
        flags = [[label in row.labels[self.head] for label in self.labels] for row in self.rows]
        return np.array(flags, dtype=bool).reshape(len(self.rows), len(self.labels))

    @property
    def given(self) -> Flags:
        """What the head answered (row, label)."""
        if self.several:
            return self.probabilities > 0.5
        flags = np.zeros(self.probabilities.shape, dtype=bool)
        flags[np.arange(len(flags)), self.probabilities.argmax(axis=1)] = True
        return flags

    @property
    def happened(self) -> list[bool]:
        """Say of each row whether it is negative."""
        return [row.labels[self.head] == (NEGATIVE,) for row in self.rows]

    def part(self, chosen: Sequence[int]) -> Exam:
        """Return the exam of some of the rows, on the same question."""
        picked: npt.NDArray[np.int64] = np.array(chosen, dtype=np.int64)
        return replace(
            self,
            rows=[self.rows[i] for i in chosen],
            probabilities=self.probabilities[picked],
            negative=None if self.negative is None else self.negative[picked],
            uncalibrated=None if self.uncalibrated is None else self.uncalibrated[picked],
        )


def exams(
    rows: Sequence[Row], scores: Mapping[str, Scores], heads: Mapping[str, Head], question: Question | None = None
) -> dict[str, dict[str, Exam]]:
    """Return {file: {head: exam}} for the probabilities (row, label) that a model gave each row.

    Each file puts its own question to each head; `question` goes before what its labels show.
    """
    found: dict[str, dict[str, Exam]] = {}
    for source in dict.fromkeys(row.source for row in rows):
        for name, head in heads.items():
            chosen = [i for i, row in enumerate(rows) if row.source == source and name in row.labels]
            made = exam([rows[i] for i in chosen], scores[name][chosen], name, head, question)
            if made.rows:
                found.setdefault(source, {})[name] = made
    return found


def exam(rows: Sequence[Row], scores: Scores, name: str, head: Head, question: Question | None = None) -> Exam:
    """Return a head's exam on the rows of one set, all of which have a label for it."""
    asked = question_of(rows, name, head) if question is None or not signed(head) else question
    negative = scores[:, head.labels.index(NEGATIVE)] if signed(head) else None
    before = tempered(scores, head.temperature)[:, head.labels.index(NEGATIVE)] if signed(head) else None
    whole = Exam(
        head=name,
        question=asked,
        labels=head.labels,
        several=head.kind == "multi",
        rows=rows,
        probabilities=scores,
        negative=negative,
        uncalibrated=before,
    )
    if asked is Question.SIGNS:
        known = whole.part([i for i, row in enumerate(rows) if row.labels[name][0] in (NEGATIVE, POSITIVE)])
        pair = known.probabilities[:, [head.labels.index(NEGATIVE), head.labels.index(POSITIVE)]]
        return replace(
            known, labels=(NEGATIVE, POSITIVE), probabilities=pair / np.maximum(pair.sum(axis=1, keepdims=True), TINY)
        )
    if asked is Question.NEGATIVE and negative is not None:
        split = np.stack([negative, 1 - negative], axis=1)
        told = [_told(row, name) for row in rows]
        return replace(whole, labels=(NEGATIVE, NOT_NEGATIVE), rows=told, probabilities=split)
    return whole


def question_of(rows: Sequence[Row], name: str, head: Head) -> Question:
    """Return the question that a set's labels put to a head."""
    seen = {label for row in rows for label in row.labels[name]}
    if not signed(head):
        return Question.LABELS
    if NOT_NEGATIVE in seen:
        return Question.NEGATIVE
    return Question.SIGNS if seen == {NEGATIVE, POSITIVE} else Question.LABELS


def signed(head: Head) -> bool:
    """Say whether a head tells good from bad, so that two-class sets can ask it."""
    return head.kind == "single" and {NEGATIVE, POSITIVE} <= set(head.labels)


def _told(row: Row, head: str) -> Row:
    label = NEGATIVE if row.labels[head] == (NEGATIVE,) else NOT_NEGATIVE
    return replace(row, labels={**row.labels, head: (label,)})
