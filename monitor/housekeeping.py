"""The daemon's care for its database: opened with patience, pruned by and by, no message left waiting for nobody."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial

import structlog

from monitor.errors import OwnershipLost, StoreAway, StoreError
from monitor.patience import Patience
from monitor.ports import Clock
from monitor.store.operations import prune, upgrade
from monitor.store.repository import SqlStore
from monitor.telemetry import Telemetry
from monitor.types import TargetId

EVERY = timedelta(hours=6)  # between two rounds

log = structlog.get_logger()


async def open_store(url: str, clock: Clock, telemetry: Telemetry) -> SqlStore:
    """Open the database and wait for a server that is away; a SQLite file is brought up to date first.

    Raise ConfigurationError or StoreError for what no patience mends: another schema, a wrong password, no such
    database.
    """
    if url.startswith("sqlite:"):
        await upgrade(url)
    patience = Patience("start", clock=clock, telemetry=telemetry, worth=StoreAway)
    return await patience.insist(partial(SqlStore.open, url, clock))


class Housekeeping:
    """What is done to the database every few hours."""

    def __init__(
        self,
        *,
        store: SqlStore,
        clock: Clock,
        telemetry: Telemetry,
        retention: Callable[[], timedelta],
        targets: Callable[[], Collection[TargetId]],
    ) -> None:
        """`retention` is how long texts are kept; `targets` are those that are configured."""
        self._store = store
        self._clock = clock
        self._refusals = telemetry.store_refusals.labels("retention")
        self._retention = retention
        self._targets = targets

    async def run(self) -> None:
        """Work for ever. What the database refuses now is done another time."""
        while True:
            try:
                await self.look_after_messages()
                await prune(self._store, before=self._clock.now() - self._retention())
            except OwnershipLost:
                raise
            except StoreError as error:
                self._refusals.inc()
                log.warning("the database refused to be tidied up; it is tried again later", error=str(error))
            await self._clock.sleep(EVERY.total_seconds())

    async def look_after_messages(self) -> None:
        """Tell of messages that wait for a target which is not configured any more; give up those past their time.

        Until then they wait: a target that was taken out by mistake and comes back loses nothing.
        """
        configured = self._targets()
        async with self._store.transaction() as transaction:
            expired = await transaction.expire(configured, self._clock.now())
        for target, messages in expired.items():
            log.error("given up: the target is not configured any more", target=target, messages=messages)
        for target, messages in (await self._store.stranded(configured)).items():
            log.warning("messages wait for a target that is not configured", target=target, messages=messages)
