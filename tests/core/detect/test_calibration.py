"""How far the formula is off, learned from near misses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.detect.calibration import (
    LEARNED,
    LEVELS,
    YOUNG,
    Record,
    fit,
    shallowest,
    solve,
    step_of,
)
from monitor.types import Key

ACME, BOREALIS = Key("entity:acme"), Key("entity:borealis")
LEVEL = 1e-4
BUDGET = 0.01


def spent(density: float) -> Callable[[float], float]:
    """So many windows of which each attains any chance."""
    return lambda level: density * level


def watched(hours: int, off: float, kappa: float = 1.0, density: float = 100.0) -> Record:
    """What so many hours show if a level c is reached γ·(c/1e-4)^(κ - 1) times as often as the formula says."""
    record = replace(Record(), nominal=tuple((density * LEVELS).tolist()), hours=LEARNED)
    for hour in range(hours):
        record = record.watched(LEVEL, hour * 12)
    reached = off * np.array(record.nominal) * (LEVELS / LEVEL) ** (kappa - 1.0)
    steps = reached - np.append(reached[1:], 0.0)
    lasted = record.due[step_of(LEVEL)] / (record.nominal[step_of(LEVEL)] - record.nominal[step_of(LEVEL) + 1])
    seen = [lasted * step if n >= shallowest(LEVEL) else 0.0 for n, step in enumerate(steps.tolist())]
    return replace(record, seen=tuple(seen))


@pytest.mark.parametrize("off", [0.2, 1.0, 5.0])
def test_what_is_seen_again_and_again_is_believed(off: float) -> None:
    found = fit(watched(2000, off), LEVEL, LEVEL)
    assert math.exp(found.gamma) == pytest.approx(off, rel=0.3)
    assert found.upper(LEVEL) > math.exp(found.gamma)


def test_a_tail_that_falls_too_slowly_is_seen() -> None:
    light, heavy = (fit(watched(2000, 1.0, kappa, density=1000.0), LEVEL, LEVEL) for kappa in (1.0, 0.6))
    assert heavy.kappa < light.kappa
    assert heavy.upper(LEVEL / 100.0) > 2.0 * light.upper(LEVEL / 100.0)


@given(st.floats(0.05, 20.0), st.floats(1.0, 1e4))
def test_the_level_spends_no_more_than_the_budget_by_what_is_believed(off: float, density: float) -> None:
    record = replace(watched(1000, off, density=density), hours=YOUNG)
    level = solve(record, spent(density), BUDGET, LEVEL)
    anchor = BUDGET / density
    assert density * level * fit(record, anchor, LEVEL).upper(level) <= BUDGET * (1.0 + 1e-6) or level <= LEVELS[-1]


def test_nothing_seen_yet_is_met_with_caution() -> None:
    assert solve(Record(), spent(100.0), BUDGET, 0.0) < BUDGET / 100.0 / 2.0


def test_a_young_house_may_be_stricter_than_the_shipped_caution_but_not_laxer() -> None:
    shipped = solve(Record(), spent(100.0), BUDGET, 0.0)
    for off in (0.1, 10.0):
        young = replace(watched(500, off), hours=YOUNG - 1)
        old = replace(young, hours=YOUNG)
        assert solve(young, spent(100.0), BUDGET, LEVEL) <= shipped * (1.0 + 1e-9)
        assert (solve(old, spent(100.0), BUDGET, LEVEL) > shipped) == (off < 1.0)


def test_one_spell_counts_once_as_far_as_it_came() -> None:
    record = replace(Record(), hours=LEARNED)
    near, nearer, far = step_of(9e-4), step_of(3e-4), step_of(2e-3)
    for step in (near, nearer, far):
        record = record.missed(ACME, step, bucket=10, until=20, level=LEVEL)
    record = record.missed(BOREALIS, near, bucket=10, until=20, level=LEVEL)
    assert sum(record.seen) == 2.0
    assert (record.seen[nearer], record.seen[near]) == (1.0, 1.0)
    again = record.missed(ACME, near, bucket=21, until=30, level=LEVEL)
    assert again.seen[near] == 2.0


def test_near_misses_of_the_first_week_tell_nothing() -> None:
    record = Record().missed(ACME, step_of(3e-4), bucket=10, until=20, level=LEVEL)
    assert sum(record.seen) == 0.0
    nominal = replace(record, nominal=(1.0,) * len(LEVELS))
    assert sum(nominal.watched(LEVEL, 100).due) == 0.0


def test_what_is_over_is_let_go() -> None:
    record = Record().missed(ACME, 3, bucket=10, until=20, level=LEVEL)
    assert record.watched(LEVEL, 20).spells
    assert not record.watched(LEVEL, 21).spells


@given(st.floats(1e-12, 1.0))
def test_a_step_is_the_last_level_that_was_reached(chance: float) -> None:
    step = step_of(chance)
    assert chance <= LEVELS[step] * (1.0 + 1e-6)
    assert step == len(LEVELS) - 1 or chance > LEVELS[step + 1] * (1.0 - 1e-6)


def test_a_chance_above_all_levels_has_no_step() -> None:
    assert step_of(math.inf) == step_of(1.5) == -1
