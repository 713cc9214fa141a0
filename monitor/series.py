"""Reading a bare series of counts: `timestamp,value` lines in, the detector's verdict on each out."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from monitor.core.detect.series import SeriesDetector
from monitor.errors import ConfigurationError

HEADER = ["timestamp", "value"]
SHOWN = 40  # characters of a field that cannot be read


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
