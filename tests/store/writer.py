"""A process that writes transactions in a loop and says which are committed, until it is killed."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from monitor.ports import Ledger
from monitor.store.repository import SqlStore
from monitor.types import Position
from tests.fakes import FakeClock
from tests.samples import WIRE, article, judgement, rollup

SIZE = 20  # articles in a transaction


async def main(url: str) -> None:
    store = await SqlStore.open(url, FakeClock(datetime.now(UTC)))
    await store.own("all")
    positions = await store.positions(WIRE)
    number = 0 if not positions else int(str(positions[0].value["line"]))
    while True:
        number += 1
        batch = [article(f"{number}-{place}") for place in range(SIZE)]
        async with store.transaction() as tx:
            await tx.add_articles(batch, [[number, -number] for _ in batch])
            await tx.add_judgements([judgement(one) for one in batch], {})
            await tx.add_rollups([rollup(stories=SIZE)])
            await tx.settle(WIRE, Ledger(received=SIZE, stored=SIZE))
            await tx.advance(Position(source=WIRE, value={"line": number}))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
