"""A visit to a database from another process than the daemon's, which may be running beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.store.engine import locate, name_of, plainly
from monitor.store.migration import check_schema


@asynccontextmanager
async def visiting(url: str, engine_of: Callable[[URL], AsyncEngine]) -> AsyncIterator[AsyncConnection]:
    """Give one transaction, by an engine for `reading` or `writing` that is made and let go of with it.

    Raise ConfigurationError where the URL cannot be meant, StoreError where the database cannot be reached or has not
    this version's schema.
    """
    place = locate(url)
    await check_schema(url)
    engine = engine_of(place)
    try:
        with plainly(name_of(place)):
            async with engine.begin() as connection:
                yield connection
    finally:
        await engine.dispose()
