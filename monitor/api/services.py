"""What the API needs of the daemon, handed to it by `app`: nothing here knows how any of it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from monitor.errors import NewsquakeError
from monitor.ports import Clock, Settled
from monitor.reading import Live, Normal, Reader, Tokens
from monitor.telemetry import Telemetry
from monitor.types import (
    Acknowledgement,
    EntityId,
    Incident,
    IncidentId,
    Json,
    Key,
    Language,
    ModelId,
    SourceId,
    Verdict,
)


class Unusable(NewsquakeError):
    """What a caller asks to be judged cannot be judged; answered 422."""


class Missing(NewsquakeError):
    """What a caller asks for does not exist; answered 404."""


class Conflict(NewsquakeError):
    """What a caller asks for no longer goes; answered 409."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must be well for the daemon to be alive, or ready; `detail` says what is wrong, or how it is."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyAssessment:
    """What a text means for one company of the watchlist."""

    id: EntityId
    name: str
    label: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What the model makes of one text: for the company asked about where one is given, else as a whole."""

    label: str
    probabilities: Mapping[str, float]
    topics: Mapping[str, float]
    entities: Sequence[CompanyAssessment]
    model: ModelId


# Takes articles as they were posted, whatever they are, and returns after the commit, in order. Raises Busy where there
# is no room, and SourceError where the daemon ends first.
Submit: TypeAlias = Callable[[Sequence[Json]], Awaitable[Sequence[Settled]]]

# Judges a text, for a company where one is named. Raises Unusable or Busy.
Score: TypeAlias = Callable[[str, str | None], Awaitable[Assessment]]

# Notes that somebody looks into an incident and returns it as stored. Raises Missing, or Conflict where it is resolved.
Acknowledge: TypeAlias = Callable[[IncidentId, Acknowledgement], Awaitable[Incident]]

# Keeps what the desk says of an incident. Raises Missing, or Unusable where the article is not one of the incident's.
Judge: TypeAlias = Callable[[Verdict], Awaitable[None]]

# What is normal for a key in the span that begins at a moment; None where that is unknown.
NormalOf: TypeAlias = Callable[[Key, datetime, timedelta], Normal | None]

# What a key is called in each language that has a name for it.
NamesOf: TypeAlias = Callable[[Key], Mapping[Language, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of the daemon that the API speaks to. `doors` are the sources that take pushed articles."""

    reader: Reader
    live: Callable[[], Live]
    doors: Mapping[SourceId, Submit]
    score: Score
    acknowledge: Acknowledge
    judge: Judge
    normal: NormalOf
    names: NamesOf
    alive: Callable[[], Sequence[Check]]
    ready: Callable[[], Sequence[Check]]
    tokens: Tokens
    telemetry: Telemetry
    clock: Clock
    stopping: asyncio.Event  # set once the daemon begins to stop: streams end then
