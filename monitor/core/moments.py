"""Points in time as people and programs write them, read as UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

DAWN = datetime(1990, 1, 1, tzinfo=UTC)  # what claims to be older says only that its clock was never set
DAY = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}")
UNIX = re.compile(r"\d{10}(\d{3})?(\.\d+)?")
MILLISECONDS = 10**11  # as seconds that would be the year 5138


def read_moment(value: str | float) -> datetime:
    """Read a time, in ISO 8601, as a mail header writes it, or as Unix seconds or milliseconds.

    Without a zone it is taken as UTC. A bare day becomes its last second: when on that day it was is unknown, and an
    item must never seem to be known before it was. Raises ValueError where it is none of these, or no time of the
    calendar.
    """
    try:
        if not isinstance(value, str):
            return _unix(value)
        moment = _written(value.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"found {value!r}; expected a time such as 2024-05-17T09:30:00Z") from error
    return moment


def is_day(value: str | float) -> bool:
    """Tell whether a time that `read_moment` reads names a day and no time of it."""
    return isinstance(value, str) and DAY.fullmatch(value.strip()) is not None


def end_of_day(moment: datetime) -> datetime:
    """Return the last second of a moment's day, UTC."""
    return moment.replace(hour=23, minute=59, second=59, microsecond=0)


def _unix(value: float) -> datetime:
    return datetime.fromtimestamp(value / 1000 if abs(value) >= MILLISECONDS else value, UTC)


def _written(text: str) -> datetime:
    if UNIX.fullmatch(text):
        return _unix(float(text))
    if DAY.fullmatch(text):
        return datetime.fromisoformat(text) + timedelta(days=1, seconds=-1)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)
