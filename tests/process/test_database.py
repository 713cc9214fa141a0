"""A daemon whose database is away, cut off, owned by another or out of room: it says so, loses nothing, and goes on."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.process.command import PROGRAM, newsquake, refused
from tests.process.daemon import START, Daemon, free_port
from tests.process.servers import Server, postgresql

pytestmark = [pytest.mark.process, pytest.mark.model]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgresql() as running:
        yield running


def house(folder: Path, url: str) -> Daemon:
    """Write a configuration; the daemon on it is not started yet."""
    port = free_port()
    config = folder / "newsquake.toml"
    config.write_text(f'[api]\nbind = "127.0.0.1:{port}"\n[store]\nurl = "{url}"\n', encoding="utf-8")
    return Daemon(config, port)


def until(daemon: Daemon, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START
    while not holds():
        assert time.monotonic() < deadline, daemon.tail()
        time.sleep(0.1)


def said(daemon: Daemon, *words: str) -> bool:
    return all(word in daemon.log.read_text(encoding="utf-8") for word in words)


def refusals(daemon: Daemon) -> float:
    """Return how often the database refused a unit or a tick."""
    _, metrics = daemon.get("/metrics")
    (line,) = [line for line in metrics.splitlines() if line.startswith('newsquake_store_refusals_total{part="watch"}')]
    return float(line.split()[1])


@contextmanager
def pushing(daemon: Daemon, title: str) -> Iterator[list[tuple[int, object]]]:
    """Push an article, and wait for the answer only at the end of the block."""
    answers: list[tuple[int, object]] = []
    thread = threading.Thread(
        target=lambda: answers.append(daemon.post("/api/v1/articles", {"articles": [{"title": title}]}))
    )
    thread.start()
    yield answers
    thread.join(timeout=START)


def stored(daemon: Daemon) -> int:
    (push,) = [each for each in daemon.get("/api/v1/sources")[1]["sources"] if each["id"] == "push"]
    return int(push["ledger"]["stored"])


def test_a_server_that_is_away_is_waited_for_at_the_start_and_later(server: Server, tmp_path: Path) -> None:
    daemon = house(tmp_path, server.address)
    away = ("the database refused; trying again until it accepts", "cannot be reached", "part=start")
    try:
        server.kill()
        daemon.start(wait=False)
        until(daemon, lambda: said(daemon, *away))
        assert daemon.stop() == 0, "a stop is obeyed while it waits"
        daemon.start(wait=False)
        server.start()
        daemon.wait_ready()
        assert daemon.post("/api/v1/articles", {"articles": [{"title": "Acme Bank opens an office"}]})[0] == 200

        server.kill()
        with pushing(daemon, "Acme Bank closes an office") as answers:
            until(daemon, lambda: daemon.get("/readyz")[0] == 503)
            assert "cannot be reached" in str(daemon.get("/readyz")[1])
            status, answer = daemon.get("/api/v1/articles")
            assert (status, answer["error"]["message"].startswith(server.address)) == (503, True)
            assert daemon.get("/healthz")[0] == 200
            assert refusals(daemon) >= 0
            assert answers == [], "a push is answered after its commit"
            server.start()
        assert [status for status, _ in answers] == [200]
        until(daemon, lambda: daemon.get("/readyz")[0] == 200)
        assert stored(daemon) == 2
        assert said(daemon, "the database accepts again")

        message = refused("run", folder=second_house(tmp_path, server.address), code=1)
        assert f": process {daemon.pid} on " in message
        assert "is using this database; stop it first" in message
        for command in (["upgrade"], ["restore", "--force", "copy.db"]):
            newsquake("db", "backup", "copy.db", folder=tmp_path)
            ended = newsquake("db", *command, folder=tmp_path)
            assert ended.code == (0 if command == ["upgrade"] else 1), ended
        assert f": process {daemon.pid} on " in ended.err
        assert daemon.stop() == 0, daemon.tail()
        assert not said(daemon, "Traceback"), daemon.tail()
    finally:
        daemon.end()


def second_house(folder: Path, url: str) -> Path:
    (second := folder / "second").mkdir()
    house(second, url)
    return second


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://nobody@{host}/postgres", 'the server refuses this user (role "nobody" does not exist)'),
        ("postgresql://postgres@{host}/nowhere", 'there is no such database (database "nowhere" does not exist)'),
    ],
)
def test_what_no_patience_mends_is_told_at_once(server: Server, tmp_path: Path, url: str, reason: str) -> None:
    address = url.format(host=server.address.split("@")[1].split("/")[0])
    house(tmp_path, address)
    assert refused("run", folder=tmp_path, code=1) == f"{address}: {reason}"


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    daemon = house(tmp_path, f"sqlite:///{tmp_path}/newsquake.db")
    try:
        daemon.start()
        assert daemon.post("/api/v1/articles", {"articles": [{"title": "Acme Bank opens an office"}]})[0] == 200
        written = (tmp_path / "newsquake.db-wal").stat().st_size
        _, most = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (written, most))  # what is there may not grow any more
        with pushing(daemon, "Acme Bank closes an office") as answers:
            until(daemon, lambda: daemon.get("/readyz")[0] == 503)
            assert "is it full" in str(daemon.get("/readyz")[1])
            assert refusals(daemon) > 0
            assert answers == [], "a push is answered after its commit"
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (most, most))
        assert [status for status, _ in answers] == [200]
        assert stored(daemon) == 2
        assert daemon.get("/readyz")[0] == 200
        assert daemon.stop() == 0, daemon.tail()
        assert not said(daemon, "Traceback"), daemon.tail()
    finally:
        daemon.end()


SMALL = ("bash", "-c", 'ulimit -f 64; exec "$@"', "--")  # no file may be larger than 64 KiB


def test_a_copy_that_finds_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    house(tmp_path, f"sqlite:///{tmp_path}/newsquake.db")
    assert newsquake("db", "upgrade", folder=tmp_path).code == 0
    message = refused("db", "backup", "copy.db", folder=tmp_path, code=1, prefix=SMALL)
    assert message.startswith("copy.db: the disk ")
    assert sorted(path.name for path in tmp_path.glob("copy*")) == []


def test_output_that_finds_no_room_is_told_plainly(tmp_path: Path) -> None:
    rows = "\n".join(f"2024-01-01T{hour:02}:{minute:02}:00,3" for hour in range(24) for minute in range(60))
    (tmp_path / "counts.csv").write_text(f"timestamp,value\n{rows}\n")
    with Path("/dev/full").open("wb") as full:
        for arguments in (["detect", "counts.csv"], ["--version"]):
            ended = subprocess.run(
                [PROGRAM, *arguments], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False
            )
            assert ended.returncode == 1
            assert ended.stderr == b"newsquake: the output cannot be written (No space left on device)\n"


def test_a_reader_that_has_heard_enough_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text("timestamp,value\n2024-01-01,3\n2024-01-02,3\n")
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [PROGRAM, "detect", "counts.csv"], cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, b"")
