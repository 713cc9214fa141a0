"""Tokens as the command line writes them and the daemon reads them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from monitor.core.tokens import hash_of
from monitor.errors import NewsquakeError, StoreError
from monitor.reading import Scope, Token
from monitor.store.repository import SqlStore
from monitor.store.tokens import FRESH, TokenTable, create, listed, revoke
from tests.fakes import FakeClock
from tests.samples import MINUTE, T0

DESK = Token(id="1f", name="Ann's desk", scopes=frozenset({Scope.READ, Scope.WRITE}), created=T0, expires=T0 + MINUTE)


async def test_only_the_hash_of_a_secret_reaches_the_disk(store: SqlStore, file: Path) -> None:
    url = f"sqlite:///{file}"
    await create(url, DESK, hash_of("nq_secret"))
    assert await listed(url) == [DESK]
    await store.close()
    for each in file.parent.iterdir():
        assert b"nq_secret" not in each.read_bytes()


async def test_the_first_token_makes_the_database_it_needs(file: Path) -> None:
    await create(f"sqlite:///{file}", DESK, b"x" * 32)
    assert [each.id for each in await listed(f"sqlite:///{file}")] == ["1f"]


async def test_a_database_of_nobody_is_not_asked_for_tokens(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the database is empty"):
        await listed(f"sqlite:///{tmp_path}/new.db")


async def test_what_is_revoked_stays_so_since_the_first_time(store: SqlStore, file: Path) -> None:
    url = f"sqlite:///{file}"
    await create(url, DESK, b"x" * 32)
    assert await revoke(url, "1f", T0) == replace(DESK, revoked=T0)
    assert await revoke(url, "1f", T0 + MINUTE) == replace(DESK, revoked=T0)
    with pytest.raises(NewsquakeError, match="no token '2f'"):
        await revoke(url, "2f", T0)


async def test_a_running_daemon_takes_note_within_seconds_and_asks_no_oftener(store: SqlStore, file: Path) -> None:
    url, clock = f"sqlite:///{file}", FakeClock()
    table = TokenTable(store.reader, clock)
    assert await table.by_hash() == {}
    async with store.transaction():  # also while the daemon's own writer is at work
        await clock.advance(FRESH)
        assert await table.by_hash() == {}
    await create(url, DESK, b"x" * 32)
    assert await table.by_hash() == {}
    await clock.advance(FRESH)
    assert await table.by_hash() == {b"x" * 32: DESK}
    await revoke(url, DESK.id, T0)
    await clock.advance(FRESH)
    assert (await table.by_hash())[b"x" * 32].revoked == T0


async def test_a_clock_that_is_set_back_keeps_no_token_alive(store: SqlStore, file: Path) -> None:
    clock = FakeClock()
    table = TokenTable(store.reader, clock)
    await create(f"sqlite:///{file}", DESK, b"x" * 32)
    await table.by_hash()
    await revoke(f"sqlite:///{file}", DESK.id, T0)
    clock._now -= timedelta(days=1)
    assert (await table.by_hash())[b"x" * 32].revoked == T0


async def test_while_the_database_is_away_the_known_tokens_stay(store: SqlStore, file: Path) -> None:
    clock = FakeClock()
    table, late = TokenTable(store.reader, clock), TokenTable(store.reader, clock)
    await create(f"sqlite:///{file}", DESK, b"x" * 32)
    known = await table.by_hash()
    async with store.transaction() as transaction:
        await transaction._connection.exec_driver_sql("ALTER TABLE tokens RENAME TO away")
    await clock.advance(FRESH)
    with capture_logs() as logs:
        assert await table.by_hash() == known
        assert await table.by_hash() == known
    assert [each["event"] for each in logs] == ["the tokens cannot be read; those known stay in force"]
    with pytest.raises(StoreError, match="tokens"):
        await late.by_hash()
