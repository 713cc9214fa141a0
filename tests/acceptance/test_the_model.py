"""The model is changed while news comes in: the desk hears nothing of it, and misses nothing for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from monitor.types import Incident, IncidentState, ModelId, ModelState
from tests.acceptance.desk import BAD, Desk
from tests.acceptance.models import Bench, open_bench

HOUR = timedelta(hours=1)
ALL = ("",)  # in every text: all is negative


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path) as opened:
        opened.model_of("old", BAD)
        opened.model_of("same", BAD)
        opened.model_of("harsh", ALL)
        opened.model_of("mild", ())
        await opened.start("old")
        yield opened


async def books(desk: Desk) -> None:
    """Hold what was counted against what was judged: for each model and key, each story once."""
    async with desk.stage.store.reader.connect() as connection:

        async def rows(query: str) -> Sequence[Any]:
            return (await connection.execute(text(query))).all()

        counted = await rows("SELECT model, key, sum(stories) FROM rollups GROUP BY model, key ORDER BY model, key")
        judged = "SELECT model, key, sum(leads) FROM judgements GROUP BY model, key HAVING sum(leads) > 0"
        assert counted == await rows(f"{judged} ORDER BY model, key")
        brought = "SELECT model, key, sum(stories) FROM rollup_origins GROUP BY model, key ORDER BY model, key"
        assert counted == await rows(brought)
        negative = await rows("SELECT model, key, sum(negative) FROM rollups GROUP BY model, key ORDER BY model, key")
        lead = "sum(leads AND negative >= 0.5) FROM judgements GROUP BY model, key HAVING sum(leads) > 0"
        assert negative == await rows(f"SELECT model, key, {lead} ORDER BY model, key")


async def judged_by(desk: Desk, model: str) -> int:
    async with desk.stage.store.reader.connect() as connection:
        asked = text("SELECT count(*) FROM judgements WHERE key = 'all' AND model = :model")
        return int(await connection.scalar(asked, {"model": model}) or 0)


def told(incidents: Sequence[Incident]) -> list[tuple[object, ...]]:
    return [
        (each.id, each.state, each.severity, each.keys, each.opened, each.resolved, each.observed, each.expected)
        for each in incidents
    ]


async def bad_news(desk: Desk, stories: int, about: str = "Acme Bank") -> None:
    await desk.publish([desk.headline(about, bad=True) for _ in range(stories)], over=HOUR)


async def test_a_model_that_judges_the_same_changes_nothing_at_all(tmp_path: Path) -> None:
    ends = []
    for name in ("stays", "swapped"):
        async with AsyncExitStack() as stack:
            (tmp_path / name).mkdir()
            bench = await stack.enter_async_context(open_bench(tmp_path / name))
            desk = bench.desk
            bench.model_of("old", BAD)
            bench.model_of("same", BAD)
            await bench.start("old")
            await desk.calm(days=3)
            await bad_news(desk, 14)
            until = desk.now + timedelta(minutes=20)
            if name == "swapped":
                await bench.promote("same")
                assert await bench.standing() == {"old": "retired", "same": "serving"}
            await desk.wait(until - desk.now)
            await desk.calm(days=1)
            await bad_news(desk, 14, "Bolt Motors")
            await desk.calm(days=2)
            await books(desk)
            state = bench.needle.state
            ends.append((told(await desk.incidents()), state.groups, state.keys, state.pulse.surge))
    assert ends[0] == ends[1]
    assert len(ends[0][0]) >= 2


@pytest.mark.parametrize("name", ["harsh", "mild"])
async def test_a_model_that_judges_quite_otherwise_alarms_nobody(bench: Bench, name: str) -> None:
    desk = bench.desk
    await desk.calm(days=3)
    await bench.promote(name)
    assert await bench.standing() == {"old": "retired", name: "serving"}
    await desk.calm(days=2)
    assert await desk.incidents() == []
    await books(desk)
    assert await judged_by(desk, name) == await desk.count("articles")


async def test_after_a_harsh_model_a_true_surge_is_told(bench: Bench) -> None:
    desk = bench.desk
    await desk.calm(days=3)
    await bench.promote("harsh")
    await bad_news(desk, 40)
    assert any("entity:acme" in each.keys for each in await desk.incidents())


async def test_good_news_that_a_new_model_calls_bad_is_no_surge_with_one_story_more(bench: Bench) -> None:
    desk = bench.desk
    await desk.calm(days=3)
    await desk.publish([desk.headline("Acme Bank", bad=False) for _ in range(30)], over=HOUR)
    await bench.promote("harsh")
    await desk.publish([desk.headline("Acme Bank", bad=True)], over=timedelta(minutes=5))
    assert await desk.incidents() == []


async def test_an_open_incident_outlives_a_model_that_does_not_see_it(bench: Bench) -> None:
    desk = bench.desk
    await desk.calm(days=3)
    await bad_news(desk, 14)
    before = told(await desk.incidents())
    assert before
    await bench.promote("mild")
    await desk.wait(HOUR)
    assert told(await desk.incidents()) == before
    await desk.calm(days=2)
    assert {each.state for each in await desk.incidents()} == {IncidentState.RESOLVED}


async def test_what_arrives_while_the_past_is_judged_is_judged_by_both(bench: Bench) -> None:
    desk = bench.desk
    await desk.calm(days=2)
    await bench.stage_model("same")
    looking = await bench.look_until_it_waits()
    assert await bench.standing() == {"old": "serving", "same": "ready"}
    await desk.publish([desk.headline("Acme Bank", bad=True) for _ in range(3)], over=timedelta(minutes=2))
    await bench.wait_for(looking)
    (serving,) = [row for row in await bench.rows() if row.state.value == "serving"]
    assert serving.id == "same"
    assert serving.changeover is not None
    assert serving.changeover.minute % 5 == 0
    assert await judged_by(desk, "same") == await judged_by(desk, "old") == await desk.count("articles")
    await books(desk)


async def test_a_tampered_model_is_refused_and_the_old_one_serves(bench: Bench) -> None:
    desk = bench.desk
    await desk.calm(days=1)
    async with bench.stage.store.transaction() as transaction:
        await transaction.stage_model("path:/cut", ModelId("cut"), {})
    await bench.look()
    assert await bench.standing() == {"old": "serving", "cut": "refused"}
    (refused,) = [row for row in await bench.rows() if row.id == "cut"]
    assert "cut short" in (refused.error or "")
    assert "cut short" in (bench.succession.trouble or "")
    successful = bench.telemetry.registry.get_sample_value("newsquake_model_reload_successful")
    assert successful == 0.0
    await bench.promote("same")
    assert await bench.standing() == {"old": "retired", "cut": "refused", "same": "serving"}
    assert bench.succession.trouble is None
    assert bench.telemetry.registry.get_sample_value("newsquake_model_reload_successful") == 1.0


async def test_a_model_that_was_replaced_after_it_was_staged_is_refused(bench: Bench) -> None:
    await bench.desk.calm(days=1)
    await bench.stage_model("same")
    bench.models["path:/same"] = bench.models["path:/harsh"]
    await bench.look()
    assert (await bench.standing())["same"] == "refused"


async def test_a_promotion_that_is_called_off_leaves_the_old_one(bench: Bench) -> None:
    desk = bench.desk
    await desk.calm(days=1)
    await bench.stage_model("same")
    looking = await bench.look_until_it_waits()
    await bench.move("same", ModelState.READY, ModelState.WITHDRAWN)
    await bench.wait_for(looking)
    assert bench.model == "old"
    assert bench.needle.state.pulse.model == "old"


async def test_a_rollback_is_at_once_and_leaves_no_gap(bench: Bench) -> None:
    desk = bench.desk
    await desk.calm(days=3)
    normal = bench.needle.state.groups["entity"].rate
    await bench.promote("harsh")
    assert bench.needle.state.groups["entity"].rate > 2 * normal
    await desk.calm(days=1)
    await bench.move("old", ModelState.RETIRED, ModelState.RECALLED)
    at = desk.now
    await bench.look()
    assert desk.now == at
    assert bench.model == "old"
    assert await bench.standing() == {"harsh": "withdrawn", "old": "serving"}
    await bench.look()
    assert await judged_by(desk, "old") == await desk.count("articles")
    assert bench.needle.state.pulse.taught is None
    assert bench.needle.state.groups["entity"].rate < 2 * normal
    await desk.calm(days=1)
    assert await desk.incidents() == []
    await bad_news(desk, 14)
    assert any("entity:acme" in each.keys for each in await desk.incidents())
    await books(desk)


async def test_a_model_found_in_the_place_of_the_old_one_takes_over_at_the_start(bench: Bench) -> None:
    desk = bench.desk
    await desk.calm(days=3)
    await bench.checkpoint()
    await bench.start("harsh")
    assert await bench.standing() == {"old": "retired", "harsh": "serving"}
    await bench.look()
    assert await judged_by(desk, "harsh") == await desk.count("articles")
    await desk.calm(days=2)
    assert await desk.incidents() == []
    await books(desk)


async def test_another_default_in_the_configuration_is_promoted_like_any_other(bench: Bench) -> None:
    await bench.desk.calm(days=1)
    await bench.look()
    assert await bench.standing() == {"old": "serving"}
    bench.succession.default = "path:/same"
    await bench.look()
    assert await bench.standing() == {"old": "serving", "same": "staged"}
    await bench.look()
    assert await bench.standing() == {"old": "retired", "same": "serving"}
    await bench.look()
    assert await bench.standing() == {"old": "retired", "same": "serving"}
    bench.succession.default = "path:/cut"
    await bench.look()
    assert await bench.standing() == {"old": "retired", "same": "serving"}
    assert "path:/cut" in (bench.succession.trouble or "")


class Killed(BaseException):
    """What a power cut looks like from inside."""


@pytest.mark.parametrize("seed", range(6))
async def test_killed_at_any_step_it_goes_on_and_counts_everything_once(bench: Bench, seed: int) -> None:
    desk, random = bench.desk, Random(seed)
    await desk.calm(days=2)
    await bench.stage_model("harsh")

    def die(_: str) -> None:
        if random.random() < 0.2:
            raise Killed

    for _ in range(60):
        bench.kill = die
        try:
            await bench.look()
        except Killed:
            if (await bench.standing())[bench.needle.state.pulse.model or ""] == "serving":
                await bench.checkpoint()
            (serving,) = [row.id for row in await bench.rows() if row.state.value == "serving"]
            bench.kill = lambda _: None
            await bench.start(serving, default="path:/old")
        await desk.publish([desk.headline("Acme Bank", bad=False)], over=timedelta(minutes=7))
        if await bench.standing() == {"old": "retired", "harsh": "serving"}:
            break
    bench.kill = lambda _: None
    await bench.look()
    assert await bench.standing() == {"old": "retired", "harsh": "serving"}
    assert bench.needle.state.pulse.model == bench.model == "harsh"
    assert await judged_by(desk, "harsh") == await desk.count("articles")
    await books(desk)
    assert await desk.incidents() == []
