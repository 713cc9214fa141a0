from __future__ import annotations

import math

import numpy as np
import pytest
import tails
from hypothesis import given
from hypothesis import strategies as st


def test_a_tail_that_falls_off_exponentially_is_recognised() -> None:
    shape, scale = tails.pareto(np.random.default_rng(1).exponential(2.0, 20_000))
    assert shape == pytest.approx(0.0, abs=0.03)
    assert scale == pytest.approx(2.0, rel=0.05)


def test_a_heavy_tail_is_recognised() -> None:
    shape, scale = tails.pareto(np.random.default_rng(1).pareto(2.5, 20_000))  # shape 1/2.5, scale 1/2.5
    assert shape == pytest.approx(0.4, abs=0.05)
    assert scale == pytest.approx(0.4, rel=0.1)


def test_spot_finds_what_one_in_a_million_exceeds_from_a_tenth_of_a_million() -> None:
    scores = np.random.default_rng(1).exponential(1.0, 100_000)
    assert tails.spot(scores, 1e-6) == pytest.approx(-math.log(1e-6), rel=0.15)


def test_moments_at_which_nothing_special_was_seen_count_as_moments() -> None:
    scores = np.random.default_rng(1).exponential(1.0, 50_000)
    half = np.concatenate([scores, np.full(50_000, -np.inf)])
    assert tails.spot(half, 1e-5) == pytest.approx(-math.log(2e-5), rel=0.15)


def test_without_a_tail_nothing_can_be_said() -> None:
    assert tails.spot(np.full(1000, -np.inf), 1e-3) == math.inf
    assert tails.conformal(np.arange(5.0), 1e-3) == math.inf


@given(st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=50, unique=True), st.floats(0.01, 0.9))
def test_a_score_beyond_the_conformal_threshold_has_a_small_p_value(scores: list[float], chance: float) -> None:
    limit = tails.conformal(np.array(scores), chance)
    beyond = math.nextafter(limit, math.inf)
    as_high = sum(score >= beyond for score in scores)
    assert limit == math.inf or (1 + as_high) / (len(scores) + 1) <= chance * (1.0 + 1e-12)


def test_a_slow_rise_of_all_scores_is_taken_out() -> None:
    rng = np.random.default_rng(1)
    rising = np.linspace(0.0, 50.0, 50_000) + rng.normal(size=50_000)
    moved = tails.drifted(rising)[tails.DEPTH :]
    assert moved.std() == pytest.approx(1.0, abs=0.02)
    assert abs(float(np.corrcoef(moved, np.arange(moved.size))[0, 1])) < 0.02
