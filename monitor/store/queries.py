"""The read side of the store, for the API: pages of articles and incidents, sums of rollups, ledgers.

Each answer is read on a connection of the reading engine, at one moment of the database, so that it neither waits for
the writer nor holds it up. Pages go backwards in (moment, id): a row that arrives meanwhile shifts none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Row, Select, func, literal, select, tuple_, type_coerce
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.core.codec import from_json
from monitor.core.keys import group_of
from monitor.ports import Judgement, Ledger
from monitor.reading import ArticleFilter, Dispatch, Event, IncidentFilter, Mark, StoredArticle
from monitor.store.engine import failing_plainly, name_of
from monitor.store.rows import ledger_of, verdict_of
from monitor.store.schema import (
    MICROSECOND,
    Moment,
    articles,
    dead_letters,
    events,
    incident_keys,
    incidents,
    judgements,
    ledger,
    outbox,
    positions,
    rollups,
    verdicts,
    versions,
)
from monitor.types import (
    ArticleId,
    Change,
    Incident,
    IncidentId,
    Key,
    Position,
    Rollup,
    Sentiment,
    SourceId,
    Timeliness,
    Verdict,
)

EXCERPT = 500  # characters of an article's text on a page of articles
SUMS = ("stories", "negative", "weight", "sum_negative", "sum_neutral", "sum_positive")


class Queries:
    """Implements reading.Reader over an engine of `store.engine.reading`. Raises StoreError where that fails."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._name = name_of(engine.url)

    async def articles(self, wanted: ArticleFilter, *, before: Mark | None, limit: int) -> Sequence[StoredArticle]:
        """Return articles, the last received first, beginning after the row that `before` marks.

        Of each text it gives the first EXCERPT characters.
        """
        table = articles.c
        query = _article_rows(func.substr(table.text, 1, EXCERPT)).where(*_articles_wanted(wanted))
        return [_article(row) for row in await self._page(query, table.received, table.id, before, limit)]

    async def article(self, id_: ArticleId) -> StoredArticle | None:
        """Return one article, or None where there is none."""
        rows = await self._rows(_article_rows(articles.c.text).where(articles.c.id == id_))
        return _article(rows[0]) if rows else None

    async def judgements(self, id_: ArticleId) -> Sequence[Judgement]:
        """Return what an article means for each key, by each model, in order of key, then time of scoring."""
        table = judgements.c
        query = select(judgements).where(table.article == id_).order_by(table.key, table.scored, table.model)
        return [_judgement(row) for row in await self._rows(query)]

    async def sums(self, since: datetime, until: datetime, *, step: timedelta, key: Key | None) -> Sequence[Rollup]:
        """Return the rollups of [since, until) added up over steps, without origins, in order of bucket, then key."""
        table = rollups.c
        microseconds = type_coerce(table.bucket, BigInteger)
        start = type_coerce(microseconds - microseconds % literal(step // MICROSECOND, BigInteger), Moment)
        groups = (start.label("start"), table.key, table.model, table.history)
        query = (
            select(*groups, *(func.sum(table[name]).label(name) for name in SUMS))
            .where(table.bucket >= since, table.bucket < until)
            .group_by(*groups)
            .order_by(*groups)
        )
        if key is not None:
            query = query.where(table.key == key)
        return [_rollup(row) for row in await self._rows(query)]

    async def incidents(self, wanted: IncidentFilter, *, before: Mark | None, limit: int) -> Sequence[Incident]:
        """Return incidents, the last opened first, beginning after the row that `before` marks."""
        table = incidents.c
        query = select(table.value).where(*_incidents_wanted(wanted))
        rows = await self._page(query, table.opened, table.id, before, limit)
        return [from_json(Incident, row.value) for row in rows]

    async def incident(self, id_: IncidentId) -> Incident | None:
        """Return one incident, or None where there is none."""
        rows = await self._rows(select(incidents.c.value).where(incidents.c.id == id_))
        return from_json(Incident, rows[0].value) if rows else None

    async def dispatches(self, incident: IncidentId) -> Sequence[Dispatch]:
        """Return the outbox rows about an incident, oldest first."""
        table = outbox.c
        query = (
            select(outbox)
            .where(table.incident == incident)
            .order_by(table.revision, table.created, table.target, table.key)
        )
        return [
            Dispatch(
                target=row.target,
                change=Change(row.value["change"]),
                state=row.state,
                attempts=row.attempts,
                created=row.created,
                due=row.due,
                ended=row.ended,
                reason=row.reason,
            )
            for row in await self._rows(query)
        ]

    async def verdicts(self, incident: IncidentId) -> Sequence[Verdict]:
        """Return what the desk said of an incident, oldest first."""
        query = select(verdicts).where(verdicts.c.incident == incident).order_by(verdicts.c.id)
        return [verdict_of(row) for row in await self._rows(query)]

    async def ledgers(self) -> Mapping[SourceId, Ledger]:
        """Return the ledger of each source."""
        rows = await self._rows(select(ledger).order_by(ledger.c.source))
        return {SourceId(row.source): ledger_of(row._mapping) for row in rows}  # noqa: SLF001 - public all the same

    async def positions(self) -> Sequence[Position]:
        """Return how far each source has been read, in order of source, then partition."""
        query = select(positions).order_by(positions.c.source, positions.c.partition)
        return [
            Position(source=SourceId(row.source), partition=row.partition, value=row.value)
            for row in await self._rows(query)
        ]

    async def dead_letters(self) -> Mapping[SourceId, int]:
        """Return how many dead letters are kept of each source that has any."""
        source = dead_letters.c.source
        query = select(source, func.count().label("kept")).group_by(source).order_by(source)
        return {SourceId(row.source): row.kept for row in await self._rows(query)}

    async def last_event(self) -> int:
        """Return the id of the newest event, 0 where there has been none."""
        rows = await self._rows(select(func.coalesce(func.max(events.c.id), 0).label("newest")))
        return int(rows[0].newest)

    async def events(self, *, after: int, limit: int) -> Sequence[Event]:
        """Return the events with an id above `after`, in the order of their commits."""
        query = select(events).where(events.c.id > after).order_by(events.c.id).limit(limit)
        return [Event(id=row.id, at=row.at, kind=row.kind, subject=row.subject) for row in await self._rows(query)]

    async def _page(
        self, query: Select[Any], moment: Column[datetime], id_: Column[str], before: Mark | None, limit: int
    ) -> Sequence[Row[Any]]:
        if before is not None:
            query = query.where(
                tuple_(moment, id_) < tuple_(literal(before[0], moment.type), literal(before[1], id_.type))
            )
        return await self._rows(query.order_by(moment.desc(), id_.desc()).limit(limit))

    async def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with failing_plainly(self._name):
            async with self._engine.begin() as connection:
                rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
                return rows


def _article_rows(text: ColumnElement[str]) -> Select[Any]:
    table = articles.c
    revisions = select(func.count()).where(versions.c.article == table.id).scalar_subquery()
    return select(
        table.id,
        table.source,
        table.publisher,
        table.title,
        text.label("text"),
        table.link,
        table.language,
        table.published,
        table.received,
        table.timeliness,
        table.topics,
        table.unjudged,
        revisions.label("revisions"),
    )


def _articles_wanted(wanted: ArticleFilter) -> list[ColumnElement[bool]]:
    table = articles.c
    conditions: list[ColumnElement[bool]] = []
    if wanted.source is not None:
        conditions.append(table.source == wanted.source)
    if wanted.language is not None:
        conditions.append(table.language == wanted.language)
    if wanted.title is not None:
        conditions.append(table.title.icontains(wanted.title, autoescape=True))
    if wanted.key is not None:
        conditions.append(_has_key(wanted.key))
    if wanted.since is not None:
        conditions.append(table.received >= wanted.since)
    if wanted.until is not None:
        conditions.append(table.received < wanted.until)
    return conditions


def _has_key(key: Key) -> ColumnElement[bool]:
    """Return the condition that suits the key: few articles name a company, most bear any other key.

    The few are looked up; among the many, walking back from the newest article soon finds a page.
    """
    bearing = select(judgements.c.article).where(judgements.c.key == key)
    if group_of(key).startswith("entity"):
        return articles.c.id.in_(bearing)
    return bearing.where(judgements.c.article == articles.c.id).exists()


def _incidents_wanted(wanted: IncidentFilter) -> list[ColumnElement[bool]]:
    table = incidents.c
    conditions: list[ColumnElement[bool]] = []
    if wanted.state is not None:
        conditions.append(table.state == wanted.state.value)
    if wanted.kind is not None:
        conditions.append(table.kind == wanted.kind.value)
    if wanted.severity is not None:
        conditions.append(table.severity == wanted.severity.value)
    if wanted.key is not None:
        conditions.append(table.id.in_(select(incident_keys.c.incident).where(incident_keys.c.key == wanted.key)))
    if wanted.since is not None:
        conditions.append(table.opened >= wanted.since)
    if wanted.until is not None:
        conditions.append(table.opened < wanted.until)
    return conditions


def _article(row: Row[Any]) -> StoredArticle:
    values = dict(row._mapping)  # noqa: SLF001 - public all the same
    values["timeliness"] = Timeliness(row.timeliness)
    values["topics"] = row.topics or {}
    return StoredArticle(**values)


def _judgement(row: Row[Any]) -> Judgement:
    return Judgement(
        article=row.article,
        key=row.key,
        model=row.model,
        entity=row.entity,
        sentiment=Sentiment(negative=row.negative, neutral=row.neutral, positive=row.positive),
        story=row.story,
        leads=row.leads,
        publisher=row.publisher,
        source=row.source,
        published=row.published,
        scored=row.scored,
    )


def _rollup(row: Row[Any]) -> Rollup:
    return Rollup(
        key=row.key,
        bucket=row.start,
        model=row.model,
        timeliness=Timeliness.HISTORY if row.history else Timeliness.LIVE,
        stories=int(row.stories),
        negative=int(row.negative),
        weight=row.weight,
        sum_negative=row.sum_negative,
        sum_neutral=row.sum_neutral,
        sum_positive=row.sum_positive,
    )
