from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from monitor.core.detect.tail import BASE, CAUTION, Tail

WEEK = 168.0


def lived(heights: Iterable[float], *, budget: float = 1.0 / WEEK, apart: float = 4.0) -> Tail:
    """Return a tail that saw peaks of these heights, each a row long, so many hours from one another."""
    tail = Tail(budget)
    for height in heights:
        tail.see(math.exp(-height), 0.5, 0.5, alarmed=False)
        for _ in range(2):
            tail.see(math.inf, (apart - 0.5) / 2.0, 0.5, alarmed=False)
        tail.fit()
    return tail


def test_before_anything_is_seen_the_formula_holds_with_caution() -> None:
    assert Tail(1.0 / WEEK).level == pytest.approx(1.0 / WEEK / CAUTION)


@pytest.mark.parametrize("steepness", [0.7, 1.0, 3.0])
def test_the_level_is_where_peaks_come_as_often_as_the_budget_allows(steepness: float) -> None:
    rng = np.random.default_rng(1)
    tail = lived(BASE + 0.5 + rng.exponential(steepness, 500))
    reached = 0.25 * math.exp((BASE + 0.5 + math.log(tail.level)) / steepness)  # peaks an hour beyond the level
    assert reached == pytest.approx(1.0 / WEEK, rel=0.7)


def test_a_height_is_calibrated_and_the_level_is_where_it_spends_the_budget() -> None:
    tail = lived([4.0, 3.0, 5.0, 3.5, 6.0, 2.5] * 20)
    assert tail.height(tail.level) == pytest.approx(-math.log(tail.budget))
    assert tail.height(tail.level / 2.0) > tail.height(tail.level)


def test_a_height_beyond_all_measure_teaches_no_more_than_that_the_level_was_reached() -> None:
    calm = [BASE + 0.1 + 0.1 * (n % 20) for n in range(200)]
    assert lived([*calm, 600.0]).level == pytest.approx(lived([*calm, 20.0]).level)


def test_a_run_of_rows_is_one_peak() -> None:
    tail = lived([])
    for _ in range(50):
        tail.see(math.exp(-4.0), 0.25, 0.5, alarmed=False)
        tail.see(math.inf, 0.25, 0.5, alarmed=False)
    tail.see(math.inf, 1.0, 0.5, alarmed=False)
    assert len(tail._peaks) == 1


def test_what_is_kept_does_not_grow_with_time() -> None:
    assert len(lived([3.0] * 400)._peaks) <= 6 * WEEK / 4.0 + 1
