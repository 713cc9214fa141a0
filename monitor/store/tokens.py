"""The tokens of the HTTP interface: made and revoked by the command line, read by the daemon while it runs.

Only the sha256 of a secret is stored. A revoked token's row stays, so that the past can be told, and so that revoking
the last one never opens what was closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.errors import NewsquakeError, StoreError
from monitor.ports import Clock
from monitor.reading import Scope, Token
from monitor.store.engine import name_of, plainly, writing
from monitor.store.migration import Standing, schema_state, upgrade
from monitor.store.schema import tokens
from monitor.store.visit import visiting

FRESH = timedelta(seconds=2)  # how long a revoked token may still open something

log = structlog.get_logger()


class TokenTable:
    """Implements reading.Tokens over an engine of `store.engine.reading`."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._tokens: Mapping[bytes, Token] | None = None
        self._read: datetime | None = None
        self._reading = asyncio.Lock()

    async def by_hash(self) -> Mapping[bytes, Token]:
        """Return every token ever made, by the sha256 of its secret, as of at most FRESH ago.

        While the database cannot be read, the last known ones stay: the metrics that tell of the trouble need a token
        too. Raise StoreError where none are known yet.
        """
        async with self._reading:
            now = self._clock.now()
            if self._tokens is None or self._read is None or not timedelta(0) <= now - self._read < FRESH:
                self._tokens = await self._look(self._tokens)
                self._read = now
            return self._tokens

    async def _look(self, known: Mapping[bytes, Token] | None) -> Mapping[bytes, Token]:
        try:
            with plainly(name_of(self._engine.url)):
                async with self._engine.begin() as connection:
                    return dict(await _rows(connection))
        except StoreError as error:
            if known is None:
                raise
            log.warning("the tokens cannot be read; those known stay in force", error=str(error))
            return known


async def create(url: str, token: Token, hash_: bytes) -> None:
    """Keep a new token by the sha256 of its secret. A SQLite file that is not there yet is made."""
    if (await schema_state(url)).standing is Standing.EMPTY and url.startswith("sqlite:"):
        await upgrade(url)
    row = {
        "id": token.id,
        "name": token.name,
        "hash": hash_,
        "scopes": sorted(token.scopes),
        "created": token.created,
        "expires": token.expires,
    }
    async with visiting(url, writing) as connection:
        await connection.execute(insert(tokens), row)


async def listed(url: str) -> Sequence[Token]:
    """Return every token ever made, oldest first."""
    async with visiting(url, writing) as connection:
        return [token for _, token in await _rows(connection)]


async def revoke(url: str, id_: str, now: datetime) -> Token:
    """Revoke a token and return it; one that was revoked stays as it is. Raise NewsquakeError where there is none."""
    mine = tokens.c.id == id_
    async with visiting(url, writing) as connection:
        await connection.execute(update(tokens).where(mine, tokens.c.revoked.is_(None)).values(revoked=now))
        found = [token for _, token in await _rows(connection) if token.id == id_]
    if not found:
        raise NewsquakeError(f"there is no token {id_!r}: `newsquake token list` names them")
    return found[0]


async def _rows(connection: AsyncConnection) -> list[tuple[bytes, Token]]:
    rows = await connection.execute(select(tokens).order_by(tokens.c.created, tokens.c.id))
    return [
        (
            bytes(row.hash),
            Token(
                id=row.id,
                name=row.name,
                scopes=frozenset(Scope(each) for each in row.scopes),
                created=row.created,
                expires=row.expires,
                revoked=row.revoked,
            ),
        )
        for row in rows
    ]
