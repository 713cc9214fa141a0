"""Two models on the same labelled rows: how far they differ, and whether that may be chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.stats import binomtest

from trainer.data import Row
from trainer.tally import Counts, Flags, Resamples, accuracy, between, macro_f1, tally

Answer: TypeAlias = frozenset[str]  # the labels given to a row: one, or any number where the head takes several


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One figure of both models, the difference (the second's less the first's), and where 95 % of resamples put it."""

    first: float
    second: float
    difference: float
    between: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two models answer one head's rows.

    chance    how often two equally good models would part at least so far, in either direction: McNemar's test (1947),
              exact, on the rows that only one of them answers rightly
    accuracy  the share of rows answered rightly, all their labels where the head takes several
    macro_f1  the mean F1 over the labels that the rows bear
    """

    rows: int
    groups: int  # of near-copies: the resamples draw whole groups
    only_first: int  # rows that the first alone answers rightly
    only_second: int
    chance: float
    accuracy: Pair
    macro_f1: Pair

    @property
    def chance_of_loss(self) -> float:
        """How often two equally good models would differ at least so far to the second's disadvantage."""
        return _chance(self.only_second, self.only_first + self.only_second, "less")

    def to_json(self) -> dict[str, Any]:
        """Return the figures, rounded to four digits."""
        found: dict[str, Any] = _rounded(asdict(self))
        return found


def compare(
    rows: Sequence[Row], head: str, first: Sequence[Answer], second: Sequence[Answer], *, seed: int = 1
) -> Comparison:
    """Compare two models' answers for rows that all bear a label of this head; at least one row.

    The ranges are of a paired bootstrap that draws groups of near-copies (see trainer/tally.py).
    """
    wanted = [frozenset(row.labels[head]) for row in rows]
    names = sorted({label for answers in (wanted, first, second) for each in answers for label in each})
    truth = _flags(wanted, names)
    counts = [tally(truth, _flags(given, names)) for given in (first, second)]
    resamples = Resamples([row.group for row in rows], seed=seed)
    drawn = [resamples.sums(each) for each in counts]
    right = [each[:, 1] > 0 for each in counts]
    one, other = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Comparison(
        rows=len(rows),
        groups=resamples.groups,
        only_first=one,
        only_second=other,
        chance=_chance(other, one + other, "two-sided"),
        accuracy=_pair(accuracy, counts, drawn),
        macro_f1=_pair(macro_f1, counts, drawn),
    )


def told(first: str, second: str, comparisons: Mapping[str, Comparison]) -> str:
    """Return a comparison in words, a line or two for each head."""
    lines = [f"A = {first}, B = {second}"]
    for head, found in comparisons.items():
        figures = "; ".join(
            f"{name} {each.first:.3f} -> {each.second:.3f} ({each.difference:+.3f}, "
            f"95 % within {each.between[0]:+.3f} and {each.between[1]:+.3f})"
            for name, each in (("accuracy", found.accuracy), ("macro F1", found.macro_f1))
        )
        lines.append(f"{head}, {found.rows} rows: {figures}")
        lines.append(
            f"  A alone is right on {found.only_first}, B alone on {found.only_second}: by chance in "
            f"{found.chance:.2g} of such comparisons"
        )
    return "\n".join(lines)


def _chance(hits: int, of: int, alternative: Literal["two-sided", "less"]) -> float:
    return float(binomtest(hits, of, alternative=alternative).pvalue) if of else 1.0


def _flags(answers: Sequence[Answer], names: Sequence[str]) -> Flags:
    return np.array([[name in each for name in names] for each in answers], dtype=bool)


def _pair(figure: Callable[[Counts], Counts], counts: Sequence[Counts], drawn: Sequence[Counts]) -> Pair:
    first, second = (float(figure(each.sum(axis=0))) for each in counts)
    return Pair(
        first=first, second=second, difference=second - first, between=between(figure(drawn[1]) - figure(drawn[0]))
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
