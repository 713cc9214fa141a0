"""What is known to have happened, and how what was told compares with it: found or missed, how early, how much else.

Events come as a list of objects, written down by hand from public facts:

    id, what      a name, and one line that says what happened
    start, end    days (UTC, both included) within which it must be told
    busiest_day   the day with the most news about it, or [day, items]; `peak`, a day, where that is unknown
    keywords      words of which a headline about it holds one
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

from monitor.errors import ConfigurationError
from monitor.types import Json

DAY = timedelta(days=1)
MONTH = timedelta(days=30)
PART = 1 / 3  # of an incident's headlines must be about the event


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEvent:
    """Something that happened, and when a desk should have been told: in (start, end], best before `busiest` ends."""

    id: str
    what: str
    start: datetime
    end: datetime
    busiest: datetime  # the end of the busiest day
    keywords: tuple[str, ...]

    def is_told_by(self, alarm: Alarm) -> bool:
        """Tell whether an alarm opens within the event's dates and a third of its headlines or more are about it."""
        about = sum(any(_word(keyword).search(each) for keyword in self.keywords) for each in alarm.headlines)
        return self.start < alarm.opened <= self.end and 0 < about >= PART * len(alarm.headlines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What somebody was told: when, and the headlines it rested on. `id` is its own among all."""

    id: str
    opened: datetime
    headlines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event and the id of its first alarm; `lead` is from there to the end of the busiest day.

    Where nothing was told in time, both are None. A negative lead says: told, but later than that.
    """

    event: KnownEvent
    alarm: str | None
    lead: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How all alarms of a span of time compare with the events in it."""

    told: tuple[Told, ...]
    alarms: int
    others: int  # alarms about none of the events; the list may be short, so not all of them are false
    span: timedelta

    @property
    def recall(self) -> float | None:
        """The share of the events that were told; None where there are none."""
        return sum(each.alarm is not None for each in self.told) / len(self.told) if self.told else None

    @property
    def in_time(self) -> int:
        """How many events were told before the end of their busiest day."""
        return sum(each.lead is not None and each.lead >= timedelta(0) for each in self.told)

    @property
    def lead(self) -> timedelta | None:
        """The median lead over the events that were told."""
        leads = [each.lead.total_seconds() for each in self.told if each.lead is not None]
        return timedelta(seconds=statistics.median(leads)) if leads else None

    @property
    def others_a_month(self) -> float:
        return self.others / (self.span / MONTH) if self.span else 0.0


def compare(alarms: Sequence[Alarm], events: Sequence[KnownEvent], began: datetime, ended: datetime) -> Comparison:
    """Hold the alarms of [began, ended] beside the events whose days all lie in it."""
    within = [event for event in events if began < event.start + DAY and event.end - DAY <= ended]
    told: list[Told] = []
    for event in within:
        first = min(filter(event.is_told_by, alarms), key=lambda alarm: alarm.opened, default=None)
        lead = None if first is None else event.busiest - first.opened
        told.append(Told(event=event, alarm=first.id if first else None, lead=lead))
    others = sum(not any(event.is_told_by(alarm) for event in events) for alarm in alarms)
    return Comparison(told=tuple(told), alarms=len(alarms), others=others, span=ended - began)


def read_events(value: Json, where: str) -> tuple[KnownEvent, ...]:
    """Read a list of events. Raises ConfigurationError that names the event, what was found and what is expected."""
    if not isinstance(value, list):
        raise ConfigurationError(f"{where}: found no list; expected a list of events with id, start, end, keywords")
    return tuple(_event(each, f"{where}: event {number}") for number, each in enumerate(value, start=1))


def _event(value: Json, where: str) -> KnownEvent:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: found {value!r:.40}; expected an object with id, start, end, keywords")
    id_, what, keywords = value.get("id"), value.get("what", ""), value.get("keywords")
    if not (isinstance(id_, str) and id_):
        raise ConfigurationError(f"{where}: id: found {id_!r:.40}; expected a name")
    where = f"{where} ({id_})"
    words = [each for each in keywords if isinstance(each, str) and each.strip()] if isinstance(keywords, list) else []
    if not isinstance(keywords, list) or not words or len(words) < len(keywords):
        raise ConfigurationError(f"{where}: keywords: found {keywords!r:.40}; expected a list of words")
    start, end = _day(value, "start", where), _day(value, "end", where)
    busiest = _day(value, "busiest_day" if value.get("busiest_day") else "peak", where)
    if not start <= busiest <= end:
        raise ConfigurationError(f"{where}: found {start} to {end}, busiest {busiest}; expected that day between them")
    return KnownEvent(
        id=id_,
        what=what if isinstance(what, str) else "",
        start=_midnight(start),
        end=_midnight(end) + DAY,
        busiest=_midnight(busiest) + DAY,
        keywords=tuple(words),
    )


def _day(event: Mapping[str, Json], name: str, where: str) -> date:
    value = event.get(name)
    first = value[0] if isinstance(value, list) and value else value
    try:
        if isinstance(first, str):
            return date.fromisoformat(first)
    except ValueError:
        pass
    raise ConfigurationError(f"{where}: {name}: found {value!r:.40}; expected a day such as 2019-03-10")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


@cache
def _word(keyword: str) -> re.Pattern[str]:
    """Return what finds a keyword at the beginning of a word, in any case; one in capitals (`SEC`) only as it stands.

    Chinese has no spaces between words: there it is found anywhere.
    """
    word = rf"(?<![0-9A-Za-z]){re.escape(keyword.strip())}"
    return re.compile(rf"{word}(?![0-9A-Za-z])") if keyword.isupper() else re.compile(word, re.IGNORECASE)
