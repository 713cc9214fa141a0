"""What a trainer is given of the desk's verdicts, read beside a daemon that writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.errors import StoreError
from monitor.store.repository import SqlStore
from monitor.store.verdicts import JudgedText, lessons
from monitor.types import EntityId, IncidentId, Key, Language, Ruling, StoryId, Verdict
from tests.core.telling import headline, incident
from tests.samples import MINUTE, T0, article

FIRST = article("first")
SECOND = article("second", language=Language("zh"))
TOLD = incident("entity:acme", "all", evidence=tuple(headline(StoryId(each.id)) for each in (FIRST, SECOND)))


def verdict(minute: int, **other: object) -> Verdict:
    given: dict[str, object] = {"incident": TOLD.id, "ruling": Ruling.FALSE, "by": "Ann", "at": T0 + minute * MINUTE}
    return Verdict(**(given | other))  # type: ignore[arg-type]  # a test names the fields it means


async def keep(store: SqlStore, *verdicts: Verdict) -> None:
    async with store.transaction() as transaction:
        await transaction.add_articles([FIRST, SECOND], [[1], [2]])
        await transaction.save_incidents([TOLD])
        for each in verdicts:
            await transaction.add_verdict(each)


async def test_a_verdict_comes_with_the_text_and_the_incident_it_is_about(store: SqlStore, file: Path) -> None:
    given = verdict(1, article=SECOND.id, sentiment="positive")
    await keep(store, given)
    (lesson,) = await lessons(f"sqlite:///{file}", T0)
    assert (lesson.verdict, lesson.entity, lesson.incident) == (given, "acme", TOLD)
    assert lesson.texts == (
        JudgedText(
            id=SECOND.id,
            title=SECOND.title,
            text=SECOND.text,
            language=Language("zh"),
            publisher=SECOND.publisher,
            published=SECOND.published,
        ),
    )


async def test_a_verdict_on_the_whole_comes_with_every_story_of_the_evidence(store: SqlStore, file: Path) -> None:
    await keep(store, verdict(1), verdict(2, entity=EntityId("bolt")))
    both = await lessons(f"sqlite:///{file}", T0)
    assert [[each.id for each in lesson.texts] for lesson in both] == [[FIRST.id, SECOND.id]] * 2
    assert [lesson.entity for lesson in both] == ["acme", "bolt"]


async def test_only_what_was_said_since_is_read(store: SqlStore, file: Path) -> None:
    await keep(store, verdict(1), verdict(2), verdict(3))
    found = await lessons(f"sqlite:///{file}", T0 + 2 * MINUTE)
    assert [lesson.verdict.at for lesson in found] == [T0 + 2 * MINUTE, T0 + 3 * MINUTE]
    assert await lessons(f"sqlite:///{file}", T0 + timedelta(days=1)) == []


async def test_news_as_a_whole_has_no_company(store: SqlStore, file: Path) -> None:
    topical = replace(TOLD, id=IncidentId("b" * 32), keys=(Key("topic:Energy"),))
    await keep(store)
    async with store.transaction() as transaction:
        await transaction.save_incidents([topical])
        await transaction.add_verdict(verdict(1, incident=topical.id))
    (lesson,) = await lessons(f"sqlite:///{file}", T0)
    assert lesson.entity is None


async def test_a_text_past_its_retention_is_left_out(store: SqlStore, file: Path) -> None:
    await keep(store, verdict(1))
    async with store.transaction() as transaction:
        await transaction.blank([FIRST.id])
    (lesson,) = await lessons(f"sqlite:///{file}", T0)
    assert [each.id for each in lesson.texts] == [SECOND.id]


async def test_reading_goes_on_while_the_daemon_writes_and_is_refused_where_there_is_nothing(
    store: SqlStore, file: Path, tmp_path: Path
) -> None:
    await keep(store, verdict(1))
    async with store.transaction() as transaction:
        await transaction.add_verdict(verdict(2))
        assert len(await lessons(f"sqlite:///{file}", T0)) == 1
    assert len(await lessons(f"sqlite:///{file}", T0)) == 2
    with pytest.raises(StoreError, match="the database is empty"):
        await lessons(f"sqlite:///{tmp_path}/nothing.db", T0)
