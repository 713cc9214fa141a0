"""What the query of a request may hold: moments, spans, and where the last page ended."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, WithJsonSchema

from monitor.api.problems import Problem
from monitor.ports import Mark
from monitor.types import BUCKET

PAGE = 50
LARGEST_PAGE = 200
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    text = f"{(mark[0] - EPOCH) // MICROSECOND}.{mark[1]}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def mark_of(cursor: str | None) -> Mark | None:
    """Read what `cursor_of` wrote. Raise Problem 422 for anything else."""
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        moment, id_ = re.findall(r"^(-?\d{1,18})\.([0-9a-f]{32})$", text)[0]
        return EPOCH + int(moment) * MICROSECOND, id_
    except (ValueError, OverflowError, IndexError) as error:
        raise Problem(422, "cursor: expected what the last page gave as `next`", where="cursor") from error
