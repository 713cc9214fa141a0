"""The linear model of n-grams: the floor that no head may ship below, and a teacher that errs in ways of its own.

TF-IDF of words and of characters, and one logistic regression for each label. A text may be in either script or in
both: Latin script gives words (1-2) and the characters within words (3-5), Chinese the characters of a run (1-4).
Where a company is judged, a placeholder stands for its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from monitor.errors import ConfigurationError
from trainer.calibrate import Scores, probabilities, temperature
from trainer.data import Row
from trainer.evaluate import macro_f1

Kind: TypeAlias = Literal["single", "multi"]

COMPANY = " thecompanyinquestion "
STRENGTHS = (1.0, 10.0)  # C of the regressions: the better on rows apart is taken
HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+")
LONGEST = 4  # Chinese characters in one feature
NEVER = -20.0  # the logit of a label that nothing taught
FEW = 50  # texts, below which a feature may stand in one alone


def read(row: Row) -> str:
    """Return the text that is looked at: a placeholder in the company's places."""
    text = row.text
    for start, stop in reversed(row.spans):
        text = text[:start] + COMPANY + text[stop:]
    return text


class Features:
    """Turns texts into one row of numbers each: several families of n-grams side by side, each of length 1."""

    def __init__(self) -> None:
        self._fitted: list[TfidfVectorizer] = []

    def learn(self, texts: Sequence[str]) -> Any:
        """Learn which n-grams there are, and return the matrix of these texts.

        Raise ConfigurationError where they have none in common.
        """
        found = []
        for family in _families(least=2 if len(texts) >= FEW else 1):
            try:
                found.append(family.fit_transform(texts))
            except ValueError:  # a script that none of them is written in
                continue
            self._fitted.append(family)
        if not found:
            raise ConfigurationError(f"a linear model found nothing to learn from in {len(texts)} texts")
        return sparse.hstack(found, format="csr")

    def of(self, texts: Sequence[str]) -> Any:
        """Return the matrix of other texts."""
        return sparse.hstack([family.transform(texts) for family in self._fitted], format="csr")


def _families(least: int) -> list[TfidfVectorizer]:
    latin: dict[str, Any] = {"preprocessor": _latin, "sublinear_tf": True}
    return [
        TfidfVectorizer(ngram_range=(1, 2), min_df=least, **latin),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=least + (least > 1), **latin),
        TfidfVectorizer(analyzer=_chinese, min_df=least, sublinear_tf=True),
    ]


def _latin(text: str) -> str:
    return HAN.sub(" ", text.lower())


def _chinese(text: str) -> list[str]:
    return [
        run[start : start + length]
        for run in HAN.findall(text)
        for length in range(1, LONGEST + 1)
        for start in range(len(run) - length + 1)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearHead:
    """One head's fitted model. `strength` is the C that was chosen."""

    features: Features
    regressions: Sequence[LogisticRegression | None]  # None for a label that no row bore
    labels: tuple[str, ...]
    kind: Kind
    strength: float
    temperature: float

    def probabilities(self, rows: Sequence[Row]) -> Scores:
        """Return calibrated probabilities (row, label)."""
        logits = _logits(self.regressions, self.features.of([read(row) for row in rows]))
        return probabilities(logits, self.temperature, self.kind)


def fit_linear(
    rows: Sequence[Row],
    exam: Sequence[Row],
    head: str,
    labels: Sequence[str],
    kind: Kind = "single",
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> LinearHead:
    """Fit one head on those of `rows` that have a label for it; those of `exam` choose C and the temperature.

    Without such an exam, C is the first and the probabilities are as they come. Labels that no row bears are never
    given. Raise ConfigurationError where the rows bear fewer than two.
    """
    rows, exam = [row for row in rows if head in row.labels], [row for row in exam if head in row.labels]
    borne = {label for row in rows for label in row.labels[head]}
    if len(borne) < 2:
        raise ConfigurationError(f"heads.{head}: a linear model's rows bear {sorted(borne)}, expected two labels")
    features = Features()
    seen = features.learn([read(row) for row in rows])
    asked = features.of([read(row) for row in exam]) if exam else None
    tried = {c: _regress(seen, rows, head, labels, c) for c in (strengths if exam else strengths[:1])}
    logits = {c: _logits(each, asked) for c, each in tried.items()} if exam else {}
    best = max(tried, key=lambda c: macro_f1(exam, logits[c], head, labels, kind) if exam else 0.0)
    wanted = np.array([row.wanted(head, labels) for row in exam], dtype=np.float32)
    return LinearHead(
        features=features,
        regressions=tried[best],
        labels=tuple(labels),
        kind=kind,
        strength=best,
        temperature=temperature(logits[best], wanted, kind) if exam else 1.0,
    )


def _regress(
    seen: Any, rows: Sequence[Row], head: str, labels: Sequence[str], strength: float
) -> list[LogisticRegression | None]:
    """Fit one label against all others, for each label."""
    weights = np.array([row.weight for row in rows])
    weights /= max(weights.mean(), 1e-9)  # C means the same whatever a file's scale
    found: list[LogisticRegression | None] = []
    for label in labels:
        bears = np.array([label in row.labels[head] for row in rows])
        one = bears.any() and not bears.all()
        made = LogisticRegression(C=strength, solver="liblinear", random_state=0) if one else None
        found.append(made.fit(seen, bears, sample_weight=weights) if made else None)
    return found


def _logits(regressions: Sequence[LogisticRegression | None], seen: Any) -> Scores:
    never = np.full(seen.shape[0], NEVER)
    columns = [never if each is None else each.decision_function(seen) for each in regressions]
    return np.stack(columns, axis=1).astype(np.float32)
