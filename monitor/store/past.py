"""The stored past as a trainer reads it: the newest articles, from another process than the daemon's, whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from monitor.store.engine import reading
from monitor.store.rows import article_of
from monitor.store.schema import articles, texts_kept
from monitor.store.visit import visiting
from monitor.types import Article


async def recent(url: str, since: datetime, limit: int) -> Sequence[Article]:
    """Return the newest articles received at `since` (UTC) or later whose texts are kept, in order of receipt.

    Raw bytes are not kept. Raise StoreError where the database cannot be read or has not this version's schema.
    """
    table = articles.c
    asked = (
        select(articles)
        .where(table.received >= since, texts_kept)
        .order_by(table.received.desc(), table.id.desc())
        .limit(limit)
    )
    async with visiting(url, reading) as connection:
        return [article_of(row) for row in await connection.execute(asked)][::-1]
