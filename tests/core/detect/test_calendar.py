from datetime import UTC, datetime
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.detect.calendar import (
    ALWAYS_OPEN,
    BACKING,
    FLAT,
    UNSEEN,
    WEEK,
    Holidays,
    Rest,
    Season,
    holidays_from,
    season_from,
    slot_of,
)
from monitor.core.detect.windows import bucket_of


def invented(seed: int, length: int) -> list[float]:
    """So many numbers, most of them small, some 0."""
    random = Random(seed)
    return [random.choice([0.0, 1.0, 30.0, 1000.0]) * random.random() for _ in range(length)]


SEEDS = st.integers(0, 2**32)
COUNTS = SEEDS.map(lambda seed: invented(seed, WEEK))
BUCKET_NUMBERS = st.integers(5_000_000, 5_010_000)


def hour(day: int, clock: int) -> int:
    return bucket_of(datetime(2024, 3, 4 + day, clock, tzinfo=UTC)) // 12


def test_monday_midnight_in_utc_is_slot_zero() -> None:
    assert slot_of(hour(0, 0)) == 0
    assert slot_of(hour(6, 23)) == 167


@given(COUNTS, st.floats(0.0, 20.0), st.floats(1.0, 10.0))
def test_factors_average_one_over_the_week(counts: list[float], watched: float, clustering: float) -> None:
    season = season_from(counts, [watched] * WEEK, clustering)
    assert sum(season.week.factors) / WEEK == pytest.approx(1.0)
    assert min(season.week.factors) > 0.0


def disjoint(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


# Up to two exchanges, of which each rests in spans of up to two days near the buckets above.
REST = st.lists(st.integers(416_600, 417_800).flatmap(lambda at: st.tuples(st.just(at), st.integers(at + 1, at + 48))))
HOLIDAYS = st.lists(REST.map(disjoint), max_size=2).map(holidays_from)
RESTS = SEEDS.map(lambda seed: Rest(tuple(invented(seed, 24)), tuple(invented(seed + 1, 24))))


SEASONS = st.builds(season_from, COUNTS, st.just([4.0] * WEEK), st.just(1.0), RESTS, HOLIDAYS)


@given(SEASONS, BUCKET_NUMBERS, st.integers(0, 3000), st.integers(0, 3000))
def test_spans_add_up(season: Season, first: int, one: int, other: int) -> None:
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
            assert max(season.week.factors) < 3.0
            assert season.doubt(start * 12) > 0.25
    assert season.factor(hour(1, 12) * 12) / season.factor(hour(1, 3) * 12) == pytest.approx(10.0, rel=0.3)
    assert season.doubt(hour(1, 12) * 12) < 0.01


def test_a_weekend_is_known_by_its_days_before_it_is_by_its_hours() -> None:
    season = FLAT
    start = hour(0, 0)
    for passed in range(24 * 7 * 2):
        season = season.learn(start + passed, 0.4 if passed // 24 % 7 >= 5 else 4.0, 1.0)
    assert season.factor(hour(5, 12) * 12) < 0.5
    assert season.factor(hour(2, 12) * 12) > 1.1


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
    assert plain.week.factors[9] > clustered.week.factors[9] > 1.0


# --- it backs off ---


@given(COUNTS, st.floats(1.0, 10.0))
def test_who_has_watched_nothing_sees_a_flat_week(counts: list[float], clustering: float) -> None:
    assert season_from([0.0] * WEEK, [0.0] * WEEK, clustering).week.factors == FLAT.week.factors == (1.0,) * WEEK


@given(SEEDS, st.floats(1.0, 50.0), st.integers(0, 6))
def test_a_day_never_watched_has_the_other_days_hours(seed: int, weeks: float, missing: int) -> None:
    hours = invented(seed, 24)
    seen = [0.0 if slot // 24 == missing else 1.0 for slot in range(WEEK)]
    counts = [weeks * hours[slot % 24] * seen[slot] for slot in range(WEEK)]
    week = season_from(counts, [weeks * each for each in seen], 1.0).week.factors
    day = sorted(zip(hours, week[missing * 24 :][:24], strict=True))
    assert all(quiet[1] <= busy[1] + 1e-9 for quiet, busy in pairwise(day))


@given(COUNTS, st.integers(0, WEEK - 1), st.floats(1.0, 500.0))
def test_a_busier_hour_never_gets_a_lower_factor_for_it(counts: list[float], slot: int, more: float) -> None:
    watched = [6.0] * WEEK
    before = season_from(counts, watched, 1.0)
    counts[slot] += more
    after = season_from(counts, watched, 1.0)
    assert after.week.factors[slot] >= before.week.factors[slot] * (1.0 - 1e-9)


@given(st.floats(0.0, 4.0), st.floats(0.0, 4.0))
def test_the_more_weeks_are_watched_the_nearer_the_season_comes_to_what_was_seen(one: float, other: float) -> None:
    shape = [1.0 + 2.0 * (8 <= slot % 24 < 18 and slot < 120) for slot in range(WEEK)]
    truth = shape[12] * WEEK / sum(shape)

    def error(weeks: float) -> float:
        season = season_from([weeks * 3.0 * value for value in shape], [weeks] * WEEK, 1.0)
        return abs(season.week.factors[12] - truth)

    less, more = sorted((one, other))
    assert error(more) <= error(less) + 1e-9


@given(COUNTS, st.floats(0.0, 20.0), st.floats(1.0, 10.0), st.integers(0, WEEK - 1))
def test_doubt_only_shrinks_as_stories_come(counts: list[float], watched: float, clustering: float, slot: int) -> None:
    before = season_from(counts, [watched] * WEEK, clustering)
    after = season_from([each + 1.0 for each in counts], [watched + 1.0] * WEEK, clustering)
    assert after.week.doubts[slot] <= before.week.doubts[slot]


# --- holidays ---

FRIDAY = hour(4, 0)
REST_ON_FRIDAY = holidays_from([[(FRIDAY, FRIDAY + 24)]])


def news(slot: int, *, off: bool = False) -> float:
    """Forty stories an hour on working days, four at the weekend, eight on a holiday."""
    return 8.0 if off else 4.0 if slot >= 120 else 40.0


def weeks(count: int, holidays: Holidays = ALWAYS_OPEN, *, told: bool = True) -> Season:
    """So many weeks that end before FRIDAY; on the holidays there is less news, whether the season is told or not."""
    season = FLAT
    for at in range(FRIDAY - count * WEEK, FRIDAY):
        stories = news(slot_of(at), off=holidays.part(at) > 0.0)
        season = season.learn(at, stories, 1.0, holidays if told else ALWAYS_OPEN)
    return season


def fridays(*weeks_ago: int) -> Holidays:
    starts = sorted([FRIDAY, *(FRIDAY - WEEK * ago for ago in weeks_ago)])
    return holidays_from([[(start, start + 24) for start in starts]])


def test_a_first_holiday_is_taken_for_a_weekend_and_doubted() -> None:
    season = weeks(8, fridays())
    noon = (FRIDAY + 12) * 12
    assert season.factor(noon) == pytest.approx(season.factor((FRIDAY + 36) * 12))
    assert season.doubt(noon) > UNSEEN * 0.9
    assert season.factor(noon - WEEK * 12) > 1.2, "a week ago was an ordinary Friday"


def test_holidays_become_what_holidays_were() -> None:
    season = weeks(12, fridays(3, 5, 7, 9))
    noon = (FRIDAY + 12) * 12
    ordinary = season.factor(noon - WEEK * 12)
    assert season.factor(noon) / ordinary == pytest.approx(8.0 / 40.0, rel=0.1)
    assert season.doubt(noon) < 0.1


def test_a_holiday_teaches_the_working_days_nothing() -> None:
    holidays = fridays(1, 2)
    noon = (FRIDAY - 24 * 2 + 12) * 12 + 24 * 12
    told, untold, never = weeks(8, holidays), weeks(8, holidays, told=False), weeks(8)
    friday = slot_of(noon // 12) + 24
    assert told.week.factors[friday] == pytest.approx(never.week.factors[friday], rel=0.05)
    assert untold.week.factors[friday] < 0.9 * never.week.factors[friday]


def test_a_daemon_that_begins_within_a_long_holiday_does_not_take_it_for_the_measure_of_all_days() -> None:
    start = hour(0, 0)
    golden = holidays_from([[(start, start + 5 * 24)]])
    season = FLAT
    for at in range(start, start + 3 * WEEK):
        season = season.learn(at, news(slot_of(at), off=golden.part(at) > 0.0), 1.0, golden)
    assert season.holiday.factors[12] < 0.5


def test_where_half_of_the_exchanges_rest_half_of_the_news_does() -> None:
    half = holidays_from([[(FRIDAY, FRIDAY + 24)], []])
    season, full, noon = weeks(8, half), weeks(8, REST_ON_FRIDAY), (FRIDAY + 12) * 12
    open_ = weeks(8).factor(noon)
    assert half.part(FRIDAY) == 0.5
    assert season.factor(noon) == pytest.approx((full.factor(noon) + open_) / 2)


def test_half_holidays_teach_what_a_whole_one_is() -> None:
    starts = [FRIDAY - WEEK * ago for ago in (9, 7, 5, 3)]
    half = holidays_from([[(start, start + 24) for start in starts], []])
    season = FLAT
    for at in range(FRIDAY - 12 * WEEK, FRIDAY):
        slot, part = slot_of(at), half.part(at)
        season = season.learn(at, part * news(slot, off=True) + (1 - part) * news(slot), 1.0, half)
    ratio = season.holiday.at(FRIDAY + 12) / season.week.at(FRIDAY + 12)
    assert 1.1 * 4.0 / 40.0 < ratio < 1.1 * 8.0 / 40.0, "from the weekend's on the way to its own: half of it is unseen"


@given(SEASONS, BUCKET_NUMBERS, st.integers(1, 3000))
def test_a_span_is_the_sum_of_its_hours(season: Season, first: int, length: int) -> None:
    summed = sum(season.factor(bucket) for bucket in range(first, first + length)) / 12
    assert season.span(first, first + length) == pytest.approx(summed)
    assert summed > 0.0


def test_holidays_of_several_exchanges_are_joined_in_parts() -> None:
    joined = holidays_from([[(10, 34), (34, 58)], [(20, 44)]])
    assert list(zip(joined.starts, joined.ends, joined.parts, strict=True)) == [
        (10, 20, 0.5),
        (20, 44, 1.0),
        (44, 58, 0.5),
    ]
    assert [joined.part(each) for each in (9, 10, 33, 34, 57, 58)] == [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    assert holidays_from([]) == holidays_from([[]]) == ALWAYS_OPEN
