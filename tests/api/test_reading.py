from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

import pytest

from monitor.core.codec import to_json
from monitor.reading import KeyLevel
from monitor.store import schema
from monitor.types import Change, IncidentState, Key, Message, Severity, TargetId
from tests.api.conftest import ACME, ALL, MODEL, NOON, Desk, hex_id
from tests.core.telling import EXPLAINED
from tests.databases import SQL

pytestmark = pytest.mark.parametrize("archive", SQL, indirect=True)


async def test_the_newest_article_comes_first(desk: Desk) -> None:
    for number in (1, 2, 3):
        await desk.archive.article(number)
    page = await desk.get("/api/v1/articles")
    assert [each["title"] for each in page["articles"]] == [f"Acme headline {n}" for n in (3, 2, 1)]
    assert page["next"] is None


async def test_pages_miss_nothing_and_repeat_nothing_while_news_comes_in(desk: Desk) -> None:
    for number in range(1, 8):
        await desk.archive.article(number, received=NOON)  # all in one batch, so only the ids tell them apart
    seen: list[str] = []
    page = await desk.get("/api/v1/articles", limit=3)
    while True:
        seen += [each["id"] for each in page["articles"]]
        await desk.archive.article(100 + len(seen), received=NOON + timedelta(minutes=len(seen)))
        if page["next"] is None:
            break
        page = await desk.get("/api/v1/articles", limit=3, cursor=page["next"])
    assert seen == [hex_id(number) for number in range(7, 0, -1)]


async def test_articles_are_found_by_source_language_key_title_and_time(desk: Desk) -> None:
    await desk.archive.article(1, title="Acme 100% down")
    await desk.archive.article(2, source="cls", language="zh", title="艾克米银行被调查")
    await desk.archive.article(3, title="Nothing new")
    await desk.archive.judgement(1, ACME)
    await desk.archive.judgement(2, "all")

    async def found(**query: str) -> list[str]:
        page = await desk.get("/api/v1/articles", **query)
        return [each["id"] for each in page["articles"]]

    assert await found(source="cls") == [hex_id(2)]
    assert await found(language="zh", source="wire") == []
    assert await found(key="entity:acme") == [hex_id(1)]
    assert await found(key="all") == [hex_id(2)]
    assert await found(q="ACME") == [hex_id(1)]
    assert await found(q="银行") == [hex_id(2)]
    assert await found(q="100%") == [hex_id(1)]
    assert await found(q="%") == [hex_id(1)]
    at = (NOON - timedelta(minutes=58)).isoformat()
    assert await found(since=at) == [hex_id(3), hex_id(2)]
    assert await found(until=at) == [hex_id(1)]


async def test_a_plus_that_nobody_escaped_is_still_an_offset(desk: Desk) -> None:
    await desk.archive.article(1)
    answer = await desk.client.get("/api/v1/articles?since=2026-03-02T13:00:00+02:00")
    assert [each["id"] for each in answer.json()["articles"]] == [hex_id(1)]


async def test_a_page_holds_the_beginning_of_a_text_and_the_article_all_of_it(desk: Desk) -> None:
    await desk.archive.article(1, text="跌" * 2000)
    await desk.archive.put(schema.versions, article=hex_id(1), version=2, title="", text="", digest="", received=NOON)
    page = await desk.get("/api/v1/articles")
    assert page["articles"][0]["excerpt"] == "跌" * 500
    assert page["articles"][0]["revisions"] == 1
    article = await desk.get(f"/api/v1/articles/{hex_id(1)}")
    assert article["text"] == "跌" * 2000


async def test_an_article_tells_what_it_means_for_each_key(desk: Desk) -> None:
    await desk.archive.article(1)
    await desk.archive.judgement(1, "all", negative=0.2, neutral=0.5, positive=0.3)
    await desk.archive.judgement(1, ACME)
    article = await desk.get(f"/api/v1/articles/{hex_id(1)}")
    assert [(each["key"], each["label"]) for each in article["judgements"]] == [
        ("all", "neutral"),
        ("entity:acme", "negative"),
    ]
    assert article["judgements"][1]["entity"] == "acme"
    assert article["topics"] == {"Legal | Regulation": 0.9}


async def test_keys_show_where_the_needle_stands(desk: Desk) -> None:
    await desk.archive.rollup(timedelta(minutes=5))
    await desk.archive.rollup(timedelta(hours=3))
    await desk.archive.rollup(timedelta(hours=3), history=True, stories=1000)
    await desk.archive.rollup(timedelta(hours=3), model="of yesterday", stories=1000)
    await desk.archive.rollup(timedelta(hours=30), stories=1000)
    await desk.archive.rollup(timedelta(hours=1), key="entity:gone")
    page = await desk.get("/api/v1/keys")
    keys = {each["key"]: each for each in page["keys"]}
    assert {key: each["state"] for key, each in keys.items()} == {
        "all": "learning",
        "entity:acme": "surge",
        "entity:gone": "unwatched",
        "source:wire": "blind",
    }
    assert list(keys) == sorted(keys)
    acme = keys["entity:acme"]
    assert acme["windows"] == [{"window": "1h", "seconds": 3600.0, "stories": 7, "negative": 5.5, "expected": 0.4}]
    assert acme["day"] == {"stories": 8, "negative": 6, "mood": pytest.approx(-0.5)}
    assert acme["incidents"] == [hex_id(1)]
    assert keys["all"]["day"]["mood"] is None


async def test_keys_can_be_chosen_by_state_and_group_and_come_in_pages(desk: Desk) -> None:
    assert [each["key"] for each in (await desk.get("/api/v1/keys", state="blind"))["keys"]] == ["source:wire"]
    assert [each["key"] for each in (await desk.get("/api/v1/keys", group="entity"))["keys"]] == ["entity:acme"]
    first = await desk.get("/api/v1/keys", limit=2)
    rest = await desk.get("/api/v1/keys", limit=2, cursor=first["next"])
    assert [each["key"] for each in first["keys"] + rest["keys"]] == ["all", "entity:acme", "source:wire"]
    assert rest["next"] is None


async def test_keys_come_by_mood_what_needs_a_look_first(desk: Desk) -> None:
    calm = KeyLevel(key=ALL, surging=False, blind=False, learning_since=None, windows=())
    desk.live = replace(
        desk.live,
        keys=(
            *desk.live.keys,
            *(replace(calm, key=Key(f"entity:{name}")) for name in ("bad", "dull", "fine", "one-bad-story")),
        ),
    )
    await desk.archive.rollup(timedelta(hours=1), "entity:bad", stories=9, sum_negative=6.0, sum_positive=1.0)
    await desk.archive.rollup(
        timedelta(hours=1), "entity:one-bad-story", stories=1, sum_negative=0.9, sum_neutral=0.1, sum_positive=0.0
    )
    await desk.archive.rollup(timedelta(hours=1), "entity:fine", stories=5, sum_negative=0.1, sum_positive=4.0)
    await desk.archive.rollup(timedelta(hours=1), "topic:Gone")
    expected = [
        *("entity:acme", "source:wire", "all"),  # surging, blind, learning
        *("entity:bad", "entity:one-bad-story", "entity:dull", "entity:fine"),
        "topic:Gone",
    ]
    page = await desk.get("/api/v1/keys", order="mood")
    assert [each["key"] for each in page["keys"]] == expected
    seen: list[str] = []
    page = await desk.get("/api/v1/keys", order="mood", limit=3)
    while page["next"]:
        seen += [each["key"] for each in page["keys"]]
        page = await desk.get("/api/v1/keys", order="mood", limit=3, cursor=page["next"])
    assert [*seen, *(each["key"] for each in page["keys"])] == expected


async def test_keys_are_found_by_a_part_of_any_name(desk: Desk) -> None:
    for part in ("ACM", "me ba", "艾克米"):
        page = await desk.get("/api/v1/keys", q=part)
        assert [(each["key"], each["names"]["zh"]) for each in page["keys"]] == [("entity:acme", "艾克米银行")]
    assert (await desk.get("/api/v1/keys", q="nobody"))["keys"] == []


@pytest.mark.parametrize("cursor", ["entity:acme", "MS4y", "_", "MS4xLg", "OS45OTk5OTk5OTk5Lng"])
async def test_a_cursor_of_another_order_is_refused(desk: Desk, cursor: str) -> None:
    answer = await desk.client.get("/api/v1/keys", params={"order": "mood", "cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["error"]["where"] == "cursor"


async def test_a_series_adds_up_steps_and_leaves_none_out(desk: Desk) -> None:
    await desk.archive.rollup(timedelta(minutes=55))
    await desk.archive.rollup(timedelta(minutes=5))
    await desk.archive.rollup(timedelta(minutes=10), history=True, stories=9, negative=2)
    await desk.archive.rollup(timedelta(minutes=5), key="all")
    since = (NOON - timedelta(hours=2)).isoformat()
    series = await desk.get(f"/api/v1/keys/{ACME}/series", since=since, step="1h")
    assert [point["at"] for point in series["points"]] == ["2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z"]
    assert series["points"][0] | {"at": ""} == {
        "at": "",
        "stories": 0,
        "negative": 0,
        "weight": 0.0,
        "mood": None,
        "expected": 0.25,
        "upper": 2.0,
        "history": 0,
        "history_negative": 0,
    }
    last = series["points"][1]
    assert (last["stories"], last["negative"], last["weight"]) == (8, 6, 5.0)
    assert (last["history"], last["history_negative"]) == (9, 2)
    assert (series["model"], series["step_seconds"]) == (MODEL, 3600.0)


async def test_a_series_is_of_the_last_day_in_five_minutes_by_default(desk: Desk) -> None:
    series = await desk.get(f"/api/v1/keys/{ACME}/series")
    assert len(series["points"]) == 288
    assert (series["since"], series["until"]) == ("2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z")
    assert series["model"] is None


async def test_a_series_never_mixes_two_models(desk: Desk) -> None:
    await desk.archive.rollup(timedelta(minutes=5), stories=1)
    await desk.archive.rollup(timedelta(minutes=5), model="another", stories=10)
    await desk.archive.rollup(timedelta(hours=2), model="another", stories=10)

    async def stories(**query: str) -> int:
        series = await desk.get(f"/api/v1/keys/{ACME}/series", **query)
        assert series["models"] == ["another", MODEL]
        return sum(point["stories"] for point in series["points"])

    assert await stories() == 1
    assert await stories(model="another") == 20


@pytest.mark.parametrize("key", ["entity:acme×topic:M&A | Investments", "topic:Gold / Metals?", "source:a%20b#c"])
async def test_a_key_may_hold_whatever_a_name_holds(desk: Desk, key: str) -> None:
    await desk.archive.rollup(timedelta(minutes=5), key=key)
    series = await desk.get(f"/api/v1/keys/{quote(key, safe='')}/series")
    assert series["key"] == key
    assert sum(point["stories"] for point in series["points"]) == 4


async def test_incidents_are_found_by_state_key_and_severity(desk: Desk) -> None:
    await desk.archive.incident(1)
    await desk.archive.incident(2, state=IncidentState.RESOLVED, resolved=NOON, severity=Severity.LOW)
    await desk.archive.incident(3, keys=(Key("topic:Energy / Oil"),), active=frozenset())

    async def found(**query: str) -> list[str]:
        return [each["id"] for each in (await desk.get("/api/v1/incidents", **query))["incidents"]]

    assert await found() == [hex_id(3), hex_id(2), hex_id(1)]
    assert await found(state="resolved") == [hex_id(2)]
    assert await found(severity="high") == [hex_id(3), hex_id(1)]
    assert await found(key="topic:Energy / Oil") == [hex_id(3)]
    assert await found(kind="blind") == []
    assert await found(until=(NOON - timedelta(minutes=118)).isoformat()) == [hex_id(1)]


async def test_an_incident_says_what_makes_it_in_shares_that_sum_up(desk: Desk) -> None:
    await desk.archive.incident(1, explanation=EXPLAINED)
    await desk.archive.incident(2)
    plain, explained = (await desk.get("/api/v1/incidents"))["incidents"]
    assert plain["explanation"] is None
    told = explained["explanation"]
    assert told["percent"] == {"volume": 62, "mood": -9, "event": 20, "publisher": 27, "model": 0}
    assert sum(told[cause] for cause in told["percent"]) == pytest.approx(1.0)
    assert (told["loudest_publisher"], told["headline"]) == ("loud.example", "Police raid Acme Bank")


async def test_incidents_come_in_pages(desk: Desk) -> None:
    for number in range(1, 6):
        await desk.archive.incident(number)
    first = await desk.get("/api/v1/incidents", limit=4)
    rest = await desk.get("/api/v1/incidents", limit=4, cursor=first["next"])
    assert [each["id"] for each in first["incidents"] + rest["incidents"]] == [hex_id(n) for n in (5, 4, 3, 2, 1)]


async def test_an_incident_shows_its_headlines_and_who_was_told(desk: Desk) -> None:
    incident = await desk.archive.incident(1)
    message = Message(
        key="k1",
        target=TargetId("desk"),
        change=Change.OPENED,
        incident=incident,
        created=NOON,
        expires=NOON + timedelta(days=1),
    )
    await desk.archive.put(
        schema.outbox,
        key="k1",
        target="desk",
        incident=incident.id,
        state="pending",
        attempts=2,
        due=NOON,
        created=NOON,
        expires=message.expires,
        reason="unreachable",
        value=to_json(message),
    )
    shown = await desk.get(f"/api/v1/incidents/{incident.id}")
    assert shown["evidence"][0]["title"] == "Acme Bank under investigation"
    assert (shown["keys"], shown["active"], shown["chance_per_hour"]) == (["entity:acme", "all"], ["entity:acme"], 1e-6)
    told = shown["deliveries"][0]
    assert (told["target"], told["change"], told["state"], told["reason"]) == (
        "desk",
        "opened",
        "pending",
        "unreachable",
    )


async def test_sources_show_their_books(desk: Desk) -> None:
    await desk.archive.put(schema.ledger, source="wire", received=10, stored=6, duplicate=2, dead=1, dropped=0)
    await desk.archive.put(schema.ledger, source="gone", received=1, stored=1, duplicate=0, dead=0, dropped=0)
    await desk.archive.put(schema.positions, source="wire", partition="", value={"etag": "x"})
    await desk.archive.put(schema.dead_letters, source="wire", received=NOON, error="no text", raw=b"\xff")
    shown = await desk.get("/api/v1/sources")
    sources = {each["id"]: each for each in shown["sources"]}
    assert list(sources) == ["gone", "push", "wire"]
    wire = sources["wire"]
    assert wire["ledger"] == {
        "received": 10,
        "stored": 6,
        "duplicate": 2,
        "dead": 1,
        "dropped": 0,
        "in_flight": 1,
    }
    assert (wire["dead_letters"], wire["blind"], wire["kind"]) == (1, True, "feed")
    assert wire["positions"] == [{"partition": "", "value": {"etag": "x"}}]
    assert sources["gone"]["kind"] is None


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/api/v1/articles?limit=0", "limit"),
        ("/api/v1/articles?limit=201", "limit"),
        ("/api/v1/articles?since=2026-03-02T12:00:00", "since"),
        ("/api/v1/articles?since=yesterday", "since"),
        ("/api/v1/articles?since=0001-01-01T00:00:00%2B14:00", "since"),
        ("/api/v1/articles?cursor=zzz", "cursor"),
        ("/api/v1/articles?cursor=%C3%A9", "cursor"),
        ("/api/v1/articles?q=%00", "q"),
        ("/api/v1/articles/nonsense", "article_id"),
        ("/api/v1/keys?state=angry", "state"),
        ("/api/v1/keys/all/series?step=7m", "step"),
        ("/api/v1/keys/all/series?step=0h", "step"),
        ("/api/v1/keys/a%00b/series", "key"),
        ("/api/v1/keys/all/series?since=2020-01-01T00:00:00Z", "step"),
        ("/api/v1/keys/all/series?since=2027-01-01T00:00:00Z", "since"),
        ("/api/v1/incidents?severity=huge", "severity"),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong_with_it(desk: Desk, path: str, where: str) -> None:
    answer = await desk.client.get(path)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["status"], error["where"]) == (422, where)
    assert where in error["message"]


async def test_what_does_not_exist_is_not_found(desk: Desk) -> None:
    for path in (f"/api/v1/articles/{hex_id(9)}", "/api/v1/incidents/9", "/api/v1/nothing", "/docs", "/redoc"):
        answer = await desk.client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["status"] == 404


async def test_a_database_that_is_away_is_said_to_be(desk: Desk) -> None:
    desk.archive.lose()
    answer = await desk.client.get("/api/v1/sources")
    assert answer.status_code == 503
    assert "Connect call failed" in answer.json()["error"]["message"]


async def test_reading_goes_on_while_the_writer_writes(desk: Desk) -> None:
    await desk.archive.article(1)
    async with desk.archive.writer.begin() as connection:
        await connection.execute(schema.ticks.insert().values(at=NOON))
        assert len((await desk.get("/api/v1/articles"))["articles"]) == 1
