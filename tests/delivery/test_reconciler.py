from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from monitor.core.alerts import AFTERGLOW
from monitor.delivery.reconciler import EVERY, Reconciler
from monitor.errors import StoreError
from monitor.ports import Case, Delivery, Retry, Sent
from monitor.telemetry import Telemetry
from monitor.types import Change, Incident, IncidentId, IncidentState, Severity, TargetId
from tests.core.telling import incident
from tests.fakes import NOON, FakeClock, FakeStore
from tests.samples import DESK, message

MINUTE = timedelta(minutes=1)
ACME = incident("entity:acme", severity=Severity.LOW, opened=NOON)
BOLT = incident("entity:bolt", id=IncidentId("b" * 32), opened=NOON)


class Board:
    """Notes what it is shown, and answers by a script, then with Sent."""

    id = DESK

    def __init__(self, *script: Delivery) -> None:
        self.shown: list[tuple[datetime, Sequence[Case]]] = []
        self._script = list(script)
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def incidents(self) -> list[list[Incident]]:
        return [[case.incident for case in cases] for _, cases in self.shown]

    async def show(self, cases: Sequence[Case], now: datetime) -> Delivery:
        self.shown.append((now, cases))
        self.asked.set()
        await self.may_answer.wait()
        return self._script.pop(0) if self._script else Sent()

    async def close(self) -> None:
        pass


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def reconciler(board: Board, store: FakeStore, clock: FakeClock, telemetry: Telemetry | None = None) -> Reconciler:
    return Reconciler(board, store=store, clock=clock, telemetry=telemetry or Telemetry())


@asynccontextmanager
async def running(one: Reconciler) -> AsyncIterator[None]:
    task = asyncio.create_task(one.run())
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def opened(store: FakeStore, *incidents: Incident, target: TargetId = DESK) -> None:
    async with store.transaction() as transaction:
        await transaction.save_incidents(incidents)
        await transaction.post([message(each, target=target, created=NOON) for each in incidents])
        for each in incidents:
            await transaction.delivered(f"{each.id}.opened", target, NOON)


async def resolved(store: FakeStore, one: Incident, at: datetime) -> Incident:
    over = replace(one, state=IncidentState.RESOLVED, resolved=at, revision=2)
    async with store.transaction() as transaction:
        await transaction.save_incidents([over])
        await transaction.post([message(over, Change.RESOLVED, created=at)])
    return over


async def test_every_minute_everything_that_is_open_is_shown_again(store: FakeStore, clock: FakeClock) -> None:
    board = Board()
    await opened(store, ACME, BOLT)
    await opened(store, incident("entity:other", id=IncidentId("c" * 32)), target=TargetId("pager"))
    async with running(reconciler(board, store, clock)):
        await clock.advance(3 * EVERY)
    assert board.incidents() == [[ACME, BOLT]] * 4
    assert [now for now, _ in board.shown] == [NOON + timedelta(seconds=EVERY) * each for each in range(4)]


async def test_what_is_over_is_shown_until_a_quarter_of_an_hour_after_its_end_was_accepted(
    store: FakeStore, clock: FakeClock
) -> None:
    board = Board()
    await opened(store, ACME)
    over = await resolved(store, ACME, NOON)
    async with running(reconciler(board, store, clock)):
        await clock.advance(AFTERGLOW * 2)
        assert board.incidents()[-1] == [over]  # nobody has accepted its end
        async with store.transaction() as transaction:
            await transaction.delivered(f"{ACME.id}.resolved", DESK, clock.now())
        await clock.advance(AFTERGLOW)
        assert board.incidents()[-1] == [over]
        await clock.advance(MINUTE)
        assert board.incidents()[-1] == []


async def test_a_message_shows_its_incident_as_it_is_by_then(store: FakeStore, clock: FakeClock) -> None:
    board = Board()
    await opened(store, ACME, BOLT)
    over = await resolved(store, ACME, NOON)
    assert await reconciler(board, store, clock).send(message(ACME), 3) == Sent()
    assert board.incidents() == [[over]]


@pytest.mark.parametrize("answer", [Retry("busy", MINUTE), Retry("unreachable"), Sent()])
async def test_a_message_fares_as_the_board_answers(store: FakeStore, clock: FakeClock, answer: Delivery) -> None:
    await opened(store, ACME)
    assert await reconciler(Board(answer), store, clock).send(message(ACME), 1) == answer


async def test_a_round_that_fails_is_counted_and_the_next_one_follows(store: FakeStore, clock: FakeClock) -> None:
    board, telemetry = Board(Retry("unreachable")), Telemetry()
    await opened(store, ACME)
    async with running(reconciler(board, store, clock, telemetry)):
        await clock.advance(2 * EVERY)
    assert board.incidents() == [[ACME]] * 3

    def count(outcome: str) -> float | None:
        labels = {"target": "desk", "outcome": outcome}
        return telemetry.registry.get_sample_value("newsquake_reconciliations_total", labels)

    assert (count("ok"), count("failed")) == (2, 1)


async def test_while_the_database_is_away_nothing_is_shown_and_nothing_breaks(clock: FakeClock) -> None:
    class Away(FakeStore):
        away = True

        async def cases(self, target: TargetId, since: datetime) -> Sequence[Case]:
            if self.away:
                raise StoreError("the server closed the connection")
            return await super().cases(target, since)

        async def case(self, target: TargetId, incident: IncidentId) -> Case | None:
            if self.away:
                raise StoreError("the server closed the connection")
            return await super().case(target, incident)

    store, board = Away(), Board()
    await opened(store, ACME)
    one = reconciler(board, store, clock)
    assert await one.send(message(ACME), 1) == Retry("database")
    async with running(one):
        await clock.advance(EVERY)
        assert board.shown == []
        store.away = False
        await clock.advance(EVERY)
    assert board.incidents() == [[ACME]]


async def test_what_was_read_earlier_is_never_shown_later(store: FakeStore, clock: FakeClock) -> None:
    board = Board()
    board.may_answer.clear()
    await opened(store, ACME)
    one = reconciler(board, store, clock)
    first = asyncio.create_task(one.send(message(ACME), 1))
    await board.asked.wait()
    second = asyncio.create_task(one.send(message(ACME), 1))
    await asyncio.sleep(0)
    over = await resolved(store, ACME, NOON)
    board.may_answer.set()
    assert await first == await second == Sent()
    assert board.incidents() == [[ACME], [over]]
