"""Counting answers, and drawing the rows again and again: how good a head is, and how far that may be chance.

Counts are arrays (…, 2 + 3 x labels): rows, rows answered rightly, and for each label hits, times wanted and times
given. They add up, over rows as over resamples, and every figure here is taken from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Counts: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]  # (row, label)

RESAMPLES = 2000
RANGE = (2.5, 97.5)  # percentiles: 95 % lie between
CHUNK = 100  # resamples summed at once, to bound memory


def tally(wanted: Flags, given: Flags) -> Counts:
    """Return the counts of each row. A row is answered rightly with all its labels and no other."""
    right = (wanted == given).all(axis=1, keepdims=True)
    parts = (np.ones_like(right), right, wanted & given, wanted, given)
    return np.concatenate([part.astype(float) for part in parts], axis=1)


def accuracy(counts: Counts) -> Counts:
    """Return the share of rows answered rightly."""
    return np.asarray(counts[..., 1] / counts[..., 0])


def per_label(counts: Counts) -> tuple[Counts, Counts, Counts]:
    """Return precision, recall and F1 (…, label); 0 where there is nothing to divide by."""
    hits, wanted, given = np.split(counts[..., 2:], 3, axis=-1)
    return hits / np.maximum(given, 1), hits / np.maximum(wanted, 1), 2 * hits / np.maximum(wanted + given, 1)


def present(counts: Counts) -> Flags:
    """Say of which labels (…, label) there are rows."""
    return np.asarray(np.split(counts[..., 2:], 3, axis=-1)[1] > 0)


def macro_f1(counts: Counts) -> Counts:
    """Return the mean F1 over the labels that the rows bear; 0 where they bear none."""
    there = present(counts)
    return np.asarray((per_label(counts)[2] * there).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1))


def correlation(counts: Counts) -> Counts:
    """Return Matthews' correlation coefficient for several classes (Gorodkin 2004); 0 where either side is constant.

    For heads with one label for each row.
    """
    _, wanted, given = np.split(counts[..., 2:], 3, axis=-1)
    rows, right = counts[..., 0], counts[..., 1]
    spread = (rows**2 - (wanted**2).sum(axis=-1)) * (rows**2 - (given**2).sum(axis=-1))
    together = rows * right - (wanted * given).sum(axis=-1)
    return np.asarray(np.where(spread > 0, together / np.sqrt(np.maximum(spread, 1)), 0.0))


class Resamples:
    """Draws of whole groups of near-copies, as often as there are groups (Efron and Tibshirani 1993).

    Copies of one text say little more than one of them, so they are drawn together. All that is summed over one of
    these is summed over the same draws: figures of two models are then paired.
    """

    def __init__(self, groups: Sequence[str], *, seed: int = 1) -> None:
        """`groups`: of each row; at least one row."""
        numbers = {group: i for i, group in enumerate(dict.fromkeys(groups))}
        self.groups = len(numbers)
        self._of = np.array([numbers[group] for group in groups])
        even = np.full(self.groups, 1 / self.groups)
        chance = np.random.default_rng(seed)
        sizes = [CHUNK] * (RESAMPLES // CHUNK)
        self._drawn = [chance.multinomial(self.groups, even, size).astype(np.uint16) for size in sizes]

    def sums(self, counts: Counts) -> Counts:
        """Return (resample, …) sums of the counts (row, …)."""
        grouped = np.zeros((self.groups, *counts.shape[1:]))
        np.add.at(grouped, self._of, counts)
        return np.concatenate([drawn.astype(float) @ grouped for drawn in self._drawn])


def between(values: Counts) -> tuple[float, float]:
    """Return where 95 % of resamples put a figure; those that cannot say (nan) do not count."""
    low, high = np.nanpercentile(values, RANGE)
    return float(low), float(high)
