"""The exchanges' days off, as the library computes them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from monitor.assembly import rules_of
from monitor.calendars import ZONES, days_off, holidays_of
from monitor.check import _calendar
from monitor.config import load
from monitor.core.detect.calendar import ALWAYS_OPEN
from monitor.errors import ConfigurationError


def hour(year: int, month: int, day: int, clock: int, zone: str) -> int:
    return int(datetime(year, month, day, clock, tzinfo=ZoneInfo(zone)).timestamp()) // 3600


@pytest.mark.parametrize("exchange", ZONES)
def test_every_exchange_has_a_time_zone_and_days_off_on_working_days_only(exchange: str) -> None:
    ZoneInfo(ZONES[exchange])
    days = days_off(exchange)
    assert 3 <= sum(each.day.year == 2025 and not each.half for each in days) <= 30
    assert [each.day for each in days] == sorted({each.day for each in days})
    weekend = (4, 5) if exchange == "XSAU" else (5, 6)
    assert not [each for each in days if each.day.year == 2025 and each.day.weekday() in weekend]


@pytest.mark.parametrize(
    ("exchange", "day"),
    [
        ("XNYS", date(2025, 1, 9)),  # closed once, for a funeral
        ("XNYS", date(2026, 7, 3)),  # the fourth is a Saturday
        ("XSHG", date(2024, 2, 9)),  # the eve of the lunar year
        ("XSHE", date(2026, 10, 7)),  # a bridging day, announced by the government
        ("XHKG", date(2025, 1, 30)),  # the second day of the lunar year
        ("XLON", date(2023, 5, 8)),  # a coronation
        ("XFRA", date(2025, 12, 24)),
    ],
)
def test_days_off_that_a_desk_knows(exchange: str, day: date) -> None:
    assert [each for each in days_off(exchange) if each.day == day and each.name and not each.half]


def test_a_holiday_lasts_from_midnight_to_midnight_of_its_own_city() -> None:
    shanghai = holidays_of(["XSHG"])
    last = hour(2025, 9, 30, 23, "Asia/Shanghai")
    assert [shanghai.part(each) for each in (last, last + 1, last + 24)] == [0.0, 1.0, 1.0]
    assert last + 1 == hour(2025, 9, 30, 16, "UTC")


def test_a_half_day_is_a_holiday_from_one_o_clock_on() -> None:
    new_york = holidays_of(["XNYS"])
    close = hour(2025, 11, 28, 13, "America/New_York")
    assert [new_york.part(each) for each in (close - 1, close, close + 10, close + 11)] == [0.0, 1.0, 1.0, 0.0]


def configured(folder: Path, calendar: str) -> Path:
    path = folder / "newsquake.toml"
    path.write_text(f"[detect]\ncalendar = {calendar}\n", encoding="utf-8")
    return path


def test_rules_know_the_holidays_of_the_exchanges_that_are_named(tmp_path: Path) -> None:
    christmas, golden_week = hour(2025, 12, 25, 12, "UTC"), hour(2025, 10, 7, 4, "UTC")
    one = rules_of(load(configured(tmp_path, '"XNYS"'))).holidays
    both = rules_of(load(configured(tmp_path, '["XNYS", "XSHG"]'))).holidays
    assert [one.part(christmas), one.part(golden_week)] == [1.0, 0.0]
    assert [both.part(christmas), both.part(golden_week)] == [0.5, 0.5]
    assert rules_of(load(configured(tmp_path, "[]"))).holidays == ALWAYS_OPEN


def test_an_unknown_exchange_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"detect\.calendar\[1\]: found 'NYSE'; expected .*XLON.*XNYS"):
        load(configured(tmp_path, '["XSHG", "NYSE"]'))


async def test_check_says_how_many_days_off_there_are_which_comes_next_and_until_when_they_are_known() -> None:
    found = await _calendar("XFRA")
    assert str(datetime.now(UTC).year) in found
    assert "days off in" in found
    assert "known until 2050-12-26" in found


def test_the_library_is_loaded_only_where_an_exchange_is_named(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from monitor.config import load; from monitor.assembly import rules_of"
    )
    script += "; rules_of(load(Path(sys.argv[1]))); print('holidays' in sys.modules)"
    for calendar, loaded in (("[]", "False"), ('"XLON"', "True")):
        path = str(configured(tmp_path, calendar))
        out = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
        assert out.stdout.strip() == loaded
