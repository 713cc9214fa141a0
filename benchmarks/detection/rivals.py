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
from scipy.signal import lfilter

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

    def incidents(self, factor: float, hold: int = HOLD) -> Scores:
        """Return where incidents open: the first score above the factor after more than `hold` buckets without one."""
        above = self.values > factor
        places, buckets, values = self.places[above], self.buckets[above], self.values[above]
        opens = np.ones(places.size, bool)
        opens[1:] = (places[1:] != places[:-1]) | (buckets[1:] - buckets[:-1] > hold)
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


def ewma(counts: Floats) -> Scores:
    """The exponentially weighted average of an hour's memory, against what it was in the weeks before.

    The chart of S. W. Roberts (1959); mean and spread of the average itself are taken with a memory of a week, and as
    they were an hour ago. It is silent in its first week.
    """
    quick = _faded(counts, HOUR)
    mean = _late(_settled(quick, WEEK), HOUR)
    square = _late(_settled(quick**2, WEEK), HOUR)
    spread = np.sqrt(np.maximum(square - mean**2, 1.0 / WEEK / HOUR))
    return scores_of((quick - mean) / spread, _ripe(_rolling(counts, 3 * HOUR) >= LEAST, WEEK + HOUR))


def cusum(counts: Floats, times: float = 3.0) -> Scores:
    """The cumulative sum of log likelihood ratios of `times` the usual rate against the usual rate.

    The Poisson chart of J. M. Lucas (1985). Read forward it is also the two-state burst automaton of J. Kleinberg
    (2002): staying in the busy state saves as much as the sum has risen, entering it costs the factor. The usual rate
    is that of the week before, as if one story had come in it beside; it is silent in its first week. The least
    number of stories is asked of a day.
    """
    usual = _late((_rolling(counts, WEEK) + 1.0) / WEEK, 1)
    steps = counts * np.log(times) - usual * (times - 1.0)
    steps[:, : WEEK + HOUR] = 0.0
    sums = np.cumsum(steps, axis=1)
    sums -= np.minimum.accumulate(np.minimum(sums, 0.0), axis=1)
    return scores_of(sums, _ripe(_rolling(counts, 24 * HOUR) >= LEAST, WEEK + HOUR))


def seasonal_esd(counts: Floats) -> Scores:
    """Twitter's seasonal hybrid ESD, hour by hour: O. Vallis, J. Hochenbaum, A. Kejariwal (2014), HotCloud.

    The residual of an hour is its count less the median of the same hour in the seven days before (a season without
    STL) and less the median residual of two weeks; its score is that over their median absolute deviation. The
    generalised ESD's critical value is the factor. Where that deviation is 0, which on sparse counts is the rule and of
    which the paper says nothing, the spread of a Poisson count of the same mean takes its place. An hour is judged
    when it ends; the first two weeks are silent.
    """
    keys, buckets = counts.shape
    hours = counts[:, : buckets // HOUR * HOUR].reshape(keys, -1, HOUR).sum(axis=2)
    residuals, values = np.zeros_like(hours), np.zeros_like(hours)
    for hour in range(7 * 24, hours.shape[1]):
        residuals[:, hour] = hours[:, hour] - np.median(hours[:, hour - 7 * 24 : hour : 24], axis=1)
    for day in range(14 * 24, hours.shape[1], 24):  # the yardstick is taken once a day
        past = slice(max(7 * 24, day - 14 * 24), day)
        middle = np.median(residuals[:, past], axis=1, keepdims=True)
        spread = 1.4826 * np.median(np.abs(residuals[:, past] - middle), axis=1, keepdims=True)
        usual = np.sqrt(np.maximum(hours[:, past].mean(axis=1, keepdims=True), HOUR / WEEK))
        values[:, day : day + 24] = (residuals[:, day : day + 24] - middle) / np.where(spread > 0.0, spread, usual)
    found = scores_of(values, _ripe(hours >= LEAST, 14 * 24))
    return Scores(found.places, found.buckets * HOUR + HOUR - 1, found.values)


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


def _faded(values: Floats, memory: int) -> Floats:
    """Return the exponentially weighted average with a memory of so many buckets."""
    part = 1.0 - np.exp(-1.0 / memory)
    return np.asarray(lfilter([part], [1.0, part - 1.0], values, axis=1))


def _settled(values: Floats, memory: int) -> Floats:
    """Return the same, rid of the zero it began with."""
    weights = 1.0 - np.exp(-np.arange(1, values.shape[1] + 1) / memory)
    return _faded(values, memory) / weights


def _ripe(judged: npt.NDArray[np.bool_], first: int) -> npt.NDArray[np.bool_]:
    judged[:, :first] = False
    return judged


RIVALS: dict[str, Callable[[Floats], Scores]] = {
    "z-score": z_score,
    "EWMA": ewma,
    "S-H-ESD": seasonal_esd,
    "CUSUM": cusum,
}
