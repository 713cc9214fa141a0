"""Bringing the outbox's messages to a target: tried until accepted, rejected or expired, one loop for each target.

The loops share nothing, so a dead target delays only its own messages. The store lets a message wait behind the
earlier ones of its incident, so an end never overtakes its beginning.

A try is counted, in a commit of its own, before it is made. Where the daemon dies between a target's acceptance and
our noting it, the next try therefore knows that it may repeat one, and a target that does not honour keys says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TypeVar

import structlog

from monitor.patience import Patience
from monitor.ports import Clock, Delivery, Pending, Rejected, Retry, Sent, Store, Target, Transaction
from monitor.telemetry import Telemetry

BATCH = 50  # messages looked up at once
POLL = 30.0  # seconds between two looks where nothing wakes us: what an earlier run put off is found so
FIRST_PAUSE, LAST_PAUSE = 1.0, 300.0  # seconds between two tries of a message
EXPIRED = "expired"
FAULT = "fault"

T = TypeVar("T")

log = structlog.get_logger()


def backoff(attempt: int, random: Random) -> timedelta:
    """Return how long to wait after a failed attempt (1 for the first).

    Exponential with full jitter: anything up to a bound that doubles from FIRST_PAUSE to LAST_PAUSE
    (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    bound = min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 30))
    return timedelta(seconds=random.uniform(0.0, bound))


class Outbox:
    """The messages of one target on their way."""

    def __init__(self, *, target: Target, store: Store, clock: Clock, random: Random, telemetry: Telemetry) -> None:
        self._target = target
        self._store = store
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._log = log.bind(target=target.id)
        telemetry.expect_target(target.id)
        self._patience = Patience("outbox", clock=clock, telemetry=telemetry)
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._undelivered: set[str] = set()  # keys of the messages that this run has put off
        self._next: datetime | None = None  # when the first message that this run put off is due

    @property
    def undelivered(self) -> int:
        """How many messages this run has tried in vain and will try again."""
        return len(self._undelivered)

    def wake(self) -> None:
        """Look at once: something has been posted."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver for ever. Ends only by OwnershipLost, or cancelled; what is under way then is tried again."""
        while True:
            self._woken.clear()
            if not await self._round():
                await self._rest()

    @asynccontextmanager
    async def between_rounds(self) -> AsyncIterator[None]:
        """Wait until nothing is being sent, and let nothing be sent while the block runs."""
        async with self._turn:
            yield

    async def drain(self, timeout: float) -> bool:
        """Deliver what is due, for `timeout` seconds at most. Return whether nothing that was due is left.

        What is left stays in the store for the next start.
        """
        try:
            async with asyncio.timeout(timeout):
                while await self._round():
                    pass
        except TimeoutError:
            return False
        return True

    async def _round(self) -> bool:
        """Try each message that is due once; return whether there was one."""
        async with self._turn:
            now = self._clock.now()
            if self._next is not None and self._next <= now:
                self._next = None
            due = await self._patience.insist(lambda: self._store.pending(self._target.id, now, BATCH))
            for pending in due:
                await self._deliver(pending)
            return bool(due)

    async def _rest(self) -> None:
        """Wait until woken, until a message that was put off is due, or for POLL seconds."""
        seconds = POLL
        if self._next is not None:
            seconds = min(POLL, max(0.0, (self._next - self._clock.now()).total_seconds()))
        waits = [
            asyncio.ensure_future(self._woken.wait()),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _deliver(self, pending: Pending) -> None:
        message = pending.message
        if message.expires <= self._clock.now():
            await self._settle(pending, Rejected(EXPIRED))
            return
        await self._commit(lambda transaction: transaction.attempt(message.key, message.target))
        await self._settle(pending, await self._send(pending))

    async def _send(self, pending: Pending) -> Delivery:
        try:
            return await self._target.send(pending.message, pending.attempts + 1)
        except Exception:  # noqa: BLE001 - a message that trips its target must not stop the daemon; it is told here
            self._log.exception("the target failed in an unforeseen way", message=pending.message.key)
            return Retry(FAULT)

    async def _settle(self, pending: Pending, delivery: Delivery) -> None:
        message, now = pending.message, self._clock.now()
        if isinstance(delivery, Retry):
            self._undelivered.add(message.key)
        else:
            self._undelivered.discard(message.key)
        if isinstance(delivery, Sent):
            outcome = "sent"
            await self._commit(lambda transaction: transaction.delivered(message.key, message.target, now))
        elif isinstance(delivery, Retry):
            outcome = "retry"
            pause = max(backoff(pending.attempts + 1, self._random), delivery.after or timedelta(0))
            due = message.expires if message.expires - now < pause else now + pause
            self._next = due if self._next is None else min(self._next, due)
            self._log.warning("not delivered yet", message=message.key, reason=delivery.reason, due=due.isoformat())
            await self._commit(lambda transaction: transaction.retry(message.key, message.target, due, delivery.reason))
        else:
            outcome = EXPIRED if delivery.reason == EXPIRED else "rejected"
            self._log.error("given up", message=message.key, reason=delivery.reason)
            await self._commit(
                lambda transaction: transaction.reject(message.key, message.target, now, delivery.reason)
            )
        self._telemetry.deliveries.labels(self._target.id, outcome).inc()

    async def _commit(self, change: Callable[[Transaction], Awaitable[None]]) -> None:
        """Note a change, however long it takes: an accepted message is not sent again for want of a note."""
        await self._patience.insist(partial(self._try_commit, change))

    async def _try_commit(self, change: Callable[[Transaction], Awaitable[None]]) -> None:
        async with self._store.transaction() as transaction:
            await change(transaction)
