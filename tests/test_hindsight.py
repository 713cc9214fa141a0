"""An invented archive, lived through again: ordinary days, and a bad morning of Acme Bank."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from monitor.clock import DrivenClock, SystemClock
from monitor.errors import ConfigurationError
from monitor.hindsight import Question, run, understood
from monitor.store.operations import upgrade
from monitor.store.repository import SqlStore
from monitor.types import Cause
from tests.acceptance.desk import BAD, WATCHLIST, WORDS, WordScorer
from tests.process.command import newsquake, refused

FIRST = datetime(2019, 3, 4, tzinfo=UTC)
TODAY = FIRST + timedelta(days=1000)
DAYS, BURST = 10, 8
DAY = timedelta(days=1)
EVENTS = [
    {"id": "raid", "start": "2019-03-12", "end": "2019-03-13", "busiest_day": "2019-03-13", "keywords": ["Acme"]},
    {"id": "unheard", "start": "2019-03-08", "end": "2019-03-09", "busiest_day": "2019-03-09", "keywords": ["Bolt"]},
]

Record = Mapping[str, Any]


def records(random: Random) -> Iterable[dict[str, Any]]:
    """Yield some ten stories a day, one in six of them bad, and twenty bad ones in the morning of the burst."""
    for day in range(DAYS):
        for _ in range(10):
            about, bad = random.choice(["Acme Bank", "Bolt Motors", "Oil"]), random.random() < 1 / 6
            yield story(random, about, FIRST + day * DAY + random.random() * DAY, bad=bad)
        if day == BURST:
            for minute in range(0, 60, 3):
                yield story(random, "Acme Bank", FIRST + day * DAY + timedelta(hours=9, minutes=minute), bad=True)


def story(random: Random, about: str, at: datetime, *, bad: bool) -> dict[str, Any]:
    headline = f"{about} {random.choice(BAD[:5]) if bad else 'update'}: {' '.join(random.sample(WORDS, 7))}"
    return {"title": headline, "published": at.isoformat(), "publisher": f"paper{random.randrange(9)}.example"}


def by_day(stories: Iterable[Record]) -> list[Record]:
    return [{**each, "published": str(each["published"])[:10]} for each in stories]


@pytest.fixture
def stories() -> list[dict[str, Any]]:
    return list(records(Random(3)))


class Folder:
    """Where a replay's archive, its configuration and its reports lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "watchlist.toml").write_text(WATCHLIST, encoding="utf-8")
        (path / "newsquake.toml").write_text('[watchlist]\nfiles = ["watchlist.toml"]\n', encoding="utf-8")

    def write(self, name: str, lines: Sequence[object]) -> Path:
        text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
        (self.path / name).write_text(text, encoding="utf-8")
        return self.path / name

    def question(self, archive: Path, name: str = "report", **more: object) -> Question:
        asked = {"archive": archive, "config": self.path / "newsquake.toml", "report": self.path / name}
        return Question(**{**asked, **more})  # type: ignore[arg-type]  # a test names the fields it means

    async def replay(self, archive: Path, report: str = "report", **more: object) -> dict[str, Any]:
        errand = await understood(self.question(archive, report, **more), TODAY)
        await run(errand, WordScorer(DrivenClock(TODAY)))
        told: dict[str, Any] = json.loads((self.path / report / "report.json").read_text(encoding="utf-8"))
        return told


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def test_run_twice_a_replay_writes_the_same_bytes(folder: Folder, stories: list[Record]) -> None:
    archive = folder.write("news.jsonl", stories)
    first = await folder.replay(archive, "first")
    await folder.replay(archive, "second")
    assert first["incidents"]
    one, two = ((folder.path / name / "report.json").read_bytes() for name in ("first", "second"))
    assert one == two


@pytest.mark.parametrize("hour", [8, 10])
async def test_as_of_a_moment_nothing_is_known_that_came_later(
    folder: Folder, stories: list[dict[str, Any]], hour: int
) -> None:
    until = FIRST + BURST * DAY + timedelta(hours=hour)
    whole = await folder.replay(folder.write("whole.jsonl", stories), until=until.isoformat())
    earlier = [each for each in stories if datetime.fromisoformat(each["published"]) <= until]
    part = await folder.replay(folder.write("part.jsonl", earlier), until=until.isoformat())
    assert len(earlier) < len(stories)
    assert {**whole, "archive": ""} == {**part, "archive": ""}
    assert whole["ended"] == until.isoformat()
    acme = [incident for incident in whole["incidents"] if "entity:acme" in incident["keys"]]
    assert bool(acme) is (hour > 9)


async def test_news_of_a_day_is_known_when_it_is_over(folder: Folder, stories: list[Record]) -> None:
    archive = folder.write("days.jsonl", by_day(stories))
    told = await folder.replay(archive)
    (incident,) = (each for each in told["incidents"] if "entity:acme" in each["keys"])
    assert datetime.fromisoformat(incident["opened"]) == FIRST + (BURST + 1) * DAY
    assert incident["window"] == DAY.total_seconds()
    day = f"{FIRST + BURST * DAY:%Y-%m-%d}"
    assert (await folder.replay(archive, until=day))["incidents"]  # as of its end
    assert not (await folder.replay(archive, until=f"{day}T23:59:59Z"))["incidents"]


async def test_a_replay_says_which_events_were_told_how_early_and_what_else(
    folder: Folder, stories: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    events = folder.path / "events.json"
    events.write_text(json.dumps(EVENTS), encoding="utf-8")
    told = await folder.replay(folder.write("news.jsonl", stories), events=events, sweep="1 per month,7")
    raid, unheard = told["events"]
    (incident,) = (each for each in told["incidents"] if each["id"] == raid["incident"])
    end = datetime(2019, 3, 14, tzinfo=UTC)
    lead = end - datetime.fromisoformat(incident["opened"])
    assert raid["lead_hours"] == lead.total_seconds() / 3600
    assert timedelta(hours=36) < lead < timedelta(hours=39)
    assert (unheard["incident"], unheard["lead_hours"]) == (None, None)
    assert [row["false_alarms_per_week"] for row in told["sweep"]] == [pytest.approx(12 / 365 * 7, rel=0.02), 1.0, 7.0]
    own = told["sweep"][1]
    assert (own["recall"], own["told_by_the_busiest_day"]) == (0.5, 1)
    assert own["at_no_event"] == len(told["incidents"]) - 1
    assert told["sweep"][0]["incidents"] <= own["incidents"] <= told["sweep"][2]["incidents"]
    shown = capsys.readouterr().out
    assert "1 of 2" in shown
    page = (folder.path / "report" / "report.html").read_text(encoding="utf-8")
    assert "not told" in page
    assert sum(incident["explanation"][cause] for cause in Cause) == pytest.approx(1.0)
    assert page.count("<p>Why: ") == len(told["incidents"])
    assert page.count("<svg") == 1 + len(told["incidents"])


async def test_what_cannot_be_read_is_counted_and_named_and_ends_nothing(folder: Folder, stories: list[Record]) -> None:
    odd = [
        "{not json",
        {"title": "No time at all"},
        {"title": "Acme", "published": "1970-01-01"},
        {"title": "Acme", "published": "31.02.2019"},
        {"title": "<b></b>", "published": "2019-03-05"},
        "\u0000",
    ]
    told = await folder.replay(folder.write("odd.jsonl", [*odd, *stories]))
    assert (told["items"]["dead"], told["items"]["stored"]) == (len(odd), len(stories))
    assert len(told["unreadable"]) == len(odd)
    assert any("odd.jsonl:3: the time 1970-01-01" in each for each in told["unreadable"])
    assert any("odd.jsonl:4: published: found '31.02.2019'" in each for each in told["unreadable"])
    page = (folder.path / "report" / "report.html").read_text(encoding="utf-8")
    assert "6 records could not be read" in page


@pytest.mark.model
async def test_a_database_is_seeded_once_and_only_while_no_daemon_runs(folder: Folder, stories: list[Record]) -> None:
    archive = folder.write("news.jsonl", stories)
    url = f"sqlite:///{folder.path / 'newsquake.db'}"
    await upgrade(url)
    store = await SqlStore.open(url, SystemClock())
    await store.own("all")
    in_use = await asyncio.to_thread(refused, "replay", archive, "--seed", folder=folder.path, code=1)
    await store.close()
    assert "is using this database; stop it first" in in_use
    seeded = await asyncio.to_thread(newsquake, "replay", archive, "--seed", folder=folder.path)
    assert seeded.code == 0, seeded
    assert "newsquake.db: seeded with" in seeded.out
    assert "the archive ends on 2019-03-13, so rates count for 0%" in seeded.out
    again = await asyncio.to_thread(refused, "replay", archive, "--seed", folder=folder.path, code=2)
    assert "newsquake.db has learned already what is normal; expected a database that has not" in again


async def test_headlines_are_shown_as_text(folder: Folder, stories: list[dict[str, Any]]) -> None:
    for each in stories:
        each["title"] += " & Söhne"
    await folder.replay(folder.write("news.jsonl", stories))
    assert "&amp; Söhne" in (folder.path / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"report": None}, "replay: found neither --report nor --seed; expected one of them, or both"),
        ({"until": "soon"}, "--until: found 'soon'; expected a time such as"),
        ({"until": "2999-01-01"}, "--until: found '2999-01-01', which is not over yet"),
        ({"until": "2019-01-01"}, "news.jsonl: found no items received by 2019-01-02 00:00 UTC"),
        ({"sweep": "1,,2"}, "--sweep: found ''; expected false incidents a week, such as 0.25,1,7"),
        ({"sweep": "0"}, "--sweep: found '0'"),
        ({"sweep": "inf"}, "--sweep: found 'inf'"),
        ({"events": Path("nowhere.json")}, "nowhere.json: cannot read the"),
    ],
)
async def test_a_question_that_cannot_be_answered_says_why(
    folder: Folder, stories: list[Record], asked: dict[str, Any], said: str
) -> None:
    archive = folder.write("news.jsonl", stories)
    with pytest.raises(ConfigurationError) as refused:
        await understood(folder.question(archive, **asked), TODAY)
    assert said in str(refused.value)


async def test_events_that_are_no_json_are_refused_by_name(folder: Folder, stories: list[Record]) -> None:
    events = folder.write("events.json", ["[{"])
    with pytest.raises(ConfigurationError, match=r"events\.json: not valid JSON"):
        await understood(folder.question(folder.write("news.jsonl", stories), events=events), TODAY)
