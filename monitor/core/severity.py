"""How much a signal matters: from how unlikely it is, how wide, and how negative. A convention, kept simple on purpose.

Each step reached gives a point:

    unlikely   chance alone brings it once in 10 years, once in 1,000 years, once in 100,000 years
    stories    at least 6 and at least 15 different negative stories in the window
    publishers at least 4 and at least 10 independent publishers of them
    negative   a mean p(negative) of at least 0.85

0 and 1 points are low, 2 and 3 medium, 4 and 5 high, 6 and more critical. Rarer, wider or more negative is never
less severe. A signal of silence has no negative stories: how unlikely it is decides alone, up to medium.
"""

from __future__ import annotations

from bisect import bisect_right

from monitor.types import Severity, Signal

HOURS_IN_YEAR = 24 * 365.25
RARE_YEARS = (10.0, 1_000.0, 100_000.0)
MANY_STORIES = (6, 15)
MANY_PUBLISHERS = (4, 10)
VERY_NEGATIVE = 0.85
MEDIUM, HIGH, CRITICAL = 2, 4, 6  # points


def years_between(chance: float) -> float:
    """Return how many years lie between two such events by chance, of which `chance` come in an hour."""
    return 1.0 / (chance * HOURS_IN_YEAR) if chance > 0.0 else float("inf")


def severity_of(signal: Signal) -> Severity:
    """Return how much a signal matters."""
    mean = signal.observed / signal.negative if signal.negative else 0.0
    return grade(years_between(signal.chance), signal.negative, signal.publishers, mean)


def grade(years: float, stories: int, publishers: int, negative: float) -> Severity:
    """Return the severity of something that comes by chance once in `years`; never less for more of anything."""
    points = (
        bisect_right(RARE_YEARS, years)
        + bisect_right(MANY_STORIES, stories)
        + bisect_right(MANY_PUBLISHERS, publishers)
        + (negative >= VERY_NEGATIVE)
    )
    return tuple(Severity)[bisect_right((MEDIUM, HIGH, CRITICAL), points)]
