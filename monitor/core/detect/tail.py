"""How high calm peaks really are: the level at which a test may alarm, fitted to what the test itself has shown.

A formula for chance leaves out what it does not know: heavy tails, drift, a season not learned yet. So the heights of a
test's own peaks are kept, declustered, and what lies above a high one is taken to fall off exponentially: peaks over a
threshold (Davison and Smith 1990) with shape 0, on the logarithm of the chance, where a Pareto tail of the counts is
still exponential.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

BASE = 2.3  # height (minus log chance an hour) from which on a run is a peak: once in ten hours
KEPT = 6 * 168.0  # hours of peaks
TIMES = 20.0  # the tail begins where peaks come this many times as often as alarms may
FEWEST = 10  # peaks that a tail is fitted to, where there are as many
FORMULA_HOURS = 24.0  # of experience that the formula counts for, before there is any
FORMULA_PEAKS = 3.0  # peaks of the steepness that the formula claims
CAUTION = 6.0  # how much oftener than the formula says, before there is experience


class Peak(NamedTuple):
    """The greatest height of one run. One that was cut was higher: it had alarmed, or the run began as an alarm did."""

    hour: float
    height: float
    cut: bool


@dataclass(slots=True)
class Tail:
    """The peaks of one test. `budget` is in alarms an hour; hours are those that were observed."""

    budget: float
    start: float = 1.0
    rate: float = 0.0
    mean: float = 1.0
    hours: float = 0.0
    _peaks: deque[Peak] = field(default_factory=deque)
    _run: float = 0.0  # the running peak; 0 between peaks
    _cut: bool = False
    _quiet: float = 0.0  # hours since the run was last above the base

    def __post_init__(self) -> None:
        self.fit()

    def height(self, chance: float) -> float:
        """Return the calibrated height of a chance an hour: minus the logarithm of how often it is reached."""
        return (-math.log(max(chance, 1e-300)) - self.start) / self.mean - math.log(self.rate)

    @property
    def level(self) -> float:
        """The chance an hour, as the formula says, at which the budget is spent."""
        return math.exp(-self.start - self.mean * math.log(self.rate / self.budget))

    def see(self, chance: float, hours: float, hold: float, *, alarmed: bool) -> None:
        """Take notice of what the formula says after so many more observed hours; `hold` hours part two peaks."""
        self.hours += hours
        height = -math.log(max(chance, 1e-300)) if chance < math.inf else 0.0
        if height >= BASE:
            limit = -math.log(self.level)
            self._cut = self._cut or alarmed or height > limit
            self._run, self._quiet = max(self._run, min(height, max(limit, BASE))), 0.0
        elif self._run:
            self._quiet += hours
            if self._quiet >= hold:
                self._peaks.append(Peak(self.hours, self._run, self._cut))
                self._run, self._cut = 0.0, False

    def fit(self) -> None:
        """Fit the tail to the peaks of late."""
        while self._peaks and self._peaks[0].hour < self.hours - KEPT:
            self._peaks.popleft()
        span = min(self.hours, KEPT)
        heights = sorted((peak.height for peak in self._peaks), reverse=True)
        many = max(FEWEST, math.ceil(TIMES * self.budget * span))
        self.start = heights[many] if len(heights) > many else BASE
        above = [peak for peak in self._peaks if peak.height > self.start]
        claimed = CAUTION * math.exp(-self.start) * FORMULA_HOURS
        self.rate = (claimed + len(above)) / (FORMULA_HOURS + span)
        excess = math.fsum(peak.height - self.start for peak in above)
        known = sum(not peak.cut for peak in above)
        self.mean = (FORMULA_PEAKS + excess) / (FORMULA_PEAKS + known)
