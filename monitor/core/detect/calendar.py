"""Season: how much busier than average an hour of the week, or of a holiday, is, for a whole group of keys, in UTC.

The factor of an hour backs off from hour of the week to hour of the day and day of the week to 1 as long as little has
been seen, so a young group has no season and an old one has its own. Holidays are given, in hours (see `Holidays`); how
busy they are is learned apart, backing off to the weekend, so that a holiday neither teaches a working day's hours nor
is expected to be as busy as they are.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

BUCKETS = 12  # an hour has twelve buckets of five minutes
DAY = 24
WEEK = 168  # hours; slot 0 is Monday 00:00 UTC
_MONDAY = 72  # hour 0 of 1970 was the first hour of a Thursday
_WEEKEND = 120  # the first slot of Saturday
_EVERYWHERE = 132  # from noon of Saturday to noon of Sunday, UTC, it is the weekend all over the world

MEMORY = 56 * 24.0  # hours: a slot comes once a week, so the season forgets in weeks
YEARLY = 365 * 24.0  # hours: holidays come once a year
BACKING = 20.0  # independent stories that a slot must bring before it counts as much as what it backs off to
KNOWN = 120.0  # hours of ordinary days that are watched before a holiday is told apart from them
UNSEEN = 0.25  # relative variance of an hour whose kind of day (working day, weekend, holiday) was never watched


def slot_of(hour: int) -> int:
    """Return the slot of the week, 0 for Monday 00:00 UTC, of an hour counted since 1970."""
    return (hour + _MONDAY) % WEEK


@dataclass(frozen=True, slots=True)
class Holidays:
    """The hours in which exchanges rest though it is no weekend: disjoint, ascending spans of hours since 1970.

    `parts` says which part of the exchanges rests in a span, above 0 and at most 1.
    """

    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    parts: tuple[float, ...] = ()

    def part(self, hour: int) -> float:
        """Return which part of the exchanges rests in an hour, 0 on an ordinary one."""
        place = bisect_right(self.starts, hour) - 1
        return self.parts[place] if place >= 0 and hour < self.ends[place] else 0.0

    def within(self, first: int, end: int) -> Iterator[tuple[int, int, float]]:
        """Yield (first bucket, end, part) of what lies of each span in buckets [first, end)."""
        place = bisect_right(self.ends, first // BUCKETS)
        while place < len(self.starts) and self.starts[place] * BUCKETS < end:
            yield max(first, self.starts[place] * BUCKETS), min(end, self.ends[place] * BUCKETS), self.parts[place]
            place += 1


ALWAYS_OPEN = Holidays()


def holidays_from(exchanges: Sequence[Iterable[tuple[int, int]]]) -> Holidays:
    """Return the holidays of several exchanges, each given by its disjoint spans [from, to) of hours since 1970."""
    changes = Counter[int]()
    for own in exchanges:
        for start, end in own:
            changes[start] += 1
            changes[end] -= 1
    moments = sorted(moment for moment, change in changes.items() if change)
    resting = accumulate(changes[moment] for moment in moments)
    spans = [(*span, rest / len(exchanges)) for span, rest in zip(pairwise(moments), resting, strict=False) if rest]
    starts, ends, parts = zip(*spans, strict=True) if spans else ((), (), ())
    return Holidays(starts, ends, parts)


@dataclass(frozen=True, slots=True)
class Rest:
    """What a group has shown per hour of the day on holidays, in UTC, forgotten over years.

    counts    stories seen
    expected  stories that average hours would have brought in the time watched
    """

    counts: tuple[float, ...] = (0.0,) * DAY
    expected: tuple[float, ...] = (0.0,) * DAY


UNKNOWN_REST = Rest()


@dataclass(frozen=True, slots=True)
class Cycle:
    """Factors of the hours of a day or a week that come again and again, with their running sum and their doubts."""

    factors: tuple[float, ...]
    doubts: tuple[float, ...]  # relative variances
    sums: tuple[float, ...]  # one more than factors: of none of them, of the first, of all

    def at(self, hour: int) -> float:
        """Return the factor of an hour counted since 1970."""
        return self.factors[(hour + _MONDAY) % len(self.factors)]

    def doubt(self, hour: int) -> float:
        """Return the doubt of an hour counted since 1970."""
        return self.doubts[(hour + _MONDAY) % len(self.factors)]

    def span(self, first: int, end: int) -> float:
        """Return the sum of the factors over buckets [first, end), in hours."""
        return self._until(end) - self._until(first)

    def _until(self, bucket: int) -> float:
        length = len(self.factors)
        rounds, rest = divmod(bucket + _MONDAY * BUCKETS, length * BUCKETS)
        slot, part = divmod(rest, BUCKETS)
        return rounds * self.sums[length] + self.sums[slot] + self.factors[slot] * part / BUCKETS


@dataclass(frozen=True, slots=True)
class Season:
    """What a group has shown per slot of the week, and on holidays. The factors of the week average 1.

    counts      stories seen per slot, forgotten exponentially
    watched     hours watched per slot, forgotten alike
    rest        the same on holidays
    clustering  variance-to-mean factor of an hour's stories: clustered stories count as fewer
    level, week, holiday follow from these: stories in an average hour, and the factors
    holidays    when they are; not learned
    """

    counts: tuple[float, ...]
    watched: tuple[float, ...]
    rest: Rest
    clustering: float
    level: float
    week: Cycle
    holiday: Cycle
    holidays: Holidays

    def learn(
        self, hour: int, stories: float, clustering: float, holidays: Holidays = ALWAYS_OPEN, of_day: float = 0.0
    ) -> Season:
        """Return the season after one more watched hour with so many stories, by the holidays as they are known now.

        `of_day` stories came at some time of the 24 hours that end with this one: each hour gets its part.
        News of several exchanges are the sum of theirs: where a part of them rests, the stories of an hour are split
        in the proportion in which both parts were expected to bring them.
        """
        keep, yearly = math.exp(-1.0 / MEMORY), math.exp(-1.0 / YEARLY)
        counts, watched = [value * keep for value in self.counts], [value * keep for value in self.watched]
        off, due = [value * yearly for value in self.rest.counts], [value * yearly for value in self.rest.expected]
        told = holidays if sum(self.watched) >= KNOWN else ALWAYS_OPEN
        brought = {hour - back: of_day / DAY for back in range(DAY)} if of_day else {hour: 0.0}
        brought[hour] += stories
        for at, number in brought.items():
            resting, working = told.part(at) * self.holiday.at(at), (1.0 - told.part(at)) * self.week.at(at)
            share = resting / (resting + working)
            counts[slot_of(at)] += number * (1.0 - share)
            off[at % DAY] += number * share
        watched[slot_of(hour)] += 1.0 - told.part(hour)
        due[hour % DAY] += self.level * told.part(hour)
        return season_from(counts, watched, clustering, Rest(tuple(off), tuple(due)), holidays)

    def factor(self, bucket: int) -> float:
        """Return how busy this bucket's hour is; 1 is average."""
        hour = bucket // BUCKETS
        return _mixed(self.week.at(hour), self.holiday.at(hour), self.holidays.part(hour))

    def doubt(self, bucket: int) -> float:
        """Return the relative variance of that factor."""
        hour = bucket // BUCKETS
        return _mixed(self.week.doubt(hour), self.holiday.doubt(hour), self.holidays.part(hour))

    def span(self, first: int, end: int) -> float:
        """Return the seasonal hours in buckets [first, end): plain hours weighted by their factors."""
        hours = self.week.span(first, end)
        for start, stop, part in self.holidays.within(first, end):
            hours += part * (self.holiday.span(start, stop) - self.week.span(start, stop))
        return hours


def _mixed(working: float, resting: float, part: float) -> float:
    return working + part * (resting - working)


def season_from(
    counts: Sequence[float],
    watched: Sequence[float],
    clustering: float,
    rest: Rest = UNKNOWN_REST,
    holidays: Holidays = ALWAYS_OPEN,
) -> Season:
    """Work the factors out: level, hour of the day, day of the week, hour of the week, each shrunk to the one before.

    A holiday's hours begin at those of the weekend; how holidays compare with it as a whole, and then each hour of
    theirs, are shrunk to that.
    """
    backing = BACKING * clustering
    total, hours = sum(counts), sum(watched)
    level = total / max(hours, 1.0) or 1.0
    daily = [sum(counts[slot::DAY]) for slot in range(DAY)]
    day = [(backing + daily[slot]) / (backing + level * sum(watched[slot::DAY])) for slot in range(DAY)]
    due = [level * day[slot % DAY] * watched[slot] for slot in range(WEEK)]
    weekday = [
        (backing + sum(counts[first : first + DAY])) / (backing + sum(due[first : first + DAY]))
        for first in range(0, WEEK, DAY)
    ]
    raw = [
        day[slot % DAY] * of_day * (backing + counts[slot]) / (backing + of_day * due[slot])
        for slot, of_day in ((slot, weekday[slot // DAY]) for slot in range(WEEK))
    ]
    mean = sum(raw) / WEEK
    unseen = (
        0.0 if sum(watched[:_WEEKEND]) >= 12.0 else UNSEEN,
        0.0 if sum(watched[_WEEKEND:]) >= 12.0 else UNSEEN,
    )
    doubts = [clustering / (backing + daily[slot % DAY]) + unseen[slot >= _WEEKEND] for slot in range(WEEK)]
    weekend = [_EVERYWHERE + (slot - 12) % DAY for slot in range(DAY)]
    off, whole = _shrunk([raw[slot] for slot in weekend], rest, backing)
    untold = UNSEEN * backing / (backing + whole)  # a weekend is no more than a guess at a holiday
    return Season(
        counts=tuple(counts),
        watched=tuple(watched),
        rest=rest,
        clustering=clustering,
        level=level,
        week=_cycle([value / mean for value in raw], doubts),
        holiday=_cycle([value / mean for value in off], [doubts[slot] + untold for slot in weekend]),
        holidays=holidays,
    )


def _shrunk(weekend: Sequence[float], rest: Rest, backing: float) -> tuple[list[float], float]:
    """Return the factors of a holiday's hours, and the stories that were due on holidays."""
    due = [factor * expected for factor, expected in zip(weekend, rest.expected, strict=True)]
    scale = (backing + sum(rest.counts)) / (backing + sum(due))
    hours = zip(weekend, rest.counts, due, strict=True)
    return [scale * factor * (backing + seen) / (backing + scale * each) for factor, seen, each in hours], sum(due)


def _cycle(factors: Sequence[float], doubts: Sequence[float]) -> Cycle:
    return Cycle(tuple(factors), tuple(doubts), tuple(accumulate(factors, initial=0.0)))


FLAT = season_from((0.0,) * WEEK, (0.0,) * WEEK, 1.0)
