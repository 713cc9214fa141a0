"""Does `newsquake detect` keep its budget on bare series of counts, and does it see what is planted there?

    python benchmarks/detection/bare_series.py [--days 56] [--only KIND]

Six kinds of invented series (bare_streams.py), one for each of six rates from 0.05 to 100 counts a row of five minutes.
By these series, and no others, the configuration that ships was chosen.

Calm: alerts though nothing happened, counted from the first day, beside what the budget allows; by the rate, and by the
test that raised them. Planted, after two weeks: surges that bring a multiple of the series' average for half an hour or
four hours; twelve hours in which nothing comes; and, in a copy of their own, a level that triples for good. Take about
two minutes of one free core.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from time import process_time

import bare_streams
import numpy as np
from bare_streams import DAY, KINDS, RATES, START, Counts, Surge
from scipy.stats import poisson

from monitor.core.detect.series import detect_series
from monitor.types import BUCKET

BUDGETS = {"1 a day": 7.0, "1 a week": 1.0}
FACTORS = (2.0, 3.0, 5.0, 10.0)
LENGTHS = (0.5, 4.0)  # hours
LEARNED = 14  # days before anything is planted
GRACE = 12  # rows after its end in which a surge still counts as found
SILENCE = 144  # rows


@dataclass(slots=True)
class Found:
    """What became of the planted surges of one kind of series."""

    planted: Counter[float] = field(default_factory=Counter)
    seen: Counter[float] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)  # hours
    silences: int = 0
    shifts: list[int] = field(default_factory=list)  # alerts in the two weeks after the level tripled


def alerts(counts: Counts, budget: float) -> list[int]:
    """Return the rows that raise an incident."""
    rows = ((START + row * BUCKET, value) for row, value in enumerate(counts.tolist()))
    return [place for place, row in enumerate(detect_series(rows, budget)) if row.alert]


def series(kind: str, rate: float, days: int) -> tuple[Counts, Counts, np.random.Generator]:
    """Return a calm series, what is usual in it, and the chance that made it, to go on with."""
    rng = np.random.default_rng([sum(kind.encode()), round(100.0 * rate)])
    return *bare_streams.calm(kind, rate, days, rng), rng


def calm(kind: str, days: int, budget: float) -> list[int]:
    """Return the alerts on the calm series, by rate."""
    return [len(alerts(series(kind, rate, days)[0], budget)) for rate in RATES]


def plant(kind: str, days: int) -> Found:
    """Plant into the calm series, at a budget of one a week, and look for it."""
    found = Found()
    for rate in RATES:
        counts, usual, rng = series(kind, rate, days)
        learned = LEARNED * DAY
        half = learned + (days - LEARNED) * DAY // 2
        short = bare_streams.planted(usual[:half], FACTORS, LENGTHS[0], learned, rng)
        longer = bare_streams.planted(usual, FACTORS, LENGTHS[1], half, rng)
        extra = sum(
            np.resize(np.concatenate([more, np.zeros(usual.size - more.size)]), usual.size) for _, more in short
        )
        more = counts + extra + sum(more for _, more in longer)
        look(found, [surge for surge, _ in [*short, *longer]], alerts(more, 1.0))
        place = learned + int(rng.integers(0, 7 * DAY))
        silent = np.concatenate([counts[:place], np.zeros(SILENCE), counts[place + SILENCE :]])
        found.silences += any(place <= row < place + SILENCE for row in alerts(silent[: place + SILENCE], 1.0))
        shifted = bare_streams.shifted(counts, learned, 3.0, rng)[: learned + 14 * DAY]
        found.shifts.append(sum(row >= learned for row in alerts(shifted, 1.0)))
    return found


def look(found: Found, surges: Sequence[Surge], raised: Sequence[int]) -> None:
    """Count which surges the alerts have found, and how soon."""
    for surge in surges:
        found.planted[surge.factor] += 1
        inside = [row for row in raised if surge.first <= row <= surge.last + GRACE]
        if inside:
            found.seen[surge.factor] += 1
            found.delays.append((inside[0] - surge.first) / 12.0)


def print_calm(kinds: Sequence[str], days: int) -> None:
    print(f"Calm: alerts in {days} days though nothing happened, by counts a row\n")
    columns = " ".join(f"{rate:>5g}" for rate in RATES)
    print(f"{'series':<10} {'budget':<9} {'allowed':>7} {'upper end':>9} {'raised':>6}   {columns}")
    for kind in kinds:
        for budget, per_week in BUDGETS.items():
            numbers = calm(kind, days, per_week)
            allowed = per_week * days / 7.0 * len(RATES)
            each = " ".join(f"{number:>5}" for number in numbers)
            upper = int(poisson.ppf(0.975, allowed))
            print(f"{kind:<10} {budget:<9} {allowed:>7.0f} {upper:>9} {sum(numbers):>6}   {each}", flush=True)


def print_planted(kinds: Sequence[str], days: int) -> None:
    print("\nPlanted, with a budget of one a week: found of all, by how many times the average they bring\n")
    columns = " ".join(f"{f'x{factor:g}':>6}" for factor in FACTORS)
    print(f"{'series':<10} {columns} {'delay h':>8} {'silence':>8}   alerts in two weeks after the level tripled")
    for kind in kinds:
        found = plant(kind, days)
        seen = " ".join(f"{f'{found.seen[factor]}/{found.planted[factor]}':>6}" for factor in FACTORS)
        delay = median(found.delays) if found.delays else float("nan")
        silent = f"{found.silences}/{len(RATES)}"
        print(f"{kind:<10} {seen} {delay:>8.2f} {silent:>8}   {' '.join(map(str, found.shifts))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=56)
    parser.add_argument("--only", choices=KINDS, nargs="*", default=list(KINDS))
    arguments = parser.parse_args()
    began = process_time()
    print_calm(arguments.only, arguments.days)
    print_planted(arguments.only, arguments.days)
    print(f"\n{process_time() - began:.0f} seconds of one core")


if __name__ == "__main__":
    main()
