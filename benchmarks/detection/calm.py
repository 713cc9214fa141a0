"""Does the needle keep its budget on calm news, and does it see what is planted there?

    python benchmarks/detection/calm.py

Prints two tables, in about two minutes on two free cores. Calm: for each kind of stream and each budget, the surges
raised although nothing happened, beside what the budget allows and beside a rolling z-score (mean + 3 standard
deviations of the hourly counts of the past week, at least 3 stories). Planted: recall and median delay by size of
surge, beside the z-score with its factor raised until it raises no more false incidents than newsquake did.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from time import process_time

import numpy as np
import streams
from scipy.stats import poisson
from streams import Hours, Surge

from monitor.core.detect.detector import Rules, decide, fresh
from monitor.types import BUCKET, Key, Signal, SignalKind

KEYS, DAYS, SEED = 150, 35, 20240101
BUDGETS = {"1 a day": 7.0, "1 a week": 1.0}
SIZES = ((3, 5), (6, 10), (11, 20), (21, 10_000))
GRACE = 1.0  # hours after its end in which a surge still counts as found
RAISED = (SignalKind.SURGE, SignalKind.SHARE)
Alarms = dict[Key, list[float]]  # hours since the start at which an incident opened


@dataclass(frozen=True, slots=True)
class Calm:
    """One line of the first table."""

    kind: str
    budget: str
    incidents: int
    by_z: int
    rollups: int
    seconds: float


def run(negative: Mapping[Key, Hours], other: Mapping[Key, Hours], per_week: float) -> tuple[Alarms, int, float]:
    """Return when newsquake raised incidents, the rollups it was given, and the processor seconds it took."""
    timeline = streams.timeline(negative, other, np.random.default_rng(SEED))
    state, opened = fresh(Rules(surges=per_week)), list[Signal]()
    began = process_time()
    for bucket in range(DAYS * 288):
        now = streams.START + (bucket + 1) * BUCKET
        rollups = timeline.get(bucket)
        if rollups:
            firing = state.firing
            decision = decide(rollups, state, now - timedelta(seconds=30))
            state = decision.state
            first = {signal.key: signal for signal in reversed(decision.signals) if signal.kind in RAISED}
            opened += [signal for key, signal in first.items() if key not in firing]
        state = decide((), state, now).state
    alarms: Alarms = {}
    for signal in opened:
        alarms.setdefault(signal.key, []).append(streams.hours_since_start(signal.at))
    return alarms, sum(map(len, timeline.values())), process_time() - began


def z_score(negative: Mapping[Key, Hours], factor: float) -> Alarms:
    """Return when a rolling z-score would alarm: at the end of the first hour above it, merged until it is below."""
    alarms: Alarms = {}
    for key, times in negative.items():
        counts = streams.hourly(times, DAYS)
        sums = np.concatenate([[0.0], np.cumsum(counts)])
        squares = np.concatenate([[0.0], np.cumsum(counts**2)])
        hours = np.arange(168, counts.size)
        mean = (sums[hours] - sums[hours - 168]) / 168.0
        spread = np.sqrt(np.maximum(0.0, (squares[hours] - squares[hours - 168]) / 168.0 - mean**2))
        above = (counts[hours] >= 3) & (counts[hours] > mean + factor * spread)
        rising = above & ~np.concatenate([[False], above[:-1]])
        alarms[key] = [float(hour) + 1.0 for hour in hours[rising]]
    return alarms


def calm(kind: str, budget: str) -> Calm:
    """Run one calm stream. The first week is the z-score's to learn; newsquake is counted from its first day."""
    negative, other = calm_streams(kind)
    alarms, rollups, seconds = run(negative, other, BUDGETS[budget])
    return Calm(kind, budget, count(alarms), count(z_score(negative, 3.0)), rollups, seconds)


def calm_streams(kind: str) -> tuple[dict[Key, Hours], dict[Key, Hours]]:
    """Return negative and other stories of all keys, with nothing wrong in them."""
    rng = np.random.default_rng(SEED)
    base = streams.rates(KEYS, rng)
    negative = {key: streams.stories(kind, rate, DAYS, rng) for key, rate in base.items()}
    return negative, {key: streams.stories(kind, 2.0 * rate, DAYS, rng) for key, rate in base.items()}


def count(alarms: Alarms) -> int:
    """Return how many incidents were raised."""
    return sum(map(len, alarms.values()))


def surges() -> tuple[dict[Key, Hours], dict[Key, Hours], list[Surge]]:
    """Return the seasonal stream with surges planted in it."""
    negative, other = calm_streams("seasonal")
    rng = np.random.default_rng(SEED + 1)
    base = streams.rates(KEYS, np.random.default_rng(SEED))
    planted = streams.planted(base, DAYS, 2, rng)
    for surge, extra in planted:
        negative[surge.key] = streams.merged([negative[surge.key], extra])
    return negative, other, [surge for surge, _ in planted]


def found(planted: Sequence[Surge], alarms: Alarms) -> dict[tuple[int, int], tuple[int, int, float]]:
    """Return for each size the surges planted, those found, and the median hours from start to alarm."""
    table = {}
    for low, high in SIZES:
        delays = []
        some = [surge for surge in planted if low <= surge.stories <= high]
        for surge in some:
            times = alarms.get(surge.key, [])
            inside = [at for at in times if surge.start <= at <= surge.start + surge.length + GRACE]
            if inside:
                delays.append(min(inside) - surge.start)
        table[low, high] = (len(some), len(delays), median(delays) if delays else float("nan"))
    return table


def equal_z(negative: Mapping[Key, Hours], allowed: int) -> float:
    """Return the smallest factor with which the z-score raises no more false incidents than allowed."""
    factor = 3.0
    while count(z_score(negative, factor)) > allowed:
        factor += 0.25
    return factor


def print_calm(rows: Sequence[Calm]) -> None:
    print(f"Calm: {KEYS} keys of 0.005 to 2 negative stories an hour, {DAYS} days; incidents raised by nothing\n")
    columns = ("allowed", "upper end", "newsquake", "z-score 3", "rollups/s")
    print(f"{'stream':<10} {'budget':<9} " + " ".join(f"{name:>9}" for name in columns))
    for row in rows:
        allowed = BUDGETS[row.budget] * DAYS / 7.0
        upper = int(poisson.ppf(0.975, allowed))
        print(
            f"{row.kind:<10} {row.budget:<9} {allowed:>9.1f} {upper:>9} {row.incidents:>9} {row.by_z:>9} "
            f"{row.rollups / row.seconds:>9.0f}"
        )


def print_planted(budget: str, false: int, ours: Alarms) -> None:
    negative, _, planted = surges()
    factor = equal_z(calm_streams("seasonal")[0], false)
    mine = found(planted, ours)
    z = found(planted, z_score(negative, factor))
    print(
        f"\nPlanted in the seasonal stream, budget {budget} ({false} false when calm), beside a z-score of {factor:g}\n"
    )
    print(f"{'stories':<10} {'planted':>7} {'found':>7} {'delay h':>8} {'z found':>8} {'z delay h':>9}")
    for low, high in SIZES:
        number, seen, delay = mine[low, high]
        _, z_seen, z_delay = z[low, high]
        name = f"{low}-{high}" if high < 10_000 else f"{low}+"
        print(f"{name:<10} {number:>7} {seen:>7} {delay:>8.1f} {z_seen:>8} {z_delay:>9.1f}")


def planted_run(budget: str) -> Alarms:
    negative, other, _ = surges()
    return run(negative, other, BUDGETS[budget])[0]


def main() -> None:
    jobs = [(kind, budget) for kind in streams.KINDS for budget in BUDGETS]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        lines = [pool.submit(calm, *job) for job in jobs]
        plants = {budget: pool.submit(planted_run, budget) for budget in BUDGETS}
        rows = [line.result() for line in lines]
        print_calm(rows)
        for budget, plant in plants.items():
            false = next(row.incidents for row in rows if (row.kind, row.budget) == ("seasonal", budget))
            print_planted(budget, false, plant.result())


if __name__ == "__main__":
    main()
