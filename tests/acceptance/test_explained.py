"""What an explanation names is what the incident hangs on: take it away, and there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import select

from monitor.core.codec import from_json
from monitor.core.detect.detector import Rules
from monitor.core.explain import counted_in, percents
from monitor.pipeline import Needle
from monitor.ports import Gists, Judgement
from monitor.scoring.gist import open_gists
from monitor.store import schema
from monitor.types import Cause, Explanation, Incident, Key, ModelId, Sentiment, Signal, SignalKind, Timeliness
from tests.acceptance.desk import Desk, open_desk

HOUR = timedelta(hours=1)
PAST = 120  # hours that the desk has read of before the hour of each test
BUDGET = Rules(surges=7.0)  # a week
AN_HOUR = 6  # stories, of which one in nine is bad


class Story(NamedTuple):
    """Who brings a story, whether it is bad, and its words, where they matter."""

    publisher: str
    bad: bool
    title: str | None = None


News = Sequence[Story]

CHORUS = [Story(f"paper{number % 10}.example", number % 9 == 0) for number in range(216)]
LOUD = [Story("loud.example" if number % 5 else f"paper{number}.example", bad=True) for number in range(30)]
GLOOM = [Story(f"paper{number}.example", bad=True) for number in range(20)]
WORDINGS = (
    "Acme Bank fraud: staff opened fake customer accounts, prosecutors say ({place})",
    "Prosecutors probe fraud with fake customer accounts at Acme Bank ({place})",
    "Fake accounts of customers lead prosecutors to Acme Bank, fraud suspected ({place})",
    "Fraud inquiry at Acme Bank over fake accounts that staff opened for customers ({place})",
)
ONE_EVENT = [
    Story(f"paper{number}.example", bad=True, title=wording.format(place=place))
    for number, (place, wording) in enumerate(product(("London", "Tokyo", "Paris", "Lima", "Cairo"), WORDINGS))
]
OTHERS = [
    Story("paper8.example", bad=True, title="Acme Bank expects loss from hurricane damage to branches on the coast"),
    Story("paper9.example", bad=False, title="Acme Bank sponsors a rowing regatta in spring"),
]


async def lived_through(folder: Path, news: News, gists: Gists | None = None) -> list[Incident]:
    """Return the incidents of an hour of these stories about one bank, after a past of calm."""
    folder.mkdir()
    async with open_desk(folder, BUDGET, gists=gists) as desk:
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
            desk.item(
                story.title or desk.headline("Acme Bank", bad=story.bad),
                start + HOUR * number / len(news),
                story.publisher,
            )
            for number, story in enumerate(news)
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
    others = [story for story in LOUD if story.publisher != "loud.example"]
    assert others
    assert await lived_through(tmp_path / "without it", others) == []


async def test_what_hangs_on_one_event_is_gone_without_it(tmp_path: Path) -> None:
    (incident,) = await lived_through(tmp_path / "as it was", [*OTHERS, *ONE_EVENT], open_gists())
    explanation = explanation_of([incident])
    assert largest(explanation) is Cause.EVENT
    wordings = {story.title for story in ONE_EVENT}
    assert explanation.headline in wordings
    assert {piece.title for piece in incident.evidence if piece.event == explanation.loudest_event} <= wordings
    assert await lived_through(tmp_path / "without it", OTHERS, open_gists()) == []


async def test_what_hangs_on_the_volume_is_gone_at_the_expected_volume(tmp_path: Path) -> None:
    explanation = explanation_of(await lived_through(tmp_path / "as it was", CHORUS))
    assert largest(explanation) is Cause.VOLUME
    thinned = CHORUS[:: len(CHORUS) // AN_HOUR]
    assert await lived_through(tmp_path / "thinned", thinned) == []


async def test_what_hangs_on_the_mood_is_gone_at_the_expected_mood(tmp_path: Path) -> None:
    explanation = explanation_of(await lived_through(tmp_path / "as it was", GLOOM))
    assert largest(explanation) is Cause.MOOD
    brighter = [story._replace(bad=number % 9 == 0) for number, story in enumerate(GLOOM)]
    assert await lived_through(tmp_path / "brighter", brighter) == []


async def test_what_explains_a_surge_is_what_was_counted(tmp_path: Path) -> None:
    async with open_desk(tmp_path, BUDGET) as desk:
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
    async with open_desk(tmp_path, BUDGET) as desk:
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
