"""What the query of a request may hold: moments, spans, and where the last page ended."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, WithJsonSchema

from monitor.api.problems import Problem
from monitor.reading import Mark
from monitor.types import BUCKET, EPOCH, Key

Place: TypeAlias = tuple[int, float, Key]  # of a key in the order by mood: rank, mood to six figures, key

PAGE = 50
LARGEST_PAGE = 200
MICROSECOND = timedelta(microseconds=1)
SPANS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def _mend(value: object) -> object:
    # Few remember to write %2B, and an unescaped + arrives as a space.
    return re.sub(r"(T\S+) (\d\d:?\d\d)$", r"\1+\2", value) if isinstance(value, str) else value


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("this lies outside of the years 1 to 9999") from error


def _span(value: object) -> object:
    found = re.fullmatch(r"(\d{1,5})([mhd])", value) if isinstance(value, str) else None
    span = int(found[1]) * SPANS[found[2]] if found else timedelta(0)
    if not span or span % BUCKET:
        raise ValueError("expected a multiple of five minutes, such as 5m, 1h or 1d")
    return span


Moment = Annotated[AwareDatetime, BeforeValidator(_mend), AfterValidator(_utc)]
Step = Annotated[
    timedelta,
    BeforeValidator(_span),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,5}[mhd]$", "examples": ["5m", "1h", "1d"]}),
]


def cursor_of(mark: Mark) -> str:
    """Return the mark as the opaque text that a page ends with."""
    return _packed(f"{(mark[0] - EPOCH) // MICROSECOND}.{mark[1]}")


def mark_of(cursor: str | None) -> Mark | None:
    """Read what `cursor_of` wrote. Raise Problem 422 for anything else."""
    if cursor is None:
        return None
    moment, id_ = _unpacked(cursor, r"(-?\d{1,18})\.([0-9a-f]{32})")
    try:
        return EPOCH + int(moment) * MICROSECOND, id_
    except OverflowError as error:
        raise _unreadable() from error


def cursor_of_place(place: Place) -> str:
    """Return a place in the order by mood as the opaque text that a page ends with."""
    rank, mood, key = place
    return _packed(f"{rank}.{round(mood * 1e6)}.{key}")


def place_of(cursor: str) -> Place:
    """Read what `cursor_of_place` wrote. Raise Problem 422 for anything else."""
    rank, mood, key = _unpacked(cursor, r"(\d)\.(-?\d{1,7})\.(.+)")
    return int(rank), int(mood) / 1e6, Key(key)


def _packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unpacked(cursor: str, pattern: str) -> tuple[str, ...]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError as error:
        raise _unreadable() from error
    found = re.fullmatch(pattern, text, re.ASCII)
    if found is None:
        raise _unreadable()
    return found.groups()


def _unreadable() -> Problem:
    return Problem(422, "cursor: expected what the last page gave as `next`", where="cursor")
