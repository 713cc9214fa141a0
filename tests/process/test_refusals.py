"""What a user does wrong before the daemon stands: one clear message, the right exit code, and no traceback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from monitor.scoring.references import BUILTIN
from tests.process.command import newsquake, refused
from tests.process.daemon import Daemon, free_port
from tests.process.news import Fixed, Newsroom, serving

pytestmark = pytest.mark.process

ANYWHERE = '[api]\nbind = "127.0.0.1:0"\n'
WATCHLIST = '[[company]]\nid = "acme"\nnames = ["Acme Bank", "Acme"]\n'
WEBHOOK = '[[target]]\nid = "desk"\nkind = "webhook"\nurl = "http://127.0.0.1:1/"\n'
FAILED, WRONG = 1, 2


def written(folder: Path, text: str, name: str = "newsquake.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def run_refused(folder: Path, text: str, code: int = WRONG, prefix: Sequence[str] = ()) -> str:
    written(folder, text)
    return refused("run", folder=folder, code=code, prefix=prefix)


# --- the configuration ---


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[store]\n[api\nbind = 3\n", ["newsquake.toml", "not valid TOML", "line 2"], id="broken TOML"),
        pytest.param(
            '[[source]]\nkind = "feed"\nid = "a"\nurl = "https://a.example/"\nintervall = "3 s"\n',
            ["newsquake.toml: source[0].intervall: unknown key", "did you mean 'interval'?"],
            id="unknown key",
        ),
        pytest.param("[stores]\n", ["stores: unknown key; did you mean 'store'?"], id="unknown table"),
        pytest.param(
            '[detect]\nfalse_alarms = "few"\n',
            ["detect.false_alarms: found 'few'", 'expected a budget such as "1 per week"'],
            id="wrong value",
        ),
        pytest.param(
            '[[route]]\ntargets = ["dest"]\n' + WEBHOOK,
            ["route[0].targets: there is no target 'dest'", "did you mean 'desk'?"],
            id="route to nowhere",
        ),
        pytest.param(
            WEBHOOK + 'secret = "env:NEWSQUAKE_TESTS_HAVE_NONE"\n',
            ["target 'desk': secret", "env:NEWSQUAKE_TESTS_HAVE_NONE", "the environment has no variable"],
            id="secret missing",
        ),
        pytest.param(
            '[api]\nbind = "0.0.0.0:0"\n',
            ["api.bind: found '0.0.0.0:0'", "other machines can reach", "newsquake token create"],
            id="bind for all the world",
        ),
        pytest.param(
            ANYWHERE + '[watchlist]\nfiles = ["absent.csv"]\n',
            ["absent.csv: cannot read the watchlist", "No such file"],
            id="watchlist missing",
        ),
        pytest.param(
            ANYWHERE + '[[source]]\nid = "past"\nkind = "archive"\npath = "past.jsonl"\n',
            ["past.jsonl: found no archive", "expected a file, folder or pattern of .jsonl"],
            id="archive missing",
        ),
        pytest.param(
            ANYWHERE + '[store]\nurl = "sqlite:///absent/news.db"\n',
            ["absent/news.db: the folder", "absent does not exist", "change store.url"],
            id="folder of the database missing",
        ),
        pytest.param(
            ANYWHERE + '[model]\ndefault = "path:/nowhere"\n',
            ["model 'path:/nowhere'", "is no folder", "expected one that holds a model"],
            id="wrong model path",
        ),
    ],
)
def test_a_wrong_configuration_is_told_by_file_and_key(tmp_path: Path, text: str, said: list[str]) -> None:
    message = run_refused(tmp_path, text)
    for words in said:
        assert words in message


def test_a_secret_written_in_clear_is_refused_and_not_repeated(tmp_path: Path) -> None:
    message = run_refused(tmp_path, WEBHOOK + 'secret = "hunter2"\n')
    assert "target[0].secret: expected a reference: env:NAME or file:PATH" in message
    assert "hunter2" not in message


def test_a_mistake_in_the_watchlist_is_told_by_file_and_company(tmp_path: Path) -> None:
    written(tmp_path, WATCHLIST + '[[company]]\nid = "bolt"\nname = ["Bolt"]\n', "watchlist.toml")
    message = run_refused(tmp_path, ANYWHERE + '[watchlist]\nfiles = ["watchlist.toml"]\n')
    assert 'watchlist.toml, company 2 ("bolt"): unknown key "name"; did you mean "names"?' in message


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = refused("run", "-c", "absent.toml", folder=tmp_path, code=WRONG)
    assert message == "absent.toml: cannot read the configuration (No such file or directory)"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--confg", "x.toml"], "No such option: --confg"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run", "--role", "watch"], "Invalid value for '--role'"),
    ],
)
def test_wrong_usage_is_told_with_the_way_to_help(tmp_path: Path, arguments: list[str], said: str) -> None:
    ended = newsquake(*arguments, folder=tmp_path)
    assert ended.code == WRONG
    assert said in ended.err
    assert "-h' for help" in ended.err
    assert "Traceback" not in ended.err


# --- the place ---


def test_a_port_in_use_is_told_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = run_refused(tmp_path, f'[api]\nbind = "127.0.0.1:{port}"\n', FAILED)
    assert f"api.bind: cannot listen on 127.0.0.1:{port}: the port is in use by" in message
    assert f"(pid {os.getpid()})" in message
    assert not (tmp_path / "newsquake.db").exists(), "nothing is begun where the port is taken"


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "newsquake.db"
    file.write_bytes(b"Dear diary, " * 500)
    message = run_refused(tmp_path, ANYWHERE, FAILED)
    assert message == f"{file}: the file is not a SQLite database"
    assert file.read_bytes() == b"Dear diary, " * 500


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "newsquake.db")) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
        message = run_refused(tmp_path, ANYWHERE, FAILED)
        assert "newsquake.db: this database holds tables that are not newsquake's" in message
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    message = run_refused(tmp_path, f'{ANYWHERE}[store]\nurl = "sqlite:///{closed}/news.db"\n', FAILED, mortal())
    assert f"the folder {closed} is not writable for this user; SQLite needs to write there" in message


def mortal() -> Sequence[str]:
    """Return what starts a program that folders can be closed to, also where the tests run as root."""
    if os.geteuid() != 0:
        return ()
    prefix = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    if not shutil.which("setpriv") or subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("root may write everywhere, and cannot lay that power down here (setpriv is missing or refused)")
    return prefix


# --- the model ---


@pytest.mark.model
def test_a_model_file_that_was_changed_or_cut_is_told_by_its_hash(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(BUILTIN, model)
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    message = run_refused(tmp_path, f'{ANYWHERE}[model]\ndefault = "path:model"\n', FAILED)
    assert message.startswith(f"{weights}: sha256 is ")
    assert "the file was changed or cut short" in message
    shutil.copytree(BUILTIN, model, dirs_exist_ok=True)
    tokenizer = model / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes()[:1000])
    message = refused("score", "--model", f"path:{model}", folder=tmp_path, code=FAILED)
    assert message.startswith(f"{tokenizer}: sha256 is ")


# --- the other commands ---


@pytest.mark.model
def test_check_says_of_each_part_whether_it_works(tmp_path: Path) -> None:
    newsroom = Newsroom()
    written(tmp_path, WATCHLIST, "watchlist.toml")
    with newsroom.open() as news, serving(Fixed) as broken:
        good = (
            f'{ANYWHERE}[watchlist]\nfiles = ["watchlist.toml"]\n[http]\nallow_private = ["127.0.0.1"]\n'
            f'[[source]]\nid = "wire"\nkind = "feed"\nurl = "{news}/wire.xml"\n'
        )
        written(tmp_path, good)
        fine = newsquake("check", folder=tmp_path)
        written(tmp_path, f'{good}[[source]]\nid = "bad"\nkind = "feed"\nurl = "{broken}/rss"\n')
        failing = newsquake("check", folder=tmp_path)
    assert (fine.code, fine.err) == (0, "")
    parts = ["configuration", "watchlist", "store", "model", "api", "source wire", "source push", "target log"]
    assert [line.partition("  ")[0].split() for line in fine.out.splitlines()] == [["ok"]] * len(parts)
    for part, line in zip(parts, fine.out.splitlines(), strict=True):
        assert line.startswith(f"ok      {part}  ")
    assert (failing.code, failing.err) == (FAILED, "")
    assert [line for line in failing.out.splitlines() if not line.startswith("ok ")] == [
        "FAILED  source bad  the server answered 500; expected 200"
    ]
    assert not (tmp_path / "newsquake.db").exists(), "a check makes nothing"


def test_check_refuses_a_wrong_configuration(tmp_path: Path) -> None:
    written(tmp_path, "[api]\nbnd = 1\n")
    assert "newsquake.toml: api.bnd: unknown key" in refused("check", folder=tmp_path, code=WRONG)


@pytest.mark.model
def test_score_answers_each_line_in_order_whatever_it_holds(tmp_path: Path) -> None:
    written(tmp_path, WATCHLIST, "watchlist.toml")
    lines: list[tuple[bytes, str | None]] = [  # what is asked, and the error expected
        (b"Acme Bank sued over fraud", None),
        (b"", "line 2: empty; expected a text"),
        (b"\xff\xfe profit", "line 3: byte 0 is not UTF-8"),
        (b'{"text": "Acme', "line 4: not valid JSON"),
        (b'{"title": "Acme"}', "line 5: `text` is None; expected a string"),
        (b'{"text": "Acme gains", "entity": 7}', "line 6: `entity` is 7; expected a name"),
        (b"[" * 5000, None),  # JSON begins with a brace: this is a text, if an odd one
        (b'{"text": ' + b"[" * 100_000, "line 8: not valid JSON"),
        (b"<b></b>", "nothing is left of the text"),
        ('{"text": "艾克米银行 wins, Acme loses \\ud800", "entity": "Acme"}'.encode(), None),
        (b"Acme Bank raises its dividend", None),
    ]
    given = b"\n".join(line for line, _ in lines)
    ended = newsquake("score", "--watchlist", "watchlist.toml", folder=tmp_path, given=given)
    assert (ended.code, ended.err) == (0, "")
    answers = [json.loads(line) for line in ended.out.splitlines()]
    for answer, (_, error) in zip(answers, lines, strict=True):
        if error is None:
            assert set(answer) == {"label", "probabilities", "topics", "entities", "model"}
        else:
            assert list(answer) == ["error"]
            assert answer["error"].startswith(error)
    assert (answers[0]["label"], answers[-1]["label"]) == ("negative", "positive")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"time,count\n2024-01-01,1\n", "counts.csv:1: found 'time,count'; expected the header 'timestamp,value'"),
        (b"timestamp,value\n2024-01-01,1\n2024-01-02,\xff\n", "counts.csv:3: found the value"),
    ],
)
def test_detect_names_the_line_that_it_cannot_read(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "counts.csv").write_bytes(content)
    assert said in refused("detect", "counts.csv", folder=tmp_path, code=WRONG)


def test_replay_tells_a_missing_archive_and_a_place_where_no_report_can_go(tmp_path: Path) -> None:
    written(tmp_path, ANYWHERE)
    message = refused("replay", "old.jsonl", "--report", "report", folder=tmp_path, code=WRONG)
    assert message.startswith("old.jsonl: found no archive")
    written(tmp_path, '{"title": "Acme sued", "published": "2024-01-01T00:00:00Z"}\n', "old.jsonl")
    message = refused("replay", "old.jsonl", "--report", "newsquake.toml", folder=tmp_path, code=WRONG)
    assert message == "--report: newsquake.toml: cannot make this folder (File exists)"


@pytest.mark.model
def test_a_second_daemon_is_refused_by_the_port_and_by_the_database(tmp_path: Path) -> None:
    port = free_port()
    config = written(tmp_path, f'[api]\nbind = "127.0.0.1:{port}"\n')
    daemon = Daemon(config, port)
    try:
        daemon.start()
        message = refused("run", folder=tmp_path, code=FAILED)
        assert f"127.0.0.1:{port}: the port is in use by newsquake (pid {daemon.pid})" in message
        written(tmp_path, ANYWHERE)
        message = refused("run", folder=tmp_path, code=FAILED)
        assert f"newsquake.db: process {daemon.pid} on " in message
        assert "is using this database; stop it first" in message
        assert daemon.get("/readyz")[0] == 200
        assert daemon.stop() == 0, daemon.tail()
    finally:
        daemon.end()
