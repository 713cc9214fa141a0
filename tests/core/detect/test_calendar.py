from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.detect.calendar import BACKING, FLAT, WEEK, season_from, slot_of
from monitor.core.detect.windows import bucket_of

COUNTS = st.lists(st.floats(0.0, 1000.0), min_size=WEEK, max_size=WEEK)
BUCKET_NUMBERS = st.integers(5_000_000, 6_000_000)


def hour(day: int, clock: int) -> int:
    return bucket_of(datetime(2024, 3, 4 + day, clock, tzinfo=UTC)) // 12


def test_monday_midnight_in_utc_is_slot_zero() -> None:
    assert slot_of(hour(0, 0)) == 0
    assert slot_of(hour(6, 23)) == 167


@given(COUNTS, st.floats(0.0, 20.0), st.floats(1.0, 10.0))
def test_factors_average_one_over_the_week(counts: list[float], watched: float, clustering: float) -> None:
    season = season_from(counts, [watched] * WEEK, clustering)
    assert sum(season.factors) / WEEK == pytest.approx(1.0)
    assert min(season.factors) > 0.0


@given(COUNTS, BUCKET_NUMBERS, st.integers(0, 3000), st.integers(0, 3000))
def test_spans_add_up(counts: list[float], first: int, one: int, other: int) -> None:
    season = season_from(counts, [4.0] * WEEK, 1.0)
    whole = season.span(first, first + one + other)
    assert whole == pytest.approx(season.span(first, first + one) + season.span(first + one, first + one + other))


@given(COUNTS, BUCKET_NUMBERS)
def test_a_week_holds_as_many_seasonal_hours_as_plain_ones(counts: list[float], first: int) -> None:
    season = season_from(counts, [4.0] * WEEK, 1.0)
    assert season.span(first, first + WEEK * 12) == pytest.approx(WEEK)


def test_a_young_season_is_flat_and_doubtful_and_grows_into_the_days_shape() -> None:
    season = FLAT
    start = hour(0, 0)
    for passed in range(24 * 28):
        busy = 8 <= passed % 24 < 18
        season = season.learn(start + passed, 50.0 if busy else 5.0, 1.0)
        if passed == 0:
            assert max(season.factors) < 3.0
            assert season.doubt(start * 12) > 0.25
    assert season.factor(hour(1, 12) * 12) / season.factor(hour(1, 3) * 12) == pytest.approx(10.0, rel=0.3)
    assert season.doubt(hour(1, 12) * 12) < 0.01


def test_the_weekend_is_told_apart_once_it_has_been_seen() -> None:
    season = FLAT
    start = hour(0, 0)
    for passed in range(24 * 7 * 6):
        season = season.learn(start + passed, 4.0 if passed // 24 % 7 >= 5 else 40.0, 1.0)
    assert season.factor(hour(5, 12) * 12) < 0.4
    assert season.factor(hour(2, 12) * 12) > 0.9


def test_clustered_stories_shape_the_season_more_slowly() -> None:
    counts = [0.0] * WEEK
    counts[9] = BACKING * 5
    plain = season_from(counts, [1.0] * WEEK, 1.0)
    clustered = season_from(counts, [1.0] * WEEK, 10.0)
    assert plain.factors[9] > clustered.factors[9] > 1.0
