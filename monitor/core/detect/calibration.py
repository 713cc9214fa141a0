"""How far the formula is off: what calm has shown beside what it should have, and what that means for the level.

Chance as `cluster_rate` gives it is a nominal rate. Beside it the detector counts near misses: how often a key came as
far as each of a ladder of levels, most of them far short of an alarm, and how often it should have by the formula. That
is a replay of the keys' own history as of each moment, since every window was judged by what was known before it. Both
are forgotten with MEMORY.

The rate of false incidents at level c is taken to be

    N(c) = γ · E(c) · (c / b)^(κ − 1)

with E(c) what the formula expects, b the level that the budget would buy if the formula were right, γ what is wrong
there and κ how that changes with the level: the tail of exceedances over a threshold, as in Pickands (1975), here of
−log ν, where it is exponential. A prior says what has been found on simulated streams; the counts between the levels
are Poisson, fewer than they look because near misses come in company. Where nothing has been counted yet the prior's
upper end is what is used: that is the shipped, cautious γ.

What alarmed is no evidence: it may have been true. Only near misses between REACH above the level and the level count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from monitor.core.detect.budget import solve_level
from monitor.types import Key

Floats = npt.NDArray[np.float64]

STEPS_A_DECADE = 4
LEVELS: Floats = 10.0 ** (-np.arange(49) / STEPS_A_DECADE)  # chances per hour: from 1 down to 1e-12
NOTHING = (0.0,) * len(LEVELS)
ROOT = 10.0 ** (0.5 / STEPS_A_DECADE)  # from a level to the middle of its step
MEMORY = 60 * 24.0  # hours after which what was counted counts for 1/e
YOUNG = 30 * 24  # hours watched before the shipped γ may be undercut
LEARNED = 7 * 24  # hours watched before near misses tell anything: a season takes a week
REACH = 1.25  # decades above the level in which near misses tell of it
UPPER = 0.5  # standard deviations: two in three such estimates are too high
COMPANY = 0.6  # what one near miss counts for, since they come in company
_GAMMA, _GAMMA_SPREAD = math.log(1.5), 0.9
_KAPPA, _KAPPA_SPREAD = 1.0, 0.15
_GRID = np.meshgrid(np.linspace(-4.0, 4.0, 81), np.linspace(0.4, 1.2, 41), indexing="ij")  # log γ, κ


@dataclass(frozen=True, slots=True)
class Spell:
    """A key's near misses in one company: the step they came as far as, and the last bucket that belongs to them."""

    step: int
    until: int


@dataclass(frozen=True, slots=True)
class Record:
    """What was counted so far, for each step from one of LEVELS to the next; `due` and `seen` are forgotten alike.

    hours     hours watched, none forgotten
    nominal   how often in an hour the present keys should come as far as each of LEVELS, by the formula
    due       how often a key should have come as far as each step, and no further
    seen      how often one did, once for each spell
    spells    of keys that are near at present
    """

    hours: int = 0
    nominal: tuple[float, ...] = NOTHING
    due: tuple[float, ...] = NOTHING
    seen: tuple[float, ...] = NOTHING
    spells: Mapping[Key, Spell] = field(default_factory=dict)

    def watched(self, level: float, bucket: int) -> Record:
        """Return the record after one more hour, up to `bucket`, with windows alarming at `level`."""
        kept, first = math.exp(-1.0 / MEMORY), self._first(level)
        further = (*self.nominal[1:], 0.0)
        due = tuple(
            old * kept + (here - beyond if step >= first else 0.0)
            for step, (old, here, beyond) in enumerate(zip(self.due, self.nominal, further, strict=True))
        )
        seen = tuple(old * kept for old in self.seen)
        spells = {key: spell for key, spell in self.spells.items() if spell.until >= bucket}
        return Record(self.hours + 1, self.nominal, due, seen, spells)

    def missed(self, key: Key, step: int, *, bucket: int, until: int, level: float) -> Record:
        """Return the record after a key came as far as a step; what comes up to `until` belongs to the same spell."""
        spell = self.spells.get(key)
        if spell is None or spell.until < bucket:
            spell = Spell(-1, until)
        first, seen = self._first(level), list(self.seen)
        if step >= first and step > spell.step:
            seen[step] += 1.0
            if spell.step >= first:
                seen[spell.step] = max(0.0, seen[spell.step] - 1.0)
        after = Spell(max(step, spell.step), max(until, spell.until))
        return Record(self.hours, self.nominal, self.due, tuple(seen), {**self.spells, key: after})

    def _first(self, level: float) -> int:
        return shallowest(level) if self.hours >= LEARNED else len(LEVELS)


def step_of(chance: float) -> int:
    """Return the last step of LEVELS that a chance per hour comes as far as; -1 for none."""
    if chance > 1.0:
        return -1
    return min(len(LEVELS) - 1, math.floor(-STEPS_A_DECADE * math.log10(max(chance, 1e-300)) + 1e-9))


def shallowest(level: float) -> int:
    """Return the first step whose near misses are counted where windows alarm at `level`."""
    return max(0, step_of(level) - math.ceil(STEPS_A_DECADE * REACH))


@dataclass(frozen=True, slots=True)
class Fit:
    """What is believed of log γ and κ at the anchor b: a normal distribution."""

    anchor: float
    gamma: float
    kappa: float
    variances: tuple[float, float, float]  # of log γ, of κ, and what they share

    def upper(self, level: float) -> float:
        """Return how many times more often than the formula says a level is reached, at the upper end."""
        way = math.log(level / self.anchor)
        gamma, kappa, shared = self.variances
        spread = math.sqrt(max(0.0, gamma + kappa * way * way + 2.0 * shared * way))
        return math.exp(self.gamma + (self.kappa - 1.0) * way + UPPER * spread)


def fit(record: Record, anchor: float, level: float) -> Fit:
    """Fit γ and κ to what was counted above `level`, where windows alarm at present, around `anchor`."""
    gammas, kappas = _GRID
    logs = -0.5 * ((gammas - _GAMMA) / _GAMMA_SPREAD) ** 2 - 0.5 * ((kappas - _KAPPA) / _KAPPA_SPREAD) ** 2
    last = step_of(level)
    for step in range(shallowest(max(level, anchor)), last):
        if record.due[step] > 0.0:
            mean = np.exp(gammas) * record.due[step] * (LEVELS[step] / ROOT / anchor) ** (kappas - 1.0)
            logs += COMPANY * (record.seen[step] * np.log(mean) - mean)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    gamma, kappa = float(np.sum(weights * gammas)), float(np.sum(weights * kappas))
    variances = (
        float(np.sum(weights * (gammas - gamma) ** 2)),
        float(np.sum(weights * (kappas - kappa) ** 2)),
        float(np.sum(weights * (gammas - gamma) * (kappas - kappa))),
    )
    return Fit(anchor, gamma, kappa, variances)


def solve(record: Record, spent: Callable[[float], float], budget: float, level: float) -> float:
    """Return the largest level at which no more false incidents than `budget`, both per hour, are to be expected.

    `spent` gives what the formula expects at a level; `level` is the present one, 0 before the first.
    """
    anchor = solve_level(spent, budget)
    shipped = Fit(anchor, _GAMMA, _KAPPA, (_GAMMA_SPREAD**2, _KAPPA_SPREAD**2, 0.0))
    learned = fit(record, anchor, level) if level > 0.0 else shipped

    def off(at: float) -> float:
        return max(shipped.upper(at), learned.upper(at)) if record.hours < YOUNG else learned.upper(at)

    return solve_level(lambda at: spent(at) * off(at), budget)
