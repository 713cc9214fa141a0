"""The desk looks into an incident while the daemon goes on folding signals into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from monitor.api.services import Conflict, Missing, Unusable
from monitor.core.incidents import Folded, fold
from monitor.core.keys import ALL
from monitor.handling import Handling
from monitor.store import schema
from monitor.store.queries import Queries
from monitor.store.repository import SqlStore
from monitor.types import Acknowledgement, Incident, IncidentId, IncidentState, Ruling, Severity, SignalKind, Verdict
from tests.core.telling import incident, signal
from tests.databases import BACKENDS, Sql, database
from tests.samples import MINUTE, T0, article, hex_id, judgement

OPEN = incident("entity:acme")
LI = Acknowledgement(at=T0 + MINUTE, by="Li Wei", note="calling the bank")


class Office:
    """A store, what writes for the API, and what the page hears of."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.heard: list[Incident] = []
        self.reader = Queries(store.reader)
        self.handling = Handling(store=store, reader=self.reader, took=self._took)

    def _took(self, folded: Folded) -> None:
        self.heard += folded.incidents

    async def save(self, *incidents: Incident) -> None:
        async with self.store.transaction() as transaction:
            await transaction.save_incidents(incidents)

    async def watch(self, kind: SignalKind, chance: float = 1e-6) -> Folded:
        """Fold one signal about the company in, as the watch step does."""
        async with self.store.transaction() as transaction:
            said = signal("entity:acme", kind, at=T0 + 5 * MINUTE, chance=chance)
            folded = fold([said], await transaction.open_incidents(), {}, T0 + 5 * MINUTE)
            await asyncio.sleep(0)  # whoever could come between, comes now
            await transaction.save_incidents(folded.incidents)
        return folded

    async def stored(self) -> Incident:
        found = await self.reader.incident(OPEN.id)
        assert found is not None
        return found

    async def events(self) -> list[tuple[str, str]]:
        async with self.store.reader.connect() as connection:
            rows = await connection.execute(select(schema.events).order_by(schema.events.c.id))
            return [(row.kind, row.subject) for row in rows]


@pytest.fixture(params=[each for each in BACKENDS if each != "memory"])
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Office]:
    async with database(request.param, tmp_path) as opened:
        assert isinstance(opened, Sql)
        office = Office(await opened.open())
        await office.save(OPEN)
        yield office


async def test_an_incident_that_somebody_looks_into_says_so_everywhere(office: Office) -> None:
    after = await office.handling.acknowledge(OPEN.id, LI)
    assert (after.state, after.acknowledged, after.revision) == (IncidentState.ACKNOWLEDGED, LI, 2)
    assert await office.stored() == after
    assert office.heard == [after]
    assert await office.events() == [("incident", OPEN.id), ("incident", OPEN.id)]


async def test_who_comes_second_changes_nothing(office: Office) -> None:
    first = await office.handling.acknowledge(OPEN.id, LI)
    again = await office.handling.acknowledge(OPEN.id, replace(LI, at=T0 + 2 * MINUTE, by="Ann"))
    assert again == first
    assert office.heard == [first]
    assert len(await office.events()) == 2


async def test_neither_the_desk_nor_the_needle_overwrites_the_other(office: Office) -> None:
    raised, _ = await asyncio.gather(
        office.watch(SignalKind.SURGE, chance=1e-12), office.handling.acknowledge(OPEN.id, LI)
    )
    assert raised.incidents[0].severity is Severity.CRITICAL
    after = await office.stored()
    assert (after.severity, after.acknowledged, after.revision) == (Severity.CRITICAL, LI, 3)


async def test_what_is_acknowledged_is_told_again_only_when_it_is_raised(office: Office) -> None:
    await office.handling.acknowledge(OPEN.id, LI)
    assert (await office.watch(SignalKind.SURGE)).changes == ()
    ((change, after),) = (await office.watch(SignalKind.SURGE, chance=1e-12)).changes
    assert (change, after.state) == ("raised", IncidentState.ACKNOWLEDGED)


async def test_what_is_acknowledged_is_resolved_as_any_other_and_keeps_who_looked(office: Office) -> None:
    await office.handling.acknowledge(OPEN.id, LI)
    await office.watch(SignalKind.CALM)
    after = await office.stored()
    assert (after.state, after.acknowledged) == (IncidentState.RESOLVED, LI)


async def test_what_is_resolved_or_was_never_there_cannot_be_acknowledged(office: Office) -> None:
    await office.watch(SignalKind.CALM)
    with pytest.raises(Conflict, match="resolved"):
        await office.handling.acknowledge(OPEN.id, LI)
    with pytest.raises(Missing, match="no incident nowhere"):
        await office.handling.acknowledge(IncidentId("nowhere"), LI)
    assert office.heard == []


def verdict(**other: object) -> Verdict:
    given: dict[str, object] = {"incident": OPEN.id, "ruling": Ruling.FALSE, "by": "Ann", "at": T0 + timedelta(hours=1)}
    return Verdict(**(given | other))  # type: ignore[arg-type]  # a test names the fields it means


async def test_verdicts_are_kept_one_beside_the_other_also_after_the_end(office: Office) -> None:
    first = verdict(note="old\nwarehouse", sentiment="positive")
    await office.handling.judge(first)
    await office.watch(SignalKind.CALM)
    second = verdict(ruling=Ruling.RIGHT)
    await office.handling.judge(second)
    assert await office.reader.verdicts(OPEN.id) == [first, second]
    assert [kind for kind, _ in await office.events()] == ["incident", "verdict", "incident", "verdict"]


async def test_a_verdict_needs_an_incident_and_an_article_of_it(office: Office) -> None:
    mine, other = article("mine"), article("other")
    async with office.store.transaction() as transaction:
        await transaction.add_articles([mine, other], [[1], [2]])
        await transaction.add_judgements([judgement(mine), judgement(other, key=ALL)], {})
    await office.handling.judge(verdict(article=mine.id))
    for stranger in (other.id, hex_id("nowhere")):
        with pytest.raises(Unusable, match=f"article: found {stranger}; expected one that counts for entity:acme"):
            await office.handling.judge(verdict(article=stranger))
    with pytest.raises(Missing):
        await office.handling.judge(verdict(incident=IncidentId("nowhere")))
    assert len(await office.reader.verdicts(OPEN.id)) == 1
