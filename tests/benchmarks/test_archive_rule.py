from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from archive_rule import Peak, Story, alarms, as_many, peaks

from monitor.types import Key

BEGAN = datetime(2019, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ACME, ALL = Key("entity:acme"), Key("all")


def stories(days: Mapping[int, int], name: str = "s") -> list[Story]:
    """Return so many stories on each day."""
    return [
        Story(f"{name}{day}-{n}", BEGAN + day * DAY + timedelta(hours=n % 24), f"{name} {day} {n}", 0.6 + n / 100)
        for day, count in days.items()
        for n in range(count)
    ]


CALM = dict.fromkeys(range(28), 1) | dict.fromkeys(range(0, 28, 4), 2)


def found(extra: Mapping[int, int]) -> list[Peak]:
    return peaks({ACME: stories({**CALM, **extra})}, BEGAN, BEGAN + 40 * DAY, DAY)


def test_a_peak_is_measured_by_the_days_before_it() -> None:
    (peak,) = found({28: 6})
    assert (peak.key, peak.step, len(peak.stories)) == (ACME, 28, 6)
    assert abs(peak.z - (6 - 1.25) / 0.433) < 0.01


def test_two_stories_and_the_first_week_raise_nothing() -> None:
    assert peaks({ACME: stories({20: 2})}, BEGAN, BEGAN + 40 * DAY, DAY) == []
    assert peaks({ACME: stories({3: 9})}, BEGAN, BEGAN + 40 * DAY, DAY) == []


def test_days_in_a_row_are_one_alarm_that_opens_at_the_end_of_the_first() -> None:
    (alarm,) = alarms(found({28: 6, 29: 8}), 1.0, BEGAN, DAY)
    assert alarm.opened == BEGAN + 29 * DAY
    assert alarm.headlines[0] == "s 29 7"
    assert len(alarms(found({28: 6, 31: 8}), 1.0, BEGAN, DAY)) == 2


def test_keys_that_share_a_story_are_one_alarm() -> None:
    shared = stories({**CALM, 28: 6})
    both = peaks({ACME: shared, ALL: [*shared, *stories({28: 3}, "other")]}, BEGAN, BEGAN + 40 * DAY, DAY)
    assert len(both) == 2
    assert len(alarms(both, 1.0, BEGAN, DAY)) == 1


def test_k_is_raised_until_so_few_are_told() -> None:
    many = found({28: 4, 31: 6, 34: 12})
    k, told = as_many(many, 1, BEGAN, DAY)
    assert [alarm.opened for alarm in told] == [BEGAN + 35 * DAY]
    assert k == max(peak.z for peak in many)
    assert len(as_many(many, 99, BEGAN, DAY)[1]) == 3
    assert as_many([], 1, BEGAN, DAY) == (0.0, [])
