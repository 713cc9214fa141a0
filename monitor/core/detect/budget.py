"""Chance, and how much of it may be spent: how often calm news looks like a surge, and the level that a budget buys.

All chances are rates per hour for one key and one window. Counts are negative binomial: `excess` is the variance over
the mean, less 1, so 0 is Poisson. Formulas and sources stand in docs/detection.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WINDOWS = (3, 12, 72, 288)  # buckets: 15 minutes, 1 hour, 6 hours, 24 hours
WEEK_HOURS = 168.0
CAUTION = 2.0  # what the formulas leave out, until it can be measured on the keys' own history
SHARE = 0.2  # the part of the budget that the share test may spend
_SMOOTH = 50.0  # with means above this, discreteness no longer wastes any budget
_MANY = 500.0  # with means above this, counts are as good as normally distributed
_FLOOR = 1e-12
_RUNGS = 32  # chances of a ladder that are worked out together
_HALF_LOG_TURN = 0.5 * math.log(2.0 * math.pi)


def log_probability(count: float, mean: float, excess: float) -> float:
    """Return the log of the negative binomial probability of `count`, which may lie between integers."""
    if excess < 1e-6:
        return count * math.log(mean) - mean - math.lgamma(count + 1.0)
    size = mean / excess
    spread = math.log1p(excess)
    return (
        math.lgamma(count + size)
        - math.lgamma(size)
        - math.lgamma(count + 1.0)
        - size * spread
        + count * (math.log(excess) - spread)
    )


def tail_bound(count: float, mean: float, excess: float) -> float:
    """Return an upper bound of P(N >= count) for a count above the mean: a geometric series from its first term."""
    shrink = excess / (1.0 + excess)
    size = mean / excess if excess > 0 else math.inf
    ratio = (count + size) / (count + 1.0) * shrink if excess >= 1e-6 else mean / (count + 1.0)
    ratio = max(ratio, shrink)
    if ratio >= 1.0:
        return 1.0
    return min(1.0, math.exp(log_probability(count, mean, excess)) / (1.0 - ratio))


@lru_cache(maxsize=4096)  # the hours of a week come again and again
def quantile(share: float, mean: float, excess: float) -> float:
    """Return the smallest whole count that at least this share of negative binomial counts do not exceed.

    For means above _MANY it is taken from the normal distribution with the same mean and variance.
    """
    if mean <= 0.0:
        return 0.0
    if mean > _MANY:
        return math.ceil(NormalDist(mean, math.sqrt(mean * (1.0 + excess))).inv_cdf(share))
    count, below = 0.0, math.exp(log_probability(0.0, mean, excess))
    while below < share:
        count += 1.0
        below += math.exp(log_probability(count, mean, excess))
    return count


def cluster_rate(count: float, mean: float, excess: float, rate: float, step: float = 1 / 12) -> float:
    """How often a sliding window *reaches* `count` by chance, per hour.

    mean    stories expected in the window, > 0
    excess  variance over mean of the window's count, less 1
    rate    stories per hour expected at the window's end
    step    hours between two window ends: no more often can a window reach anything

    The scan statistic of Alm (1983) with a negative binomial for the Poisson. Where news is clustered, a story that has
    just come is no ordinary moment: others are likelier beside it than at a time chosen blindly. So what counts is how
    many a window holds that is seen from one of its stories, P(N = count)·count/mean, which for the Poisson is Alm's
    P(N = count - 1). Within a standard deviation of its mean a window is no cluster, and the answer is infinity: the
    last factor falls to 0 there and would say "never".
    """
    if mean <= 0.0 or count < 1.0 or count <= mean + math.sqrt(mean * (1.0 + excess)):
        return math.inf
    reaching = rate / mean * math.exp(log_probability(count, mean, excess)) * (count - mean)
    if rate * step < 0.1:  # so sparse that each story is a window end of its own
        return reaching
    return min(reaching, tail_bound(count, mean, excess) / step)


def log_gamma(values: Floats) -> Floats:
    """Return the log of the gamma function of values above 0, to some 10 digits: Stirling's series, seven steps on."""
    steps = values * (values + 1.0) * (values + 2.0) * (values + 3.0) * (values + 4.0) * (values + 5.0) * (values + 6.0)
    far = values + 7.0
    inverse = 1.0 / far
    square = inverse * inverse
    series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)))
    return (far - 0.5) * np.log(far) - far + _HALF_LOG_TURN + series - np.log(steps)


def log_probabilities(count: Floats, mean: Floats, excess: Floats) -> Floats:
    """As `log_probability`, of many at once."""
    clustered = np.maximum(excess, 1e-6)
    size, spread = mean / clustered, np.log1p(clustered)
    factorial = log_gamma(count + 1.0)
    binomial = log_gamma(count + size) - log_gamma(size) - size * spread + count * (np.log(clustered) - spread)
    return np.where(excess < 1e-6, count * np.log(mean) - mean, binomial) - factorial


def cluster_rates(count: Floats, mean: Floats, excess: Floats, rate: Floats, step: float = 1 / 12) -> Floats:
    """As `cluster_rate`, of many at once, to some 9 digits."""
    chances = np.full(count.shape, np.inf)
    places = np.flatnonzero((mean > 0.0) & (count >= 1.0) & (count > mean + np.sqrt(mean * (1.0 + excess))))
    if not places.size:
        return chances
    count, mean, excess, rate = count[places], mean[places], excess[places], rate[places]
    probability = np.exp(log_probabilities(count, mean, excess))
    reaching = rate / mean * probability * (count - mean)
    shrink = excess / (1.0 + excess)
    grows = np.where(excess >= 1e-6, (count + mean / np.maximum(excess, 1e-6)) * shrink, mean) / (count + 1.0)
    ratio = np.minimum(np.maximum(grows, shrink), 1.0 - 1e-12)
    tail = np.minimum(1.0, probability / (1.0 - ratio))
    chances[places] = np.where(rate * step < 0.1, reaching, np.minimum(reaching, tail / step))
    return chances


def share_rate(negative: float, stories: int, share: float, certainty: float, rate: float) -> float:
    """How often, per hour, a window of `stories` stories reaches `negative` negative ones at an unchanged share.

    share      expected share of negative stories, in (0, 1)
    certainty  concentration of the beta distribution of that share, in stories
    rate       negative stories per hour expected at the window's end

    Alm's form without its last factor, with the beta-binomial for the Poisson; infinity within a standard deviation,
    and where so little is known that a window of negative stories alone would be nothing special.
    """
    mean = stories * share
    variance = mean * (1.0 - share) * (certainty + stories) / (certainty + 1.0)
    if negative < 1.0 or negative > stories or negative <= mean + math.sqrt(variance):
        return math.inf
    a, b = share * certainty, (1.0 - share) * certainty
    if b < 1.0:
        return math.inf
    n, k = stories - 1.0, negative - 1.0
    log_p = (
        math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)
        + math.lgamma(k + a) + math.lgamma(n - k + b) - math.lgamma(n + a + b)
        + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    )  # fmt: skip
    return rate * math.exp(log_p)


def share_rates(negative: Floats, stories: Floats, share: Floats, certainty: Floats, rate: Floats) -> Floats:
    """As `share_rate`, of many at once, to some 9 digits."""
    chances = np.full(negative.shape, np.inf)
    mean = stories * share
    variance = mean * (1.0 - share) * (certainty + stories) / (certainty + 1.0)
    above = (negative >= 1.0) & (negative <= stories) & (negative > mean + np.sqrt(variance))
    places = np.flatnonzero(above & ((1.0 - share) * certainty >= 1.0))
    if places.size:
        a, b = (share * certainty)[places], ((1.0 - share) * certainty)[places]
        n, k = stories[places] - 1.0, negative[places] - 1.0
        log_p = (
            log_gamma(n + 1.0) - log_gamma(k + 1.0) - log_gamma(n - k + 1.0)
            + log_gamma(k + a) + log_gamma(n - k + b) - log_gamma(n + a + b)
            + log_gamma(a + b) - log_gamma(a) - log_gamma(b)
        )  # fmt: skip
        chances[places] = rate[places] * np.exp(log_p)
    return chances


def silence_rate(mean: float, excess: float, rate: float) -> float:
    """How often, per hour, a silence as long as one that should have brought `mean` stories begins by chance."""
    if mean <= 0.0:
        return math.inf
    return rate * math.exp(log_probability(0.0, mean, excess))


def threshold(limit: float, mean: float, excess: float, rate: float, level: float) -> float:
    """Return the smallest whole count up to `limit` whose chance is at most `level`, or `limit` where there is none."""
    if cluster_rate(limit, mean, excess, rate) > level:
        return limit
    low, high = 0, math.ceil(limit)
    while high - low > 1:
        middle = (low + high) // 2
        if cluster_rate(middle, mean, excess, rate) <= level:
            high = middle
        else:
            low = middle
    return min(float(high), limit)


@lru_cache(maxsize=8192)
def _ladder(mean: float, excess: float, rate: float, least: int) -> tuple[float, ...]:
    """Return the attainable chances of one key and window, ascending, down to the floor; empty if they are dense."""
    if mean > _SMOOTH:
        return ()
    rungs: list[float] = []
    first = float(least)
    while not rungs or rungs[-1] > _FLOOR:
        counts = np.arange(first, first + _RUNGS)
        same = np.ones_like(counts)
        chances = cluster_rates(counts, mean * same, excess * same, rate * same)
        rungs += chances[chances < math.inf].tolist()
        first += _RUNGS
    lowest = next(place for place, chance in enumerate(rungs) if chance <= _FLOOR)
    return tuple(reversed(rungs[: lowest + 1]))


def _grid(value: float, fineness: float) -> float:
    """Round to a logarithmic grid, so that keys alike share one ladder."""
    return math.exp(round(math.log(value) * fineness) / fineness)


def ladder(
    rate: float, certainty: float, *, clustering: float, hours: float, least: int, doubt: float
) -> tuple[float, ...]:
    """Return the chances per hour that one key's window can attain, ascending, on a grid of 10 % in rate.

    `rate` is in stories per hour, `certainty` the shape of its gamma distribution, `clustering` the variance-to-mean
    factor, `least` the fewest stories that may alarm. An empty ladder means: any chance can be attained.
    """
    mean = _grid(max(rate, 1e-6), 10.0) * hours
    excess = _grid(max(clustering - 1.0, 0.01), 20.0) + mean * (1.0 / _grid(certainty, 2.0) + round(doubt, 2))
    return _ladder(mean, excess, mean / hours, least)


def solve_level(spent: Callable[[float], float], budget: float) -> float:
    """Return the largest chance per hour at which windows may alarm, so that no more than `budget` an hour is spent.

    `spent` gives what is spent at a level, see `Spending`. What quiet keys cannot spend, because their counts are small
    whole numbers, is so left to the others.
    """
    low, high = math.log(_FLOOR), math.log(max(budget, _FLOOR))
    if spent(math.exp(high)) <= budget:
        return math.exp(high)
    for _ in range(40):
        middle = (low + high) / 2.0
        if spent(math.exp(middle)) <= budget:
            low = middle
        else:
            high = middle
    return math.exp(low)


class Spending:
    """What is spent at a level: the largest attainable chance up to it, over all keys and windows.

    `tests` holds (number of keys, attainable chances ascending); none are given where any can be attained.
    """

    def __init__(self, tests: Sequence[tuple[int, Sequence[float]]]) -> None:
        self._dense = sum(keys for keys, rungs in tests if not rungs)
        sparse = [(keys, np.array(rungs)) for keys, rungs in tests if rungs]
        rungs = np.concatenate([np.zeros(0), *(each for _, each in sparse)])
        steps = np.concatenate([np.zeros(0), *(keys * np.diff(each, prepend=0.0) for keys, each in sparse)])
        order = np.argsort(rungs, kind="stable")
        self._rungs = rungs[order]
        self._sums = np.concatenate([[0.0], np.cumsum(steps[order])])

    def at(self, level: float) -> float:
        """Return the expected false clusters an hour."""
        return self._dense * level + float(self._sums[np.searchsorted(self._rungs, level, side="right")])
