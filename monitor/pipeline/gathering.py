"""The events that a new story may join, kept in memory between commits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from monitor.core.events import OPEN, EventBook
from monitor.ports import Gathered, Judgement, Store, Transaction
from monitor.types import Article, ArticleId, EntityId, Gist, Timeliness


class Gathering:
    """What the store says of the last two days, read once: what one transaction adds is there for the next.

    Where a transaction fails, its stories are no part of it: all is forgotten, and read again.
    """

    def __init__(self) -> None:
        self._book: EventBook | None = None

    @asynccontextmanager
    async def around(self, store: Store) -> AsyncIterator[Transaction]:
        """Begin a transaction of the store; forget what it may have added, if it fails."""
        try:
            async with store.transaction() as transaction:
                yield transaction
        except BaseException:
            self._book = None
            raise

    async def gather(
        self,
        articles: Sequence[Article],
        gists: Mapping[ArticleId, Gist],
        judgements: Collection[Judgement],
        transaction: Transaction,
    ) -> list[Gathered]:
        """Place each article that leads a story in an event, in the order given. History is in none."""
        leading = {each.article for each in judgements if each.leads}
        companies: dict[ArticleId, set[EntityId]] = {}
        for each in judgements:
            if each.entity is not None:
                companies.setdefault(each.article, set()).add(each.entity)
        placed = [each for each in articles if each.id in leading and each.timeliness is not Timeliness.HISTORY]
        if not placed:
            return []
        book = await self._opened(placed[0].received, transaction)
        return [
            book.place(each.id, received=each.received, gist=gists[each.id], companies=companies.get(each.id, ()))
            for each in placed
        ]

    async def _opened(self, now: datetime, transaction: Transaction) -> EventBook:
        if self._book is None:
            self._book = EventBook(await transaction.gathered(now - OPEN))
        return self._book
