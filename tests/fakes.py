"""A store and a clock in memory, held to the same contract tests as the real ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta

from monitor.clock import DrivenClock
from monitor.core.counting import NEGATIVE
from monitor.errors import OwnershipLost, StoreError
from monitor.ports import Case, Export, Gathered, Judgement, Ledger, Notice, Owner, Part, Pending, Told, Waiting
from monitor.types import (
    Article,
    ArticleId,
    DeadLetter,
    EntityId,
    EventId,
    Evidence,
    Incident,
    IncidentId,
    IncidentState,
    Json,
    Key,
    Message,
    ModelId,
    Origin,
    Position,
    Rollup,
    Signal,
    SourceId,
    StoryId,
    TargetId,
    Timeliness,
    Verdict,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
TURNS = 50  # of the event loop, so that what a waking sets off is done


class FakeClock(DrivenClock):
    """The driven clock, at noon. What waits for threads or sockets is not waited for."""

    def __init__(self, start: datetime = NOON) -> None:
        super().__init__(start)

    async def advance(self, by: timedelta | float) -> None:
        """Let time pass, and what is then to be done be done."""
        await self._turn()  # whoever is about to sleep, sleeps from now on
        await self.drive(self.now() + (by if isinstance(by, timedelta) else timedelta(seconds=by)))
        await self._turn()

    @staticmethod
    async def _turn() -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)


@dataclass(frozen=True)
class OutboxRow:
    """A message on its way. `state` is pending, sent or rejected."""

    message: Message
    due: datetime
    state: str = "pending"
    attempts: int = 0
    reason: str | None = None
    ended: datetime | None = None


@dataclass
class Tables:
    """What the fake keeps; open to the tests that look at what was stored. No value in it is ever changed in place."""

    articles: dict[ArticleId, Article] = field(default_factory=dict)
    bands: dict[ArticleId, frozenset[int]] = field(default_factory=dict)
    unjudged: dict[ArticleId, int] = field(default_factory=dict)
    gathered: dict[ArticleId, Gathered] = field(default_factory=dict)
    topics: dict[ArticleId, dict[str, float]] = field(default_factory=dict)
    versions: dict[ArticleId, tuple[Article, ...]] = field(default_factory=dict)
    judgements: dict[tuple[ArticleId, Key, ModelId], Judgement] = field(default_factory=dict)
    rollups: dict[tuple[datetime, Key, ModelId, bool], Rollup] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)
    incidents: dict[IncidentId, Incident] = field(default_factory=dict)
    events: list[IncidentId] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    outbox: dict[tuple[str, TargetId], OutboxRow] = field(default_factory=dict)
    state: dict[str, Json] = field(default_factory=dict)
    state_version: int | None = None
    ticks: set[datetime] = field(default_factory=set)
    ledgers: dict[SourceId, Ledger] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    exports: tuple[Waiting, ...] = ()
    exports_given: int = 0  # the number of the last export
    positions: dict[tuple[SourceId, str], Position] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Tables:
        """Return tables that can be filled without touching these."""
        return Tables(**{one.name: copy(getattr(self, one.name)) for one in fields(self)})


@dataclass
class FakeDatabase:
    """What outlives a store: opened twice, it is shared. `owners` says which store is alive on which partition."""

    tables: Tables = field(default_factory=Tables)
    owners: dict[str, FakeStore] = field(default_factory=dict)


class FakeStore:
    """`ports.Store` in memory. A transaction works on a copy, which replaces the original at the commit."""

    def __init__(self, database: FakeDatabase | None = None) -> None:
        self.database = database or FakeDatabase()
        self._writing = asyncio.Lock()
        self._owned: dict[str, int] = {}
        self.trouble: str | None = None

    @property
    def tables(self) -> Tables:
        """What is committed."""
        return self.database.tables

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FakeTransaction]:
        async with self._writing:
            for partition, epoch in self._owned.items():
                if self.tables.epochs[partition] != epoch:
                    raise OwnershipLost(f"partition {partition!r} was taken over by another process")
            tables = self.tables.copy()
            yield FakeTransaction(tables)
            self.database.tables = tables

    async def own(self, partition: str) -> Owner:
        if self.database.owners.setdefault(partition, self) is not self:
            raise StoreError(f"another process owns partition {partition!r}")
        epoch = self.tables.epochs.get(partition, 0) + 1
        self.tables.epochs[partition] = self._owned[partition] = epoch
        return Owner(partition=partition, epoch=epoch)

    async def known(self, ids: Collection[ArticleId]) -> Mapping[ArticleId, str]:
        return await FakeTransaction(self.tables).known(ids)

    async def positions(self, source: SourceId) -> Sequence[Position]:
        return [self.tables.positions[name] for name in sorted(self.tables.positions) if name[0] == source]

    async def ledgers(self) -> Mapping[SourceId, Ledger]:
        return dict(self.tables.ledgers)

    async def load_state(self) -> tuple[Mapping[str, Json], int | None]:
        return dict(self.tables.state), self.tables.state_version

    async def last_tick(self) -> datetime | None:
        return max(self.tables.ticks, default=None)

    async def rollups(self, since: datetime, until: datetime) -> Sequence[Rollup]:
        return [row for name, row in sorted(self.tables.rollups.items()) if since <= name[0] < until]

    async def exports(self, limit: int) -> Sequence[Waiting]:
        return self.tables.exports[:limit]

    async def pending(self, target: TargetId, now: datetime, limit: int) -> Sequence[Pending]:
        rows = [row for row in self.tables.outbox.values() if row.state == "pending" and row.message.target == target]
        rows.sort(key=_turn)
        first: dict[IncidentId, OutboxRow] = {}
        for row in rows:
            first.setdefault(row.message.incident.id, row)
        due = sorted(
            (row for row in first.values() if row.due <= now), key=lambda row: (row.message.created, row.message.key)
        )
        return [Pending(message=row.message, attempts=row.attempts) for row in due[:limit]]

    async def stranded(self, kept: Collection[TargetId]) -> Mapping[TargetId, int]:
        waiting = [row.message.target for row in self.tables.outbox.values() if row.state == "pending"]
        return Counter(target for target in waiting if target not in kept)

    async def cases(self, target: TargetId, since: datetime) -> Sequence[Case]:
        told = {row.message.incident.id for row in self.tables.outbox.values() if row.message.target == target}
        stirring = {
            row.message.incident.id
            for row in self.tables.outbox.values()
            if row.message.target == target and (row.state == "pending" or (row.ended and row.ended >= since))
        }
        incidents = [self.tables.incidents[id_] for id_ in told if id_ in self.tables.incidents]
        standing = [each for each in incidents if each.state is not IncidentState.RESOLVED or each.id in stirring]
        standing.sort(key=lambda each: (each.opened, each.id))
        return [case for each in standing if (case := await self.case(target, each.id))]

    async def case(self, target: TargetId, incident: IncidentId) -> Case | None:
        rows = [
            row
            for row in self.tables.outbox.values()
            if row.message.target == target and row.message.incident.id == incident
        ]
        rows.sort(key=_turn)
        if not rows or incident not in self.tables.incidents:
            return None
        notices = [
            Notice(
                change=row.message.change,
                severity=row.message.incident.severity,
                created=row.message.created,
                ended=row.ended,
            )
            for row in rows
        ]
        return Case(incident=self.tables.incidents[incident], notices=tuple(notices))

    async def close(self) -> None:
        for partition, owner in list(self.database.owners.items()):
            if owner is self:
                del self.database.owners[partition]


class FakeTransaction:
    """`ports.Transaction` on the fake's tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def known(self, ids: Collection[ArticleId]) -> Mapping[ArticleId, str]:
        tables = self._tables
        stored = {id_: tables.articles[id_] for id_ in ids if id_ in tables.articles}
        return {id_: tables.versions.get(id_, (article,))[-1].digest for id_, article in stored.items()}

    async def add_articles(
        self,
        articles: Sequence[Article],
        bands: Sequence[Sequence[int]],
        unjudged: Mapping[ArticleId, int] | None = None,
        gathered: Sequence[Gathered] = (),
    ) -> None:
        for article, own in zip(articles, bands, strict=True):
            if article.id in self._tables.articles:
                raise ValueError(f"article {article.id} is stored already")
            self._tables.articles[article.id] = article
            self._tables.bands[article.id] = frozenset(own)
        self._tables.unjudged.update(unjudged or {})
        self._tables.gathered.update((each.article, each) for each in gathered)

    async def add_versions(self, articles: Sequence[Article]) -> None:
        for article in articles:
            self._tables.versions[article.id] = (*self._tables.versions.get(article.id, ()), article)

    async def told(self, bands: Collection[int]) -> Sequence[Told]:
        stories: dict[ArticleId, dict[Key, StoryId]] = {}
        for row in sorted(self._tables.judgements.values(), key=lambda row: row.scored):
            stories.setdefault(row.article, {})[row.key] = row.story
        near = [id_ for id_, own in self._tables.bands.items() if own & set(bands) and id_ in stories]
        articles = sorted((self._tables.articles[id_] for id_ in near), key=lambda one: (one.published, one.id))
        return [
            Told(article=one.id, signature=one.signature, published=one.published, stories=stories[one.id])
            for one in articles
        ]

    async def gathered(self, since: datetime) -> Sequence[Gathered]:
        companies: dict[ArticleId, set[EntityId]] = {}
        for row in self._tables.judgements.values():
            if row.entity is not None:
                companies.setdefault(row.article, set()).add(row.entity)
        found = [each for each in self._tables.gathered.values() if each.received >= since and each.gist]
        return [
            replace(each, companies=frozenset(companies.get(each.article, ())))
            for each in sorted(found, key=lambda each: (each.received, each.article))
        ]

    async def add_judgements(
        self, judgements: Sequence[Judgement], topics: Mapping[ArticleId, Mapping[str, float]]
    ) -> None:
        for row in judgements:
            self._tables.judgements.setdefault((row.article, row.key, row.model), row)
        self._tables.topics.update((article, dict(found)) for article, found in topics.items())

    async def add_rollups(self, rollups: Sequence[Rollup]) -> None:
        for one in rollups:
            history = one.timeliness is Timeliness.HISTORY
            name = (one.bucket, one.key, one.model, history)
            new = replace(one, timeliness=Timeliness.HISTORY if history else Timeliness.LIVE)
            old = self._tables.rollups.get(name)
            self._tables.rollups[name] = _sorted(new) if old is None else _sum(old, new)

    async def evidence(
        self, key: Key, model: ModelId, since: datetime, until: datetime, limit: int
    ) -> Sequence[Evidence]:
        mine = [row for row in self._tables.judgements.values() if (row.key, row.model) == (key, model)]
        leading = [
            row
            for row in mine
            if row.leads
            and row.sentiment.negative >= NEGATIVE
            and since < row.published <= until
            and self._tables.articles[row.article].timeliness is not Timeliness.HISTORY
        ]
        leading.sort(key=lambda row: (-row.sentiment.negative, row.published, row.article))
        return [
            replace(
                _evidence(
                    self._tables.articles[row.article], row, [other for other in mine if other.story == row.story]
                ),
                event=self._event(row.article),
            )
            for row in leading[:limit]
        ]

    async def parts(
        self, key: Key, model: ModelId, first: datetime, end: datetime, timeliness: Collection[Timeliness]
    ) -> Sequence[Part]:
        found: dict[tuple[str, EventId | None], list[float]] = {}
        for row in self._tables.judgements.values():
            counted = row.leads and self._tables.articles[row.article].timeliness in timeliness
            mine = (row.key, row.model) == (key, model) and counted
            if mine and row.sentiment.negative >= NEGATIVE and first <= row.published < end:
                found.setdefault((row.publisher, self._event(row.article)), []).append(row.sentiment.negative)
        return [
            Part(publisher=publisher, event=event, stories=len(weights), weight=sum(weights))
            for (publisher, event), weights in sorted(found.items(), key=lambda part: (part[0][0], part[0][1] or ""))
        ]

    def _event(self, article: ArticleId) -> EventId | None:
        placed = self._tables.gathered.get(article)
        return placed.event if placed else None

    async def compared(self, key: Key, model: ModelId, other: ModelId, since: datetime) -> tuple[float, float]:
        rows = self._tables.judgements
        pairs = [
            (row.sentiment.negative, rows[row.article, key, other].sentiment.negative)
            for row in rows.values()
            if (row.key, row.model) == (key, model) and row.leads and row.published >= since
            if (row.article, key, other) in rows
        ]
        ours, theirs = (sum(pair[side] for pair in pairs if pair[side] >= NEGATIVE) for side in (0, 1))
        return ours, theirs

    async def open_incidents(self) -> Sequence[Incident]:
        rows = [row for row in self._tables.incidents.values() if row.state is not IncidentState.RESOLVED]
        return sorted(rows, key=lambda row: (row.opened, row.id))

    async def save_signals(self, signals: Sequence[Signal]) -> None:
        self._tables.signals += signals

    async def save_incidents(self, incidents: Sequence[Incident]) -> None:
        for incident in incidents:
            self._tables.incidents[incident.id] = incident
            self._tables.events.append(incident.id)

    async def add_verdict(self, verdict: Verdict) -> None:
        self._tables.verdicts.append(verdict)
        self._tables.events.append(verdict.incident)

    async def post(self, messages: Sequence[Message]) -> None:
        for message in messages:
            row = OutboxRow(message=message, due=message.created)
            self._tables.outbox.setdefault((message.key, message.target), row)

    async def save_state(self, rows: Mapping[str, Json], version: int) -> None:
        if self._tables.state_version != version:
            self._tables.state.clear()
        self._tables.state.update(rows)
        self._tables.state_version = version

    async def tick(self, at: datetime) -> None:
        self._tables.ticks.add(at)

    async def settle(self, source: SourceId, delta: Ledger) -> None:
        old = self._tables.ledgers.get(source, Ledger())
        self._tables.ledgers[source] = Ledger(
            received=old.received + delta.received,
            stored=old.stored + delta.stored,
            duplicate=old.duplicate + delta.duplicate,
            dead=old.dead + delta.dead,
            dropped=old.dropped + delta.dropped,
        )

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        self._tables.letters += letters

    async def advance(self, position: Position) -> None:
        self._tables.positions[position.source, position.partition] = position

    async def export(self, exports: Sequence[Export]) -> None:
        given = self._tables.exports_given
        self._tables.exports += tuple(
            Waiting(number=number, export=each) for number, each in enumerate(exports, start=given + 1)
        )
        self._tables.exports_given = given + len(exports)

    async def exported(self, number: int) -> None:
        self._tables.exports = tuple(each for each in self._tables.exports if each.number > number)

    async def attempt(self, key: str, target: TargetId) -> None:
        for row in self._pending(key, target):
            self._tables.outbox[key, target] = replace(row, attempts=row.attempts + 1)

    async def delivered(self, key: str, target: TargetId, at: datetime) -> None:
        for row in self._pending(key, target):
            self._tables.outbox[key, target] = replace(row, state="sent", ended=at, reason=None)

    async def retry(self, key: str, target: TargetId, due: datetime, reason: str) -> None:
        for row in self._pending(key, target):
            self._tables.outbox[key, target] = replace(row, due=due, reason=reason)

    async def reject(self, key: str, target: TargetId, at: datetime, reason: str) -> None:
        for row in self._pending(key, target):
            self._tables.outbox[key, target] = replace(row, state="rejected", ended=at, reason=reason)

    async def expire(self, kept: Collection[TargetId], at: datetime) -> Mapping[TargetId, int]:
        gone: Counter[TargetId] = Counter()
        for (key, target), row in self._tables.outbox.items():
            if target not in kept and row.state == "pending" and row.message.expires <= at:
                await self.reject(key, target, at, "expired")
                gone[target] += 1
        return gone

    def _pending(self, key: str, target: TargetId) -> list[OutboxRow]:
        """Return the row, unless it has ended: then nothing more happens to it."""
        row = self._tables.outbox.get((key, target))
        return [row] if row is not None and row.state == "pending" else []


def _turn(row: OutboxRow) -> tuple[int, datetime, str]:
    """Return what orders the messages about one incident."""
    return row.message.incident.revision, row.message.created, row.message.key


def _sum(a: Rollup, b: Rollup) -> Rollup:
    return _sorted(
        replace(
            a,
            stories=a.stories + b.stories,
            negative=a.negative + b.negative,
            weight=a.weight + b.weight,
            sum_negative=a.sum_negative + b.sum_negative,
            sum_neutral=a.sum_neutral + b.sum_neutral,
            sum_positive=a.sum_positive + b.sum_positive,
            origins=a.origins + b.origins,
        )
    )


def _sorted(rollup: Rollup) -> Rollup:
    counts: dict[tuple[str, SourceId], tuple[int, int]] = {}
    for publisher, source, stories, negative in map(astuple, rollup.origins):
        before = counts.get((publisher, source), (0, 0))
        counts[publisher, source] = (before[0] + stories, before[1] + negative)
    origins = tuple(
        Origin(publisher=publisher, source=source, stories=stories, negative=negative)
        for (publisher, source), (stories, negative) in sorted(counts.items())
    )
    return replace(rollup, origins=origins)


def _evidence(article: Article, row: Judgement, members: Sequence[Judgement]) -> Evidence:
    return Evidence(
        story=row.story,
        title=article.title,
        link=article.link,
        publisher=article.publisher,
        language=article.language,
        published=row.published,
        negative=row.sentiment.negative,
        copies=len(members),
        publishers=len({member.publisher for member in members}),
    )
