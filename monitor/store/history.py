"""What a new model is shown of the past: the stored articles that it has not judged, and what became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.keys import ALL
from monitor.reading import Mark
from monitor.store.rows import article_of
from monitor.store.schema import HexId, Moment, articles, judgements, texts_kept
from monitor.types import Article, ArticleId, Key, ModelId, StoryId


async def unjudged(
    connection: AsyncConnection, model: ModelId, since: datetime, after: Mark, limit: int
) -> list[Article]:
    """Return articles published since a moment that another model has judged and this one has not, oldest first.

    They begin after the mark (publication time and id). Those whose text is gone are left out, and raw bytes are not
    kept.
    """
    table = judgements.c
    mark = tuple_(literal(after[0], Moment), literal(after[1], HexId))
    found = (
        select(table.published, table.article)
        .distinct()
        .where(_lacking(model, since), tuple_(table.published, table.article) > mark)
        .order_by(table.published, table.article)
        .limit(limit)
        .subquery()
    )
    rows = await connection.execute(
        select(articles).join(found, found.c.article == articles.c.id).order_by(found.c.published, found.c.article)
    )
    return [article_of(row) for row in rows]


async def count_unjudged(connection: AsyncConnection, model: ModelId, since: datetime) -> int:
    """Return how many articles `unjudged` would return in all."""
    counted = select(func.count(judgements.c.article.distinct())).where(_lacking(model, since))
    return int(await connection.scalar(counted) or 0)


async def judged(connection: AsyncConnection, model: ModelId, ids: Collection[ArticleId]) -> set[ArticleId]:
    """Return which of these articles a model has judged."""
    table = judgements.c
    asked = select(table.article).where(table.article.in_(ids), table.key == ALL, table.model == model)
    return set((await connection.scalars(asked)).all())


async def stories(connection: AsyncConnection, ids: Collection[ArticleId]) -> Mapping[ArticleId, Mapping[Key, StoryId]]:
    """Return the story of each of these articles under each of its keys, whichever model put it there."""
    table = judgements.c
    asked = select(table.article, table.key, table.story).distinct().where(table.article.in_(ids))
    found: dict[ArticleId, dict[Key, StoryId]] = defaultdict(dict)
    for article, key, story in await connection.execute(asked):
        found[ArticleId(article)][Key(key)] = StoryId(story)
    return found


def _lacking(model: ModelId, since: datetime) -> ColumnElement[bool]:
    table, own = judgements.c, judgements.alias("own")
    mine = select(own.c.article).where(own.c.article == table.article, own.c.key == ALL, own.c.model == model)
    text = select(articles.c.id).where(articles.c.id == table.article, texts_kept)
    return (table.key == ALL) & (table.published >= since) & (table.model != model) & ~mine.exists() & text.exists()
