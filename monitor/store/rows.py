"""Rows read from the tables, as the values they stand for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Any, TypeAlias

from sqlalchemy import Row, RowMapping

from monitor.core.codec import from_json
from monitor.ports import Case, Gathered, Ledger, Notice, Pending, Told
from monitor.types import (
    Article,
    ArticleId,
    Change,
    EntityId,
    EventId,
    Evidence,
    Gist,
    Incident,
    IncidentId,
    Key,
    Language,
    Message,
    ModelId,
    Origin,
    Rollup,
    Ruling,
    Severity,
    Signature,
    SourceId,
    StoryId,
    Timeliness,
    Verdict,
)

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
RollupKey: TypeAlias = tuple[datetime, str, str, bool]


def told_of(rows: Iterable[AnyRow]) -> list[Told]:
    """Return the articles of rows (article, signature, published, key, story); an article's rows lie together."""
    found: dict[str, tuple[bytes, datetime, dict[Key, StoryId]]] = {}
    for article, signature, published, key, story in rows:
        found.setdefault(article, (signature, published, {}))[2][Key(key)] = StoryId(story)
    return [
        Told(article=ArticleId(article), signature=Signature(signature), published=published, stories=stories)
        for article, (signature, published, stories) in found.items()
    ]


def gathered_of(rows: Iterable[AnyRow]) -> list[Gathered]:
    """Return the stories of rows (article, received, gist, event, company or None); an article's rows lie together."""
    return [
        Gathered(
            article=ArticleId(article),
            received=received,
            gist=Gist(bytes(gist)),
            companies=frozenset(EntityId(row.entity) for row in own if row.entity is not None),
            event=EventId(event),
        )
        for (article, received, gist, event), own in groupby(rows, key=_story)
    ]


def _story(row: AnyRow) -> tuple[str, datetime, bytes, str]:
    return row.id, row.received, row.gist, row.event


def article_of(row: AnyRow) -> Article:
    """Return the article of a row of the table `articles`; its raw bytes are not kept."""
    return Article(
        id=ArticleId(row.id),
        source=SourceId(row.source),
        publisher=row.publisher,
        title=row.title,
        text=row.text,
        link=row.link,
        language=Language(row.language),
        published=row.published,
        received=row.received,
        timeliness=Timeliness(row.timeliness),
        signature=Signature(row.signature),
        digest=row.digest,
        raw=b"",
    )


def rollups_of(rows: Iterable[AnyRow], origins: Iterable[AnyRow]) -> list[Rollup]:
    """Return the rollups of rows in the order of the table's columns, each with its origins."""
    shares: dict[RollupKey, list[Origin]] = defaultdict(list)
    for row in origins:
        shares[row.bucket, row.key, row.model, row.history].append(
            Origin(publisher=row.publisher, source=SourceId(row.source), stories=row.stories, negative=row.negative)
        )
    return [
        Rollup(
            key=Key(row.key),
            bucket=row.bucket,
            model=ModelId(row.model),
            timeliness=Timeliness.HISTORY if row.history else Timeliness.LIVE,
            stories=row.stories,
            negative=row.negative,
            weight=row.weight,
            sum_negative=row.sum_negative,
            sum_neutral=row.sum_neutral,
            sum_positive=row.sum_positive,
            origins=tuple(shares.get((row.bucket, row.key, row.model, row.history), ())),
        )
        for row in rows
    ]


def evidence_of(row: AnyRow) -> Evidence:
    """Return the negative story of a row."""
    return Evidence(
        story=StoryId(row.story),
        title=row.title,
        link=row.link,
        publisher=row.publisher,
        language=Language(row.language),
        published=row.published,
        negative=row.negative,
        copies=row.copies,
        publishers=row.publishers,
        event=row.event,
    )


def ledger_of(row: RowMapping) -> Ledger:
    """Return the ledger of a row of that table."""
    return Ledger(
        received=row["received"],
        stored=row["stored"],
        duplicate=row["duplicate"],
        dead=row["dead"],
        dropped=row["dropped"],
    )


def verdict_of(row: AnyRow) -> Verdict:
    """Return the verdict of a row of that table."""
    return Verdict(
        incident=IncidentId(row.incident),
        ruling=Ruling(row.verdict),
        article=row.article,
        entity=row.entity,
        sentiment=row.sentiment,
        note=row.note,
        by=row.given_by,
        at=row.at,
    )


def pending_of(row: AnyRow) -> Pending:
    """Return the outbox row with its message."""
    return Pending(message=from_json(Message, row.value), attempts=row.attempts)


def cases_of(rows: Iterable[AnyRow]) -> list[Case]:
    """Return the cases of rows (incident, message, created, ended); an incident's rows lie together, oldest first."""
    return [
        Case(
            incident=from_json(Incident, incident),
            notices=tuple(
                Notice(
                    change=Change(row.message["change"]),
                    severity=Severity(row.message["incident"]["severity"]),
                    created=row.created,
                    ended=row.ended,
                )
                for row in own
            ),
        )
        for incident, own in groupby(rows, key=lambda row: row.incident)
    ]
