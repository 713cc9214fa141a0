"""When to read a feed again: often enough to matter, seldom enough to be welcome."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST_ORDER = timedelta(days=1)  # a server that asks for more patience than this is asked again all the same
WISH = 3  # a freshness hint stretches the interval to at most so many: many feeds carry a `ttl` nobody meant
ZERO = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How the operator wants a feed to be read.

    interval  between two polls that succeed
    longest   between two polls while they fail
    jitter    largest share of the wait that is added at random, so that feeds do not march in step
    """

    interval: timedelta = timedelta(minutes=5)
    longest: timedelta = timedelta(hours=1)
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if self.interval <= ZERO or self.longest <= ZERO or not 0 <= self.jitter <= 1:
            raise ValueError(f"{self}: expected positive waits and a jitter between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the last poll says about the next one.

    failures  polls that failed in a row; 0 after a success
    asked     how long the server told us to stay away (Retry-After)
    fresh     how long the server thinks its answer stays fresh (Cache-Control, RSS ttl)
    gone      the server says that the feed has ended for good (410)
    """

    failures: int = 0
    asked: timedelta | None = None
    fresh: timedelta | None = None
    gone: bool = False


def wait(rhythm: Rhythm, heard: Heard, chance: float) -> timedelta:
    """Return how long to wait before the next poll.

    After a success: the interval, or longer where the answer stays fresh for longer, up to three intervals. After
    failures in a row: the interval, doubled with each further one, up to `longest`. Never less than the server asked
    for, up to a day. A feed that is gone is looked at once a day: an address that comes back is read again.
    Jitter only ever adds; `chance`, drawn from [0, 1), says how much of it.
    """
    if heard.gone:
        base = LONGEST_ORDER
    elif heard.failures:
        ceiling = max(rhythm.longest, rhythm.interval)
        base = min(rhythm.interval * 2 ** min(heard.failures - 1, 20), ceiling)
    else:
        base = max(rhythm.interval, min(heard.fresh or ZERO, WISH * rhythm.interval))
    base = max(base, min(heard.asked or ZERO, LONGEST_ORDER))
    return base * (1 + rhythm.jitter * chance)


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds or a date. None where there is none or it is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:12]), 10**9))
    try:
        moment = parsedate_to_datetime(text)
        return max(ZERO, moment.replace(tzinfo=moment.tzinfo or UTC) - now)
    except (ValueError, OverflowError):
        return None


def max_age(cache_control: str | None) -> timedelta | None:
    """Read for how long a Cache-Control header (RFC 9111, 5.2.2) calls an answer fresh; None where it does not."""
    text = (cache_control or "").lower()
    found = re.search(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})", text)
    if found is None or re.search(r"no-cache|no-store", text):
        return None
    return timedelta(seconds=int(found[1]))
