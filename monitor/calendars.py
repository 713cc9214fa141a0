"""Exchange calendars: when exchanges rest though it is no weekend, by the rules of the library `holidays`.

It computes the days; no network is asked. It is loaded only where an exchange is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from monitor.core.detect.calendar import Holidays, holidays_from

# The exchanges that may be named, by their market identifier codes (ISO 10383), and the time zone of their days.
ZONES = {
    "BVMF": "America/Sao_Paulo",
    "XAMS": "Europe/Amsterdam",
    "XASX": "Australia/Sydney",
    "XBOM": "Asia/Kolkata",
    "XBRU": "Europe/Brussels",
    "XCME": "America/Chicago",
    "XDUB": "Europe/Dublin",
    "XETR": "Europe/Berlin",
    "XFRA": "Europe/Berlin",
    "XHKG": "Asia/Hong_Kong",
    "XIST": "Europe/Istanbul",
    "XJPX": "Asia/Tokyo",
    "XJSE": "Africa/Johannesburg",
    "XKRX": "Asia/Seoul",
    "XLIS": "Europe/Lisbon",
    "XLON": "Europe/London",
    "XMAD": "Europe/Madrid",
    "XMEX": "America/Mexico_City",
    "XMIL": "Europe/Rome",
    "XNAS": "America/New_York",
    "XNSE": "Asia/Kolkata",
    "XNYS": "America/New_York",
    "XNZE": "Pacific/Auckland",
    "XOSL": "Europe/Oslo",
    "XPAR": "Europe/Paris",
    "XSAU": "Asia/Riyadh",
    "XSES": "Asia/Singapore",
    "XSHE": "Asia/Shanghai",
    "XSHG": "Asia/Shanghai",
    "XSWX": "Europe/Zurich",
    "XTAI": "Asia/Taipei",
    "XTSE": "America/Toronto",
    "XWAR": "Europe/Warsaw",
}
YEARS = range(1990, 2051)  # an archive may be old, and a daemon may run long
MIDNIGHT, HALF = time(0), time(13)  # a half day's session ends between noon and two o'clock
HOUR = 3600


@dataclass(frozen=True, slots=True)
class DayOff:
    """A working day on which an exchange rests, or rests from about one o'clock on."""

    day: date
    name: str
    half: bool = False


def days_off(exchange: str) -> list[DayOff]:
    """Return the days off of one of the ZONES in all YEARS, in order."""
    from holidays import financial_holidays  # noqa: PLC0415 - only who names an exchange needs it

    full = financial_holidays(exchange, years=YEARS)
    days = {day: DayOff(day, name) for day, name in full.items()}
    if "half_day" in full.supported_categories:
        half = financial_holidays(exchange, years=YEARS, categories="half_day")
        days = {day: DayOff(day, name, half=True) for day, name in half.items()} | days
    return [days[day] for day in sorted(days) if day.weekday() not in full.weekend]


def holidays_of(exchanges: Sequence[str]) -> Holidays:
    """Return the hours in which these exchanges rest; each must be one of ZONES."""
    return holidays_from([[_hours(each, ZoneInfo(ZONES[name])) for each in days_off(name)] for name in exchanges])


def _hours(off: DayOff, zone: ZoneInfo) -> tuple[int, int]:
    start = datetime.combine(off.day, HALF if off.half else MIDNIGHT, zone)
    end = datetime.combine(off.day + timedelta(days=1), MIDNIGHT, zone)
    return int(start.timestamp()) // HOUR, int(end.timestamp()) // HOUR
