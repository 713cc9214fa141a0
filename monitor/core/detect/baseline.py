"""What is normal: a key's rate with its uncertainty, and the season and clustering it shares with its group.

All of it is learned when an hour closes, with exponential forgetting. A key's row is touched only when it had news:
exposure is kept by the group, and a key keeps only how much of it is not its own (`debt`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from monitor.core.detect.budget import WINDOWS
from monitor.core.detect.calendar import BUCKETS, FLAT, Holidays, Season

MEMORY = 14 * 24.0  # hours after which a key's past counts for 1/e
QUICK = 2 * 24.0  # the memory of a key whose surge has lasted a day: that is its new level
CAUTIOUS = 24  # hours a group is watched before any of its keys may fire
RECALLED = 72  # hours with news in an archive that serve as well
SETTLED = 72.0  # hours after which a new group, or a new model, is doubted no longer
DOUBT = 0.3  # relative variance of every rate at the start of that time
PRIOR = 1.0  # stories that the group's rate counts for in a key's

Floats = npt.NDArray[np.float64]


_GONE = 40.0  # memories after which the rest of any evidence stays what it is: nothing that could be seen


def fade(hours: float, memory: float = MEMORY) -> float:
    """Return what is left of evidence this many hours old."""
    return math.exp(-min(hours / memory, _GONE))


_FADES = np.array([fade(float(hours)) for hours in range(int(MEMORY * _GONE) + 1)])


def fades(hours: npt.NDArray[np.integer]) -> Floats:
    """As `fade`, of whole hours: the same values, to the last bit."""
    left: Floats = _FADES[np.minimum(hours, _FADES.size - 1)]
    return left


TELLING = 5.0  # stories that a key must have shown before its clusters tell of the group's
_FIRST = (1.3, 1.5, 2.0, 3.0)  # the cautious factors before anything is learned
_FIRST_WEIGHT = 10.0
_LEAST = (1.02, 1.04, 1.07, 1.1)  # quiet keys show their clusters too rarely to be learned from: never trust in less
Four: TypeAlias = tuple[float, ...]  # one value for each window length


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Clustering of a group's news: the variance-to-mean factor of its counts, per window length.

    Each (key, window) adds its squared residual over the mean, weighed by how much it can tell: fully where many
    stories are expected, hardly where few are. Before that a cautious factor counts for a few such windows. A factor
    is never below the least that is believed, and never below that of a shorter window.
    """

    squares: Four
    weights: Four
    factors: Four

    def learn(self, window: int, counts: Floats, means: Floats, certainties: Floats, past: float) -> Dispersion:
        """Return the dispersion after one more window of all keys; `past` is what remains of the evidence so far.

        Windows whose mean is 0 tell nothing, nor do keys that have shown too little of themselves: what is missed of
        their rates would be taken for clustering. A rate's doubt widens the residuals of hours it has not learned yet
        and narrows those of hours it has: all but the last of a window's.
        """
        learned = max(0.0, 1.0 - BUCKETS / WINDOWS[window])
        seen = (means > 0.0) & (certainties >= PRIOR + TELLING / self.factors[-1])
        mean, count = means[seen], counts[seen]
        weight = 2.0 * mean / (1.0 + 2.0 * mean)
        square = weight * ((count - mean) ** 2 / mean - (1.0 - 2.0 * learned) * mean / certainties[seen])
        squares, weights = list(self.squares), list(self.weights)
        squares[window] = squares[window] * past + float(square.sum())
        weights[window] = weights[window] * past + float(weight.sum())
        return dispersion_from(squares, weights)


def dispersion_from(squares: Sequence[float], weights: Sequence[float]) -> Dispersion:
    """Return the dispersion that this evidence stands for."""
    learned = [
        (_FIRST_WEIGHT * first + square) / (_FIRST_WEIGHT + weight)
        for first, square, weight in zip(_FIRST, squares, weights, strict=True)
    ]
    return Dispersion(tuple(squares), tuple(weights), tuple(accumulate(map(max, learned, _LEAST), max)))


UNKNOWN = dispersion_from((0.0,) * 4, (0.0,) * 4)


@dataclass(frozen=True, slots=True)
class Group:
    """What the keys of one kind share.

    watched   hours learned
    recalled  hours with news in what was read as history, at most RECALLED of them
    settled   hours learned since the model last changed
    exposure  seasonal hours, forgotten with MEMORY; a key has these less its debt
    rate      negative stories an hour of its typical key, by weight; `flow` all stories
    weight    sum of p(negative) over `negative` negative stories: what one such story weighs
    """

    watched: int = 0
    recalled: frozenset[int] = frozenset()
    settled: int = 0
    exposure: float = 0.0
    rate: float = 0.05
    flow: float = 0.2
    weight: float = 8.5
    negative: float = 10.0
    surge: Dispersion = UNKNOWN
    stream: Dispersion = UNKNOWN
    season: Season = FLAT

    @property
    def unit(self) -> float:
        """What one negative story weighs, so that weights can be read as counts."""
        return self.weight / self.negative

    @property
    def experienced(self) -> bool:
        """Whether enough has been seen for any key to fire: hours watched, or an archive that covers some days.

        A feed's first poll does not suffice: what it holds, and what it leaves out, says little about an hour.
        """
        return self.watched >= CAUTIOUS or len(self.recalled) >= RECALLED

    @property
    def doubt(self) -> float:
        """Relative variance of every rate while the group, or the model that serves it, is young."""
        return DOUBT * max(0.0, 1.0 - self.settled / SETTLED)


@dataclass(frozen=True, slots=True)
class Rate:
    """A gamma distribution: stories per hour at average season, and its shape."""

    mean: float
    certainty: float


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of many keys."""

    mean: Floats
    certainty: Floats


@dataclass(frozen=True, slots=True)
class Level:
    """What one key has shown up to hour `at`, forgotten with MEMORY: weight of negative stories, stories, and the part
    of its group's exposure that is not its own."""

    at: int
    weight: float
    stories: float
    debt: float

    def aged(self, hour: int) -> Level:
        """Return the same evidence as it counts at a later hour."""
        if hour == self.at:
            return self
        kept = fade(hour - self.at)
        return Level(hour, self.weight * kept, self.stories * kept, self.debt * kept)

    def surge(self, group: Group, hour: int) -> Rate:
        """Return the rate of negative stories, by weight, at this hour."""
        kept = fade(hour - self.at)
        return _posterior(self.weight * kept, group.exposure - self.debt * kept, group.rate, group.surge.factors[3])

    def stream(self, group: Group, hour: int) -> Rate:
        """Return the rate of all stories at this hour."""
        kept = fade(hour - self.at)
        return _posterior(self.stories * kept, group.exposure - self.debt * kept, group.flow, group.stream.factors[3])

    def share(self, group: Group, hour: int) -> tuple[float, float]:
        """Return the expected share of negative stories, by weight, and how many stories that rests on."""
        kept = fade(hour - self.at)
        prior = group.rate / group.flow
        stories = self.stories * kept
        return (2.0 * prior + self.weight * kept) / (2.0 + stories), 2.0 + stories

    def quickened(self, group: Group) -> Level:
        """Return the level with an hour's extra forgetting (of an aged level: `at` is the present hour)."""
        return self.kept(group, fade(1.0, QUICK))

    def kept(self, group: Group, part: float) -> Level:
        """Return the level with only this part of its evidence."""
        exposure = group.exposure - self.debt
        return Level(self.at, self.weight * part, self.stories * part, group.exposure - exposure * part)


def _posterior(evidence: float, exposure: float, typical: float, clustering: float) -> Rate:
    """Shrink to the group's typical rate; clustered stories are evidence of fewer independent ones."""
    certainty = PRIOR + evidence / clustering
    return Rate(certainty / (PRIOR / typical + max(exposure, 0.0) / clustering), certainty)


def posteriors(evidence: Floats, exposure: Floats, typical: float | Floats, clustering: float | Floats) -> Rates:
    """As `Level.surge` and `Level.stream`, of many keys: evidence and exposure as they count at present."""
    certainty = PRIOR + evidence / clustering
    return Rates(certainty / (PRIOR / typical + np.maximum(exposure, 0.0) / clustering), certainty)


def newcomer(group: Group, hour: int) -> Level:
    """Return the level of a key that is first heard of in this hour."""
    return Level(hour, 0.0, 0.0, group.exposure)


def past_exposure(first: int, last: int, hour: int) -> float:
    """Return the hours between buckets `first` and `last`, as they count at `hour`."""
    length = max(0.0, (last - first) / BUCKETS)
    return MEMORY * (1.0 - fade(length)) * fade(max(0.0, hour - last / BUCKETS))


def moments(group: Group, window: int, first: int, end: int, rate: Rate) -> tuple[float, float]:
    """Return mean and excess (variance over mean, less 1) of a key's negative stories, as counts, in [first, end)."""
    mean = rate.mean * group.season.span(first, end) / group.unit
    hours = WINDOWS[window] / BUCKETS
    doubt = 1.0 / rate.certainty + group.doubt + group.season.doubt(end - 1) / max(1.0, hours)
    return mean, group.surge.factors[window] - 1.0 + mean * doubt


def learned_hour(
    group: Group, exposed: float, hour: int, stories: float, holidays: Holidays, *, of_day: float = 0.0
) -> Group:
    """Return the group after one more hour: time watched, exposure and season. `of_day` as in `Season.learn`."""
    return replace(
        group,
        watched=group.watched + 1,
        settled=group.settled + 1,
        exposure=group.exposure * fade(1.0) + exposed,
        season=group.season.learn(hour, stories, group.stream.factors[1], holidays, of_day),
    )
