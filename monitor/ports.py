"""What the pipeline asks of the world, as protocols. Adapters implement them; fakes in the tests keep to the same
contract tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias, runtime_checkable

from monitor.types import (
    Article,
    ArticleId,
    Change,
    DeadLetter,
    EntityId,
    EventId,
    Evidence,
    Gist,
    Incident,
    IncidentId,
    Json,
    Key,
    Mention,
    Message,
    ModelId,
    ModelState,
    Outcome,
    Position,
    RawItem,
    Rollup,
    Score,
    Sentiment,
    Severity,
    Signal,
    Signature,
    SourceId,
    StoryId,
    TargetId,
    Timeliness,
    Verdict,
    require_utc,
)


class Clock(Protocol):
    """The one way time enters. Everything that waits, waits here, so that a test's hours take milliseconds."""

    def now(self) -> datetime:
        """Return the present moment, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` later, or raise CancelledError."""
        ...


# --- sources ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How one item of a batch ended, told to its source after the commit."""

    outcome: Outcome
    article: ArticleId | None = None
    error: str | None = None


Receipt: TypeAlias = Callable[[Sequence[Settled]], Awaitable[None]]


async def no_receipt(_: Sequence[Settled]) -> None:
    """The receipt of a source that does not need to hear of the commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a source hands over at once: committed whole, together with the position that follows it.

    `items` may mix what was read and what was undecodable. After the commit `receipt` is awaited once, with one
    Settled for each item in order; where the daemon dies before, it is not, and the source hands over again.
    """

    source: SourceId
    items: tuple[RawItem | DeadLetter, ...]
    position: Position | None = None
    receipt: Receipt = no_receipt


class Source(Protocol):
    """A configured input. It owns its own back-off: `batches` ends only when the source is exhausted or closed."""

    @property
    def id(self) -> SourceId: ...

    def batches(self, resume: Sequence[Position]) -> AsyncGenerator[Batch, None]:
        """Yield what comes, beginning after `resume` (empty on the first start). Slow consumption slows the source."""
        ...

    async def close(self) -> None:
        """Let go of connections and processes; safe to call twice."""
        ...


@runtime_checkable
class Remote(Protocol):
    """A source that may be away: when it was last reached, and why it cannot be now, in one sentence, or None."""

    success: datetime | None
    error: str | None


class Bus(Protocol):
    """A bounded queue of batches between the sources and the pipeline. Full, it slows the sources; it drops nothing."""

    async def put(self, batch: Batch) -> None:
        """Hand a batch over, waiting for room."""
        ...

    async def take(self, limit: int) -> Sequence[Batch]:
        """Return what waits, at least one batch, stopping before `limit` items unless the first alone exceeds it."""
        ...

    def waiting(self) -> int:
        """Return the number of items that wait."""
        ...


# --- scoring ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Unscorable:
    """A mention that fails scoring even alone."""

    mention: Mention
    error: str


class Scorer(Protocol):
    """The model behind one thread."""

    @property
    def model(self) -> ModelId:
        """The model that answers now."""
        ...

    async def score(self, mentions: Sequence[Mention]) -> Sequence[Score | Unscorable]:
        """Judge the mentions; one result each, in order."""
        ...


class Gists(Protocol):
    """Tells what texts are about, by their words."""

    def of(self, texts: Sequence[tuple[str, Sequence[tuple[int, int]]]]) -> Sequence[Gist]:
        """Return the gist of each text, without what stands at its character ranges: companies' names."""
        ...


# --- store ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An earlier article that may be a near-copy: its signature, and for each key the story it belongs to."""

    article: ArticleId
    signature: Signature
    published: datetime
    stories: Mapping[Key, StoryId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A story in its event: its first article's gist and receipt, and the companies it is about, parents among them."""

    article: ArticleId
    received: datetime
    gist: Gist
    companies: frozenset[EntityId]
    event: EventId


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One row of the table `mentions`: what one article means for one key, by one model.

    `leads` is true for the first member of a story under this key: the only one that is counted.
    """

    article: ArticleId
    key: Key
    model: ModelId
    entity: EntityId | None
    sentiment: Sentiment
    story: StoryId
    leads: bool
    publisher: str
    source: SourceId
    published: datetime
    scored: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The negative stories of a window that one publisher brought about one event; `weight` sums their p(negative).

    Stories whose event is not known are in one part, with None.
    """

    publisher: str
    event: EventId | None
    stories: int
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What became of a source's items. `in_flight` is what has been received and not ended yet."""

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    dead: int = 0
    dropped: int = 0

    @property
    def in_flight(self) -> int:
        return self.received - self.stored - self.duplicate - self.dead - self.dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who owns a partition of the store, and since which epoch. Every transaction checks the epoch."""

    partition: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One row of the outbox that is due. `attempts` counts the tries begun so far: each is counted before it is made,
    so that a try after a crash knows that it may repeat one."""

    message: Message
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A row of the table `models`: a model, and where its promotion stands.

    `changeover` is the bucket's edge at which it last took the needle over. `configured` marks the model that
    `[model] default` named when the daemon last started.
    """

    id: ModelId
    reference: str
    state: ModelState
    since: datetime
    manifest: Mapping[str, Json]
    changeover: datetime | None = None
    error: str | None = None
    configured: bool = False

    def __post_init__(self) -> None:
        require_utc(self, "since", "changeover")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What one message of the outbox told, or is to tell, its target. `ended` is None while it is pending."""

    change: Change
    severity: Severity  # of the incident with this change
    created: datetime
    ended: datetime | None  # accepted or given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An incident as it is now, and all that one target is told of it, in the order of the changes."""

    incident: Incident
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A record that is to be written to a topic outside: `kind` says which. `key` is stable."""

    kind: str
    key: str
    value: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An export in the store. `number` rises in the order of the commits."""

    number: int
    export: Export


class Transaction(Protocol):
    """One atomic change, open between BEGIN IMMEDIATE and COMMIT. An exception inside rolls everything back."""

    async def known(self, ids: Collection[ArticleId]) -> Mapping[ArticleId, str]:
        """Return the digest of each of these articles that is stored (of its newest version)."""
        ...

    async def add_articles(
        self,
        articles: Sequence[Article],
        bands: Sequence[Sequence[int]],
        unjudged: Mapping[ArticleId, int] | None = None,
        gathered: Sequence[Gathered] = (),
    ) -> None:
        """Store new articles, and for each the bands of its signature; an id that is stored already is an error.

        `unjudged` tells how many companies were found beyond the limit, for the articles where there were any;
        `gathered` names the events of those that lead a story.
        """
        ...

    async def add_versions(self, articles: Sequence[Article]) -> None:
        """Keep revised texts of stored articles, each as the next version."""
        ...

    async def told(self, bands: Collection[int]) -> Sequence[Told]:
        """Return the judged articles that share a band with these, oldest first.

        Of a band that very many articles share (a template), only the newest are returned.
        """
        ...

    async def gathered(self, since: datetime) -> Sequence[Gathered]:
        """Return the stories received since a moment that are in an event and have a gist, oldest first.

        Their companies are those that any model judged them for.
        """
        ...

    async def add_judgements(
        self, judgements: Sequence[Judgement], topics: Mapping[ArticleId, Mapping[str, float]]
    ) -> None:
        """Store what the articles mean for each key; `topics` are those of the whole article.

        A judgement of the same (article, key, model) that is stored already is left as it is.
        """
        ...

    async def add_rollups(self, rollups: Sequence[Rollup]) -> None:
        """Add to the sums of (key, bucket, model), of its publishers and its sources; history is summed apart."""
        ...

    async def evidence(
        self, key: Key, model: ModelId, since: datetime, until: datetime, limit: int
    ) -> Sequence[Evidence]:
        """Return the negative stories a model counted for a key in (since, until], most negative first.

        History is left out. `copies` and `publishers` are over all the story's members under that key.
        """
        ...

    async def parts(
        self, key: Key, model: ModelId, first: datetime, end: datetime, timeliness: Collection[Timeliness]
    ) -> Sequence[Part]:
        """Return the negative stories of this timeliness that a model counted for a key in [first, end).

        By publisher and event; together they are what the rollups of those buckets sum up.
        """
        ...

    async def compared(self, key: Key, model: ModelId, other: ModelId, since: datetime) -> tuple[float, float]:
        """Return the weight of the negative stories that each of two models counted for a key since then.

        Only stories that both have judged are looked at.
        """
        ...

    async def open_incidents(self) -> Sequence[Incident]:
        """Return the incidents that are not resolved, oldest first."""
        ...

    async def save_signals(self, signals: Sequence[Signal]) -> None:
        """Append to the record of what the detector said."""
        ...

    async def save_incidents(self, incidents: Sequence[Incident]) -> None:
        """Insert or replace; an event row tells the API's stream."""
        ...

    async def add_verdict(self, verdict: Verdict) -> None:
        """Append to what the desk says of incidents; an event row tells the API's stream."""
        ...

    async def post(self, messages: Sequence[Message]) -> None:
        """Put messages into the outbox. One whose key is there already for its target is left as it is."""
        ...

    async def save_state(self, rows: Mapping[str, Json], version: int) -> None:
        """Replace the detector's checkpoint rows of these names, written by this version of its format."""
        ...

    async def tick(self, at: datetime) -> None:
        """Record that the detector was asked at this tick."""
        ...

    async def settle(self, source: SourceId, delta: Ledger) -> None:
        """Add to a source's ledger."""
        ...

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters."""
        ...

    async def advance(self, position: Position) -> None:
        """Remember how far a source has been read."""
        ...

    async def export(self, exports: Sequence[Export]) -> None:
        """Keep records that are to be written outside."""
        ...

    async def exported(self, number: int) -> None:
        """Delete the records up to and with this number: they are written."""
        ...

    async def attempt(self, key: str, target: TargetId) -> None:
        """Count a try of an outbox row that is about to be made. The row stays pending and due."""
        ...

    async def delivered(self, key: str, target: TargetId, at: datetime) -> None:
        """Mark an outbox row as accepted by its target."""
        ...

    async def retry(self, key: str, target: TargetId, due: datetime, reason: str) -> None:
        """Put an outbox row off until `due`, for the reason given."""
        ...

    async def reject(self, key: str, target: TargetId, at: datetime, reason: str) -> None:
        """Give an outbox row up, for the reason given (`expired` among them)."""
        ...

    async def expire(self, kept: Collection[TargetId], at: datetime) -> Mapping[TargetId, int]:
        """Give up, as `expired`, what is past its time in the outbox of any target but these; return of how many each.

        The targets that are kept do so themselves.
        """
        ...


class Store(Protocol):
    """The database. Writing goes through `transaction`, one at a time; reading never waits for it."""

    @property
    def trouble(self) -> str | None:
        """What the store itself waits for at present, inside a transaction; None where it waits for nothing."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a transaction at once as the writer; raise OwnershipLost where our epoch is stale."""
        ...

    async def own(self, partition: str) -> Owner:
        """Take a partition, with the next epoch. Raise StoreError where a living process holds it."""
        ...

    async def known(self, ids: Collection[ArticleId]) -> Mapping[ArticleId, str]:
        """As Transaction.known, outside one: a hint that saves scoring what is stored already."""
        ...

    async def positions(self, source: SourceId) -> Sequence[Position]:
        """Return where the source was left."""
        ...

    async def ledgers(self) -> Mapping[SourceId, Ledger]:
        """Return the ledger of each source."""
        ...

    async def load_state(self) -> tuple[Mapping[str, Json], int | None]:
        """Return the detector's checkpoint rows and the version of their format, or an empty mapping and None."""
        ...

    async def last_tick(self) -> datetime | None:
        """Return the newest stored tick."""
        ...

    async def rollups(self, since: datetime, until: datetime) -> Sequence[Rollup]:
        """Return the sums of all buckets in [since, until), in order of bucket, key and model, history last.

        Live and late stories are summed together and come back as live.
        """
        ...

    async def exports(self, limit: int) -> Sequence[Waiting]:
        """Return what is to be written outside, in the order of the commits."""
        ...

    async def pending(self, target: TargetId, now: datetime, limit: int) -> Sequence[Pending]:
        """Return the outbox rows of a target that are due, oldest first, at most one for each incident.

        A row waits behind the earlier pending rows of its incident, due or not: no end overtakes its beginning.
        """
        ...

    async def stranded(self, kept: Collection[TargetId]) -> Mapping[TargetId, int]:
        """Return how many messages wait for each target that is not one of these."""
        ...

    async def cases(self, target: TargetId, since: datetime) -> Sequence[Case]:
        """Return the incidents a target is told of and may still have to hear of, the first opened first.

        These are the ones that are not resolved, and those of which a message is pending or ended at `since` or later.
        """
        ...

    async def case(self, target: TargetId, incident: IncidentId) -> Case | None:
        """Return one incident that a target is told of, or None where it is told nothing of it."""
        ...

    async def close(self) -> None:
        """Let go of the database and of what is owned; safe to call twice."""
        ...


class ExportStore(Protocol):
    """What an exporter needs of the store."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]: ...

    async def exports(self, limit: int) -> Sequence[Waiting]:
        """Return what is to be written outside, in the order of the commits."""
        ...


# --- delivery ---


@dataclass(frozen=True, slots=True)
class Sent:
    """The target accepted the message."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The target did not answer, or asked for patience (`after`, where it said how long)."""

    reason: str
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The target will never take this message."""

    reason: str


Delivery: TypeAlias = Sent | Retry | Rejected


class Target(Protocol):
    """One configured receiver of messages."""

    @property
    def id(self) -> TargetId: ...

    async def send(self, message: Message, attempt: int) -> Delivery:
        """Try once; `attempt` is 1 for the first. Never raises for what the network or the receiver does."""
        ...

    async def close(self) -> None:
        """Let go of connections; safe to call twice."""
        ...


class Board(Protocol):
    """A receiver that is shown what stands, again and again, and forgets what it is not shown any more."""

    @property
    def id(self) -> TargetId: ...

    async def show(self, cases: Sequence[Case], now: datetime) -> Delivery:
        """Show how these incidents stand. Never raises for what the network or the receiver does."""
        ...

    async def close(self) -> None:
        """Let go of connections; safe to call twice."""
        ...
