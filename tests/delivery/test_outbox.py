from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitor.clock import DrivenClock
from monitor.delivery.outbox import FIRST_PAUSE, LAST_PAUSE, POLL, Outbox, backoff
from monitor.delivery.targets.log import LogTarget
from monitor.errors import OwnershipLost, StoreError
from monitor.ports import Delivery, Pending, Rejected, Retry, Sent, Store, Transaction
from monitor.store.operations import upgrade
from monitor.store.repository import SqlStore
from monitor.telemetry import Telemetry
from monitor.types import Change, IncidentId, Message, TargetId
from tests.core.telling import T0, incident

DESK = TargetId("desk")
PAGER = TargetId("pager")
PATIENCE = 20.0  # seconds of real time after which a test has failed
SENT = Sent()
BUSY = Retry("busy")


class Receiver:
    """A target that answers by a script, then accepts; `hung` makes it never answer."""

    def __init__(self, id_: TargetId, script: Sequence[Delivery | Exception] = (), *, hung: bool = False) -> None:
        self.id = id_
        self.got: list[tuple[str, int]] = []
        self._script = list(script)
        self._hung = hung

    async def send(self, message: Message, attempt: int) -> Delivery:
        self.got.append((message.key.partition(".")[2], attempt))
        if self._hung:
            await asyncio.Event().wait()
        answer = self._script.pop(0) if self._script else SENT
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        pass


class Moody:
    """A store that refuses transactions, by their number counted from 1."""

    def __init__(self, store: Store, refused: dict[int, StoreError]) -> None:
        self._store = store
        self._refused = refused
        self._count = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        self._count += 1
        if self._count in self._refused:
            raise self._refused[self._count]
        async with self._store.transaction() as transaction:
            yield transaction

    async def pending(self, target: TargetId, now: datetime, limit: int) -> Sequence[Pending]:
        return await self._store.pending(target, now, limit)


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock(T0)


@pytest.fixture
async def store(tmp_path: Path, clock: DrivenClock) -> AsyncIterator[SqlStore]:
    url = f"sqlite:///{tmp_path / 'newsquake.db'}"
    await upgrade(url)
    opened = await SqlStore.open(url, clock)
    yield opened
    await opened.close()


def outbox(
    receiver: Receiver | LogTarget, store: Store, clock: DrivenClock, telemetry: Telemetry | None = None
) -> Outbox:
    return Outbox(target=receiver, store=store, clock=clock, random=Random(7), telemetry=telemetry or Telemetry())


def message(change: Change = Change.OPENED, *, number: int = 0, target: TargetId = DESK, minute: int = 0) -> Message:
    one = incident("entity:acme", id=IncidentId(f"{number:032x}"))
    created = T0 + timedelta(minutes=minute)
    return Message(
        key=f"{one.id}.{change}",
        target=target,
        change=change,
        incident=one,
        created=created,
        expires=created + timedelta(days=1),
    )


async def post(store: Store, *messages: Message) -> None:
    async with store.transaction() as transaction:
        await transaction.post(messages)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody, and must not learn of its tests
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(*boxes: Outbox) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(box.run()) for box in boxes]
    yield
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in results), results


async def left(store: Store, target: TargetId = DESK) -> int:
    return len(await store.pending(target, T0 + timedelta(days=365), 100))


async def test_what_was_posted_is_delivered_once(store: SqlStore, clock: DrivenClock) -> None:
    receiver, telemetry = Receiver(DESK), Telemetry()
    await post(store, message(number=1), message(number=2), message(number=3, target=PAGER))
    box = outbox(receiver, store, clock, telemetry)
    assert await box.drain(PATIENCE)
    assert await box.drain(PATIENCE)
    assert receiver.got == [("opened", 1), ("opened", 1)]
    assert (await left(store), await left(store, PAGER)) == (0, 1)
    assert telemetry.registry.get_sample_value("newsquake_deliveries_total", {"target": "desk", "outcome": "sent"}) == 2


async def test_a_message_is_tried_again_until_it_is_accepted(store: SqlStore, clock: DrivenClock) -> None:
    receiver = Receiver(DESK, [Retry("timeout"), BUSY])
    await post(store, message())
    box = outbox(receiver, store, clock)
    for attempt in (1, 2, 3):
        assert await box.drain(PATIENCE)
        assert len(receiver.got) == attempt
        await clock.drive(clock.now() + timedelta(seconds=FIRST_PAUSE * 2**attempt))
    assert receiver.got == [("opened", 1), ("opened", 2), ("opened", 3)]
    assert await left(store) == 0


async def test_the_receivers_wish_to_wait_is_granted(store: SqlStore, clock: DrivenClock) -> None:
    receiver = Receiver(DESK, [Retry("busy", timedelta(hours=2))])
    await post(store, message())
    box = outbox(receiver, store, clock)
    await box.drain(PATIENCE)
    await clock.drive(T0 + timedelta(minutes=119))
    await box.drain(PATIENCE)
    assert len(receiver.got) == 1
    await clock.drive(T0 + timedelta(minutes=120))
    await box.drain(PATIENCE)
    assert len(receiver.got) == 2


async def test_a_message_that_nobody_took_in_its_time_is_given_up_and_counted(
    store: SqlStore, clock: DrivenClock
) -> None:
    receiver, telemetry = Receiver(DESK, [Retry("busy", timedelta(days=9))]), Telemetry()
    await post(store, message())
    box = outbox(receiver, store, clock, telemetry)
    await box.drain(PATIENCE)
    await clock.drive(T0 + timedelta(days=1))
    await box.drain(PATIENCE)
    assert len(receiver.got) == 1
    assert await left(store) == 0
    sample = telemetry.registry.get_sample_value
    assert sample("newsquake_deliveries_total", {"target": "desk", "outcome": "retry"}) == 1
    assert sample("newsquake_deliveries_total", {"target": "desk", "outcome": "expired"}) == 1


async def test_what_is_tried_in_vain_is_told_until_it_has_ended(store: SqlStore, clock: DrivenClock) -> None:
    receiver = Receiver(DESK, [BUSY, BUSY, SENT, Rejected("gone")])
    await post(store, message(number=1), message(number=2))
    box = outbox(receiver, store, clock)
    counts = [box.undelivered]
    for _ in range(2):
        await box.drain(PATIENCE)
        counts.append(box.undelivered)
        await clock.drive(clock.now() + timedelta(seconds=LAST_PAUSE))
    assert counts == [0, 2, 0]


async def test_what_the_receiver_rejects_is_not_sent_again(store: SqlStore, clock: DrivenClock) -> None:
    receiver = Receiver(DESK, [Rejected("gone")])
    await post(store, message(number=1), message(number=2))
    assert await outbox(receiver, store, clock).drain(PATIENCE)
    assert len(receiver.got) == 2
    assert await left(store) == 0


async def test_the_end_never_overtakes_the_beginning(store: SqlStore, clock: DrivenClock) -> None:
    receiver = Receiver(DESK, [BUSY, SENT, BUSY])
    ended = message(Change.RESOLVED, minute=1)
    await post(store, message(), replace(ended, created=T0), message(number=9))
    box = outbox(receiver, store, clock)
    await box.drain(PATIENCE)
    assert receiver.got == [("opened", 1), ("opened", 1)]  # of the two incidents; the first is busy
    await clock.drive(T0 + timedelta(seconds=FIRST_PAUSE))
    await box.drain(PATIENCE)
    assert receiver.got[2:] == [("opened", 2)]
    await clock.drive(T0 + timedelta(minutes=10))
    await box.drain(PATIENCE)
    assert receiver.got[3:] == [("opened", 3), ("resolved", 1)]


async def test_an_unforeseen_failure_of_a_target_is_told_and_the_message_is_tried_again(
    store: SqlStore, clock: DrivenClock
) -> None:
    receiver = Receiver(DESK, [ZeroDivisionError("no such luck")])
    await post(store, message())
    box = outbox(receiver, store, clock)
    with capture_logs() as logs:
        await box.drain(PATIENCE)
    assert any(entry["log_level"] == "error" and entry.get("exc_info") for entry in logs)
    await clock.drive(T0 + timedelta(seconds=LAST_PAUSE))
    await box.drain(PATIENCE)
    assert receiver.got == [("opened", 1), ("opened", 2)]


async def test_a_commit_wakes_the_outbox_at_once(store: SqlStore, clock: DrivenClock) -> None:
    receiver = Receiver(DESK)
    box = outbox(receiver, store, clock)
    async with running(box):
        await eventually(lambda: clock.next_due() is not None)  # it has found nothing, and rests
        await post(store, message())
        box.wake()
        await eventually(lambda: receiver.got == [("opened", 1)])
    assert clock.now() == T0


async def test_what_was_put_off_is_tried_when_it_is_due_not_at_the_next_look(
    store: SqlStore, clock: DrivenClock
) -> None:
    receiver = Receiver(DESK, [BUSY])
    await post(store, message())
    async with running(outbox(receiver, store, clock)):
        await eventually(lambda: clock.next_due() is not None)
        due = clock.next_due()
        assert due is not None
        assert due < T0 + timedelta(seconds=POLL)
        await clock.drive(due)
        await eventually(lambda: receiver.got == [("opened", 1), ("opened", 2)])


async def test_what_an_earlier_run_put_off_is_found_without_being_woken(store: SqlStore, clock: DrivenClock) -> None:
    await post(store, message())
    await outbox(Receiver(DESK, [BUSY]), store, clock).drain(PATIENCE)
    receiver = Receiver(DESK)
    async with running(outbox(receiver, store, clock)):
        await eventually(lambda: clock.next_due() is not None)
        await clock.drive(T0 + timedelta(seconds=POLL))
        await eventually(lambda: receiver.got == [("opened", 2)])


async def test_a_dead_target_does_not_delay_another(store: SqlStore, clock: DrivenClock) -> None:
    dead, alive = Receiver(DESK, hung=True), Receiver(PAGER)
    await post(store, *(message(number=number, target=target) for number in range(5) for target in (DESK, PAGER)))
    async with running(outbox(dead, store, clock), outbox(alive, store, clock)):
        await eventually(lambda: len(alive.got) == 5)
    assert len(dead.got) == 1


async def test_after_a_crash_the_next_try_knows_that_it_may_repeat_one(store: SqlStore, clock: DrivenClock) -> None:
    dying = Receiver(DESK, hung=True)
    await post(store, message())
    async with running(outbox(dying, store, clock)):
        await eventually(lambda: dying.got == [("opened", 1)])
    target = LogTarget(DESK)
    with capture_logs() as logs:
        await outbox(target, store, clock).drain(PATIENCE)
    assert "This may repeat an earlier message." in logs[0]["event"]


async def test_draining_ends_in_its_time_and_what_is_left_waits_in_the_store(
    store: SqlStore, clock: DrivenClock
) -> None:
    await post(store, message())
    assert not await outbox(Receiver(DESK, hung=True), store, clock).drain(0.05)
    assert await left(store) == 1


async def test_an_accepted_message_is_not_sent_again_because_the_database_was_away(
    store: SqlStore, clock: DrivenClock
) -> None:
    receiver = Receiver(DESK)
    await post(store, message())
    moody = Moody(store, {2: StoreError("disk full"), 3: StoreError("disk full")})  # 1 counts the try, 2 notes its end
    draining = asyncio.create_task(outbox(receiver, moody, clock).drain(PATIENCE))  # type: ignore[arg-type]  # the part of a store that is used
    while not draining.done():
        await clock.drive(clock.now() + timedelta(seconds=1))
        await asyncio.sleep(0.001)
    assert await draining
    assert receiver.got == [("opened", 1)]
    assert await left(store) == 0


async def test_who_lost_the_database_to_another_stops(store: SqlStore, clock: DrivenClock) -> None:
    receiver = Receiver(DESK)
    await post(store, message())
    moody = Moody(store, {1: OwnershipLost("another owns it")})
    with pytest.raises(OwnershipLost):
        await outbox(receiver, moody, clock).run()  # type: ignore[arg-type]  # the part of a store that is used
    assert receiver.got == []


async def test_the_log_tells_an_incident_in_words(store: SqlStore, clock: DrivenClock) -> None:
    await post(store, message(), message(Change.RESOLVED, minute=1))
    with capture_logs() as logs:
        await clock.drive(T0 + timedelta(minutes=1))
        await outbox(LogTarget(DESK), store, clock).drain(PATIENCE)
    assert [(entry["log_level"], entry["event"].splitlines()[0]) for entry in logs] == [
        ("warning", "[HIGH] Bad news is surging: acme"),
        ("info", "[OVER] Bad news has calmed: acme"),
    ]
    assert "repeat" not in logs[0]["event"]


@given(st.integers(1, 10_000), st.integers())
def test_pauses_grow_to_a_bound_and_are_never_negative(attempt: int, seed: int) -> None:
    pause = backoff(attempt, Random(seed)).total_seconds()
    assert 0.0 <= pause <= min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 30))
