"""The scoring rules of the Numenta Anomaly Benchmark, written anew from its paper and its published behaviour.

- The first 15 % of a file, at most 750 rows, are not scored; a window that lies wholly in them does not exist.
- In a window of `width` rows only the first alert counts. In row i of a window that ends in row e it earns
  S(-(e - i + 1) / width) / S(-1), where S(y) = 2 / (1 + exp(5 y)) - 1: 1 in the first row, little in the last, never 0.
- A window without an alert costs.
- Every other alert costs -S((i - e) / (width - 1)) by the last window before it: little just after it, 1 from three
  widths on, and 1 before the first window. Alerts outside windows are never merged: each row costs.
- The profiles weigh the three. Over files the weighed sums are added, and stretched so that a detector that never
  alarms has 0 and one that alarms in the first row of every window, and nowhere else, has 100.

A. Lavin, S. Ahmad (2015), Evaluating real-time anomaly detection algorithms, arXiv 1510.03336. Where the paper and
the published raw scores differ (the rows between which a position lies), the scores decide: see nab_published.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Window: TypeAlias = tuple[int, int]  # first and last row


@dataclass(frozen=True, slots=True)
class Profile:
    """What a window hit is worth, and what a window missed and a false alert cost at most."""

    name: str
    hit: float
    missed: float
    false: float


PROFILES = (
    Profile("standard", hit=1.0, missed=1.0, false=0.11),
    Profile("reward_low_FP_rate", hit=1.0, missed=1.0, false=0.22),
    Profile("reward_low_FN_rate", hit=1.0, missed=2.0, false=0.11),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the alerts on one file come to, before any weights.

    rewards    of each window hit, in (0, 1]
    missed     windows without an alert
    penalties  of each alert outside the windows, in (0, 1]
    """

    rewards: tuple[float, ...]
    missed: int
    penalties: tuple[float, ...]

    @property
    def windows(self) -> int:
        """How many windows are scored."""
        return len(self.rewards) + self.missed


def probation(rows: int) -> int:
    """Return how many rows at the start of a file are not scored."""
    return min(math.floor(0.15 * rows), 750)


def sigmoid(position: float) -> float:
    """Return S: nearly 1 at -1 (a window's start), 0 at 0 (its end), -1 from 3 on."""
    return -1.0 if position >= 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def reward(row: int, window: Window) -> float:
    """Return what an alert in this row of a window earns if it is the first there."""
    first, last = window
    return sigmoid(-(last - row + 1) / (last - first + 1)) / sigmoid(-1.0)


def penalty(row: int, windows: Sequence[Window]) -> float:
    """Return what an alert in this row, outside all windows, costs."""
    before = [window for window in windows if window[1] < row]
    if not before:
        return 1.0
    first, last = before[-1]
    return 1.0 if first == last else -sigmoid((row - last) / (last - first))


def outcome(alerts: Iterable[int], windows: Sequence[Window], rows: int) -> Outcome:
    """Return what alerts in these rows, of a file of so many, come to. `windows` are in order and do not overlap."""
    scored = sorted({row for row in alerts if row >= probation(rows)})
    rewards: list[float] = []
    missed = 0
    inside: set[int] = set()
    for window in windows:
        first, last = window
        if last < probation(rows):
            continue
        hits = [row for row in scored if first <= row <= last]
        inside.update(hits)
        if hits:
            rewards.append(reward(hits[0], window))
        else:
            missed += 1
    return Outcome(tuple(rewards), missed, tuple(penalty(row, windows) for row in scored if row not in inside))


def raw_score(result: Outcome, profile: Profile) -> float:
    """Return the weighed sum of one file."""
    gained = profile.hit * math.fsum(result.rewards)
    return gained - profile.missed * result.missed - profile.false * math.fsum(result.penalties)


def final_score(raw: float, windows: int, profile: Profile) -> float:
    """Stretch the sum of raw scores over files with so many windows: 0 is silence, 100 is perfect."""
    return 100.0 * (raw + profile.missed * windows) / ((profile.hit + profile.missed) * windows)
