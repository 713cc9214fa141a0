"""The stored past as a trainer reads it: the newest articles, from another process than the daemon's, whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from monitor.store.engine import locate, name_of, plainly, reading
from monitor.store.migration import check_schema
from monitor.store.rows import article_of
from monitor.store.schema import articles, texts_kept
from monitor.types import Article


async def recent(url: str, since: datetime, limit: int) -> Sequence[Article]:
    """Return the newest articles received at `since` (UTC) or later whose texts are kept, in order of receipt.

    Raw bytes are not kept. Raise StoreError where the database cannot be read or has not this version's schema.
    """
    place = locate(url)
    await check_schema(url)
    table = articles.c
    asked = (
        select(articles)
        .where(table.received >= since, texts_kept)
        .order_by(table.received.desc(), table.id.desc())
        .limit(limit)
    )
    engine = reading(place)
    try:
        with plainly(name_of(place)):
            async with engine.begin() as connection:
                return [article_of(row) for row in await connection.execute(asked)][::-1]
    finally:
        await engine.dispose()
