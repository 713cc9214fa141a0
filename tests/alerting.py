"""A real Prometheus and a real Alertmanager on loopback, and somebody behind it who is notified."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.process.daemon import free_port
from tests.process.news import Handler, serving

SERVERS = Path(__file__).parent / "servers"
PATIENCE = 60.0  # seconds; generous, for a busy machine: nothing is asserted about speed


def required(program: str) -> str:
    """Return where a program is. Skip where it is not installed; fail where servers are required."""
    found = shutil.which(program)
    if found is None:
        assert not os.environ.get("NEWSQUAKE_REQUIRE_SERVERS"), f"{program} is required here, and is not in the path"
        pytest.skip(f"{program} is not installed (tests/servers/install)")
    return found


def until(happened: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + patience
    while not (found := happened()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def script(name: str, *arguments: object) -> str:
    command = [str(each) for each in (SERVERS / name, *arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=90)
    return done.stdout.strip()


class Pager:
    """Who is notified by Alertmanager: keeps each alert of each notification, firing or resolved."""

    def __init__(self) -> None:
        self.notified: list[dict[str, Any]] = []

    def got(self, status: str, **labels: str) -> list[dict[str, Any]]:
        """Return the alerts of a status, `firing` or `resolved`, that have these labels, one for each notification."""
        return [each for each in self.notified if each["status"] == status and labels.items() <= each["labels"].items()]

    @contextmanager
    def open(self) -> Iterator[str]:
        with serving(PagerHandler, pager=self) as address:
            yield address


class PagerHandler(Handler):
    pager: Pager

    def do_POST(self) -> None:  # noqa: N802 - the parent's name
        self.pager.notified += json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"]
        self.answer(200)


CONFIG = """\
route:
  receiver: pager
  group_by: ["..."]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: pager
    webhook_configs: [{{url: "{pager}"}}]
"""


class Alertmanager:
    """One server with a port of its own, which may be killed and started again."""

    def __init__(self, folder: Path, pager: str) -> None:
        self._folder = folder / "alertmanager"
        self._config = folder / "alertmanager.yml"
        self._config.write_text(CONFIG.format(pager=pager), encoding="utf-8")
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        script("alertmanager", "start", self._folder, self._config, self._port)

    def kill(self, *, forget: bool = False) -> None:
        """Kill it as a power cut would, and let its disk be lost too where it is to forget."""
        script("alertmanager", "kill", self._folder)
        if forget:
            shutil.rmtree(self._folder)

    def stop(self) -> None:
        script("alertmanager", "stop", self._folder)

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are active, by its own account."""
        found: list[dict[str, Any]] = asked(f"{self.url}/api/v2/alerts")
        return found


@contextmanager
def alertmanager(folder: Path) -> Iterator[tuple[Alertmanager, Pager]]:
    """Run an Alertmanager that notifies a pager of each alert apart, a second after it has changed."""
    required("prometheus-alertmanager")
    pager = Pager()
    with pager.open() as address:
        server = Alertmanager(folder, address)
        server.start()
        try:
            yield server, pager
        finally:
            server.stop()


@contextmanager
def prometheus(folder: Path, config: str) -> Iterator[str]:
    """Run a Prometheus with this configuration; yields its address."""
    required("prometheus")
    file = folder / "prometheus.yml"
    file.write_text(config, encoding="utf-8")
    address = script("prometheus", "start", folder / "prometheus", file)
    try:
        yield address
    finally:
        script("prometheus", "stop", folder / "prometheus")
