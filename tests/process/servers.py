"""Servers of one's own, that a test may kill and start again on the same data and port."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from monitor.store.operations import upgrade

SCRIPTS = Path(__file__).parents[1] / "servers"


class Server:
    """One server, run by a script of `tests/servers`; what that prints at the start is the server's address."""

    def __init__(self, script: str, folder: Path) -> None:
        self._script = SCRIPTS / script
        self.folder = folder
        self.address = self._run("start")

    def kill(self) -> None:
        """Kill it as a crash would: no chance to do anything."""
        self._run("kill")

    def start(self) -> None:
        """Start it again, on the same data and port; returns when it answers."""
        assert self._run("start") == self.address

    def stop(self) -> None:
        self._run("stop")

    def _run(self, command: str) -> str:
        done = subprocess.run([self._script, command, self.folder], check=False, stdout=subprocess.PIPE, text=True)
        assert done.returncode == 0, f"tests/servers/{self._script.name} {command} failed"
        return done.stdout.strip()


@contextmanager
def postgresql() -> Iterator[Server]:
    """Give a PostgreSQL whose one database has newsquake's schema; skip where it is not installed."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        lacking("PostgreSQL is not installed")
    with _server("postgresql") as server:
        asyncio.run(upgrade(server.address))
        yield server


@contextmanager
def kafka() -> Iterator[Server]:
    """Give a Kafka broker without topics; skip where its jars are not there."""
    cache = os.environ.get("NEWSQUAKE_SERVERS", Path.home() / ".cache/newsquake/servers")
    if not list(Path(cache).glob("kafka/kafka_*.jar")) or shutil.which("java") is None:
        lacking("Kafka is not installed")
    with _server("kafka") as server:
        yield server


@contextmanager
def _server(script: str) -> Iterator[Server]:
    with TemporaryDirectory(prefix="newsquake-") as folder:
        Path(folder).chmod(0o755)  # a server may run as a user of its own
        server = Server(script, Path(folder) / script)
        try:
            yield server
        finally:
            server.stop()


def lacking(reason: str) -> None:
    """Skip a test for want of a server; where servers are required, fail."""
    if os.environ.get("NEWSQUAKE_REQUIRE_SERVERS"):
        pytest.fail(f"{reason}; tests/servers/install installs it")
    pytest.skip(reason)
