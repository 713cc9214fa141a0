"""Invented series of counts, a row every five minutes, with nothing wrong in them, and surges to plant.

All have a season of the day and of the week of their own. They differ in what counts do beside it, which is what real
ones do: rows that spread more than chance, hours that wander, cascades of few large sizes, single rows far off, slow
drift, and lasting changes of the level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
DAY = 288  # rows
RATES = (0.05, 0.3, 1.0, 5.0, 20.0, 100.0)  # counts a row, on average
Counts = npt.NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Surge:
    """A planted surge: rows first..last hold what `factor` times the usual would have brought more."""

    first: int
    last: int
    factor: float
    extra: float


def season(rows: int, rng: Rng) -> Counts:
    """Return a daily and weekly curve that averages 1: busy days, quiet nights, weekends of their own."""
    hours = np.arange(rows) / 12.0
    day = np.exp(rng.uniform(0.3, 1.3) * np.sin((hours % 24.0 - rng.uniform(0.0, 24.0)) * np.pi / 12.0))
    week = np.where(hours // 24.0 % 7 >= 5, rng.uniform(0.3, 1.0), 1.0)
    curve = day * week
    return np.asarray(curve / curve.mean())


def poisson(usual: Counts, rng: Rng) -> Counts:
    """Counts by pure chance."""
    return rng.poisson(usual).astype(float)


def mixed(usual: Counts, rng: Rng) -> Counts:
    """Each row on its own spreads as a negative binomial of shape 2."""
    return rng.poisson(usual * rng.gamma(2.0, 0.5, usual.size)).astype(float)


def wandering(usual: Counts, rng: Rng) -> Counts:
    """Hours are busier or quieter than usual by half and more, and stay so for some hours."""
    kept, sway = np.exp(-1.0 / (12.0 * 3.0)), 0.5
    steps = rng.normal(0.0, sway * np.sqrt(1.0 - kept**2), usual.size)
    path, at = np.empty(usual.size), rng.normal(0.0, sway)
    for row, step in enumerate(steps):
        at = kept * at + step
        path[row] = at
    return mixed(usual * np.exp(path - sway**2 / 2.0), rng)


def cascades(usual: Counts, rng: Rng) -> Counts:
    """One count in ten draws others within half an hour, as many as a Pareto law says, up to 300."""
    followers = 1.4  # whole part of min(pareto(1.7), 300) and up to one more, on average
    counts = rng.poisson(usual / (1.0 + 0.1 * followers)).astype(float)
    parents = np.repeat(np.arange(usual.size), counts.astype(int))
    parents = parents[rng.random(parents.size) < 0.1]
    sizes = np.minimum(rng.pareto(1.7, parents.size), 300.0) + rng.random(parents.size)
    children = np.repeat(parents, sizes.astype(int))
    places = children + (6.0 * rng.exponential(1.0, children.size)).astype(int)
    np.add.at(counts, places[places < usual.size], 1.0)
    return counts


def spiky(usual: Counts, rng: Rng) -> Counts:
    """About once a day a single row is far off: ten rows' worth and more."""
    spikes = rng.random(usual.size) < 1.0 / DAY
    return mixed(usual, rng) + np.where(
        spikes, np.round(usual.mean() * 10.0 * (1.0 + rng.pareto(3.0, usual.size))), 0.0
    )


def drifting(usual: Counts, rng: Rng) -> Counts:
    """The level grows or shrinks by a factor of up to 3 over the whole time, and sways from day to day."""
    days = usual.size // DAY + 2
    sway = np.interp(np.arange(usual.size) / DAY, np.arange(days), rng.normal(0.0, 0.15, days))
    trend = np.linspace(-0.5, 0.5, usual.size) * rng.uniform(-np.log(3.0), np.log(3.0))
    return mixed(usual * np.exp(trend + sway), rng)


KINDS: dict[str, Callable[[Counts, Rng], Counts]] = {
    "poisson": poisson,
    "mixed": mixed,
    "wandering": wandering,
    "cascades": cascades,
    "spiky": spiky,
    "drifting": drifting,
}


def calm(kind: str, rate: float, days: int, rng: Rng) -> tuple[Counts, Counts]:
    """Return a series of so many counts a row on average, and what is usual for each row."""
    usual = rate * season(days * DAY, rng)
    return KINDS[kind](usual, rng), usual


def planted(
    usual: Counts, factors: Sequence[float], hours: float, learned: int, rng: Rng
) -> list[tuple[Surge, Counts]]:
    """Return a surge for each factor, at random places of days of their own after `learned` rows, and what they add."""
    room = (usual.size - learned) // len(factors)
    found = []
    for slot, factor in enumerate(factors):
        length = max(1, round(12.0 * hours))
        first = learned + slot * room + int(rng.integers(0, room - length - DAY))
        extra = np.zeros(usual.size)
        extra[first : first + length] = rng.poisson((factor - 1.0) * usual.mean(), length)
        found.append((Surge(first, first + length - 1, factor, float(extra.sum())), extra))
    return found


def shifted(counts: Counts, row: int, factor: float, rng: Rng) -> Counts:
    """Return the series with another level from this row on."""
    after = counts[row:] * factor
    whole = np.floor(after) + (rng.random(after.size) < after % 1.0)
    return np.concatenate([counts[:row], whole])
