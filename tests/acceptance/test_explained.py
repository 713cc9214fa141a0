"""What an explanation names is what the incident hangs on: take it away, and there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from monitor.core.codec import from_json
from monitor.core.explain import counted_in, percents
from monitor.pipeline import Needle
from monitor.ports import Judgement
from monitor.store import schema
from monitor.types import Cause, Explanation, Incident, Key, ModelId, Sentiment, Signal, SignalKind, Timeliness
from tests.acceptance.desk import Desk, open_desk

HOUR = timedelta(hours=1)
PAST = 120  # hours that the desk has read of before the hour of each test
AN_HOUR = 6  # stories, of which one in nine is bad

News = Sequence[tuple[str, bool]]  # who brings each story of an hour, and whether it is bad

CHORUS: News = [(f"paper{number % 10}.example", number % 9 == 0) for number in range(216)]
LOUD: News = [("loud.example" if number % 8 else f"paper{number}.example", True) for number in range(24)]
GLOOM: News = [(f"paper{number}.example", True) for number in range(20)]


async def lived_through(folder: Path, news: News) -> list[Incident]:
    """Return the incidents of an hour of these stories about one bank, after a past of calm."""
    folder.mkdir()
    async with open_desk(folder) as desk:
        await read_past(desk)
        await tell(desk, news)
        return await desk.incidents()


async def read_past(desk: Desk) -> None:
    past = [
        desk.item(
            desk.headline("Acme Bank", bad=number % 9 == 0),
            desk.now,
            f"paper{number % 10}.example",
            published=desk.now - timedelta(hours=(number + 1) / AN_HOUR),
            history=True,
        )
        for number in range(PAST * AN_HOUR)
    ]
    await desk.read(past)
    await desk.wait(timedelta(minutes=5))


async def tell(desk: Desk, news: News) -> None:
    start = desk.now
    await desk.read(
        [
            desk.item(desk.headline("Acme Bank", bad=bad), start + HOUR * number / len(news), publisher)
            for number, (publisher, bad) in enumerate(news)
        ]
    )
    await desk.wait(start + HOUR - desk.now)


def explanation_of(incidents: Sequence[Incident]) -> Explanation:
    (incident,) = incidents
    assert incident.explanation is not None
    assert sum(percents(incident.explanation).values()) == 100
    return incident.explanation


def largest(explanation: Explanation) -> Cause:
    return max(explanation.shares, key=explanation.shares.__getitem__)


async def test_what_hangs_on_one_publisher_is_gone_without_it(tmp_path: Path) -> None:
    explanation = explanation_of(await lived_through(tmp_path / "as it was", LOUD))
    assert (largest(explanation), explanation.loudest_publisher) == (Cause.PUBLISHER, "loud.example")
    others = [(publisher, bad) for publisher, bad in LOUD if publisher != "loud.example"]
    assert others
    assert await lived_through(tmp_path / "without it", others) == []


async def test_what_hangs_on_the_volume_is_gone_at_the_expected_volume(tmp_path: Path) -> None:
    explanation = explanation_of(await lived_through(tmp_path / "as it was", CHORUS))
    assert largest(explanation) is Cause.VOLUME
    thinned = CHORUS[:: len(CHORUS) // AN_HOUR]
    assert await lived_through(tmp_path / "thinned", thinned) == []


async def test_what_hangs_on_the_mood_is_gone_at_the_expected_mood(tmp_path: Path) -> None:
    explanation = explanation_of(await lived_through(tmp_path / "as it was", GLOOM))
    assert largest(explanation) is Cause.MOOD
    brighter = [(publisher, bad and number % 9 == 0) for number, (publisher, bad) in enumerate(GLOOM)]
    assert await lived_through(tmp_path / "brighter", brighter) == []


async def test_what_explains_a_surge_is_what_was_counted(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await read_past(desk)
        await tell(desk, LOUD)
        async with desk.stage.store.reader.connect() as connection:
            signals = [from_json(Signal, row) for row in await connection.scalars(select(schema.signals.c.value))]
        surges = [signal for signal in signals if signal.kind in (SignalKind.SURGE, SignalKind.SHARE)]
        assert len({signal.key for signal in surges}) > 1
        for surge in surges:
            assert surge.first is not None
            assert surge.end is not None
            assert surge.first < surge.at <= surge.end
            rollups = await desk.stage.store.rollups(surge.first, surge.end)
            counted = [each for each in rollups if each.key == surge.key and each.timeliness is not Timeliness.HISTORY]
            async with desk.stage.store.transaction() as transaction:
                parts = await transaction.parts(
                    surge.key, surge.model, surge.first, surge.end, counted_in(surge.window)
                )
            assert sum(part.stories for part in parts) == sum(each.negative for each in counted) >= surge.negative
            assert sum(part.weight for part in parts) == pytest.approx(sum(each.weight for each in counted))


async def test_what_a_new_model_adds_is_told_apart(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await read_past(desk)
        await teach_by(desk, ModelId("milder"))
        await tell(desk, GLOOM)
        explanation = explanation_of(await desk.incidents())
        assert largest(explanation) is Cause.MOOD
        assert 0.1 < explanation.model < explanation.mood


async def teach_by(desk: Desk, milder: ModelId) -> None:
    """Let what is normal have been taught by a model that found every other bad story of the past neutral."""
    neutral = Sentiment(negative=0.1, neutral=0.8, positive=0.1)
    async with desk.stage.store.reader.connect() as connection:
        rows = (await connection.execute(select(schema.judgements).order_by(schema.judgements.c.published))).all()
    judged: list[Judgement] = []
    articles: dict[str, int] = {}
    for row in rows:
        place = articles.setdefault(row.article, len(articles))
        found = Sentiment(negative=row.negative, neutral=row.neutral, positive=row.positive)
        judged.append(
            Judgement(
                article=row.article,
                key=Key(row.key),
                model=milder,
                entity=row.entity,
                sentiment=neutral if place % 2 else found,
                story=row.story,
                publisher=row.publisher,
                source=row.source,
                published=row.published,
                leads=row.leads,
                scored=row.scored,
            )
        )
    async with desk.stage.store.transaction() as transaction:
        await transaction.add_judgements(judged, {})
    state = desk.stage.needle.state
    desk.stage.needle = Needle(replace(state, pulse=replace(state.pulse, taught=milder)))
