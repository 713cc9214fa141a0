"""Stories about one happening are one event, from the feed to the incident."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.pipeline import Gathering
from monitor.scoring.gist import open_gists
from monitor.types import Cause, EventId, Evidence, Key, ModelId
from tests.acceptance.desk import Desk, open_desk

ACME = Key("entity:acme")
ACCOUNTS = (
    "Acme Bank fraud: staff opened fake customer accounts, prosecutors say",
    "Prosecutors probe fraud with fake customer accounts at Acme Bank",
    "Fake accounts of customers lead prosecutors to Acme Bank, fraud suspected",
    "Fraud inquiry at Acme Bank over fake accounts that staff opened for customers",
    "艾克米银行员工虚开客户账户涉嫌欺诈 检方调查",
)
STORM = "Acme Bank expects loss from hurricane damage to branches on the coast"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, gists=open_gists()) as opened:
        yield opened


async def read(desk: Desk, titles: Sequence[str]) -> None:
    items = [
        desk.item(title, desk.now + number * timedelta(minutes=3), f"paper{number}.example")
        for number, title in enumerate(titles)
    ]
    await desk.read(items)


async def evidence(desk: Desk) -> dict[str, Evidence]:
    async with desk.stage.store.transaction() as transaction:
        day = timedelta(days=1)
        found = await transaction.evidence(ACME, ModelId("words"), desk.now - day, desk.now + day, 50)
    return {each.title: each for each in found}


def own(piece: Evidence) -> EventId:
    """Return the event that a story would have begun."""
    return EventId(piece.story)


async def test_the_wordings_of_several_publishers_are_one_event_and_another_happening_is_another(desk: Desk) -> None:
    await read(desk, [*ACCOUNTS[:2], STORM, *ACCOUNTS[2:]])
    found = await evidence(desk)
    assert len({each.story for each in found.values()}) == 6
    events = {title: each.event for title, each in found.items()}
    assert {events[title] for title in ACCOUNTS} == {own(found[ACCOUNTS[0]])}
    assert events[STORM] == own(found[STORM])


async def test_a_copy_is_a_member_of_its_story_and_in_no_event_of_its_own(desk: Desk) -> None:
    await read(desk, [ACCOUNTS[0], ACCOUNTS[0], ACCOUNTS[1]])
    found = await evidence(desk)
    assert found[ACCOUNTS[0]].copies == 2
    async with desk.stage.store.transaction() as transaction:
        gathered = await transaction.gathered(desk.now - timedelta(days=1))
    assert len(gathered) == 2


async def test_history_is_in_no_event(desk: Desk) -> None:
    await desk.read([desk.item(ACCOUNTS[0], desk.now, "paper.example", history=True)])
    await read(desk, [ACCOUNTS[1]])
    found = await evidence(desk)
    assert found[ACCOUNTS[1]].event == own(found[ACCOUNTS[1]])


async def test_a_daemon_that_begins_anew_goes_on_with_the_events_of_the_last_two_days(desk: Desk) -> None:
    await read(desk, ACCOUNTS[:2])
    desk.stage.gathering = Gathering()
    await read(desk, [STORM, ACCOUNTS[2]])
    found = await evidence(desk)
    assert found[ACCOUNTS[2]].event == own(found[ACCOUNTS[0]])


async def test_an_incident_names_the_event_that_most_of_it_is_about(desk: Desk) -> None:
    await desk.calm(8, about=["Acme Bank", "Bolt Motors"], an_hour=0.5)
    wordings = [f"{title} ({place})" for place in ("London", "Tokyo", "Paris", "Lima") for title in ACCOUNTS]
    await desk.publish(wordings, over=timedelta(hours=1), publishers=8)
    (incident,) = await desk.incidents()
    assert incident.explanation is not None
    assert max(incident.explanation.shares, key=incident.explanation.shares.__getitem__) is Cause.EVENT
    assert incident.explanation.headline in wordings
    events = [each.event for each in incident.evidence]
    assert max(events, key=events.count) == incident.explanation.loudest_event
