"""The whole daemon under systemd's protocol: what the service manager hears over its life."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.process.daemon import START, Daemon, free_port

pytestmark = [pytest.mark.process, pytest.mark.model]

BEATS = 4  # signs of life in a row: the loop turns


class Manager:
    """systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.wire.bind(str(path))
        self.wire.settimeout(START)

    def hear(self, word: str) -> str:
        """Return the next message that begins with a word; signs of life may come between."""
        while (told := self.wire.recv(4096).decode()) == "WATCHDOG=1" != word:
            pass
        assert told.startswith(word), told
        return told


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    with closing(manager.wire):
        yield manager


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    port = free_port()
    config = tmp_path / "newsquake.toml"
    config.write_text(f'[api]\nbind = "127.0.0.1:{port}"\n', encoding="utf-8")
    daemon = Daemon(config, port)
    daemon.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
    yield daemon
    daemon.end()


def test_systemd_hears_of_start_reload_life_and_stop(daemon: Daemon, manager: Manager) -> None:
    daemon.start(wait=False)
    ready = manager.hear("READY=1")
    assert daemon.get("/readyz")[0] == 200, "it is ready when it says so"
    assert "STATUS=1 sources, 1 targets, model " in ready
    for _ in range(BEATS):
        manager.hear("WATCHDOG=1")

    text = daemon.config.read_text(encoding="utf-8")
    daemon.config.write_text(text + '[limits]\ndrain = "9 s"\nqueue = 999\n', encoding="utf-8")
    daemon.signal(signal.SIGHUP)
    manager.hear("RELOADING=1\nMONOTONIC_USEC=")
    manager.hear("READY=1")
    warnings = [line for line in daemon.tail().splitlines() if "needs a restart" in line]
    assert len(warnings) == 1, "the drain is taken up at once"
    assert "limits.queue" in warnings[0]

    assert daemon.stop() == 0
    manager.hear("STOPPING=1")


def test_a_daemon_that_cannot_start_never_says_that_it_is_ready(daemon: Daemon, manager: Manager) -> None:
    with socket.create_server(("127.0.0.1", int(daemon.address.rpartition(":")[2]))):
        daemon.start(wait=False)
        assert daemon.wait() == 1
    manager.wire.sendto(b"the end", manager.wire.getsockname())
    manager.hear("the end")  # and nothing before it but signs of life
