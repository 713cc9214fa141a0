from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from monitor.config import load, reveal
from monitor.errors import ConfigurationError


def written(folder: Path, text: str) -> Path:
    path = folder / "newsquake.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(written(folder, text))
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_an_empty_file_is_a_whole_configuration(tmp_path: Path) -> None:
    config = load(written(tmp_path, ""))
    assert config.model.default == "builtin"
    assert config.detect.false_alarms == 1.0
    assert config.store.url == f"sqlite:///{tmp_path / 'newsquake.db'}"


def test_times_and_budgets_are_written_in_words(tmp_path: Path) -> None:
    config = load(written(tmp_path, '[store]\nretention = "2 weeks"\n[detect]\nfalse_alarms = "2 per month"\n'))
    assert config.store.retention == timedelta(days=14)
    assert config.detect.false_alarms == pytest.approx(2 * 12 / (365.25 / 7))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[store]\nurll = "x"', ["store.urll: unknown key", "did you mean 'url'?"]),
        ("[stor]\nx = 1", ["stor: unknown key", "did you mean 'store'?"]),
        ('[detect]\nfalse_alarms = "seldom"', ["detect.false_alarms: found 'seldom'", '"1 per week"']),
        ('[store]\nretention = "5 moons"', ["store.retention: found '5 moons'", '"400 days"']),
        ('[[source]]\nid = "a"\nkind = "fed"', ["source[0].kind: found 'fed'", "'feed'"]),
        ('[[source]]\nid = "a"\nkind = "feed"\nuri = "http://x"', ["source[0].uri: unknown key; did you mean 'url'?"]),
        ('[[source]]\nid = "a"\nkind = "feed"', ["source[0].url: this key is missing"]),
        ('[[source]]\nid = "a"\n', ["source[0].kind: this key is missing"]),
        ('[[source]]\nid="a"\nkind="push"\n[[source]]\nid="a"\nkind="push"', ["the id 'a' is given 2 times"]),
        ('[[route]]\ntargets = ["desk"]', ["route[0].targets: there is no target 'desk'"]),
        ("[store\nurl = 1", ["not valid TOML", "line 1"]),
        ("api = 3", ["api: found 3"]),
        ("[source]\nid = 3", ["source: found a table"]),
        ("[detect]\nfalse_alarms = 0", ["detect.false_alarms: found 0", "greater than 0"]),
        ("[detect]\nfalse_alarms = nan", ["detect.false_alarms: found nan", "greater than 0"]),
        ('[limits]\ndrain = "500 ms"', ["limits.drain: found '500 ms'", '"30 s"']),
        ('[store]\nretention = "1000000000 years"', ["store.retention: found", "calendar"]),
        ('[store]\nretention = "2000 years"', ["store.retention: found", "at most 36525 days"]),
        ("[detect]\nlateness = -5", ["detect.lateness: found -5", "more than no time"]),
        ('[detect]\ncalendar = "NYSE"', ["detect.calendar[0]: found 'NYSE'", "XHKG", "XNYS"]),
        ('[canary]\nlanguages = ["de"]', ["canary.languages[0]: found 'de'", "'en' or 'zh'"]),
        ('[[source]]\nid="canary"\nkind="push"', ["source: the id 'canary' is kept"]),
        (
            '[[source]]\nid="a"\nkind="feed"\nurl="http://x"\ninterval="0 s"',
            ["source[0].interval: found '0 s'", "more than no time"],
        ),
    ],
)
def test_a_mistake_is_named_with_what_was_found_and_what_is_expected(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(str(tmp_path / "newsquake.toml"))
    for part in expected:
        assert part in message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, '[store]\na = 1\nb = 2\n[api]\nbnd = "x"\n').splitlines()) == 3


def test_a_secret_written_into_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    message = refusal(tmp_path, '[[target]]\nid="t"\nkind="webhook"\nurl="https://t.example"\nsecret="hunter2"')
    assert "env:NAME" in message
    assert "hunter2" not in message


def test_neither_are_the_secrets_that_an_address_or_a_table_may_hold(tmp_path: Path) -> None:
    target = 'id="t"\nkind="webhook"\nurl="htps://t.example/hunter2"'
    assert "hunter2" not in refusal(tmp_path, f"[[target]]\n{target}")
    assert "hunter2" not in refusal(tmp_path, f"[target]\n{target}")


def test_a_file_that_is_not_text_or_not_there_says_so(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load(tmp_path / "binary.toml")
    with pytest.raises(ConfigurationError, match="cannot read the configuration"):
        load(tmp_path / "absent.toml")


def test_the_environment_overrides_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSQUAKE_DETECT_FALSE_ALARMS", "3 per week")
    monkeypatch.setenv("NEWSQUAKE_API_BIND", "127.0.0.1:0")
    config = load(written(tmp_path, '[api]\nbind = "127.0.0.1:9"\n'))
    assert config.detect.false_alarms == 3.0
    assert config.api.bind == "127.0.0.1:0"


def test_a_list_in_the_environment_that_is_no_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSQUAKE_WATCHLIST_FILES", "watchlist.toml")
    assert refusal(tmp_path, "") == "NEWSQUAKE_WATCHLIST_FILES: expected JSON for a list or a table"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("NEWSQUAKE_DETECT_FALSE_ALARMS", "few", "NEWSQUAKE_DETECT_FALSE_ALARMS: detect.false_alarms: found 'few'"),
        ("newsquake_detect_false_alarms", "few", "newsquake_detect_false_alarms: detect.false_alarms: found 'few'"),
        ("NEWSQUAKE_API_PORT", "1", "NEWSQUAKE_API_PORT: api.port: unknown key"),
        ("NEWSQUAKE_SOURCE", '[{"kind": "push"}]', "NEWSQUAKE_SOURCE: source[0].id: this key is missing"),
        ("NEWSQUAKE_LIMITS", '{"queue": 1}', "NEWSQUAKE_LIMITS: limits.queue: found 1"),
    ],
)
def test_a_mistake_in_the_environment_is_told_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    assert said in refusal(tmp_path, '[store]\nretention = "1 day"\n')


def test_beside_the_environment_the_file_answers_for_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSQUAKE_LIMITS", '{"queue": 100}')
    assert "newsquake.toml: limits.text: found 0" in refusal(tmp_path, "[limits]\ntext = 0\n")


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    text = '[watchlist]\nfiles = ["w.toml"]\n[[source]]\nid = "a"\nkind = "archive"\npath = "old/news.jsonl"\n'
    config = load(written(tmp_path, text))
    assert config.watchlist.files == (tmp_path / "w.toml",)
    assert config.source[0].model_dump()["path"] == tmp_path / "old/news.jsonl"


def test_so_do_a_model_s_folder_and_a_secret_s_file(tmp_path: Path) -> None:
    target = '[[target]]\nid = "desk"\nkind = "webhook"\nurl = "https://desk.example/"\nsecret = "file:desk.secret"\n'
    config = load(written(tmp_path, f'[model]\ndefault = "path:models/mine"\n{target}'))
    assert config.model.default == f"path:{tmp_path / 'models/mine'}"
    assert config.target[0].model_dump()["secret"] == f"file:{tmp_path / 'desk.secret'}"
    elsewhere = load(written(tmp_path, '[model]\ndefault = "path:/models/mine"\n'))
    assert elsewhere.model.default == "path:/models/mine"
    assert load(written(tmp_path, "")).model.reference == "builtin"


def test_a_model_for_chinese_stands_beside_the_one_for_all_other_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(written(tmp_path, '[model]\nzh = "path:models/zh"\n'))
    assert config.model.reference == f"builtin,zh=path:{tmp_path / 'models/zh'}"
    monkeypatch.setenv("NEWSQUAKE_MODEL_ZH", "hub:desk/zh")
    assert load(written(tmp_path, '[model]\ndefault = "hub:desk/en"\n')).model.reference == "hub:desk/en,zh=hub:desk/zh"


def test_secrets_are_read_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_SECRET", "s3cret")
    (tmp_path / "secret").write_text("from a file\n", encoding="utf-8")
    assert reveal("env:DESK_SECRET", "target desk") == "s3cret"
    assert reveal(f"file:{tmp_path / 'secret'}", "target desk") == "from a file"
    with pytest.raises(ConfigurationError, match="no variable ABSENT"):
        reveal("env:ABSENT", "target desk")


ALERTMANAGER = '[[target]]\nid = "pager"\nkind = "alertmanager"\nurl = "http://127.0.0.1:9093"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('username = "desk"', ["target[0]", "expected username and password together"]),
        ('bearer = "env:A"\nusername = "desk"\npassword = "env:B"', ["target[0]", "not both"]),
        ('labels = { "no-label" = "x" }', ["target[0].labels.no-label", "pattern"]),
        ('bearer = "hunter2"', ["target[0].bearer: expected a reference"]),
        ('password = "hunter2"', ["target[0].password: expected a reference"]),
        ('peers = ["ftp://desk:hunter2@am.example"]', ["target[0].peers[0]:"]),
    ],
)
def test_a_wrong_alertmanager_is_told_by_key_and_without_its_secrets(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    message = refusal(tmp_path, ALERTMANAGER + text)
    for words in expected:
        assert words in message
    assert "hunter2" not in message


def test_the_files_of_an_alertmanagers_secrets_count_from_the_folder_too(tmp_path: Path) -> None:
    config = load(written(tmp_path, ALERTMANAGER + 'username = "desk"\npassword = "file:desk.password"\n'))
    assert config.target[0].model_dump()["password"] == f"file:{tmp_path / 'desk.password'}"


DATABASE = '[store]\nurl = "postgresql://news@db.example:5433/news?ssl=require"\npassword = "file:db.password"\n'


def test_a_databases_password_is_a_secret_like_others(tmp_path: Path) -> None:
    (tmp_path / "db.password").write_text("p@ss/w:rd#\n", encoding="utf-8")
    url = make_url(load(written(tmp_path, DATABASE)).store.url)
    assert (url.username, url.password, url.host, url.port) == ("news", "p@ss/w:rd#", "db.example", 5433)
    assert (url.database, url.query) == ("news", {"ssl": "require"})


@pytest.mark.parametrize(
    "url", ["sqlite:///newsquake.db", "postgresql://db.example/news", "postgresql://news:hunter2@db.example/news"]
)
def test_a_password_needs_a_user_and_no_other_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter3")
    message = refusal(tmp_path, f'[store]\nurl = "{url}"\npassword = "env:DB_PASSWORD"\n')
    assert "store.password: expected beside it a store.url such as postgresql://USER@HOST/DATABASE" in message
    assert "hunter" not in message
    assert "store.password" in refusal(tmp_path, '[store]\npassword = "hunter2"\n')
