"""What the desk said of incidents, beside the news it was said of: what a trainer learns from.

It is read from another process than the daemon's, also while that one writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.codec import from_json
from monitor.core.keys import entity_of
from monitor.store.engine import reading
from monitor.store.rows import verdict_of
from monitor.store.schema import articles, incidents, texts_kept, verdicts
from monitor.store.transaction import chunks
from monitor.store.visit import visiting
from monitor.types import ArticleId, EntityId, Incident, IncidentId, Language, Verdict, document_of


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedText:
    """An article that a verdict is about, as it was first received; empty text where there is only a title."""

    id: ArticleId
    title: str
    text: str
    language: Language
    publisher: str
    published: datetime

    @property
    def document(self) -> str:
        """The text that was judged."""
        return document_of(self.title, self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One verdict with all that an example for training needs.

    entity    the company it is about: the one named, else the one the incident is about; None for news as a whole
    incident  as it is now, with its keys and the evidence it was told with
    texts     the article named, else the stories of the evidence, those of them whose texts are still kept
    """

    verdict: Verdict
    entity: EntityId | None
    incident: Incident
    texts: tuple[JudgedText, ...]


async def lessons(url: str, since: datetime) -> Sequence[Lesson]:
    """Return the verdicts given at `since` (UTC) or later, oldest first.

    Raise StoreError where the database cannot be read or has not this version's schema.
    """
    async with visiting(url, reading) as connection:
        return await _lessons(connection, since)


async def _lessons(connection: AsyncConnection, since: datetime) -> list[Lesson]:
    asked = select(verdicts).where(verdicts.c.at >= since).order_by(verdicts.c.id)
    given = [verdict_of(row) for row in await connection.execute(asked)]
    told = await _incidents(connection, {each.incident for each in given})
    about = [_articles(each, told[each.incident]) for each in given]
    texts = await _texts(connection, {id_ for ids in about for id_ in ids})
    return [
        Lesson(
            verdict=verdict,
            entity=verdict.entity or entity_of(told[verdict.incident].keys[0]),
            incident=told[verdict.incident],
            texts=tuple(texts[id_] for id_ in ids if id_ in texts),
        )
        for verdict, ids in zip(given, about, strict=True)
    ]


def _articles(verdict: Verdict, incident: Incident) -> list[ArticleId]:
    if verdict.article is not None:
        return [verdict.article]
    return [ArticleId(each.story) for each in incident.evidence]  # a story bears the id of its first article


async def _incidents(connection: AsyncConnection, ids: Collection[IncidentId]) -> Mapping[IncidentId, Incident]:
    found: list[Incident] = []
    for chunk in chunks(ids):
        rows = await connection.scalars(select(incidents.c.value).where(incidents.c.id.in_(chunk)))
        found += [from_json(Incident, row) for row in rows]
    return {each.id: each for each in found}


async def _texts(connection: AsyncConnection, ids: Collection[ArticleId]) -> Mapping[ArticleId, JudgedText]:
    table = articles.c
    asked = select(table.id, table.title, table.text, table.language, table.publisher, table.published)
    kept = asked.where(texts_kept)
    found: list[JudgedText] = []
    for chunk in chunks(ids):
        rows = await connection.execute(kept.where(table.id.in_(chunk)))
        found += [JudgedText(**row._mapping) for row in rows]  # noqa: SLF001 - public all the same
    return {each.id: each for each in found}
