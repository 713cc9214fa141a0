"""`kill -9` at any moment: what was said to be committed is there, and nothing is there by half."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from monitor.store import schema
from monitor.store.repository import SqlStore
from tests.databases import SQL, Sql, database
from tests.fakes import FakeClock
from tests.samples import MINUTE, T0, WIRE, article
from tests.store.writer import SIZE

ROOT = Path(__file__).parents[2]


def write_until_killed(url: str, commits: int, more: float) -> list[int]:
    """Return the transactions that a process reported before it was killed, `more` seconds after so many commits."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.writer", url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        reported = [int(process.stdout.readline()) for _ in range(commits)]
        try:
            process.wait(more)
        except subprocess.TimeoutExpired:
            process.kill()
        rest = process.stdout.read().splitlines(keepends=True)
    return reported + [int(line) for line in rest if line.endswith("\n")]


@pytest.mark.process
@pytest.mark.parametrize("backend", SQL)
async def test_every_reported_commit_outlives_the_writer_and_the_ledger_adds_up(tmp_path: Path, backend: str) -> None:
    async with database(backend, tmp_path) as opened:
        assert isinstance(opened, Sql)
        await kill_again_and_again(opened.url)


async def kill_again_and_again(url: str) -> None:
    chance = random.Random(7)
    reported: list[int] = []
    for _ in range(4):
        reported += write_until_killed(url, chance.randrange(1, 4), chance.random() * 0.1)
        store = await SqlStore.open(url, FakeClock())
        await store.own("all")  # the lock of the dead is free at once
        last = int(str((await store.positions(WIRE))[0].value["line"]))
        known = await store.known([article(f"{number}-0").id for number in reported])
        rollups = await store.rollups(T0, T0 + MINUTE)
        ledger = (await store.ledgers())[WIRE]
        async with store.reader.connect() as connection:
            stored = await connection.scalar(select(func.count()).select_from(schema.articles))
        await store.close()
        assert len(known) == len(reported)
        assert last in (reported[-1], reported[-1] + 1)  # killed between the commit and the report
        assert stored == ledger.stored == ledger.received == rollups[0].stories == last * SIZE
        assert ledger.in_flight == 0
