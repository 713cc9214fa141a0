"""Behaviour on a timeline, in the words of the desk: days pass in a moment, on the real steps and a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.types import Change, IncidentKind, IncidentState, Key
from tests.acceptance.desk import WORDS, Desk, open_desk
from tests.databases import SQL

HOUR = timedelta(hours=1)


# The days are decided by values, so what holds on one database holds on the other: a few are lived through on both.
on_every_database = pytest.mark.parametrize("desk", SQL, indirect=True)


@pytest.fixture
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, backend=getattr(request, "param", "sqlite")) as opened:
        yield opened


async def test_calm_days_raise_nothing(desk: Desk) -> None:
    await desk.calm(days=5)
    assert await desk.incidents() == []


@on_every_database
async def test_a_surge_about_one_company_is_one_incident_told_once_and_resolved_once(desk: Desk) -> None:
    await desk.calm(days=3)
    began = desk.now
    await desk.publish([desk.headline("Acme Bank", bad=True) for _ in range(14)], over=HOUR)
    (incident,) = await desk.incidents()
    assert incident.kind is IncidentKind.SURGE
    assert incident.state is IncidentState.FIRING
    assert incident.keys[0] == "entity:acme"
    assert began <= incident.opened <= began + HOUR
    assert incident.observed > 3 * incident.expected
    assert incident.evidence[0].title.startswith("Acme Bank")

    await desk.calm(days=2)
    (incident,) = await desk.incidents()
    assert incident.state is IncidentState.RESOLVED
    messages = [each.message for each in await desk.messages()]
    assert {message.change for message in messages} <= {Change.OPENED, Change.RAISED, Change.RESOLVED}
    assert len({message.key for message in messages}) == len(messages)


@on_every_database
async def test_two_hundred_copies_of_one_story_are_one_story(desk: Desk) -> None:
    await desk.calm(days=3)
    title = "Acme Bank under investigation for fraud after auditors refuse to sign its accounts"
    await desk.publish([f"{title} - The {WORDS[number % 60].title()}" for number in range(200)], publishers=60)
    assert await desk.incidents() == []
    story = await desk.latest_story(Key("entity:acme"))
    assert (story.copies, story.publishers) == (200, 60)


async def test_one_loud_publisher_raises_nothing_alone(desk: Desk) -> None:
    await desk.calm(days=3)
    await desk.publish([desk.headline("Bolt Motors", bad=True) for _ in range(14)], publishers=1, over=HOUR)
    assert await desk.incidents() == []


async def test_good_and_plain_news_raise_nothing_however_many(desk: Desk) -> None:
    await desk.calm(days=3)
    await desk.publish([desk.headline("Acme Bank", bad=False) for _ in range(60)], over=HOUR)
    assert await desk.incidents() == []


async def test_a_feeds_first_poll_is_history_and_raises_nothing(desk: Desk) -> None:
    await desk.calm(days=3)
    await desk.publish([desk.headline("Acme Bank", bad=True) for _ in range(30)], source="new", history=True)
    assert await desk.incidents() == []


async def test_an_archive_of_past_days_is_enough_to_begin_with(desk: Desk) -> None:
    past = [
        desk.item(
            desk.headline("Acme Bank", bad=hour % 9 == 0),
            desk.now,
            f"paper{hour % 7}.example",
            published=desk.now - timedelta(hours=hour + 1),
            history=True,
        )
        for hour in range(120)
    ]
    await desk.read(past)
    await desk.wait(timedelta(minutes=5))
    assert await desk.incidents() == []
    await desk.publish([desk.headline("Acme Bank", bad=True) for _ in range(14)], over=HOUR)
    (incident,) = await desk.incidents()
    assert "entity:acme" in incident.keys


async def test_the_first_day_without_a_past_is_for_learning(desk: Desk) -> None:
    await desk.publish([desk.headline("Acme Bank", bad=True) for _ in range(40)], over=HOUR)
    assert await desk.incidents() == []


@on_every_database
async def test_what_a_restart_reads_again_is_counted_once(desk: Desk) -> None:
    await desk.calm(days=3)
    items = [
        desk.item(desk.headline("Acme Bank", bad=True), desk.now + timedelta(minutes=number), f"p{number}.example")
        for number in range(14)
    ]
    await desk.read(items)
    before = await desk.incidents(), await desk.count("articles"), await desk.count("judgements")
    await desk.read(items)
    assert (await desk.incidents(), await desk.count("articles"), await desk.count("judgements")) == before


@on_every_database
async def test_a_silent_source_is_blind_and_seen_again(desk: Desk) -> None:
    await desk.calm(days=4, an_hour=2)
    await desk.wait(timedelta(hours=20))
    (incident,) = await desk.incidents()
    assert incident.kind is IncidentKind.BLIND
    assert incident.keys[0] == "source:wire"
    await desk.calm(days=0.5, an_hour=2)
    (incident,) = await desk.incidents()
    assert incident.state is IncidentState.RESOLVED


async def test_news_about_a_bank_and_its_parent_is_one_incident(desk: Desk) -> None:
    await desk.calm(days=3)
    await desk.publish([desk.headline("Acme Bank", bad=True) for _ in range(14)], over=HOUR)
    (incident,) = await desk.incidents()
    assert {"entity:acme", "entity:acme-group"} <= set(incident.keys)
