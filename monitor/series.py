"""The detector on a bare series of counts: one row in, one row out, nothing seen before its time.

The same windows, chances and budget as for news, with the budget for this series alone. A row is one count, whatever
its spacing: expectations are per row, so a gap is neither silence nor calm. There are no publishers and hence no
guards but the windows' own.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from monitor.core.detect.baseline import DOUBT, MEMORY, PRIOR, QUICK, SETTLED, UNKNOWN, Dispersion, fade
from monitor.core.detect.budget import CAUTION, WEEK_HOURS, WINDOWS, cluster_rate, ladder, solve_level, threshold
from monitor.core.detect.calendar import BUCKETS, FLAT
from monitor.core.detect.learning import FIRST_LEVEL
from monitor.core.detect.windows import bucket_of
from monitor.errors import ConfigurationError
from monitor.types import BUCKET, EPOCH

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOLD = timedelta(minutes=30)
RELEASE = 10.0
FIRST_ROWS = 30  # rows, and a day, before anything may alarm
HEADER = ["timestamp", "value"]
SHOWN = 40  # characters of a field that cannot be read


@dataclass(frozen=True, slots=True)
class Row:
    """One row's verdict. `score` is how unlikely its windows are: minus the decimal logarithm of the chance an hour."""

    timestamp: datetime
    value: float
    expected: float
    score: float
    alert: bool  # this row raises an incident


@dataclass(frozen=True, slots=True)
class _Point:
    at: datetime
    value: float
    expected: float


class SeriesDetector:
    """Takes a series row by row. `budget` is in false incidents a week."""

    def __init__(self, budget: float) -> None:
        self._budget = budget / WEEK_HOURS / CAUTION
        self._season, self._dispersion = FLAT, UNKNOWN
        self._sum = self._exposure = 0.0
        self._day: deque[_Point] = deque()
        self._gaps: deque[float] = deque(maxlen=31)  # hours between rows
        self._spacing = 1.0 / BUCKETS
        self._hour: tuple[int, float, int] | None = None  # the running hour, its sum and rows
        self._blocks: list[tuple[int, float, float]] = [(-1, 0.0, 0.0)] * len(WINDOWS)  # number, sum, expected
        self._level = FIRST_LEVEL
        self._solved = -1
        self._began: datetime | None = None
        self._rows = 0
        self._firing: tuple[datetime, int] | None = None  # since, window
        self._calm: datetime | None = None
        self._told = EPOCH

    def row(self, at: datetime, value: float) -> Row:
        """Judge one count, then learn from it. Raises ValueError where time runs backwards."""
        if self._day and at < self._day[-1].at:
            raise ValueError(f"{at} comes after {self._day[-1].at}: expected rows in order of time")
        self._space(at)
        expected = self._expected(at, value)
        self._day.append(_Point(at, value, expected))
        while self._day[0].at <= at - DAY:
            self._day.popleft()
        chances = self._chances(at)
        least = min(chances.values(), default=math.inf)
        alert = self._decide(at, chances)
        self._learn(at, value, expected)
        return Row(at, value, expected, max(0.0, -math.log10(max(least, 1e-300))), alert)

    def _space(self, at: datetime) -> None:
        self._began = self._began or at
        self._rows += 1
        if self._day and at > self._day[-1].at:
            gap = (at - self._day[-1].at) / HOUR
            self._gaps.append(gap)
            self._spacing = statistics.median(self._gaps)
            kept = fade(min(gap, 10.0 * self._spacing))
            self._sum *= kept
            self._exposure *= kept

    def _expected(self, at: datetime, value: float) -> float:
        level = self._sum / self._exposure if self._exposure else value
        return max(level * self._season.factor(bucket_of(at)), 1e-3)

    def _excess(self, at: datetime, window: int, mean: float) -> float:
        assert self._began is not None, "a row has come"
        certainty = PRIOR + self._sum / self._dispersion.factors[-1]
        youth = DOUBT * max(0.0, 1.0 - (at - self._began) / HOUR / SETTLED)
        season = self._season.doubt(bucket_of(at)) / max(1.0, WINDOWS[window] / BUCKETS)
        return self._dispersion.factors[window] - 1.0 + mean * (1.0 / certainty + youth + season)

    def _chances(self, at: datetime) -> dict[int, float]:
        """Return how often chance brings each window that ends now; windows that hold the same rows are one."""
        chances: dict[int, float] = {}
        count = mean = 0.0
        place, rows = len(self._day), 0
        for window, length in enumerate(WINDOWS):
            while place and self._day[place - 1].at > at - length * BUCKET:
                place -= 1
                point = self._day[place]
                mean += point.expected
                count += point.value if point.at > self._told else 0.0
            if len(self._day) - place > rows:
                rows = len(self._day) - place
                pace = self._day[-1].expected / self._spacing
                chances[window] = cluster_rate(round(count), mean, self._excess(at, window, mean), pace, self._spacing)
        return chances

    def _decide(self, at: datetime, chances: dict[int, float]) -> bool:
        assert self._began is not None, "a row has come"
        if self._firing is None:
            window = min(chances, key=lambda each: chances[each])
            if chances[window] > self._level or self._rows <= FIRST_ROWS or at - self._began < DAY:
                return False
            self._firing, self._calm = (at, window), None
            return True
        if chances.get(self._firing[1], math.inf) <= self._level * RELEASE:
            self._calm = None
            return False
        self._calm = self._calm or at
        if at - self._calm >= max(HOLD, self._spacing * HOUR):
            self._firing, self._told = None, at
        return False

    # --- learning ---

    def _learn(self, at: datetime, value: float, expected: float) -> None:
        factor = self._season.factor(bucket_of(at))
        excess = self._excess(at, 0, expected)
        normal = threshold(value, expected, excess, expected / self._spacing, self._level)
        if self._firing is not None:
            if at - self._firing[0] < DAY:
                normal = min(value, expected)
            else:  # a surge that has lasted a day is the new level
                normal = value
                kept = fade(self._spacing, QUICK)
                self._sum *= kept
                self._exposure *= kept
        self._sum += normal
        self._exposure += factor
        self._learn_season(at, normal)
        self._learn_dispersion(at, value, expected)
        if bucket_of(at) // (6 * BUCKETS) != self._solved:
            self._solved = bucket_of(at) // (6 * BUCKETS)
            self._level = self._solve()

    def _learn_season(self, at: datetime, value: float) -> None:
        hour = bucket_of(at) // BUCKETS
        if self._hour is None or self._hour[0] != hour:
            if self._hour is not None:
                past, total, rows = self._hour
                mean_hour = total / rows * max(1.0, 1.0 / self._spacing)
                self._season = self._season.learn(past, mean_hour, self._dispersion.factors[1])
            self._hour = (hour, 0.0, 0)
        self._hour = (hour, self._hour[1] + value, self._hour[2] + 1)

    def _learn_dispersion(self, at: datetime, value: float, expected: float) -> None:
        for window, length in enumerate(WINDOWS):
            number, total, mean = self._blocks[window]
            block = bucket_of(at) // length
            if block != number:
                if mean > 0.0:
                    self._dispersion = self._with_block(at, window, total, mean)
                number, total, mean = block, 0.0, 0.0
            self._blocks[window] = (number, total + value, mean + expected)

    def _with_block(self, at: datetime, window: int, total: float, mean: float) -> Dispersion:
        hours = WINDOWS[window] / BUCKETS
        count = threshold(total, mean, self._excess(at, window, mean), mean / hours, self._level)
        return self._dispersion.learn(
            window, np.array([count]), np.array([mean]), np.array([math.inf]), fade(hours, MEMORY)
        )

    def _solve(self) -> float:
        level = self._sum / self._exposure / self._spacing
        certainty = PRIOR + self._sum / self._dispersion.factors[-1]
        return solve_level(
            [
                (
                    1,
                    ladder(
                        level,
                        certainty,
                        clustering=self._dispersion.factors[window],
                        hours=WINDOWS[window] / BUCKETS,
                        least=1,
                        doubt=0.0,
                    ),
                )
                for window in range(len(WINDOWS))
            ],
            self._budget,
        )


def detect_series(rows: Iterable[tuple[datetime, float]], budget: float) -> Iterator[Row]:
    """Yield one verdict for each (time in UTC, count), each resting on the rows up to its own alone."""
    detector = SeriesDetector(budget)
    for at, value in rows:
        yield detector.row(at, value)


def detect_lines(lines: Iterable[str], budget: float, where: str = "series") -> Iterator[str]:
    """Read `timestamp,value` lines with their header; yield `timestamp,value,expected,score,alert` lines.

    Timestamps are ISO 8601 or `YYYY-MM-DD HH:MM:SS`, in UTC where they name no zone; they and the values come out as
    they went in. Raises ConfigurationError naming the line that cannot be read.
    """
    rows = _rows(lines, where)
    _, header = next(rows, (where, None))
    if header is None or [name.strip().lower() for name in header] != HEADER:
        found = "nothing" if header is None else repr(",".join(header))
        raise ConfigurationError(f"{where}:1: found {found}; expected the header 'timestamp,value'")
    yield "timestamp,value,expected,score,alert"
    detector = SeriesDetector(budget)
    for place, fields in rows:
        if not fields:
            continue
        at, value = _read(fields, place)
        try:
            row = detector.row(at, value)
        except ValueError as error:
            raise ConfigurationError(f"{place}: {error}") from error
        yield f"{fields[0].strip()},{fields[1].strip()},{row.expected:.6g},{row.score:.3f},{int(row.alert)}"


def _rows(lines: Iterable[str], where: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each row with its place."""
    reader = csv.reader(lines)
    try:
        for fields in reader:
            yield f"{where}:{reader.line_num}", fields
    except csv.Error as error:
        raise ConfigurationError(f"{where}:{reader.line_num}: not valid CSV: {error}") from error


def _read(fields: list[str], place: str) -> tuple[datetime, float]:
    if len(fields) != 2:
        raise ConfigurationError(f"{place}: found {len(fields)} fields; expected two, a timestamp and a value")
    try:
        at = datetime.fromisoformat(fields[0].strip())
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):  # a zone may carry a time out of all calendars
        raise ConfigurationError(
            f"{place}: found the timestamp {fields[0][:SHOWN]!r}; expected one such as 2024-03-04 05:06:00"
        ) from None
    try:
        value = float(fields[1])
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 1e15:
        raise ConfigurationError(f"{place}: found the value {fields[1][:SHOWN]!r}; expected a count, 0 or more")
    return at, value
