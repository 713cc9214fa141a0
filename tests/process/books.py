"""What a daemon left in its database, read from SQLite and PostgreSQL alike, and held against what the world knows."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from monitor.ports import Ledger
from monitor.store import schema
from monitor.store.engine import locate, reading
from monitor.store.rows import ledger_of
from tests.process.news import Desk


@dataclass(frozen=True, kw_only=True)
class Books:
    """The rows that tell what became of the news."""

    titles: Mapping[str, Sequence[str]]  # by source, sorted
    dead: Mapping[str, Sequence[bytes]]  # raw, by source, sorted
    ledgers: Mapping[str, Ledger]
    judged: Mapping[str, int]  # articles judged, by key
    leading: Mapping[str, int]  # of them those that lead a story
    counted: Mapping[str, int]  # stories in the rollups, by key
    watched: Collection[str]  # keys that were in an incident
    outbox: Sequence[tuple[str, str]]  # key and state of each message
    positions: Mapping[tuple[str, str], Mapping[str, Any]]  # by source and partition


def read(url: str) -> Books:
    """Read the books of a database that nobody writes to any more."""
    return asyncio.run(_read(url))


async def _read(url: str) -> Books:
    articles, letters, ledger, judgements = schema.articles, schema.dead_letters, schema.ledger, schema.judgements
    rollups, outbox, positions = schema.rollups.c, schema.outbox.c, schema.positions.c
    sums = select(rollups.key, func.sum(rollups.stories)).group_by(rollups.key)
    engine = reading(locate(url))
    try:
        async with engine.connect() as connection:

            async def rows(asked: Any) -> list[tuple[Any, ...]]:
                return [tuple(row) for row in await connection.execute(asked)]

            judged = await rows(select(judgements.c.key, judgements.c.leads))
            return Books(
                titles=_by_first(await rows(select(articles.c.source, articles.c.title))),
                dead=_by_first(await rows(select(letters.c.source, letters.c.raw))),
                ledgers={
                    row["source"]: ledger_of(row) for row in (await connection.execute(select(ledger))).mappings()
                },
                judged=Counter(key for key, _ in judged),
                leading=Counter(key for key, leads in judged if leads),
                counted=dict(await rows(sums)),
                watched={key for (key,) in await rows(select(schema.incident_keys.c.key))},
                outbox=[(key, state) for key, state in await rows(select(outbox.key, outbox.state))],
                positions={
                    (source, partition): value
                    for source, partition, value in await rows(
                        select(positions.source, positions.partition, positions.value)
                    )
                },
            )
    finally:
        await engine.dispose()


def _by_first(pairs: Iterable[tuple[Any, ...]]) -> Mapping[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for first, second in pairs:
        found[first].append(second)
    return {first: sorted(seconds) for first, seconds in found.items()}


def examine(books: Books, handed_out: Mapping[str, Sequence[str]]) -> None:
    """Nothing lost, nothing stored twice, everything counted once; `handed_out` are the titles by source."""
    for source, titles in handed_out.items():
        assert books.titles.get(source, []) == sorted(titles), source

    # The ledger adds up, and agrees with the tables.
    for source, ledger in books.ledgers.items():
        assert ledger.in_flight == 0, source
        assert ledger.stored == len(books.titles.get(source, ())), source
        assert ledger.dead == len(books.dead.get(source, ())), source
        assert ledger.dropped == 0, source

    # Each article was judged once, and each story counted once.
    assert books.judged["all"] == sum(len(titles) for titles in books.titles.values())
    assert books.leading == {key: stories for key, stories in books.counted.items() if stories}


def examine_desk(books: Books, desk: Desk) -> None:
    """The desk was told everything, each change of each incident under one key."""
    assert books.outbox, "nothing was told: no incident opened"
    assert {state for _, state in books.outbox} == {"sent"}
    told = desk.told()
    assert set(told) == {key for key, _ in books.outbox}
    changes = [(body["data"]["id"], body["type"], body["data"]["severity"]) for body in told.values()]
    assert len(changes) == len(set(changes))
    assert "entity:acme" in books.watched, "nearly all that is bad is about this company"
    for key, body in desk.received:
        assert body == told[key], "a message that comes again is the same message"
