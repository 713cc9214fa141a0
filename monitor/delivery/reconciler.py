"""Showing a receiver, again and again, how things stand: for one that forgets what it is not shown any more.

Every minute the board is shown every incident that it was told of and that is open, or over for a short while only.
What the outbox has for it is a reason to show one incident at once, as it is by then: so nothing old is shown after
something newer, and a message is Sent when what it tells has been accepted. Both read the store, so neither a restart
of ours nor one of the board's loses anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from monitor.core.alerts import AFTERGLOW
from monitor.errors import StoreError
from monitor.ports import Board, Case, Clock, Delivery, Retry, Sent, Store
from monitor.telemetry import Telemetry
from monitor.types import Message, TargetId

EVERY = 60.0  # seconds between two rounds
REFUSED = "database"


class Reconciler:
    """A board as a target of the outbox, and the loop that shows it everything."""

    def __init__(self, board: Board, *, store: Store, clock: Clock, telemetry: Telemetry, every: float = EVERY) -> None:
        """`every` is in seconds."""
        self._board = board
        self._store = store
        self._clock = clock
        self._every = every
        self._rounds = {outcome: telemetry.reconciliations.labels(board.id, outcome) for outcome in ("ok", "failed")}
        self._log = structlog.get_logger().bind(target=board.id)
        self._turn = asyncio.Lock()  # from reading to the board's answer: what is read later is shown later

    @property
    def id(self) -> TargetId:
        return self._board.id

    async def send(self, message: Message, attempt: int) -> Delivery:  # noqa: ARG002 - what stands is shown anew
        """Show the message's incident, as it is now."""

        async def own() -> Sequence[Case]:
            case = await self._store.case(self.id, message.incident.id)
            return () if case is None else (case,)

        return await self._show(own)

    async def run(self) -> None:
        """Show everything, for ever. A round that fails is told; the next one follows all the same."""
        while True:
            delivery = await self._show(lambda: self._store.cases(self.id, self._clock.now() - AFTERGLOW))
            self._rounds["ok" if isinstance(delivery, Sent) else "failed"].inc()
            if not isinstance(delivery, Sent):
                self._log.warning("what stands could not be shown", reason=delivery.reason, seconds=self._every)
            await self._clock.sleep(self._every)

    async def close(self) -> None:
        """Let go of the board's connections."""
        await self._board.close()

    async def _show(self, read: Callable[[], Awaitable[Sequence[Case]]]) -> Delivery:
        async with self._turn:
            try:
                cases = await read()
            except StoreError as error:
                self._log.warning("the database refused", error=str(error))
                return Retry(REFUSED)
            return await self._board.show(cases, self._clock.now())
