"""Do our scoring rules give the published raw scores? Asked of the scores themselves: the alerts are not published.

Of each detector and file three weighed sums are known, one for each profile, and how many rows were alerts. Where the
alerts are the same in all profiles (the thresholds differ, so they need not be), the sums come apart:

    missed windows    = standard - low_FN           a whole number, at most all windows
    sum of penalties  = (standard - low_FP) / 0.11  between 0 and the number of false alerts
    sum of rewards    = standard + missed + 0.11 · penalties

A sum of rewards is one reward for each window hit, each of which can only be that of a row of its window. Few of the
numbers between 0 and 3 are such sums, to eleven places: that rows are found for each says that the rule is the same.
Likewise a sum of penalties of which one alone is not 1. Another rule (a reward by (e - i) / (width - 1), as in the
paper) misses by a thousandfold.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from nab_scoring import PROFILES, Window, penalty, reward

EXACT = 1e-10  # the scores are printed to twelve digits
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Published:
    """One detector on one file: raw score, alerts inside windows and outside, by profile."""

    detector: str
    file: str
    scores: dict[str, tuple[float, int, int]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a published score is made of, as far as it comes apart."""

    missed: float
    rewards: float
    penalties: float
    false: int


def read(path: Path) -> list[Published]:
    """Return what is published, in the order of the file."""
    found: dict[tuple[str, str], dict[str, tuple[float, int, int]]] = {}
    with path.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            scores = found.setdefault((row["Detector"], row["File"]), {})
            scores[row["Profile"]] = (float(row["Score"]), int(row["TP"]), int(row["FP"]))
    return [Published(detector, file, scores) for (detector, file), scores in found.items()]


def parts(published: Published) -> Parts | None:
    """Take a score apart; None where the profiles' thresholds led to different alerts."""
    plain, few_false, few_missed = (published.scores[profile.name] for profile in PROFILES)
    if plain[1:] != few_false[1:] or plain[1:] != few_missed[1:]:
        return None
    missed, penalties = plain[0] - few_missed[0], (plain[0] - few_false[0]) / PROFILES[0].false
    return Parts(missed, plain[0] + missed + PROFILES[0].false * penalties, penalties, plain[2])


def rewards_off(total: float, windows: Sequence[Window], hit: int) -> float:
    """Return how far a sum of rewards is from the nearest that rows of this many windows (1 to 3) can give."""
    return min(_nearest(total, [_rewards(window) for window in some]) for some in combinations(windows, hit))


def penalties_off(total: float, false: int, windows: Sequence[Window], rows: int) -> float:
    """Return how far a sum of penalties is from the nearest in which all but one alert cost 1."""
    inside = {row for first, last in windows for row in range(first, last + 1)}
    single = np.array([penalty(row, windows) for row in range(rows) if row not in inside])
    return float(np.min(np.abs(single + (false - 1) - total)))


def _rewards(window: Window) -> Floats:
    return np.array([reward(row, window) for row in range(window[0], window[1] + 1)])


def _nearest(total: float, choices: Sequence[Floats]) -> float:
    """Return the distance from `total` to the nearest sum of one of each choice."""
    sums = np.zeros(1)
    for choice in choices[:2]:
        sums = np.sort(np.add.outer(sums, choice).ravel())
    wanted = total - (choices[2] if len(choices) == 3 else np.zeros(1))
    place = np.clip(np.searchsorted(sums, wanted), 1, max(sums.size - 1, 1))
    below, above = sums[place - 1], sums[np.minimum(place, sums.size - 1)]
    return float(min(np.min(np.abs(below - wanted)), np.min(np.abs(above - wanted))))


def check(published: Sequence[Published], windows: dict[str, Sequence[Window]], rows: dict[str, int]) -> list[str]:
    """Return what was found, as lines; what contradicts the rules is named."""
    apart = [(each, found) for each in published if (found := parts(each)) is not None]
    odd, exact, single = [], 0, 0
    for each, found in apart:
        spans = windows[each.file]
        missed = round(found.missed)
        hit = len(spans) - missed
        if abs(found.missed - missed) > EXACT or not -EXACT <= found.penalties <= found.false + EXACT:
            odd.append(f"{each.detector} {each.file}: {found}")
        elif 1 <= hit <= 3 and rewards_off(found.rewards, spans, hit) > EXACT:
            odd.append(f"{each.detector} {each.file}: no rows of {hit} windows earn {found.rewards}")
        else:
            exact += 1 <= hit <= 3
            single += found.false > 0 and penalties_off(found.penalties, found.false, spans, rows[each.file]) <= EXACT
    searched = exact + len(odd)
    return [
        f"{len(published)} published results, {len(apart)} come apart; contradictions: {len(odd)}",
        f"rewards of 1 to 3 windows found to eleven places: {exact} of {searched}; penalties of one row: {single}",
        *odd,
    ]
