"""A PostgreSQL that is killed, hangs, is cut off or turns read-only: told plainly, nothing by half, and well again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.clock import SystemClock
from monitor.errors import OwnershipLost, StoreAway, StoreError
from monitor.ports import Clock, Ledger
from monitor.store import lock, repository
from monitor.store import server as sessions
from monitor.store.doubt import committed
from monitor.store.engine import locate, mending
from monitor.store.queries import Queries
from monitor.store.repository import SqlStore
from monitor.types import SourceId
from tests.process.servers import Server, postgresql
from tests.samples import WIRE

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of our own, to be ill-treated."""
    with postgresql() as running:
        yield running


@pytest.fixture
async def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlStore]:
    """The store of an owner, which waits a second for what takes most of a minute else."""
    monkeypatch.setattr(sessions, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(sessions, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(lock, "DYING", 0.2)
    opened = await SqlStore.open(server.address, SystemClock())
    await opened.own("all")
    yield opened
    await opened.close()


async def settle(store: SqlStore, before: str = "SELECT 1") -> None:
    """Count one article in the ledger, in two statements, after another one."""
    async with store.transaction() as tx:
        await tx._connection.execute(text(before))
        await tx.settle(WIRE, Ledger(received=1))
        await tx.settle(WIRE, Ledger(stored=1))


async def stored(store: SqlStore) -> int:
    ledger = (await store.ledgers()).get(WIRE, Ledger())
    assert ledger.received == ledger.stored
    return ledger.stored


async def on(address: str, *statements: str) -> None:
    """Say something to the server as its superuser."""
    engine = mending(locate(address))
    async with engine.begin() as connection:
        await connection.execute(text("SET TRANSACTION READ WRITE"))
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'postgres' "
    "AND backend_type = 'client backend'"
)


def processes(server: Server) -> list[int]:
    leader = int((server.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    return [leader, *map(int, children)]


async def test_a_server_that_was_killed_is_told_and_found_again(server: Server, store: SqlStore) -> None:
    before = await stored(store)
    server.kill()
    try:
        for work in (settle(store), stored(store), Queries(store.reader).ledgers()):
            with pytest.raises(
                StoreAway, match=r"^postgresql://postgres@127\.0\.0\.1:\d+/postgres: cannot be reached: "
            ):
                await work
    finally:
        server.start()
    await settle(store)
    assert await stored(store) == before + 1


async def test_a_server_that_is_killed_in_the_middle_leaves_nothing(server: Server, store: SqlStore) -> None:
    before = await stored(store)

    async def write() -> None:
        async with store.transaction() as tx:
            await tx.settle(WIRE, Ledger(received=1, stored=1))
            await asyncio.to_thread(server.kill)
            await tx.settle(WIRE, Ledger(received=1, stored=1))

    with pytest.raises(StoreAway, match="the connection was lost"):
        await write()
    await asyncio.to_thread(server.start)
    assert await stored(store) == before
    await settle(store)
    assert await stored(store) == before + 1


async def test_a_server_that_says_nothing_any_more_is_not_waited_for_for_ever(server: Server, store: SqlStore) -> None:
    before = await stored(store)
    frozen = processes(server)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(2):
            with pytest.raises(StoreAway, match="no answer in time"):
                await settle(store)
    finally:
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    await settle(store)
    assert await stored(store) == before + 1


async def test_a_connection_that_was_cut_keeps_its_owner(server: Server, store: SqlStore) -> None:
    before = await stored(store)
    await on(server.address, CUT)
    await settle(store)
    second = await SqlStore.open(server.address, SystemClock())
    with pytest.raises(StoreError, match=rf"process {os.getpid()} on .* is using this database; stop it first"):
        await second.own("all")
    await second.close()
    await settle(store)
    assert await stored(store) == before + 2


async def test_another_owner_in_between_is_not_overlooked(server: Server, store: SqlStore) -> None:
    before = await stored(store)
    second = await SqlStore.open(server.address, SystemClock())
    await on(server.address, CUT)
    await second.own("all")
    for _ in range(2):
        with pytest.raises(OwnershipLost, match="was taken over by another process"):
            await settle(store)
    await settle(second)
    assert await stored(store) == before + 1
    await second.close()


async def test_a_standby_is_told_and_a_new_primary_is_found(server: Server, store: SqlStore) -> None:
    before = await stored(store)
    await on(server.address, "ALTER DATABASE postgres SET default_transaction_read_only = on", CUT)
    for _ in range(2):
        with pytest.raises(StoreAway, match="the server is read-only: a standby"):
            await settle(store)
        assert await stored(store) == before
    await on(server.address, "ALTER DATABASE postgres RESET default_transaction_read_only")
    await settle(store)
    assert await stored(store) == before + 1


async def test_a_table_that_somebody_keeps_locked_is_told(server: Server, store: SqlStore) -> None:
    engine = mending(locate(server.address))
    async with engine.begin() as other:
        await other.execute(text("LOCK TABLE ledger"))
        with pytest.raises(StoreError, match="another session has kept a lock"):
            await settle(store, "SET LOCAL lock_timeout = '50ms'")
    await engine.dispose()
    await settle(store)


async def test_a_full_disk_is_told(store: SqlStore) -> None:
    before = await stored(store)
    full = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
    with pytest.raises(StoreError, match=r"the server's disk is full \(could not extend file\)"):
        await settle(store, full)
    await settle(store)
    assert await stored(store) == before + 1


async def test_a_text_that_nobody_can_keep_is_no_trouble_of_the_database(store: SqlStore) -> None:
    async def write() -> None:
        async with store.transaction() as tx:
            await tx.settle(SourceId("\ud800"), Ledger(received=1, stored=1))

    with pytest.raises(Exception, match="surrogates not allowed") as caught:
        await write()
    assert not isinstance(caught.value, StoreError)


async def test_a_wrong_statement_is_no_trouble_of_the_database(store: SqlStore) -> None:
    with pytest.raises(Exception, match="syntax error") as caught:
        await settle(store, "SELEC 1")
    assert not isinstance(caught.value, StoreError)


class Wire:
    """A way to the server that is cut, once, when COMMIT passes: before it arrives, or before it is answered."""

    def __init__(self, address: str) -> None:
        self._far = make_url(address)
        self.cut: str | None = None

    def arm(self, cut: str) -> None:
        self.cut = cut

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[str]:
        """Give the address of its near end."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            yield self._far.set(port=port).render_as_string()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(self._far.host, self._far.port)
        except OSError:  # as when nobody listened
            writer.close()
            return
        mute = False

        async def there() -> None:
            nonlocal mute
            while data := await reader.read(65536):
                if b"COMMIT" in data and self.cut == "before it arrives":
                    return
                mute = b"COMMIT" in data and self.cut == "before it is answered"
                far_writer.write(data)

        async def back() -> None:
            while (data := await far_reader.read(65536)) and not mute:
                writer.write(data)

        tasks = [asyncio.create_task(there()), asyncio.create_task(back())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self.cut = None if mute or self.cut == "before it arrives" else self.cut
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in (writer, far_writer):
                end.close()


@pytest.fixture
async def wired(server: Server) -> AsyncIterator[tuple[Wire, SqlStore]]:
    wire = Wire(server.address)
    async with wire.laid() as near:
        store = await SqlStore.open(near, SystemClock())
        await store.own("all")
        yield wire, store
        await store.close()


async def test_a_commit_that_was_not_answered_is_asked_after_and_stands(wired: tuple[Wire, SqlStore]) -> None:
    wire, store = wired
    before = await stored(store)
    wire.arm("before it is answered")
    await settle(store)
    assert wire.cut is None, "nothing was cut"
    assert await stored(store) == before + 1
    assert store.trouble is None
    await settle(store)
    assert await stored(store) == before + 2


async def test_a_commit_that_did_not_arrive_is_known_to_be_undone(wired: tuple[Wire, SqlStore]) -> None:
    wire, store = wired
    before = await stored(store)
    wire.arm("before it arrives")
    with pytest.raises(StoreAway, match="the connection was lost"):
        await settle(store)
    assert await stored(store) == before
    await settle(store)
    assert await stored(store) == before + 1


async def test_while_a_commit_is_asked_after_the_store_says_so(
    server: Server, wired: tuple[Wire, SqlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire, store = wired
    said: list[str | None] = []

    class Waiting(SystemClock):
        """A clock by which the server comes back while it is waited for."""

        async def sleep(self, seconds: float) -> None:
            said.append(store.trouble)
            await asyncio.to_thread(server.start)

    async def ask_a_dead_server(engine: AsyncEngine, ticket: str, clock: Clock) -> bool:
        await asyncio.to_thread(server.kill)
        return await committed(engine, ticket, clock)

    before = await stored(store)
    monkeypatch.setattr(store, "_clock", Waiting())
    monkeypatch.setattr(repository, "committed", ask_a_dead_server)
    wire.arm("before it is answered")
    await settle(store)
    assert said == [f"{store.name}: a commit was not answered; waiting for the server to say how it ended"]
    assert store.trouble is None
    assert await stored(store) == before + 1
