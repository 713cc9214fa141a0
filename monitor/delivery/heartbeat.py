"""A sign of life for whoever watches the daemon without Prometheus: a GET, again and again, while it is well.

The other side (healthchecks.io, Uptime Kuma, Dead Man's Snitch, …) raises the alarm when none comes any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from monitor.net import Answer, NetError
from monitor.ports import Clock
from monitor.telemetry import Telemetry

log = structlog.get_logger()


class Getter(Protocol):
    """The part of `net.HttpClient` that is needed here."""

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Fetch a URL. Raises NetError where no complete answer came."""
        ...


class Heartbeat:
    """Calls a URL every so many seconds while the daemon is well; where it is not, it keeps still.

    The URL appears in nothing that this object says: whoever knows it can feign our life.
    """

    def __init__(
        self,
        url: str,
        *,
        every: float,
        well: Callable[[], bool],
        client: Getter,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._url = url
        self._every = every
        self._well = well
        self._client = client
        self._clock = clock
        self._beats = {name: telemetry.heartbeats.labels(name) for name in ("sent", "failed", "withheld")}

    async def run(self) -> None:
        """Beat for ever. One that fails is told, and the next one follows in its time."""
        while True:
            outcome = await self._beat() if self._well() else "withheld"
            self._beats[outcome].inc()
            await self._clock.sleep(self._every)

    async def _beat(self) -> str:
        try:
            answer = await self._client.get(self._url)
        except NetError as error:
            log.warning("the heartbeat did not arrive", reason=error.reason.value)
            return "failed"
        if 200 <= answer.status < 300:
            return "sent"
        log.warning("the heartbeat was not accepted", status=answer.status)
        return "failed"
