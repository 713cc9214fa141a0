"""Season: how much busier than average an hour of the week is, for a whole group of keys, in UTC.

The factor of an hour backs off from hour of the week to hour of the day to 1 as long as little has been seen, so a
young group has no season and an old one has its own. Holidays and exchange calendars are not known here yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

BUCKETS = 12  # an hour has twelve buckets of five minutes
WEEK = 168  # hours; slot 0 is Monday 00:00 UTC
_MONDAY = 72  # hour 0 of 1970 was the first hour of a Thursday
_WEEKEND = 120  # the first slot of Saturday

MEMORY = 56 * 24.0  # hours: a slot comes once a week, so the season forgets in weeks
BACKING = 20.0  # independent stories that a slot must bring before it counts as much as what it backs off to
UNSEEN = 0.25  # relative variance of an hour whose kind of day (working day, weekend) was never watched


def slot_of(hour: int) -> int:
    """Return the slot of the week, 0 for Monday 00:00 UTC, of an hour counted since 1970."""
    return (hour + _MONDAY) % WEEK


@dataclass(frozen=True, slots=True)
class Season:
    """What a group has shown per slot of the week. The factors average 1 over the week.

    counts      stories seen per slot, forgotten exponentially
    watched     hours watched per slot, forgotten alike
    clustering  variance-to-mean factor of an hour's stories: clustered stories count as fewer
    factors, doubts, sums follow from these: the season, its relative variance, and its running sum (169 values)
    """

    counts: tuple[float, ...]
    watched: tuple[float, ...]
    clustering: float
    factors: tuple[float, ...]
    doubts: tuple[float, ...]
    sums: tuple[float, ...]

    def learn(self, hour: int, stories: float, clustering: float, of_day: float = 0.0) -> Season:
        """Return the season after one more watched hour with so many stories.

        `of_day` stories came at some time of the 24 hours that end with this one: each hour gets its part.
        """
        keep = math.exp(-1.0 / MEMORY)
        slot = slot_of(hour)
        counts = [value * keep for value in self.counts]
        watched = [value * keep for value in self.watched]
        counts[slot] += stories
        if of_day:
            for back in range(24):
                counts[slot_of(hour - back)] += of_day / 24.0
        watched[slot] += 1.0
        return season_from(counts, watched, clustering)

    def factor(self, bucket: int) -> float:
        """Return how busy this bucket's hour is; 1 is average."""
        return self.factors[slot_of(bucket // BUCKETS)]

    def doubt(self, bucket: int) -> float:
        """Return the relative variance of that factor."""
        return self.doubts[slot_of(bucket // BUCKETS)]

    def span(self, first: int, end: int) -> float:
        """Return the seasonal hours in buckets [first, end): plain hours weighted by their factors."""
        return self._until(end) - self._until(first)

    def _until(self, bucket: int) -> float:
        weeks, rest = divmod(bucket + _MONDAY * BUCKETS, WEEK * BUCKETS)
        slot, part = divmod(rest, BUCKETS)
        return weeks * self.sums[WEEK] + self.sums[slot] + self.factors[slot] * part / BUCKETS


def season_from(counts: Sequence[float], watched: Sequence[float], clustering: float) -> Season:
    """Work the factors out: level, then hour of the day, then hour of the week, each shrunk to the one before."""
    backing = BACKING * clustering
    total, hours = sum(counts), sum(watched)
    level = total / max(hours, 1.0) or 1.0
    daily = [sum(counts[slot::24]) for slot in range(24)]
    day = [(backing + daily[slot]) / (backing + level * sum(watched[slot::24])) for slot in range(24)]
    raw = [
        day[slot % 24] * (backing + counts[slot]) / (backing + level * day[slot % 24] * watched[slot])
        for slot in range(WEEK)
    ]
    mean = sum(raw) / WEEK
    factors = tuple(value / mean for value in raw)
    unseen = (
        0.0 if sum(watched[:_WEEKEND]) >= 12.0 else UNSEEN,
        0.0 if sum(watched[_WEEKEND:]) >= 12.0 else UNSEEN,
    )
    doubts = tuple(clustering / (backing + daily[slot % 24]) + unseen[slot >= _WEEKEND] for slot in range(WEEK))
    return Season(
        counts=tuple(counts),
        watched=tuple(watched),
        clustering=clustering,
        factors=factors,
        doubts=doubts,
        sums=tuple(accumulate(factors, initial=0.0)),
    )


FLAT = season_from((0.0,) * WEEK, (0.0,) * WEEK, 1.0)
