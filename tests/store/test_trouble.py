"""A database that cannot be used gets one clear message; so does a second daemon."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from monitor.errors import ConfigurationError, NewsquakeError, StoreError
from monitor.store import engine
from monitor.store.lock import FileLock
from monitor.store.operations import upgrade
from monitor.store.repository import SqlStore
from tests.fakes import FakeClock
from tests.samples import T0, article, judgement

ROOT = Path(__file__).parents[2]
UPGRADE_WITHOUT_RIGHTS = """
import asyncio, os, sys
from monitor.errors import NewsquakeError
from monitor.store.operations import upgrade
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    asyncio.run(upgrade(sys.argv[1]))
except NewsquakeError as error:
    print(error)
"""
FORK_AND_DIE = """
import asyncio, os, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from monitor.store import engine
from monitor.store.lock import FileLock
asyncio.run(FileLock(Path(sys.argv[1])).take("all"))
if os.fork() == 0:
    sys.stdin.read()  # the child lives until its standard input is closed
"""


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the folder .*/missing does not exist; make it, or change store.url"):
        await upgrade(f"sqlite:///{tmp_path}/missing/newsquake.db")


async def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"this is a folder; store\.url needs a file"):
        await upgrade(f"sqlite:///{tmp_path}")


async def test_a_file_that_is_no_database_is_left_as_it_is(file: Path) -> None:
    file.write_text("To whom it may concern: " * 100)
    with pytest.raises(StoreError, match=r"newsquake\.db: the file is not a SQLite database"):
        await upgrade(f"sqlite:///{file}")
    assert file.read_text().startswith("To whom")


async def test_a_folder_where_nothing_can_be_written_is_named() -> None:
    """In /proc not even root can make a file."""
    with pytest.raises(StoreError, match=r"^/proc/newsquake\.db(\.lock)?: "):
        await upgrade("sqlite:////proc/newsquake.db")


@pytest.mark.process
def test_a_read_only_folder_is_named_to_a_user_without_rights() -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        probe = [sys.executable, "-c", UPGRADE_WITHOUT_RIGHTS, f"sqlite:///{folder}/newsquake.db"]
        answer = subprocess.run(probe, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "is not writable for this user; SQLite needs to write there" in answer.stdout


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(NewsquakeError) as caught:
        await SqlStore.open("postgresql://monitor:sesame@127.0.0.1:1/newsquake", FakeClock())
    assert "postgresql://monitor:***@127.0.0.1:1/newsquake" in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("mode", ["ssl", "sslmode"])
def test_the_way_to_a_server_is_read_as_others_write_it(mode: str) -> None:
    several = f"host=one:5432&host=two:5432&target_session_attrs=read-write&{mode}=verify-full"
    place = engine.locate(f"postgresql://monitor@/newsquake?{several}")
    assert dict(place.query) == {
        "host": ("one:5432", "two:5432"),
        "target_session_attrs": "read-write",
        "ssl": "verify-full",
    }


def test_an_option_of_the_url_that_nobody_knows_is_named_and_its_value_is_not() -> None:
    with pytest.raises(ConfigurationError, match="found the option 'password'; expected one of host, port") as caught:
        engine.locate("postgresql://monitor@db.example/newsquake?password=sesame")
    assert "sesame" not in str(caught.value)


async def test_a_second_daemon_learns_which_process_is_the_first(store: SqlStore, file: Path) -> None:
    await store.own("all")
    second = await SqlStore.open(f"sqlite:///{file}", FakeClock())
    with pytest.raises(StoreError, match=rf"{file}: process {os.getpid()} on .* is using this database; stop it first"):
        await second.own("all")
    await second.close()


@pytest.mark.process
def test_a_child_does_not_keep_the_lock_of_a_dead_parent(file: Path) -> None:
    async def take() -> None:
        lock = FileLock(file)
        await lock.take("all")
        await lock.release()

    with subprocess.Popen([sys.executable, "-c", FORK_AND_DIE, str(file)], cwd=ROOT, stdin=subprocess.PIPE) as parent:
        parent.wait()
        asyncio.run(take())


async def test_reading_does_not_wait_for_the_writer_and_cannot_write(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.tick(T0)
        async with store.reader.connect() as connection:
            with pytest.raises(Exception, match="readonly"):
                await connection.exec_driver_sql("DELETE FROM ticks")
        assert await store.last_tick() is None


async def test_a_full_disk_is_told_and_the_store_goes_on_when_there_is_room(store: SqlStore) -> None:
    async def limit(pages: int) -> None:
        async with store.transaction() as tx:
            await tx._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    many = [article(f"a{n}", text="long " * 2000) for n in range(100)]
    await limit(60)
    with pytest.raises(StoreError, match=r"newsquake\.db: the disk is full"):
        async with store.transaction() as tx:
            await tx.add_articles(many, [[1] for _ in many])
    assert await store.known([one.id for one in many]) == {}
    await limit(10_000)
    async with store.transaction() as tx:
        await tx.add_articles(many, [[1] for _ in many])
    assert len(await store.known([one.id for one in many])) == 100


async def test_a_database_that_another_program_keeps_locked_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)
    await upgrade(f"sqlite:///{file}")
    store = await SqlStore.open(f"sqlite:///{file}", FakeClock())
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program has kept the database locked"):
            async with store.transaction() as tx:
                await tx.tick(T0)
        assert await store.last_tick() is None
    async with store.transaction() as tx:
        await tx.tick(T0)
    assert await store.last_tick() == T0
    await store.close()


async def test_a_cancelled_transaction_leaves_nothing_and_the_store_goes_on(store: SqlStore) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with store.transaction() as tx:
            await tx.tick(T0)
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.last_tick() is None
    async with store.transaction() as tx:
        await tx.tick(T0)
    assert await store.last_tick() == T0


async def test_of_a_template_that_thousands_share_only_the_newest_are_looked_at(store: SqlStore) -> None:
    many = [article(f"t{n}") for n in range(300)]
    rare = article("rare")
    async with store.transaction() as tx:
        for begin in range(0, 300, 100):
            part = many[begin : begin + 100]
            await tx.add_articles(part, [[5] for _ in part])
        await tx.add_articles([rare], [[6]])
        await tx.add_judgements([judgement(one) for one in [*many, rare]], {})
    async with store.transaction() as tx:
        newer = [article(f"n{n}") for n in range(10)]
        await tx.add_articles(newer, [[5] for _ in newer])
        await tx.add_judgements([judgement(one) for one in newer], {})
        told = {one.article for one in await tx.told([5, 6])}
    assert rare.id in told
    assert {one.id for one in newer} <= told
    assert len(told) < 300
