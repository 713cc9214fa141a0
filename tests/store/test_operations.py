"""Backups are whole, restoring destroys nothing unasked, and pruning takes texts only."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from monitor.errors import StoreError
from monitor.ports import Ledger
from monitor.store import schema
from monitor.store.operations import backup, prune, restore
from monitor.store.repository import SqlStore
from monitor.types import DeadLetter
from tests.fakes import FakeClock
from tests.samples import ACME, MINUTE, MODEL, T0, WIRE, article, judgement, rollup

FIRST = article("first")


async def fill(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.add_articles([FIRST], [[1]])
        await tx.settle(WIRE, Ledger(received=1, stored=1))


async def stored(url: str) -> int:
    store = await SqlStore.open(url, FakeClock())
    ledgers = await store.ledgers()
    await store.close()
    return ledgers[WIRE].stored if ledgers else 0


async def test_a_backup_is_taken_while_newsquake_writes(store: SqlStore, file: Path, tmp_path: Path) -> None:
    await fill(store)
    async with store.transaction() as tx:
        await tx.settle(WIRE, Ledger(received=1, stored=1))
        await backup(f"sqlite:///{file}", tmp_path / "copy.db")
    assert await stored(f"sqlite:///{tmp_path / 'copy.db'}") == 1
    assert await stored(f"sqlite:///{file}") == 2


async def test_a_backup_overwrites_nothing(store: SqlStore, file: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(StoreError, match="exists already"):
        await backup(f"sqlite:///{file}", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


async def test_there_is_no_backup_of_nothing(file: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing in this database"):
        await backup(f"sqlite:///{file}", tmp_path / "copy.db")


async def test_a_backup_is_restored_where_nothing_is(store: SqlStore, file: Path, tmp_path: Path) -> None:
    await fill(store)
    await backup(f"sqlite:///{file}", tmp_path / "copy.db")
    await restore(tmp_path / "copy.db", f"sqlite:///{tmp_path / 'new.db'}")
    assert await stored(f"sqlite:///{tmp_path / 'new.db'}") == 1


async def test_a_database_is_replaced_only_by_force(store: SqlStore, file: Path, tmp_path: Path) -> None:
    await backup(f"sqlite:///{file}", tmp_path / "copy.db")
    await fill(store)
    await store.close()
    with pytest.raises(StoreError, match="there is a database already; `--force`"):
        await restore(tmp_path / "copy.db", f"sqlite:///{file}")
    assert await stored(f"sqlite:///{file}") == 1
    await restore(tmp_path / "copy.db", f"sqlite:///{file}", force=True)
    assert await stored(f"sqlite:///{file}") == 0


async def test_a_database_in_use_is_not_replaced_even_by_force(store: SqlStore, file: Path, tmp_path: Path) -> None:
    await backup(f"sqlite:///{file}", tmp_path / "copy.db")
    await store.own("all")
    with pytest.raises(StoreError, match="is using this database; stop it first"):
        await restore(tmp_path / "copy.db", f"sqlite:///{file}", force=True)


async def test_what_is_no_backup_is_not_restored(file: Path, tmp_path: Path) -> None:
    text, foreign = tmp_path / "text.db", tmp_path / "foreign.db"
    text.write_text("not a database, but long enough to be looked at as one " * 20)
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE invoices (id INTEGER)")
    for path, said in (
        (text, "not a SQLite database"),
        (foreign, "no schema of newsquake's; expected a backup"),
        (tmp_path / "missing.db", "there is no such file"),
    ):
        with pytest.raises(StoreError, match=said):
            await restore(path, f"sqlite:///{file}")
    assert not file.exists()


async def test_pruning_takes_old_texts_and_leaves_what_was_made_of_them(store: SqlStore) -> None:
    old = [article(f"old{n}", published=T0 - n * MINUTE) for n in range(3)]
    new = article("new", published=T0 + MINUTE)
    revised = replace(old[0], text="revised", digest="b" * 64)
    async with store.transaction() as tx:
        await tx.add_articles([*old, new], [[1], [1], [2], [3]])
        await tx.add_versions([revised])
        await tx.add_judgements([judgement(one) for one in [*old, new]], {})
        await tx.add_rollups([rollup(stories=4)])
        await tx.bury([DeadLetter(source=WIRE, raw=b"?", error="no", received=at) for at in (T0, T0 + MINUTE)])
    assert await prune(store, before=T0 + MINUTE) == 3
    assert await prune(store, before=T0 + MINUTE) == 0
    async with store.reader.connect() as connection:
        texts = await connection.execute(
            select(schema.articles.c.title, schema.articles.c.text).order_by(schema.articles.c.received.desc())
        )
        assert texts.all() == [(new.title, new.text), ("", ""), ("", ""), ("", "")]
        assert (await connection.execute(select(schema.versions.c.text))).all() == [("",)]
        assert (await connection.execute(select(schema.dead_letters.c.received))).all() == [(T0 + MINUTE,)]
    assert await store.known([old[0].id, old[1].id]) == {old[0].id: revised.digest, old[1].id: old[1].digest}
    assert [row.stories for row in await store.rollups(T0, T0 + MINUTE)] == [4]
    async with store.transaction() as tx:
        assert {one.article for one in await tx.told([1])} == {old[0].id, old[1].id}
        assert len(await tx.evidence(ACME, MODEL, T0 - timedelta(days=1), T0 + MINUTE, 9)) == 4


async def test_pruning_goes_on_over_many_pieces(store: SqlStore) -> None:
    many = [article(f"a{n}") for n in range(1100)]
    async with store.transaction() as tx:
        await tx.add_articles(many, [[] for _ in many])
    assert await prune(store, before=T0 + MINUTE) == 1100
