"""Tokens from end to end: the command makes them, a running daemon asks for them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.command import newsquake, refused
from tests.process.daemon import START, Daemon, free_port

pytestmark = [pytest.mark.process, pytest.mark.model]

READ, PUSH = "/api/v1/sources", "/api/v1/articles"


class House:
    """A folder with a configuration, its daemon, and the command beside it."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        port = free_port()
        self.folder = folder
        self.config = folder / "newsquake.toml"
        self.config.write_text(f'[api]\nbind = "{host}:{port}"\n', encoding="utf-8")
        self.daemon = Daemon(self.config, port)

    def create(self, *options: str) -> tuple[str, str]:
        """Make a token; return its id and its secret."""
        ended = newsquake("token", "create", "--name", "Ann's desk", *options, folder=self.folder)
        assert ended.code == 0, ended
        named = re.match(r"token ([0-9a-f]{8}) \(Ann's desk\) opens ", ended.err)
        assert named, ended.err
        assert re.fullmatch(r"nq_[0-9a-f]{64}\n", ended.out)
        return named[1], ended.out.strip()

    def listed(self) -> list[list[str]]:
        ended = newsquake("token", "list", folder=self.folder)
        assert ended.code == 0, ended
        return [line.split()[:3] for line in ended.out.splitlines()[1:]]

    def until(self, path: str, code: int) -> None:
        """Wait until the daemon answers with this code."""
        deadline = time.monotonic() + START
        while self.daemon.get(path)[0] != code:
            assert time.monotonic() < deadline, self.daemon.get(path)
            time.sleep(0.2)

    def as_(self, token: str | None) -> Daemon:
        self.daemon.token = token
        return self.daemon


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.daemon.end()


def test_a_token_is_made_used_and_revoked_while_the_daemon_runs(house: House) -> None:
    house.daemon.start()
    assert house.daemon.get(READ)[0] == 200
    id_, secret = house.create("--scope", "read", "--expires", "90 days")
    house.until(READ, 401)
    assert house.as_(secret).get(READ)[0] == 200
    status, answer = house.daemon.post(PUSH, {"articles": []})
    assert (status, "scope write" in answer["error"]["message"]) == (403, True)
    _, writer = house.create("--scope", "write")
    house.as_(writer)
    deadline = time.monotonic() + START
    while house.daemon.post(PUSH, {"articles": [{"title": "A quiet day at the harbour"}]})[0] != 200:
        assert time.monotonic() < deadline
    ended = newsquake("token", "revoke", id_, folder=house.folder)
    assert (ended.code, ended.out.startswith(f"token {id_} (Ann's desk) is revoked since ")) == (0, True)
    house.as_(secret)
    house.until(READ, 401)
    assert [row[:2] for row in house.listed()] == [[id_, "revoked"], [house.listed()[1][0], "live"]]
    log = house.daemon.log.read_text(encoding="utf-8")
    assert f"token={id_}" in log
    assert "nq_" not in log


def test_a_token_that_expires_opens_nothing_any_more(house: House) -> None:
    _, short = house.create("--scope", "read", "--expires", "3 s")
    time.sleep(3)
    house.daemon.start()
    status, answer = house.as_(short).get(READ)
    assert (status, answer["error"]["message"]) == (401, "this token is expired")
    assert house.listed()[0][1:] == ["expired", "read"]


def test_others_may_reach_it_once_there_is_a_token(tmp_path: Path) -> None:
    house = House(tmp_path, host="0.0.0.0")
    message = refused("run", folder=tmp_path, code=2)
    assert "other machines can reach" in message
    assert "newsquake token create" in message
    id_, secret = house.create("--scope", "read", "--scope", "write")
    try:
        house.daemon.start()
        assert house.daemon.get(READ)[0] == 401
        assert house.as_(secret).get(READ)[0] == 200
        assert newsquake("token", "revoke", id_, folder=tmp_path).code == 0
        house.until(READ, 401)
        assert house.daemon.stop() == 0
    finally:
        house.daemon.end()
    assert "there is no token that is good" in refused("run", folder=tmp_path, code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["create", "--name", "a", "--scope", "read", "--expires", "soon"],
            2,
            "--expires: found 'soon'; expected",
        ),
        (["create", "--name", " ", "--scope", "read"], 2, "--name: found ' '; expected 1 to 64 characters"),
        (["create", "--name", "x" * 65, "--scope", "read"], 2, "expected 1 to 64 characters"),
        (["list"], 1, "the database is empty"),
        (["revoke", "1f2e3d4c"], 1, "the database is empty"),
    ],
)
def test_a_mistake_is_told_plainly(house: House, arguments: list[str], code: int, said: str) -> None:
    assert said in refused("token", *arguments, folder=house.folder, code=code)


def test_an_unknown_scope_or_token_is_told_plainly(house: House) -> None:
    ended = newsquake("token", "create", "--name", "a", "--scope", "all", folder=house.folder)
    assert (ended.code, "'all' is not one of" in ended.err) == (2, True)
    house.create("--scope", "admin")
    assert "there is no token '1f2e3d4c'" in refused("token", "revoke", "1f2e3d4c", folder=house.folder, code=1)
