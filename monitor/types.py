"""The values on the way from source to target, one type per step.

    RawItem → Article → Mention → Score → Signal → Incident → Message

All are frozen and keyword-only; a datetime without UTC is refused by the constructor, so no step downstream checks it
again. A step that is skipped does not type-check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NewType, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

SourceId = NewType("SourceId", str)
ArticleId = NewType("ArticleId", str)  # 32 hexadecimal digits; see core/identity.py
StoryId = NewType("StoryId", str)  # the id of the story's first article
EventId = NewType("EventId", str)  # stories about one happening: the id of the first of them
EntityId = NewType("EntityId", str)
ModelId = NewType("ModelId", str)  # the first 16 hexadecimal digits of the sha256 of the artefact's manifest
IncidentId = NewType("IncidentId", str)
TargetId = NewType("TargetId", str)
Language = NewType("Language", str)  # ISO 639-1, or "und" where it cannot be told
Signature = NewType("Signature", bytes)  # see core/text/signature.py
Gist = NewType("Gist", bytes)  # what a text is about, in small numbers; empty where it says nothing: see core/events.py
Key = NewType("Key", str)  # what is watched: see core/keys.py

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BUCKET = timedelta(minutes=5)
TICK = timedelta(seconds=60)


def require_utc(value: object, *names: str) -> None:
    """Raise ValueError unless each named attribute is None or an aware datetime in UTC."""
    for name in names:
        moment = getattr(value, name)
        if moment is not None and moment.tzinfo is not UTC:
            raise ValueError(f"{type(value).__name__}.{name} is {moment!r}: expected a datetime in UTC")


def document_of(title: str, text: str) -> str:
    """Return what is tagged and judged of a title and the text that follows it, which may be empty."""
    return f"{title}\n{text}" if text else title


class Outcome(StrEnum):
    """How an item taken from a source ended; the ledger's columns."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    DEAD = "dead"
    DROPPED = "dropped"


class Timeliness(StrEnum):
    """What an article may do to the needle, by how long after its publication the source handed it over."""

    LIVE = "live"
    DAY = "day"  # of an archive that names only the day: known at its end, in no window shorter than a day
    LATE = "late"  # the backlog after an outage: decided at its own times, told once, marked late
    HISTORY = "history"  # a feed's first poll, an import, stale news: feeds the baseline and raises nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class RawItem:
    """One item as a source gave it, not yet cleaned; `body` may hold HTML, any text may hold anything."""

    source: SourceId
    raw: bytes  # what a dead letter keeps, so that the item can be replayed
    handed_over: datetime  # the source's own time of handing over: Kafka's timestamp, the push, the poll
    received: datetime
    title: str = ""
    body: str = ""
    guid: str | None = None
    link: str | None = None
    publisher: str | None = None  # a mapped field; None leaves it to the link
    published: datetime | None = None
    language: str | None = None
    gap: timedelta = timedelta(0)  # since the source's last success: after an outage a backlog is expected
    history: bool = False
    daily: bool = False  # only the day is known: `published` is its last second

    def __post_init__(self) -> None:
        require_utc(self, "handed_over", "received", "published")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An item that could not be understood, kept with its raw bytes so that it can be looked at and replayed."""

    source: SourceId
    raw: bytes
    error: str
    received: datetime

    def __post_init__(self) -> None:
        require_utc(self, "received")


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One piece of news, cleaned, identified and signed; what `collect` hands to `score`.

    `published` is the event time. It never lies after `received`: a source's clock may be wrong, ours decides.
    """

    id: ArticleId
    source: SourceId
    publisher: str  # registrable domain or mapped name: independence is counted in these
    title: str
    text: str
    link: str | None
    language: Language
    published: datetime
    received: datetime
    timeliness: Timeliness
    signature: Signature
    digest: str  # sha256 of title and text: the same id with another digest is a revision
    raw: bytes

    def __post_init__(self) -> None:
        require_utc(self, "published", "received")
        if self.published > self.received:
            raise ValueError(f"published {self.published} lies after received {self.received}: clamp first")

    @property
    def document(self) -> str:
        """The text that is tagged and judged; spans of mentions count its characters."""
        return document_of(self.title, self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One thing to be judged: the article as a whole (`entity` is None), or one company found in it."""

    article: Article
    entity: EntityId | None = None
    spans: tuple[tuple[int, int], ...] = ()  # half-open character ranges in `article.document`, ascending


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentiment:
    """Calibrated probabilities; they sum to 1."""

    negative: float
    neutral: float
    positive: float

    @property
    def label(self) -> str:
        """The likeliest of `negative`, `neutral`, `positive`."""
        return max(("negative", "neutral", "positive"), key=lambda name: float(getattr(self, name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one model made of one mention. `topics` (name to probability) is empty for a company."""

    mention: Mention
    sentiment: Sentiment
    topics: Mapping[str, float]
    model: ModelId
    scored: datetime

    def __post_init__(self) -> None:
        require_utc(self, "scored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How many of a rollup's stories one publisher brought through one source, and how many of them are negative."""

    publisher: str
    source: SourceId
    stories: int
    negative: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """What one key gained in one 5-minute bucket from stories told for the first time, by one model.

    `weight` sums p(negative) of the negative stories (p of at least one half); the other sums are over all stories
    and are shown, never tested. History (a first poll, an import) is kept apart: it feeds the baseline and is in no
    window. `origins` add up to `stories` and `negative`, or are empty where publishers are unknown (bare counts).
    """

    key: Key
    bucket: datetime  # start of the bucket, UTC, a multiple of five minutes
    model: ModelId
    timeliness: Timeliness
    stories: int
    negative: int
    weight: float
    sum_negative: float
    sum_neutral: float
    sum_positive: float
    origins: tuple[Origin, ...] = ()

    def __post_init__(self) -> None:
        require_utc(self, "bucket")


class SignalKind(StrEnum):
    """What the detector says of a key."""

    SURGE = "surge"  # more negative stories than chance allows
    SHARE = "share"  # a larger share of negative stories than chance allows
    CALM = "calm"  # a surge is over
    BLIND = "blind"  # silence that is too unlikely
    SEEING = "seeing"  # a blind key is fed again


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One decision of the detector about one key, with what it rests on.

    A surge names what it counted: the stories of the buckets from `first` on, before `end`.
    """

    key: Key
    kind: SignalKind
    at: datetime  # the time decided about: an article's own time, or the tick
    window: timedelta
    observed: float  # calibrated negative stories in the window (for blind: stories)
    expected: float
    chance: float  # how often, per hour, chance alone brings a window like this for this key
    stories: int
    negative: int
    publishers: int  # independent publishers of the negative stories
    model: ModelId
    late: bool = False
    flow: float = 0.0  # stories, whatever their mood, that are normal in the window; of a share: those it holds
    first: datetime | None = None
    end: datetime | None = None
    taught: ModelId | None = None  # the model that taught what is normal, where that is another one

    def __post_init__(self) -> None:
        require_utc(self, "at", "first", "end")


class Severity(StrEnum):
    """How much an incident matters, in rising order."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for low to 3 for critical."""
        return list(Severity).index(self)


class IncidentKind(StrEnum):
    """Bad news, or no news where some should be."""

    SURGE = "surge"
    BLIND = "blind"


class IncidentState(StrEnum):
    """The life of an incident."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One negative story that an incident rests on."""

    story: StoryId
    title: str
    link: str | None
    publisher: str
    language: Language
    published: datetime
    negative: float  # p(negative) of the story's first article, for the key
    copies: int
    publishers: int
    event: EventId | None = None  # see core/events.py; None where it is in none, or was stored before there were any

    def __post_init__(self) -> None:
        require_utc(self, "published")


class Cause(StrEnum):
    """What may make a surge."""

    VOLUME = "volume"  # more stories than normal
    MOOD = "mood"  # a larger share of them negative than normal
    EVENT = "event"  # many about one event
    PUBLISHER = "publisher"  # many by one publisher
    MODEL = "model"  # judged by another model than taught what is normal


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Each cause's share of log(observed / expected); they sum to 1. See core/explain.py.

    A share may be negative: it works against the surge. The loudest event and publisher are None where none is louder
    than is ordinary for one; `headline` is that of the event. `stories` negative ones are about `events` events: one of
    no known event is about its own. An older version told neither: 0.
    """

    volume: float
    mood: float
    event: float
    publisher: float
    model: float
    loudest_event: EventId | None = None
    loudest_publisher: str | None = None
    headline: str | None = None
    stories: int = 0
    events: int = 0

    @property
    def shares(self) -> dict[Cause, float]:
        """The shares by cause."""
        return {cause: float(getattr(self, cause.value)) for cause in Cause}


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """Somebody looks into an incident; `by` is who, in his own words or his token's name."""

    at: datetime
    by: str
    note: str | None = None

    def __post_init__(self) -> None:
        require_utc(self, "at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Signals whose evidence overlaps, told as one. `keys[0]` is the key that leads; `revision` counts changes."""

    id: IncidentId
    kind: IncidentKind
    state: IncidentState
    severity: Severity
    keys: tuple[Key, ...]
    active: frozenset[Key]  # the keys that have not calmed yet
    opened: datetime  # of the signal that opened it, in event time
    updated: datetime
    resolved: datetime | None
    window: timedelta
    observed: float
    expected: float
    chance: float  # per hour, of the least likely signal
    stories: int
    publishers: int
    evidence: tuple[Evidence, ...]
    late: bool
    model: ModelId
    revision: int
    told: frozenset[TargetId] = frozenset()  # the targets that were told it opened: they are told how it goes on
    acknowledged: Acknowledgement | None = None  # kept when it is resolved
    explanation: Explanation | None = None  # of the figures above; None of a silence

    def __post_init__(self) -> None:
        require_utc(self, "opened", "updated", "resolved")


class Ruling(StrEnum):
    """What the desk says of an incident, or of one article in it."""

    RIGHT = "right"
    FALSE = "false"  # no bad news at all
    OLD_NEWS = "old_news"
    WRONG_COMPANY = "wrong_company"
    WRONG_SENTIMENT = "wrong_sentiment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One ruling of the desk, kept as labelled data; a later one does not replace it.

    `article` is None where it is about the incident as a whole. `entity` is the company it is about, None for the one
    that the incident is about. `sentiment` is what it should have been: negative, neutral or positive.
    """

    incident: IncidentId
    ruling: Ruling
    article: ArticleId | None = None
    entity: EntityId | None = None
    sentiment: str | None = None
    note: str | None = None
    by: str
    at: datetime

    def __post_init__(self) -> None:
        require_utc(self, "at")


class Change(StrEnum):
    """What happened to an incident that a desk is told."""

    OPENED = "opened"
    RAISED = "raised"  # to a higher severity
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One change of one incident for one target. `key` is stable: sent twice, it bears the same key."""

    key: str
    target: TargetId
    change: Change
    incident: Incident
    created: datetime
    expires: datetime

    def __post_init__(self) -> None:
        require_utc(self, "created", "expires")


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a source has been read: a feed's validators, an archive's line, a Kafka offset. Opaque to the store."""

    source: SourceId
    partition: str = ""
    value: Mapping[str, Json]


class ModelState(StrEnum):
    """The life of a model on one database: where its promotion stands, or what became of it."""

    STAGED = "staged"  # named, not looked at yet
    RESCORING = "rescoring"  # opened beside the serving one; it judges the recent past
    READY = "ready"  # it has judged all that the serving one has; the next bucket's edge is its own
    SERVING = "serving"  # it moves the needle; one model at most
    RETIRED = "retired"  # served, until another one was promoted
    RECALLED = "recalled"  # retired, and to serve again at once
    WITHDRAWN = "withdrawn"  # rolled back from, or called off before it served
    REFUSED = "refused"  # not what its manifest says, or not to be opened


UNDER_WAY = frozenset({ModelState.STAGED, ModelState.RESCORING, ModelState.READY, ModelState.RECALLED})
