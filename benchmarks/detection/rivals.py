"""Other detectors of surges, each a score per key and bucket that is compared with one factor for all keys.

They see counts per bucket of five minutes, shape (keys, buckets), and nothing later than the bucket they judge. Each
says where at least `LEAST` stories lie in what it looks at, as newsquake does: without this they are far worse. Their
factor is free; what is compared is what they find at the factor that keeps them as quiet as newsquake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

HOUR, WEEK = 12, 2016  # buckets
LEAST = 3.0  # stories
HOLD = 6  # buckets after which a score that stays low has ended its incident, as with newsquake


@dataclass(frozen=True, slots=True)
class Scores:
    """Where a rival might alarm: key's place, bucket and score, ordered by key, then bucket."""

    places: npt.NDArray[np.int64]
    buckets: npt.NDArray[np.int64]
    values: Floats

    def incidents(self, factor: float) -> Scores:
        """Return where incidents open: the first score above the factor after half an hour without one."""
        above = self.values > factor
        places, buckets, values = self.places[above], self.buckets[above], self.values[above]
        opens = np.ones(places.size, bool)
        opens[1:] = (places[1:] != places[:-1]) | (buckets[1:] - buckets[:-1] > HOLD)
        return Scores(places[opens], buckets[opens], values[opens])


def scores_of(values: Floats, judged: npt.NDArray[np.bool_]) -> Scores:
    """Keep the scores of the buckets that are judged."""
    places, buckets = np.nonzero(judged)
    return Scores(places, buckets, values[places, buckets])


def joined(parts: Iterable[tuple[int, Scores]]) -> Scores:
    """Join the scores of parts of the keys, each with the place of its first key."""
    moved = [(part.places + first, part.buckets, part.values) for first, part in parts]
    places, buckets, values = (np.concatenate(column) for column in zip(*moved, strict=True))
    return Scores(places, buckets, values)


def factor_for(scores: Scores, allowed: int) -> float:
    """Return, to within 1 %, the smallest factor with which no more than `allowed` incidents open."""
    high = float(scores.values.max(initial=1.0))
    low = 0.0
    while high - low > 0.01 * high:
        middle = (low + high) / 2.0
        if scores.incidents(middle).places.size <= allowed:
            high = middle
        else:
            low = middle
    return high


def z_score(counts: Floats) -> Scores:
    """The rolling z-score of the past hour against the hours that ended in the week before it.

    The Prometheus rule `increase(x[1h]) > avg_over_time(...[1w]) + k * stddev_over_time(...[1w])`. It is silent in its
    first week.
    """
    hours = _rolling(counts, HOUR)
    mean = _late(_rolling(hours, WEEK) / WEEK, HOUR)
    square = _late(_rolling(hours**2, WEEK) / WEEK, HOUR)
    spread = np.sqrt(np.maximum(square - mean**2, 1.0 / WEEK))
    return scores_of((hours - mean) / spread, _ripe(hours >= LEAST, WEEK + HOUR))


def _rolling(values: Floats, length: int) -> Floats:
    """Return sums over the last `length` buckets, this one included; over fewer at the beginning."""
    sums = np.cumsum(values, axis=1)
    sums[:, length:] -= sums[:, :-length].copy()
    return sums


def _late(values: Floats, buckets: int) -> Floats:
    """Return the values of so many buckets ago; 0 at the beginning."""
    before = np.zeros_like(values)
    before[:, buckets:] = values[:, :-buckets]
    return before


def _ripe(judged: npt.NDArray[np.bool_], first: int) -> npt.NDArray[np.bool_]:
    judged[:, :first] = False
    return judged


RIVALS: dict[str, Callable[[Floats], Scores]] = {"z-score": z_score}
