"""What the answer of an HTTP receiver means for a message."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Protocol

from monitor.net import Answer
from monitor.ports import Delivery, Rejected, Retry, Sent


class Reason(StrEnum):
    """Why a receiver that answered did not accept; the words serve as metric labels, as those of `net.Reason`."""

    GONE = "gone"  # 410: the receiver wants nothing more
    REFUSED = "refused"  # any other 4xx: the same message would be refused again
    REDIRECTED = "redirected"  # not followed: a message goes where the operator said, and nowhere else
    BUSY = "busy"  # 408, 425, 429: patience was asked for
    SERVER_ERROR = "server_error"  # 5xx, and answers that mean nothing to us


class Poster(Protocol):
    """The part of `net.HttpClient` that is needed here."""

    async def post(self, url: str, content: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Send `content`. Raises NetError where no complete answer came."""
        ...


def judge(answer: Answer, now: datetime) -> Delivery:
    """Return what an answer means for the message; `now` is the time against which `Retry-After` is read."""
    status = answer.status
    if 200 <= status < 300:
        return Sent()
    if status == 410:
        return Rejected(Reason.GONE.value)
    if status in (408, 425, 429):
        return Retry(Reason.BUSY.value, _patience(answer, now))
    if 300 <= status < 400:
        return Retry(Reason.REDIRECTED.value)
    if 400 <= status < 500:
        return Rejected(Reason.REFUSED.value)
    return Retry(Reason.SERVER_ERROR.value, _patience(answer, now))


def _patience(answer: Answer, now: datetime) -> timedelta | None:
    """Return how long `Retry-After` asks to wait, in seconds or until a date; None where it does not say."""
    asked = answer.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return timedelta(seconds=min(int(asked), 86_400))
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(until - now, timedelta(0))
