"""`newsquake run` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

START = 60.0  # seconds; generous, as below, for a busy machine: nothing is asserted about speed here


SETTLING = 120.0  # seconds in which what was set in motion must have happened


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Daemon:
    """Starts, kills and asks one daemon."""

    def __init__(self, config: Path, port: int) -> None:
        self.config = config
        self.address = f"http://127.0.0.1:{port}"
        self.token: str | None = None  # what requests bear
        self.environment: dict[str, str] = {}  # beside our own
        self.log = config.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def command(self) -> list[str]:
        return [str(Path(sys.executable).with_name("newsquake")), "run", "-c", str(self.config)]

    def start(self, *, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                env={**os.environ, "DESK_SECRET": "whsec_dGVzdHMgb2YgbmV3c3F1YWtl", **self.environment},
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, f"the daemon ended:\n{self.tail()}"
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready after {START} s:\n{self.tail()}")

    def kill(self) -> None:
        """Kill it as a power cut would: no chance to do anything. One that has ended by itself is a failure."""
        assert self._process is not None
        assert self._process.poll() is None, f"the daemon ended:\n{self.tail()}"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self, within: float = START) -> int:
        """Ask it to stop, and return its exit code; raise TimeoutExpired where it takes more seconds than `within`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=within)

    def wait(self, within: float = START) -> int:
        """Return its exit code once it has ended by itself."""
        assert self._process is not None
        return self._process.wait(timeout=within)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self) -> None:
        """Make sure that nothing is left behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:])

    def metric(self, begins: str) -> float:
        """Return the sum of the samples whose line begins so: a name, or a name with its labels."""
        lines: list[str] = self.get("/metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(begins))

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask(urllib.request.Request(self.address + path))

    def post(self, path: str, value: object) -> tuple[int, Any]:
        return self.send(path, json.dumps(value).encode(), "application/json")

    def send(self, path: str, body: bytes, kind: str) -> tuple[int, Any]:
        """Post bytes as they are, said to be of a kind."""
        return self._ask(urllib.request.Request(self.address + path, body, {"Content-Type": kind}, method="POST"))

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())


def until(daemon: Daemon, happened: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + SETTLING
    while not happened():
        assert time.monotonic() < deadline, daemon.tail()
        time.sleep(0.1)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()
