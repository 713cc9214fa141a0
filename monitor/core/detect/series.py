"""The detector on a bare series of counts: one row in, one verdict out, nothing seen before its time.

The same windows, chances and season as for news, with a budget for this series alone. A row is one count, whatever its
spacing: expectations are per row, so a gap is neither silence nor calm. There are no publishers and hence no guards
but the windows' own. What the formulas leave out is learned for each window by its peaks (tail.py).

Five tests share the budget: the count of each window, and silence, which is a run of rows that hold nothing.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from monitor.core.detect.baseline import DOUBT, PRIOR, SETTLED, UNKNOWN, Dispersion, fade
from monitor.core.detect.budget import WEEK_HOURS, WINDOWS, cluster_rate, silence_rate, threshold
from monitor.core.detect.calendar import BUCKETS, FLAT
from monitor.core.detect.tail import Tail
from monitor.core.detect.windows import bucket_of
from monitor.types import BUCKET

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOLD = 0.5  # hours of calm that end an incident
RELEASE = math.log(10.0)  # so much likelier than what alarms a window is when an incident ends
QUICK = 24.0  # the same where the level has changed
FAR = 2.0  # standard deviations that a day is off where the level has changed
TOO_LOW = -4.0  # and where its residuals, which no level cuts off below, say nothing about clustering
MEMORY = 7 * 24.0  # hours after which the past of the level counts for 1/e
FIRST_ROWS = 30  # rows, and a day, before anything may alarm
SILENCE = len(WINDOWS)  # the index of that test
LARGE = 1e6  # means above this are counted in larger units: nothing is believed to vary less than by a thousandth
SHARING = 4.0  # the part of the budget for each test is one in so many: they are five, and overlap
FITTING = 6  # hours after which the tails are fitted again


@dataclass(frozen=True, slots=True)
class Row:
    """One row's verdict. `score` is how unlikely it is: minus the decimal logarithm of its chance an hour."""

    timestamp: datetime
    value: float
    expected: float
    score: float
    alert: bool  # this row raises an incident


@dataclass(frozen=True, slots=True)
class _Firing:
    """The running incident: since when, and the test that was the least likely so far."""

    since: datetime
    test: int
    height: float


class _Window:
    """The running sums of the rows within one length of time."""

    def __init__(self, length: timedelta) -> None:
        self._length = length
        self._rows: deque[tuple[datetime, float, float]] = deque()
        self.count = self.mean = 0.0
        self._hour = -1

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, at: datetime, value: float, expected: float) -> None:
        self._rows.append((at, value, expected))
        self.count += value
        self.mean += expected
        while self._rows[0][0] <= at - self._length:
            _, old, old_expected = self._rows.popleft()
            self.count -= old
            self.mean -= old_expected
        hour = bucket_of(at) // BUCKETS
        if hour != self._hour:  # sums that only ever gain and lose would keep the rounding of huge rows for ever
            self._hour = hour
            self.count = math.fsum(row[1] for row in self._rows)
            self.mean = math.fsum(row[2] for row in self._rows)

    def forget(self) -> None:
        """Take what is counted for told."""
        self._rows = deque((at, 0.0, expected) for at, _, expected in self._rows)
        self.count = 0.0


class SeriesDetector:
    """Takes a series row by row. `budget` is in false incidents a week."""

    def __init__(self, budget: float) -> None:
        self._season, self._dispersion = FLAT, UNKNOWN
        self._sum = self._exposure = 0.0
        self._windows = [_Window(length * BUCKET) for length in WINDOWS]
        self._day = _Window(DAY)  # never forgets what was told
        each = budget / WEEK_HOURS / SHARING
        self._alarm = -math.log(each)
        self._tails = [Tail(each) for _ in range(len(WINDOWS) + 1)]
        self._gaps: deque[float] = deque(maxlen=31)  # hours between rows
        self._spacing = 1.0 / BUCKETS
        self._hour: tuple[int, float, int] | None = None  # the running hour, its sum and rows
        self._blocks: list[tuple[int, float, float]] = [(-1, 0.0, 0.0)] * len(WINDOWS)  # number, sum, expected
        self._silent = 0.0  # expected since the last count
        self._fitted = -1
        self._began: datetime | None = None
        self._last: datetime | None = None
        self._rows = 0
        self._firing: _Firing | None = None
        self._calm: datetime | None = None

    def row(self, at: datetime, value: float) -> Row:
        """Judge one count, then learn from it. Raises ValueError where time runs backwards."""
        if self._last is not None and at < self._last:
            raise ValueError(f"{at} comes after {self._last}: expected rows in order of time")
        passed = self._pass_time(at)
        level = self._sum / self._exposure if self._exposure else value
        expected = max(level * self._season.factor(bucket_of(at)), 1e-3)
        for window in (*self._windows, self._day):
            window.add(at, value, expected)
        self._silent = 0.0 if value else self._silent + expected
        chances = self._chances(at, expected)
        heights = {test: self._tails[test].height(chance) for test, chance in chances.items() if chance < math.inf}
        alert = self._decide(at, heights)
        self._see(at, chances, passed, alarmed=alert)
        self._learn(at, value, expected)
        return Row(at, value, expected, max(0.0, *heights.values(), 0.0) / math.log(10.0), alert)

    def _pass_time(self, at: datetime) -> float:
        """Return the hours that this row stands for."""
        self._began = self._began or at
        self._rows += 1
        passed = 0.0
        if self._last is not None and at > self._last:
            gap = (at - self._last) / HOUR
            self._gaps.append(gap)
            self._spacing = statistics.median(self._gaps)
            passed = min(gap, 10.0 * self._spacing)
            kept = fade(passed, MEMORY)
            self._sum *= kept
            self._exposure *= kept
        self._last = at
        return passed

    @property
    def _young(self) -> bool:
        return self._rows <= FIRST_ROWS or self._last is None or self._last - (self._began or self._last) < DAY

    # --- how unlikely ---

    def _excess(self, at: datetime, window: int, mean: float) -> float:
        assert self._began is not None, "a row has come"
        certainty = PRIOR + self._sum / self._dispersion.factors[-1]
        youth = DOUBT * max(0.0, 1.0 - (at - self._began) / HOUR / SETTLED)
        season = self._season.doubt(bucket_of(at)) / max(1.0, WINDOWS[window] / BUCKETS)
        return self._dispersion.factors[window] - 1.0 + mean * (1.0 / certainty + youth + season)

    def _chances(self, at: datetime, expected: float) -> dict[int, float]:
        """Return what the formulas say of each test; windows that hold the same rows are one."""
        pace = expected / self._spacing
        chances: dict[int, float] = {}
        rows = 0
        for test, window in enumerate(self._windows):
            if len(window) > rows:
                rows = len(window)
                unit, mean, excess = _in_units(window.mean, self._excess(at, test, window.mean))
                chances[test] = cluster_rate(window.count / unit, mean, excess, pace / unit, self._spacing)
        if self._silent:
            hours = self._silent / pace
            window_like = 0 if hours < 1.0 else 1 if hours < 6.0 else 2
            chances[SILENCE] = silence_rate(self._silent, self._excess(at, window_like, self._silent), pace)
        return chances

    def _decide(self, at: datetime, heights: dict[int, float]) -> bool:
        """Begin or end an incident. It lasts as long as the window that was the least likely while it did."""
        test = max(heights, key=lambda each: heights[each], default=0)
        height = heights.get(test, 0.0)
        if self._firing is None:
            if self._young or height < self._alarm:
                return False
            self._firing, self._calm = _Firing(at, test, height), None
            return True
        firing = self._firing
        if firing.test == SILENCE:
            if not self._silent:
                self._firing = None
            return False
        if height > firing.height:
            firing = self._firing = replace(firing, test=test, height=height)
        if heights.get(firing.test, 0.0) >= self._alarm - RELEASE:
            self._calm = None
            return False
        self._calm = self._calm or at
        if (at - self._calm) / HOUR >= max(HOLD, self._spacing):
            self._firing = None
            for window in self._windows:
                window.forget()
        return False

    # --- learning ---

    def _see(self, at: datetime, chances: dict[int, float], passed: float, *, alarmed: bool) -> None:
        """Remember how high each test has been."""
        if self._young:
            return
        hold = max(HOLD, self._spacing)
        for test, tail in enumerate(self._tails):
            fired = alarmed and self._firing is not None and self._firing.test == test
            tail.see(chances.get(test, math.inf), passed, hold, alarmed=fired)
        if bucket_of(at) // (FITTING * BUCKETS) != self._fitted:
            self._fitted = bucket_of(at) // (FITTING * BUCKETS)
            for tail in self._tails:
                tail.fit()

    def _learn(self, at: datetime, value: float, expected: float) -> None:
        factor = self._season.factor(bucket_of(at))
        if self._firing is None:
            normal = self._ordinary(0, value, expected, self._excess(at, 0, expected), self._spacing)
        elif self._firing.test == SILENCE:  # who sees nothing learns nothing
            return
        elif at - self._firing.since < DAY:
            normal = min(value, expected)
        else:  # a surge that has lasted a day is the new level
            normal = value
        displaced = self._displaced(at)
        if abs(displaced) > FAR:
            kept = fade(self._spacing, QUICK)
            self._sum *= kept
            self._exposure *= kept
        self._sum += normal
        self._exposure += factor
        self._learn_season(at, normal)
        self._learn_dispersion(at, value, expected, teach=displaced > TOO_LOW)

    def _displaced(self, at: datetime) -> float:
        """Return how many standard deviations the last day as a whole, told or not, was above what was expected."""
        if self._young:
            return 0.0
        deviation = math.sqrt(self._day.mean * (1.0 + self._excess(at, -1, self._day.mean)))
        return (self._day.count - self._day.mean) / deviation

    def _learn_season(self, at: datetime, value: float) -> None:
        hour = bucket_of(at) // BUCKETS
        if self._hour is None or self._hour[0] != hour:
            if self._hour is not None:
                past, total, rows = self._hour
                mean_hour = total / rows * max(1.0, 1.0 / self._spacing)
                self._season = self._season.learn(past, mean_hour, self._dispersion.factors[1])
            self._hour = (hour, 0.0, 0)
        self._hour = (hour, self._hour[1] + value, self._hour[2] + 1)

    def _learn_dispersion(self, at: datetime, value: float, expected: float, *, teach: bool) -> None:
        for window, length in enumerate(WINDOWS):
            number, total, mean = self._blocks[window]
            block = bucket_of(at) // length
            if block != number:
                if mean > 0.0 and teach:
                    self._dispersion = self._with_block(at, window, total, mean)
                number, total, mean = block, 0.0, 0.0
            self._blocks[window] = (number, total + value, mean + expected)

    def _with_block(self, at: datetime, window: int, total: float, mean: float) -> Dispersion:
        hours = WINDOWS[window] / BUCKETS
        count = self._ordinary(window, total, mean, self._excess(at, window, mean), hours)
        return self._dispersion.learn(window, np.array([count]), np.array([mean]), np.array([math.inf]), fade(hours))

    def _ordinary(self, window: int, count: float, mean: float, excess: float, hours: float) -> float:
        """Take a count beyond what alarms for one that has just reached it."""
        unit, mean, excess = _in_units(mean, excess)
        return unit * threshold(count / unit, mean, excess, mean / hours, self._tails[window].level)


def _in_units(mean: float, excess: float) -> tuple[float, float, float]:
    """Return a unit in which a mean is not too large to reckon with, and mean and excess in it."""
    unit = max(1.0, mean / LARGE)
    return unit, mean / unit, max(0.0, (1.0 + excess) / unit - 1.0)


def detect_series(rows: Iterable[tuple[datetime, float]], budget: float) -> Iterator[Row]:
    """Yield one verdict for each (time in UTC, count), each resting on the rows up to its own alone."""
    detector = SeriesDetector(budget)
    for at, value in rows:
        yield detector.row(at, value)
