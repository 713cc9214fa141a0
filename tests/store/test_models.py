"""A promotion is asked for, called off and undone from outside the daemon; one at a time, and never by half."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.errors import PromotionError, StoreError
from monitor.ports import Promotion
from monitor.store import models
from monitor.store.models import Promotions
from monitor.store.operations import upgrade
from monitor.types import UNDER_WAY, ModelId, ModelState
from tests.databases import BACKENDS, Sql, database
from tests.samples import T0

A, B, C = ModelId("a" * 16), ModelId("b" * 16), ModelId("c" * 16)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=[each for each in BACKENDS if each != "memory"])
async def promotions(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Promotions]:
    async with database(request.param, tmp_path) as opened:
        assert isinstance(opened, Sql)
        made = await Promotions.open(opened.url)
        yield made
        await made.close()


async def served(promotions: Promotions, *ids: ModelId) -> None:
    """Let models have served one after another; the last one serves."""
    async with promotions._changing() as connection:
        for place, id_ in enumerate(ids):
            state = ModelState.SERVING if id_ == ids[-1] else ModelState.RETIRED
            row = Promotion(id=id_, reference=f"path:/{id_}", state=state, since=T0 + place * MINUTE, manifest={})
            await models.put(connection, row)


async def states(promotions: Promotions) -> dict[ModelId, ModelState]:
    return {row.id: row.state for row in await promotions.standing()}


async def test_a_staged_model_is_read_back_as_it_was_given(promotions: Promotions) -> None:
    await served(promotions, A)
    staged = await promotions.stage("path:/b", B, {"licence": "MIT"}, T0)
    assert staged.state is ModelState.STAGED
    assert staged in await promotions.standing()
    serving = await promotions.serving()
    assert serving is not None
    assert serving.id == A


async def test_before_the_first_start_no_model_serves(promotions: Promotions) -> None:
    assert await promotions.serving() is None
    with pytest.raises(PromotionError, match="no model serves yet"):
        await promotions.rollback(T0)


async def test_the_serving_model_is_not_promoted_again(promotions: Promotions) -> None:
    await served(promotions, A)
    with pytest.raises(PromotionError, match="serves already"):
        await promotions.stage("path:/a", A, {}, T0)


@pytest.mark.parametrize("state", sorted(UNDER_WAY))
async def test_one_promotion_at_a_time(promotions: Promotions, state: ModelState) -> None:
    await served(promotions, A)
    staged = await promotions.stage("path:/b", B, {}, T0)
    async with promotions._changing() as connection:
        await models.put(connection, replace(staged, state=state))
    with pytest.raises(PromotionError, match=f"under way already: {B} .* is {state}"):
        await promotions.stage("path:/c", C, {}, T0)


async def test_of_two_who_ask_at_once_one_is_refused(promotions: Promotions) -> None:
    await served(promotions, A)
    asked = [promotions.stage("path:/b", B, {}, T0), promotions.stage("path:/c", C, {}, T0)]
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert len([end for end in ends if isinstance(end, PromotionError)]) == 1
    assert sorted((await states(promotions)).values()) == [ModelState.SERVING, ModelState.STAGED]


async def test_a_rollback_calls_off_what_is_under_way(promotions: Promotions) -> None:
    await served(promotions, A)
    await promotions.stage("path:/b", B, {}, T0)
    assert (await promotions.rollback(T0 + MINUTE)).id == A
    assert await states(promotions) == {A: ModelState.SERVING, B: ModelState.WITHDRAWN}


async def test_a_rollback_recalls_the_model_that_served_before(promotions: Promotions) -> None:
    await served(promotions, C, A, B)
    recalled = await promotions.rollback(T0 + 5 * MINUTE)
    assert (recalled.id, recalled.state, recalled.since) == (A, ModelState.RECALLED, T0 + 5 * MINUTE)
    with pytest.raises(PromotionError, match=f"a rollback is under way already, to {A}"):
        await promotions.rollback(T0 + 6 * MINUTE)


async def test_there_is_nothing_before_the_first_model(promotions: Promotions) -> None:
    await served(promotions, A)
    with pytest.raises(PromotionError, match=f"nothing to roll back to: no model served before {A}"):
        await promotions.rollback(T0)


async def test_what_was_called_off_may_be_staged_again(promotions: Promotions) -> None:
    await served(promotions, A)
    await promotions.stage("path:/b", B, {}, T0)
    await promotions.rollback(T0 + MINUTE)
    await promotions.stage("path:/elsewhere", B, {}, T0 + 2 * MINUTE)
    assert await states(promotions) == {A: ModelState.SERVING, B: ModelState.STAGED}


async def test_a_row_passes_on_only_from_the_state_it_was_seen_in(promotions: Promotions) -> None:
    await served(promotions, A)
    await promotions.stage("path:/b", B, {}, T0)
    async with promotions._changing() as connection:
        assert not await models.move(connection, B, ModelState.SERVING, T0, of=ModelState.READY)
        assert await models.move(connection, B, ModelState.REFUSED, T0, of=ModelState.STAGED, error="cut short")
        assert (await models.get(connection, B)).error == "cut short"


async def test_a_database_of_nobody_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        await Promotions.open(f"sqlite:///{tmp_path / 'none.db'}")
    await upgrade(f"sqlite:///{tmp_path / 'new.db'}")
    await (await Promotions.open(f"sqlite:///{tmp_path / 'new.db'}")).close()
