"""Does the needle keep its budget while nothing happens?

    python benchmarks/detection/calm.py [--keys 2000] [--days 90] [--jobs 2] [--kinds poisson seasonal]

For each kind of calm stream and each budget it prints the incidents that were raised although nothing happened, beside
what the budget allows, the Poisson's 97.5 % point for that, the share of the budget used, the same without the first
30 days, and a rolling z-score of 3. Then it says where they come from: which windows, and keys how busy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import needle
import numpy as np
import rivals
import streams
from needle import BUDGETS, Alarm, Run
from scipy.stats import poisson

from monitor.types import Key

YOUNG = 30.0  # days in which the detector knows too little to spend its whole budget
AT_ONCE = 100  # keys whose counts are held in memory together
DECADES = (0.005, 0.05, 0.5, 2.0)  # rates, in negative stories an hour, that the keys are parted by


@dataclass(frozen=True, slots=True)
class Setting:
    """How large the streams are."""

    keys: int
    days: int
    seed: int

    def allowed(self, budget: str) -> float:
        """Return how many incidents a budget allows over all days."""
        return BUDGETS[budget] * self.days / 7.0


@dataclass(frozen=True, slots=True)
class Calm:
    """One kind of calm stream: what newsquake raised under each budget, how often a z-score of 3 did."""

    kind: str
    run: Run
    by_z: int


def calm(kind: str, setting: Setting) -> Calm:
    """Live through one calm stream."""
    negative, other = streams.calm(kind, base_of(setting), setting.days, setting.seed)
    scores = scored(negative, setting.days, rivals.z_score)
    return Calm(kind, needle.run(negative, other, setting.days, setting.seed), scores.incidents(3.0).places.size)


def base_of(setting: Setting) -> dict[Key, float]:
    """Return the keys' rates."""
    return streams.rates(setting.keys, streams.QUIET, streams.BUSY, np.random.default_rng(setting.seed))


def scored(negative: streams.Stream, days: int, rival: Callable[[rivals.Floats], rivals.Scores]) -> rivals.Scores:
    """Return a rival's scores of all keys."""
    keys = list(negative)
    starts = range(0, len(keys), AT_ONCE)
    return rivals.joined(
        (first, rival(streams.counted({key: negative[key] for key in keys[first : first + AT_ONCE]}, days)))
        for first in starts
    )


def print_calm(rows: Sequence[Calm], setting: Setting) -> None:
    print(
        f"Calm: {setting.keys} keys of {streams.QUIET} to {streams.BUSY:g} negative stories an hour, {setting.days} "
        "days; incidents raised by nothing\n"
    )
    columns = ("allowed", "upper end", "newsquake", "used", "days 31+", "allowed", "used", "z-score 3", "rollups/s")
    print(f"{'stream':<10} {'budget':<9} " + " ".join(f"{name:>9}" for name in columns))
    for row in rows:
        for budget, alarms in row.run.alarms.items():
            allowed = setting.allowed(budget)
            later = sum(alarm.at >= YOUNG * 24.0 for alarm in alarms)
            share = max(0.0, 1.0 - YOUNG / setting.days)
            print(
                f"{row.kind:<10} {budget:<9} {allowed:>9.1f} {int(poisson.ppf(0.975, allowed)):>9} {len(alarms):>9} "
                f"{len(alarms) / allowed:>9.0%} {later:>9} {allowed * share:>9.1f} "
                f"{_share(later, allowed * share):>9} {row.by_z:>9} {row.run.rollups / row.run.seconds:>9.0f}"
            )


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def print_origins(rows: Sequence[Calm], setting: Setting) -> None:
    """Print by which windows and by which keys the false incidents were raised."""
    base = base_of(setting)
    windows = ("15 min", "1 h", "6 h", "24 h", "share")
    names = [f"{low:g}-{high:g}/h" for low, high in pairwise(DECADES)]
    busy = {key: sum(rate > edge for edge in DECADES[1:-1]) for key, rate in base.items()}
    print(f"\nWhich windows raised them, and keys of which rate ({', '.join(_populations(busy, names))})\n")
    print(f"{'stream':<10} {'budget':<9} " + " ".join(f"{name:>12}" for name in (*windows, *names)))
    for row in rows:
        for budget, alarms in row.run.alarms.items():
            by_window = [sum(_window(alarm) == name for alarm in alarms) for name in windows]
            by_rate = [sum(busy[alarm.key] == place for alarm in alarms) for place in range(len(names))]
            print(f"{row.kind:<10} {budget:<9} " + " ".join(f"{count:>12}" for count in (*by_window, *by_rate)))


def _populations(busy: dict[Key, int], names: Sequence[str]) -> list[str]:
    return [f"{name}: {sum(place == each for each in busy.values())}" for place, name in enumerate(names)]


def _window(alarm: Alarm) -> str:
    if alarm.share:
        return "share"
    return "15 min" if alarm.window < 1.0 else f"{alarm.window:g} h"


def options(
    description: str | None, kinds: Sequence[str] = tuple(streams.KINDS), days: int = 35
) -> argparse.ArgumentParser:
    """Return the options that all these programs have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=150)
    parser.add_argument("--days", type=int, default=days)
    parser.add_argument("--jobs", type=int, default=1, help="processes at work together")
    parser.add_argument("--seed", type=int, default=20240101)
    parser.add_argument("--kinds", nargs="+", choices=streams.KINDS, default=kinds)
    return parser


def main() -> None:
    asked = options(__doc__).parse_args()
    setting = Setting(asked.keys, asked.days, asked.seed)
    with ProcessPoolExecutor(max_workers=asked.jobs) as pool:
        rows = list(pool.map(calm, asked.kinds, [setting] * len(asked.kinds)))
    print_calm(rows, setting)
    print_origins(rows, setting)


if __name__ == "__main__":
    main()
