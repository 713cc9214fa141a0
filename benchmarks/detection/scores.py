"""How unlikely each window of a stream is, by the needle's own formulas, before any level is chosen.

A small double of the detector for many streams at once: rate, season and clustering of one group, learned hour by hour
from the calm stream alone, and the chance of every window that gains a story. It knows no publishers, shares, weights,
surges that last or models. So ways of choosing a level can be compared on the same scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from streams import START

from monitor.core.detect.baseline import PRIOR, UNKNOWN, Dispersion, fade
from monitor.core.detect.budget import WINDOWS, cluster_rate
from monitor.core.detect.calendar import BUCKETS, FLAT, Season
from monitor.core.detect.windows import bucket_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST = 3  # stories that a window must hold to be judged
FIRST = bucket_of(START)


@dataclass(frozen=True, slots=True)
class Judged:
    """The moments at which keys gained stories, in order of time.

    places, buckets  which key, and when
    chances          (moments, windows): how often an hour chance alone brings this; infinity where that is nothing
    """

    places: Ints
    buckets: Ints
    chances: Floats

    @property
    def scores(self) -> Floats:
        """The pooled score of each moment: -log of the least chance of its windows."""
        return np.asarray(-np.log(self.chances.min(axis=1)))

    def part(self, chosen: npt.NDArray[np.bool_]) -> Judged:
        return Judged(self.places[chosen], self.buckets[chosen], self.chances[chosen])


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is normal for every key in one hour."""

    rates: Floats
    certainties: Floats
    season: Season
    surge: Dispersion

    def moments(self, window: int, bucket: int) -> tuple[Floats, Floats]:
        """Return mean and excess of each key's count in the window that ends with this bucket."""
        end = FIRST + bucket + 1
        means = self.rates * self.season.span(end - WINDOWS[window], end)
        doubt = 1.0 / self.certainties + self.season.doubt(end - 1) / max(1.0, WINDOWS[window] / BUCKETS)
        return means, self.surge.factors[window] - 1.0 + means * doubt


def judged(calm: Floats, seen: Sequence[Floats]) -> tuple[list[Judged], list[Baseline]]:
    """Return the judged moments of each stream seen, and the baseline at the beginning of each day.

    `calm` and `seen` are counts, shape (keys, buckets), of whole days. Nothing is judged by what came later.
    """
    sums = [_sums(counts) for counts in seen]
    parts: list[list[Judged]] = [[] for _ in seen]
    days: list[Baseline] = []
    for hour, baseline in enumerate(_baselines(calm)):
        if hour % 24 == 0:
            days.append(baseline)
        for counts, total, part in zip(seen, sums, parts, strict=True):
            part.extend(_judge_hour(counts, total, hour, baseline))
    return [_joined(found) for found in parts], days


def _sums(counts: Floats) -> Ints:
    return np.concatenate(
        [np.zeros((counts.shape[0], 1), np.int64), np.cumsum(counts, axis=1).astype(np.int64)], axis=1
    )


def _baselines(calm: Floats) -> Iterator[Baseline]:
    """Yield what is normal in each hour, by the hours before."""
    keys, sums = calm.shape[0], _sums(calm)
    evidence, exposure = np.zeros(keys), 0.0
    baseline = Baseline(np.full(keys, 0.05), np.full(keys, PRIOR), FLAT, UNKNOWN)
    for hour in range(calm.shape[1] // BUCKETS):
        yield baseline
        end = (hour + 1) * BUCKETS
        surge = baseline.surge
        for window, length in enumerate(WINDOWS):
            for last in range(end - BUCKETS + length, end + 1, length) if length < BUCKETS else _whole(end, length):
                means, _ = baseline.moments(window, last - 1)
                counts = (sums[:, last] - sums[:, last - length]).astype(float)
                surge = surge.learn(window, counts, means, baseline.certainties, fade(length / BUCKETS))
        counts = (sums[:, end] - sums[:, end - BUCKETS]).astype(float)
        evidence = evidence * fade(1.0) + counts
        exposure = exposure * fade(1.0) + baseline.season.factor(FIRST + end - 1)
        clustering = surge.factors[3]
        certainties = PRIOR + evidence / clustering
        typical = (1.0 + evidence.sum()) / (20.0 + exposure * keys)
        baseline = replace(
            baseline,
            rates=certainties / (PRIOR / typical + exposure / clustering),
            certainties=certainties,
            season=baseline.season.learn(FIRST // BUCKETS + hour, float(counts.sum()), surge.factors[1]),
            surge=surge,
        )


def _whole(end: int, length: int) -> Sequence[int]:
    return (end,) if end % length == 0 else ()


def _judge_hour(counts: Floats, sums: Ints, hour: int, baseline: Baseline) -> list[Judged]:
    found = []
    for bucket in range(hour * BUCKETS, (hour + 1) * BUCKETS):
        places = np.flatnonzero(counts[:, bucket])
        chances = np.full((places.size, len(WINDOWS)), np.inf)
        paces = baseline.rates[places] * baseline.season.factor(FIRST + bucket)
        for window, length in enumerate(WINDOWS):
            totals = sums[places, bucket + 1] - sums[places, max(0, bucket + 1 - length)]
            means, excesses = baseline.moments(window, bucket)
            for row in np.flatnonzero(totals >= LEAST):
                place = places[row]
                chances[row, window] = cluster_rate(
                    float(totals[row]), float(means[place]), float(excesses[place]), float(paces[row])
                )
        found.append(Judged(places, np.full(places.size, bucket), np.maximum(chances, 1e-300)))
    return found


def _joined(parts: Sequence[Judged]) -> Judged:
    return Judged(
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.buckets for part in parts]),
        np.concatenate([part.chances for part in parts]),
    )
