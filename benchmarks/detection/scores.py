"""How unlikely each window of a stream is, by the needle's own formulas, before any level is chosen.

A small double of the detector for many streams at once: rate, season and clustering of one group, learned hour by hour
from the calm stream alone, and the chance of every window that gains a story. It knows no publishers, shares, weights,
surges that last or models. So ways of choosing a level can be compared on the same scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from streams import START

from monitor.core.detect.baseline import PRIOR, UNKNOWN, Dispersion, fade
from monitor.core.detect.budget import WINDOWS, cluster_rates
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
    """What is normal for every key in one hour.

    evidence, exposure  stories of each key and hours watched, both as far as they are not forgotten
    typical             stories an hour of the typical key
    """

    evidence: Floats
    exposure: float
    typical: float
    season: Season
    surge: Dispersion

    @property
    def rates(self) -> Floats:
        return self.beside(self.evidence, 0.0)[0]

    @property
    def certainties(self) -> Floats:
        return self.beside(self.evidence, 0.0)[1]

    def beside(self, evidence: Floats, own: Floats | float) -> tuple[Floats, Floats]:
        """Return rates and certainties by this evidence, from which `own` seasonal hours of exposure are taken."""
        clustering = self.surge.factors[3]
        certainties = PRIOR + evidence / clustering
        return certainties / (PRIOR / self.typical + np.maximum(0.0, self.exposure - own) / clustering), certainties

    def excess(self, window: int, bucket: int, means: Floats, certainties: Floats) -> Floats:
        """Return variance over mean, less 1, of counts in the window that ends with this bucket."""
        doubt = 1.0 / certainties + self.season.doubt(FIRST + bucket) / max(1.0, WINDOWS[window] / BUCKETS)
        return self.surge.factors[window] - 1.0 + means * doubt


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
            part.append(_judge_hour(counts, total, hour, baseline))
    return [_joined(found) for found in parts], days


def _sums(counts: Floats) -> Ints:
    return np.concatenate(
        [np.zeros((counts.shape[0], 1), np.int64), np.cumsum(counts, axis=1).astype(np.int64)], axis=1
    )


def _baselines(calm: Floats) -> Iterator[Baseline]:
    """Yield what is normal in each hour, by the hours before."""
    keys, sums = calm.shape[0], _sums(calm)
    baseline = Baseline(np.zeros(keys), 0.0, 0.05, FLAT, UNKNOWN)
    for hour in range(calm.shape[1] // BUCKETS):
        yield baseline
        end = (hour + 1) * BUCKETS
        rates, certainties, surge = baseline.rates, baseline.certainties, baseline.surge
        for window, length in enumerate(WINDOWS):
            for last in range(end - BUCKETS + length, end + 1, length) if length < BUCKETS else _whole(end, length):
                means = rates * baseline.season.span(FIRST + last - length, FIRST + last)
                counts = (sums[:, last] - sums[:, last - length]).astype(float)
                surge = surge.learn(window, counts, means, certainties, fade(length / BUCKETS))
        counts = (sums[:, end] - sums[:, end - BUCKETS]).astype(float)
        evidence = baseline.evidence * fade(1.0) + counts
        exposure = baseline.exposure * fade(1.0) + baseline.season.factor(FIRST + end - 1)
        baseline = Baseline(
            evidence=evidence,
            exposure=exposure,
            typical=(1.0 + evidence.sum()) / (20.0 + exposure * keys),
            season=baseline.season.learn(FIRST // BUCKETS + hour, float(counts.sum()), surge.factors[1]),
            surge=surge,
        )


def _whole(end: int, length: int) -> Sequence[int]:
    return (end,) if end % length == 0 else ()


def _judge_hour(counts: Floats, sums: Ints, hour: int, baseline: Baseline) -> Judged:
    """Judge every window that gains a story in this hour, by all that is known but the window itself."""
    begin = hour * BUCKETS
    offsets, places = np.nonzero(counts[:, begin : begin + BUCKETS].T)
    buckets = begin + offsets
    chances = np.full((places.size, len(WINDOWS)), np.inf)
    pace = np.array([baseline.season.factor(FIRST + bucket) for bucket in range(begin, begin + BUCKETS)])
    for window, length in enumerate(WINDOWS):
        lasts = range(begin, begin + BUCKETS)
        spans = np.array([baseline.season.span(FIRST + last + 1 - length, FIRST + last + 1) for last in lasts])
        known = np.array([baseline.season.span(FIRST + min(begin, last + 1 - length), FIRST + begin) for last in lasts])
        first = np.maximum(0, buckets + 1 - length)
        totals = sums[places, buckets + 1] - sums[places, first]
        own = sums[places, begin] - sums[places, np.minimum(begin, first)]
        rates, certainties = baseline.beside(np.maximum(0.0, baseline.evidence[places] - own), known[offsets])
        means = rates * spans[offsets]
        excess = baseline.excess(window, begin, means, certainties)
        found = cluster_rates(totals.astype(float), means, excess, rates * pace[offsets])
        chances[:, window] = np.where(totals >= LEAST, found, np.inf)
    return Judged(places, buckets, np.maximum(chances, 1e-300))


def _joined(parts: Sequence[Judged]) -> Judged:
    return Judged(
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.buckets for part in parts]),
        np.concatenate([part.chances for part in parts]),
    )
