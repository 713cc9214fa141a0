"""Ways to choose the level at which windows alarm, on the same scores.

    python benchmarks/detection/levels.py [--keys 150] [--days 75] [--jobs 2] [--kinds seasonal]

Each window's chance comes from the needle's own formulas (see scores.py); what differs is when it alarms. Every day
each method chooses anew, by the calm stream of the 30 days before; incidents are counted from day 31 on, those of one
key merged until a day passes without an alarm. Recall is that of surges of x2 to x20 planted in the same stream.

newsquake     one level for all keys and windows, in expected false clusters, with γ learned from near misses
γ = 1         the same as if the formula were right
equal split   each key and window gets the same part of the budget
SPOT, DSPOT   extreme-value tail of the pooled scores
conformal     conformal p-values of the pooled scores
… of peaks    the same of each key's highest score a day, so that a cluster is one, as an incident is
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import scores
import streams
import tails
from calm import Setting, options
from needle import BUDGETS, Alarm
from planted import EACH, FAST, delays
from rivals import Scores
from scores import LEAST, Baseline, Floats, Judged
from streams import DAILY, Surge

from monitor.core.detect.budget import WEEK_HOURS, WINDOWS, Spending, ladder, solve_level
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.calibration import LEVELS, Record, solve, step_of
from monitor.types import Key

PAST = 30  # days that a method learns from
MERGED = DAILY  # buckets without an alarm after which a key's incident is over


@dataclass(frozen=True, slots=True)
class Today:
    """What a method may know when it chooses: the budget an hour, the calm moments before, what is normal."""

    budget: float
    scores: Floats
    peaks: Floats
    normal: Baseline

    def chance(self, scores: Floats) -> float:
        """How likely one of the past's scores may alarm: the incidents allowed over their number."""
        return min(1.0, self.budget * PAST * 24.0 / max(1, scores.size))


def ladders_of(normal: Baseline) -> list[Sequence[float]]:
    """Return the chances that can be attained by each key's windows, key after key."""
    return [
        ladder(
            rate,
            certainty,
            clustering=normal.surge.factors[window],
            hours=length / BUCKETS,
            least=LEAST,
            doubt=0.0,
        )
        for rate, certainty in zip(normal.rates.tolist(), normal.certainties.tolist(), strict=True)
        for window, length in enumerate(WINDOWS)
    ]


def spending(normal: Baseline) -> Spending:
    """Return what all windows spend at a level."""
    return Spending([(1, rungs) for rungs in ladders_of(normal)])


def learned_levels(moments: Judged, normals: Sequence[Baseline], budget: float) -> list[float]:
    """Return the score at which windows alarm on each day, by the near misses of the days before."""
    record, level, levels = Record(), 0.0, []
    chances, windows = moments.chances.min(axis=1), moments.chances.argmin(axis=1)
    rows = zip(moments.places.tolist(), moments.buckets.tolist(), chances.tolist(), windows.tolist(), strict=True)
    near = deque(row for row in rows if row[2] < 1.0)
    for hour in range(24 * len(normals)):
        if hour % 24 == 0:
            spent = spending(normals[hour // 24])
            record = replace(record, nominal=tuple(spent.at(each) for each in LEVELS.tolist()))
            level = solve(record, spent.at, budget, level)
            levels.append(-math.log(level))
        while near and near[0][1] < (hour + 1) * BUCKETS:
            place, bucket, chance, window = near.popleft()
            if chance > level:
                until = bucket + WINDOWS[window]
                record = record.missed(Key(str(place)), step_of(chance), bucket=bucket, until=until, level=level)
        record = record.watched(level, hour * BUCKETS)
    return levels


def believed(today: Today) -> float:
    """Return the score at which windows alarm if the formula is believed."""
    return -math.log(solve_level(spending(today.normal).at, today.budget))


def equal_split(today: Today) -> float:
    """Return the score at which windows alarm if each may spend as much as every other, whether it can or not."""
    return -math.log(today.budget / today.normal.rates.size / len(WINDOWS))


METHODS: Mapping[str, Callable[[Today], float]] = {
    "γ = 1": believed,
    "equal split": equal_split,
    "SPOT": lambda today: tails.spot(today.scores, today.chance(today.scores)),
    "SPOT of peaks": lambda today: tails.spot(today.peaks, today.chance(today.peaks)),
    "DSPOT": lambda today: tails.spot(tails.drifted(today.scores), today.chance(today.scores)),
    "conformal": lambda today: tails.conformal(today.scores, today.chance(today.scores)),
    "conf. of peaks": lambda today: tails.conformal(today.peaks, today.chance(today.peaks)),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one method did in one stream under one budget."""

    kind: str
    method: str
    budget: str
    allowed: float
    false: int
    surges: Sequence[Surge]
    delays: Sequence[float | None]


def outcomes(kind: str, setting: Setting) -> list[Outcome]:
    """Judge one kind of stream once, and let every method choose its levels."""
    base = streams.rates(setting.keys, streams.QUIET, FAST, np.random.default_rng(setting.seed))
    negative, _ = streams.calm(kind, base, setting.days, setting.seed)
    plants = streams.planted(base, setting.days, EACH, np.random.default_rng(setting.seed + 1))
    struck = dict(negative)
    for surge, extra in plants:
        struck[surge.key] = streams.merged([struck[surge.key], extra])
    surges = [surge for surge, _ in plants if surge.start >= PAST * 24.0]
    calm = streams.counted(negative, setting.days)
    (quiet, loud), normals = scores.judged(calm, [calm, streams.counted(struck, setting.days)])
    table = []
    for budget, per_week in BUDGETS.items():
        days = [_today(per_week / WEEK_HOURS, quiet, normals[day], day) for day in range(PAST, setting.days)]
        chosen = {"newsquake": learned_levels(quiet, normals, per_week / WEEK_HOURS)[PAST:]}
        chosen |= {name: [method(today) for today in days] for name, method in METHODS.items()}
        for name, levels in chosen.items():
            limits = np.array(levels)
            false = _alarms(quiet, limits, name, list(base))
            found = delays(surges, _alarms(loud, limits, name, list(base)))
            allowed = per_week / 7.0 * len(days)
            table.append(Outcome(kind, name, budget, allowed, len(false), surges, found))
    return table


def _today(budget: float, quiet: Judged, normal: Baseline, day: int) -> Today:
    past = quiet.part((quiet.buckets >= (day - PAST) * DAILY) & (quiet.buckets < day * DAILY))
    return Today(budget, past.scores, _peaks(past), normal)


def _peaks(moments: Judged) -> Floats:
    """Return each key's highest score of each day on which it had stories."""
    order = np.lexsort((moments.buckets // DAILY, moments.places))
    places, days = moments.places[order], moments.buckets[order] // DAILY
    first = np.flatnonzero(np.diff(places, prepend=-1) | np.diff(days, prepend=-1))
    return np.asarray(np.maximum.reduceat(moments.scores[order], first))


def _alarms(moments: Judged, limits: Floats, method: str, keys: Sequence[Key]) -> list[Alarm]:
    """Return the incidents of a stream, given the score at which windows alarm on each day from PAST on."""
    values = tails.drifted(moments.scores) if method == "DSPOT" else moments.scores
    days = moments.buckets // DAILY
    late = days >= PAST
    order = np.lexsort((moments.buckets[late], moments.places[late]))
    margins = values[late] - limits[days[late] - PAST]
    incidents = Scores(moments.places[late][order], moments.buckets[late][order], margins[order]).incidents(0.0, MERGED)
    return [
        Alarm(keys[place], (bucket + 1) / BUCKETS)
        for place, bucket in zip(incidents.places.tolist(), incidents.buckets.tolist(), strict=True)
    ]


def print_outcomes(rows: Sequence[Outcome], setting: Setting) -> None:
    print(
        f"Levels: {setting.keys} keys of {streams.QUIET} to {FAST:g} negative stories an hour, days {PAST + 1} to "
        f"{setting.days}\n"
    )
    columns = ("allowed", "false", "used", "found", "of them", "≤ 10 st.", "of them", "delay h")
    print(f"{'stream':<10} {'budget':<9} {'method':<14}" + " ".join(f"{name:>8}" for name in columns))
    for row in rows:
        small = [delay for surge, delay in zip(row.surges, row.delays, strict=True) if surge.stories <= 10]
        seen = [delay for delay in row.delays if delay is not None]
        cells = (
            f"{row.allowed:.1f}",
            row.false,
            f"{row.false / row.allowed:.0%}",
            len(seen),
            len(row.delays),
            sum(delay is not None for delay in small),
            len(small),
            f"{median(seen):.1f}" if seen else "-",
        )
        print(f"{row.kind:<10} {row.budget:<9} {row.method:<14}" + " ".join(f"{cell:>8}" for cell in cells))


def main() -> None:
    asked = options(__doc__, kinds=("poisson", "clustered", "seasonal"), days=60).parse_args()
    setting = Setting(asked.keys, asked.days, asked.seed)
    with ProcessPoolExecutor(max_workers=asked.jobs) as pool:
        rows = [row for table in pool.map(outcomes, asked.kinds, [setting] * len(asked.kinds)) for row in table]
    print_outcomes(rows, setting)


if __name__ == "__main__":
    main()
