"""Telling systemd how the service fares, by the protocol of sd_notify(3): a datagram of `KEY=VALUE` lines.

Where nobody listens (`NOTIFY_SOCKET` is not set) nothing is told. What cannot be told is never a reason to stop.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from monitor.ports import Clock

SHARE = 3  # signs of life in each span of the watchdog's: two may be late

log = structlog.get_logger()


class ServiceManager:
    """The other end of the socket. A watchdog that hears nothing for its span kills and restarts the service."""

    def __init__(self, address: str | None, *, watchdog: timedelta | None = None) -> None:
        """`address` is a path, or a name that begins with @ for an abstract socket; None where nobody listens."""
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._watchdog = watchdog

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> ServiceManager:
        """Return the one that the environment names. A watchdog that is meant for another process is none of ours."""
        span, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID")
        ours = span.isdigit() and int(span) > 0 and process in (None, str(os.getpid()))
        watchdog = timedelta(microseconds=int(span)) if ours else None
        return cls(environment.get("NOTIFY_SOCKET") or None, watchdog=watchdog)

    def ready(self, status: str) -> None:
        """Everything is up, for the first time or again; `status` is what `systemctl status` shows."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """A stop has begun."""
        self._tell("STOPPING=1", "STATUS=finishing what is under way")

    @asynccontextmanager
    async def watched(self, clock: Clock) -> AsyncIterator[None]:
        """Give signs of life as long as the block runs and the event loop turns."""
        if self._address is None or self._watchdog is None:
            yield
            return
        beating = asyncio.create_task(self._beat(clock, self._watchdog / SHARE), name="watchdog")
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait([beating])

    async def _beat(self, clock: Clock, pause: timedelta) -> None:
        while True:
            self._tell("WATCHDOG=1")
            await clock.sleep(pause.total_seconds())

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as wire:
                wire.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("the service manager could not be told", told=lines[0], error=str(error))
