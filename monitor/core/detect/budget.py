"""Chance, and how much of it may be spent: how often calm news looks like a surge, and the level that a budget buys.

All chances are rates per hour for one key and one window. Counts are negative binomial: `excess` is the variance over
the mean, less 1, so 0 is Poisson. Formulas and sources stand in docs/detection.md.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from statistics import NormalDist

WINDOWS = (3, 12, 72, 288)  # buckets: 15 minutes, 1 hour, 6 hours, 24 hours
WEEK_HOURS = 168.0
CAUTION = 2.0  # what the formulas leave out, until it can be measured on the keys' own history
SHARE = 0.2  # the part of the budget that the share test may spend
_SMOOTH = 50.0  # with means above this, discreteness no longer wastes any budget
_MANY = 500.0  # with means above this, counts are as good as normally distributed
_FLOOR = 1e-12


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
    count = float(least)
    while not rungs or rungs[-1] > _FLOOR:
        chance = cluster_rate(count, mean, excess, rate)
        if chance < math.inf:
            rungs.append(chance)
        count += 1.0
    return tuple(reversed(rungs))


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


def solve_level(ladders: Iterable[tuple[int, Sequence[float]]], budget: float) -> float:
    """Return the largest chance per hour at which windows may alarm, so that their sum stays within `budget` an hour.

    `ladders` holds (number of keys, attainable chances ascending). What quiet keys cannot spend, because their counts
    are small whole numbers, is so left to the others.
    """
    tests = list(ladders)
    if not tests:
        return budget
    low, high = math.log(_FLOOR), math.log(budget)
    for _ in range(30):
        middle = (low + high) / 2.0
        if _spent(tests, math.exp(middle)) <= budget:
            low = middle
        else:
            high = middle
    return math.exp(low)


def _spent(tests: Sequence[tuple[int, Sequence[float]]], level: float) -> float:
    total = 0.0
    for keys, rungs in tests:
        if not rungs:
            total += keys * level
        elif place := bisect_right(rungs, level):
            total += keys * rungs[place - 1]
    return total
