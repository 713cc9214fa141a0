"""What the API, the page and the metrics show: the answers, and the ports that give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeAlias

from monitor.ports import Judgement, Ledger
from monitor.types import (
    ArticleId,
    Change,
    Incident,
    IncidentId,
    IncidentKind,
    IncidentState,
    Key,
    Language,
    ModelId,
    Position,
    Rollup,
    Severity,
    SourceId,
    TargetId,
    Timeliness,
    Verdict,
    require_utc,
)

Mark: TypeAlias = tuple[datetime, str]  # where a page ended: the moment and the id of its last row


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLevel:
    """What the detector sees of a key in one window that ends now."""

    window: timedelta
    stories: int
    negative: float  # calibrated negative stories
    expected: float  # of them, at this hour


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLevel:
    """Where the needle of one key stands now."""

    key: Key
    surging: bool
    blind: bool
    learning_since: datetime | None  # while its history is short
    windows: tuple[WindowLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLevel:
    """How a configured source fares now. `error` is what keeps it from being read, None where nothing does."""

    id: SourceId
    kind: str
    last_success: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Normal:
    """What is normal for a key in a span, in calibrated negative stories."""

    expected: float
    upper: float  # 99 of 100 such spans bring no more


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLevel:
    """How a configured target fares now. `undelivered` messages were tried in vain and are tried again."""

    id: TargetId
    kind: str
    undelivered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The daemon's state in memory, as of its last commit. `trouble` is why the database refuses, where it does."""

    model: ModelId | None
    ticked: datetime | None  # the last tick that was decided
    keys: Sequence[KeyLevel]
    incidents: Sequence[Incident]  # those that are not resolved
    sources: Sequence[SourceLevel]
    targets: Sequence[TargetLevel] = ()
    trouble: str | None = None
    days: int = 0  # watched, of the keys' own history that the rate of false alarms is learned from


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArticle:
    """A row of the table `articles`, without its raw bytes; `revisions` counts the later versions of its text."""

    id: ArticleId
    source: SourceId
    publisher: str
    title: str
    text: str
    link: str | None
    language: Language
    published: datetime
    received: datetime
    timeliness: Timeliness
    topics: Mapping[str, float]
    unjudged: int
    revisions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleFilter:
    """Which articles are asked for; None takes all. `since` and `until` bound the time of receipt: [since, until)."""

    source: SourceId | None = None
    key: Key | None = None
    language: Language | None = None
    title: str | None = None  # a part of the title, capitals and small letters alike where the database can
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFilter:
    """Which incidents are asked for; None takes all. `since` and `until` bound the opening: [since, until)."""

    state: IncidentState | None = None
    kind: IncidentKind | None = None
    key: Key | None = None
    severity: Severity | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """A row of the outbox: how one message about an incident fares at one target."""

    target: TargetId
    change: Change
    state: str  # pending, sent, rejected
    attempts: int
    created: datetime
    due: datetime
    ended: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A row of the table `events`: something the API's stream tells. Ids ascend in the order of the commits."""

    id: int
    at: datetime
    kind: str  # `incident`: it was opened or changed
    subject: str  # the id of what it is about


class Reader(Protocol):
    """The read side of the store. It uses connections of its own and never waits for the writer, nor blocks it."""

    async def articles(self, wanted: ArticleFilter, *, before: Mark | None, limit: int) -> Sequence[StoredArticle]:
        """Return articles, the last received first, beginning after the row that `before` marks.

        Of each text it gives the beginning only: a page of whole texts could be too large to hold.
        """
        ...

    async def article(self, id_: ArticleId) -> StoredArticle | None:
        """Return one article, or None where there is none."""
        ...

    async def judgements(self, id_: ArticleId) -> Sequence[Judgement]:
        """Return what an article means for each key, by each model, in order of key, then time of scoring."""
        ...

    async def sums(self, since: datetime, until: datetime, *, step: timedelta, key: Key | None) -> Sequence[Rollup]:
        """Return the rollups of [since, until) added up over steps, without origins, in order of bucket, then key.

        Each sum begins at a multiple of `step` since 1970 UTC (`step` is a multiple of BUCKET); models are kept
        apart, and history is apart from the rest, which is all given as live. `key` None takes every key.
        """
        ...

    async def incidents(self, wanted: IncidentFilter, *, before: Mark | None, limit: int) -> Sequence[Incident]:
        """Return incidents, the last opened first, beginning after the row that `before` marks."""
        ...

    async def incident(self, id_: IncidentId) -> Incident | None:
        """Return one incident, or None where there is none."""
        ...

    async def dispatches(self, incident: IncidentId) -> Sequence[Dispatch]:
        """Return the outbox rows about an incident, oldest first."""
        ...

    async def verdicts(self, incident: IncidentId) -> Sequence[Verdict]:
        """Return what the desk said of an incident, oldest first."""
        ...

    async def ledgers(self) -> Mapping[SourceId, Ledger]:
        """Return the ledger of each source."""
        ...

    async def positions(self) -> Sequence[Position]:
        """Return how far each source has been read, in order of source, then partition."""
        ...

    async def dead_letters(self) -> Mapping[SourceId, int]:
        """Return how many dead letters are kept of each source that has any."""
        ...

    async def last_event(self) -> int:
        """Return the id of the newest event, 0 where there has been none."""
        ...

    async def events(self, *, after: int, limit: int) -> Sequence[Event]:
        """Return the events with an id above `after`, in the order of their commits."""
        ...


# --- who may call the API ---


class Scope(StrEnum):
    """What a token opens. `admin` opens everything; of the other two neither includes the other."""

    READ = "read"  # what is stored and shown, and the metrics
    WRITE = "write"  # handing articles over, judging texts, acknowledging, verdicts
    ADMIN = "admin"  # everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of the HTTP interface, without its secret, which nobody keeps."""

    id: str
    name: str
    scopes: frozenset[Scope]
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def __post_init__(self) -> None:
        require_utc(self, "created", "expires", "revoked")


class Tokens(Protocol):
    """The tokens that were made, as the API looks them up."""

    async def by_hash(self) -> Mapping[bytes, Token]:
        """Return every token ever made, revoked and expired ones too, by the sha256 of its secret."""
        ...
