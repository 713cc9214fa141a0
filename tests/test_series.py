from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitor.core.detect.series import Row, detect_series
from monitor.errors import ConfigurationError
from monitor.series import detect_lines

START = datetime(2024, 1, 1, tzinfo=UTC)
FIVE = timedelta(minutes=5)


def calm(mean: float, days: int, seed: int = 1) -> list[float]:
    """Counts of a seasonal, clustered series: gamma-mixed Poisson with a daily curve."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * 288) / 12.0
    level = mean * (1.0 + 0.7 * np.sin((hours % 24 - 8) * np.pi / 12))
    return [float(count) for count in rng.poisson(rng.gamma(4.0, level / 4.0))]


def run(counts: list[float], every: timedelta = FIVE, budget: float = 1.0) -> list[Row]:
    return list(detect_series(((START + n * every, count) for n, count in enumerate(counts)), budget))


@pytest.mark.parametrize("mean", [0.2, 20.0, 3000.0])
def test_a_calm_series_keeps_its_budget(mean: float) -> None:
    assert sum(row.alert for row in run(calm(mean, 28))) <= 4


@pytest.mark.parametrize("mean", [1.0, 50.0, 10_000.0])
def test_an_hour_at_ten_times_its_level_raises_one_incident(mean: float) -> None:
    counts = calm(mean, 14)
    surge = 13 * 288 + 150
    for place in range(surge, surge + 12):
        counts[place] = 10.0 * mean
    rows = run(counts)
    raised = [place for place, row in enumerate(rows) if row.alert and surge - 288 <= place]
    assert len(raised) == 1
    assert surge <= raised[0] < surge + 12
    assert rows[raised[0]].score > 3.0
    assert rows[raised[0]].expected < 3.0 * mean


def test_each_row_rests_on_the_rows_before_it_alone() -> None:
    counts = calm(20.0, 6)
    cut = 5 * 288
    other = counts[:cut] + [1000.0] * 288
    assert run(counts)[:cut] == run(other)[:cut]


def test_rows_come_out_one_by_one_as_they_go_in() -> None:
    taken: list[int] = []

    def rows() -> Iterator[tuple[datetime, float]]:
        for n in range(5):
            taken.append(n)
            yield START + n * FIVE, 1.0

    for place, _ in enumerate(detect_series(rows(), 1.0)):
        assert taken[-1] == place


def test_hourly_and_daily_counts_are_understood_too() -> None:
    rng = np.random.default_rng(3)
    hourly = [float(count) for count in rng.poisson(30.0, 24 * 40)]
    hourly[-5] = 300.0
    raised = [place for place, row in enumerate(run(hourly, timedelta(hours=1))) if row.alert]
    assert len(hourly) - 5 in raised
    assert len(raised) <= 40 / 7
    daily = [float(count) for count in rng.poisson(100.0, 200)]
    daily[-5] = 1000.0
    raised = [place for place, row in enumerate(run(daily, timedelta(days=1))) if row.alert]
    assert len(daily) - 5 in raised
    assert len(raised) <= 200 / 7


def test_a_gap_is_neither_a_surge_nor_calm() -> None:
    counts = calm(50.0, 10)
    rows = [(START + n * FIVE, count) for n, count in enumerate(counts) if not 2000 <= n < 2300]
    assert not any(row.alert for row in detect_series(rows, 1.0))


def test_a_new_level_is_told_and_learned_within_days() -> None:
    counts = calm(20.0, 10) + calm(80.0, 14, seed=2)
    rows = run(counts)
    assert any(row.alert for row in rows[10 * 288 : 11 * 288])
    assert rows[-1].expected > 0.5 * rows[-1 - 288].expected > 0.0
    assert sum(row.expected for row in rows[-288:]) / 288 > 50.0
    assert not any(row.alert for row in rows[-5 * 288 :])


def test_a_silent_series_is_answered_row_by_row() -> None:
    rows = run([0.0] * 1000)
    assert len(rows) == 1000
    assert not any(row.alert for row in rows)


def test_lines_come_back_as_they_went_in_with_three_columns_more() -> None:
    lines = ["timestamp,value\n", "2015-02-26 21:42:53,104\n", "\n", "2015-02-26T21:47:53Z,100.5\n"]
    header, first, second = detect_lines(lines, 1.0)
    assert header == "timestamp,value,expected,score,alert"
    assert first.startswith("2015-02-26 21:42:53,104,")
    assert second.startswith("2015-02-26T21:47:53Z,100.5,")
    assert first.endswith(",0")
    assert len(second.split(",")) == 5


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"counts\.csv:1: found nothing; expected the header 'timestamp,value'"),
        (["time,count"], r"counts\.csv:1: found 'time,count'; expected the header"),
        (["timestamp,value", "2024-01-01,1,2"], r"counts\.csv:2: found 3 fields"),
        (["timestamp,value", "yesterday,1"], r"counts\.csv:2: found the timestamp 'yesterday'"),
        (["timestamp,value", "2024-01-01,many"], r"counts\.csv:2: found the value 'many'; expected a count"),
        (["timestamp,value", "2024-01-01,-1"], r"counts\.csv:2: found the value '-1'"),
        (["timestamp,value", "2024-01-01,nan"], r"counts\.csv:2: found the value 'nan'"),
        (["timestamp,value", "0001-01-01T00:00:00+05:00,1"], r"counts\.csv:2: found the timestamp '0001-01-01T"),
        # The limit of a field is one for the process, and reading archives raises it.
        (["timestamp,value", "2024-01-01," + "1" * 140_000], r"counts\.csv:2: (not valid CSV: field larger|found the)"),
        (["timestamp,value", "2024-01-02,1", "2024-01-01,1"], r"counts\.csv:3: .* in order of time"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(lines: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        list(detect_lines(lines, 1.0, "counts.csv"))
    assert len(str(caught.value)) < 200, "a message is for people"


def test_a_series_that_falls_silent_is_told_once_and_may_surge_when_it_is_back() -> None:
    counts = calm(20.0, 14)
    counts[12 * 288 : 13 * 288] = [0.0] * 288
    counts[13 * 288 + 60 : 13 * 288 + 72] = [300.0] * 12
    rows = run(counts)
    raised = [place for place, row in enumerate(rows) if row.alert and place >= 12 * 288]
    assert len(raised) == 2
    assert 12 * 288 < raised[0] < 12 * 288 + 36
    assert 13 * 288 + 60 <= raised[1] < 13 * 288 + 72
    assert rows[13 * 288 + 48].expected > 0.5 * rows[12 * 288 + 48 - 288].expected, "silence is not learned"


def test_a_series_that_is_often_silent_is_not_told_to_be() -> None:
    assert sum(row.alert for row in run(calm(0.05, 28))) <= 8, "the upper end of four"


@pytest.mark.parametrize("unit", [1e-3, 0.37, 1e9, 1e13])
def test_values_need_be_neither_whole_nor_small(unit: float) -> None:
    counts = [unit * count for count in calm(1000.0, 14)]
    assert sum(row.alert for row in run(counts)) <= 2
    counts[13 * 288 : 13 * 288 + 12] = [unit * 10_000.0] * 12
    assert any(row.alert for row in run(counts)[13 * 288 : 13 * 288 + 12])


def test_a_huge_row_is_told_and_forgotten_after_a_day() -> None:
    counts = calm(20.0, 10)
    rows = run([*counts[: 8 * 288], 9e14, *counts[8 * 288 + 1 :]])
    assert rows[8 * 288].alert
    assert not any(row.alert for row in rows[8 * 288 + 1 :])
    assert rows[-1].expected < 100.0


def test_a_constant_series_raises_nothing_and_expects_what_it_is() -> None:
    rows = run([7.0] * 288 * 5)
    assert not any(row.alert for row in rows)
    assert rows[-1].expected == pytest.approx(7.0, rel=0.02)


def test_one_row_is_answered() -> None:
    (row,) = run([3.0])
    assert (row.expected, row.alert) == (3.0, False)


def test_a_lower_level_is_learned_within_days_and_a_surge_above_it_told() -> None:
    counts = calm(80.0, 10) + calm(10.0, 6, seed=2)
    counts[15 * 288 + 60 : 15 * 288 + 84] = [150.0] * 24
    rows = run(counts)
    assert not any(row.alert for row in rows[10 * 288 : 15 * 288 + 60])
    assert sum(row.expected for row in rows[15 * 288 :]) / 288 < 25.0
    assert any(row.alert for row in rows[15 * 288 + 60 : 15 * 288 + 84])
