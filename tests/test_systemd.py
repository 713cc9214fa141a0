"""What systemd hears, over real sockets."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from monitor.systemd import ServiceManager
from tests.fakes import FakeClock

SPAN = timedelta(seconds=30)


@pytest.fixture(params=["path", "abstract"])
def heard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket as systemd opens it, and the name it gives to the service."""
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("only Linux has abstract sockets")
    name = str(tmp_path / "notify") if request.param == "path" else f"@newsquake-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        listener.setblocking(False)
        yield name, listener


def words(listener: socket.socket) -> list[str]:
    told = []
    while True:
        try:
            told.append(listener.recv(4096).decode())
        except BlockingIOError:
            return told


def test_a_life_is_told_from_start_to_end(heard: tuple[str, socket.socket]) -> None:
    name, listener = heard
    manager = ServiceManager.of({"NOTIFY_SOCKET": name})
    manager.ready("3 sources")
    manager.reloading()
    manager.ready("4 sources")
    manager.stopping()
    first, second, third, last = words(listener)
    assert first == "READY=1\nSTATUS=3 sources"
    assert second.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert third == "READY=1\nSTATUS=4 sources"
    assert last.startswith("STOPPING=1\n")


async def test_the_watchdog_is_fed_thrice_in_its_span_while_the_loop_turns(heard: tuple[str, socket.socket]) -> None:
    name, listener = heard
    clock = FakeClock()
    manager = ServiceManager.of({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())})
    async with manager.watched(clock):
        await clock.advance(SPAN)
        assert words(listener) == ["WATCHDOG=1"] * 4  # at once, and every ten seconds
    await clock.advance(SPAN)
    assert words(listener) == []


@pytest.mark.parametrize(
    "more", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}]
)
async def test_a_watchdog_that_is_not_ours_is_not_fed(heard: tuple[str, socket.socket], more: dict[str, str]) -> None:
    name, listener = heard
    clock = FakeClock()
    async with ServiceManager.of({"NOTIFY_SOCKET": name, **more}).watched(clock):
        await clock.advance(SPAN)
    assert words(listener) == []


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}])
async def test_where_nobody_listens_nothing_is_told(environment: dict[str, str]) -> None:
    manager = ServiceManager.of({**environment, "WATCHDOG_USEC": "1000"})
    async with manager.watched(FakeClock()):
        with capture_logs() as logs:
            manager.ready("up")
    assert logs == []


def test_a_service_manager_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    with capture_logs() as logs:
        ServiceManager.of({"NOTIFY_SOCKET": str(tmp_path / "gone")}).stopping()
    assert [(each["event"], each["told"]) for each in logs] == [("the service manager could not be told", "STOPPING=1")]
