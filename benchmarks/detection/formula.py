"""What the chances leave out: false clusters counted on calm streams, beside as many as the formulas say.

    python benchmarks/detection/formula.py [--keys 300] [--days 60] [--jobs 2] [--kinds seasonal]

At the needle's own level for ten incidents a day and 1,000 keys, without caution (γ = 1), it counts for each window by
itself how often keys reach the level, merged until a day passes without, and divides by what was to be expected. A
1 means that the formula is right; the last column holds all windows together, where what several windows tell is one.
Nothing is counted in the first 30 days.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scores
import streams
from calm import Setting, options
from levels import MERGED, PAST, ladders_of
from rivals import Scores
from scores import Floats, Judged
from streams import DAILY

from monitor.core.detect.budget import WINDOWS, Spending, solve_level

DENSITY = 10.0 / 24.0 / 1000.0  # incidents an hour and key
EDGES = (0.02, 0.1, 0.5, 2.0)  # stories an hour, between the classes of keys
CLASSES = ("< 0.02/h", "0.02-0.1/h", "0.1-0.5/h", "0.5-2/h", "> 2/h")


@dataclass(frozen=True, slots=True)
class Cell:
    """Clusters that were to be expected, and those counted."""

    expected: float = 0.0
    counted: int = 0


def table(kind: str, setting: Setting) -> list[list[Cell]]:
    """Return a cell for each class of keys and each window, then one for all windows together."""
    base = streams.rates(setting.keys, streams.QUIET, 20.0, np.random.default_rng(setting.seed))
    negative, _ = streams.calm(kind, base, setting.days, setting.seed)
    counts = streams.counted(negative, setting.days)
    (moments,), normals = scores.judged(counts, [counts])
    classes = np.searchsorted(EDGES, np.array(list(base.values())))
    levels, spent = np.ones(setting.days), np.zeros((len(WINDOWS), setting.keys))
    for day in range(PAST, setting.days):
        ladders = ladders_of(normals[day])
        levels[day] = solve_level(Spending([(1, ladder) for ladder in ladders]).at, DENSITY * setting.keys)
        rungs = [_largest(ladder, levels[day]) for ladder in ladders]
        spent += 24.0 * np.array(rungs).reshape(setting.keys, len(WINDOWS)).T
    cells = []
    for place in range(len(CLASSES)):
        own = classes == place
        parts = [spent[window, own].sum() for window in range(len(WINDOWS))]
        reached = [_incidents(moments, moments.chances[:, window], levels, own) for window in range(len(WINDOWS))]
        reached.append(_incidents(moments, moments.chances.min(axis=1), levels, own))
        cells.append([Cell(float(part), count) for part, count in zip([*parts, sum(parts)], reached, strict=True)])
    return cells


def _largest(ladder: Sequence[float], level: float) -> float:
    """Return the largest chance that a window can attain within the level."""
    return max((chance for chance in ladder if chance <= level), default=0.0 if ladder else level)


def _incidents(moments: Judged, chances: Floats, levels: Floats, own: npt.NDArray[np.bool_]) -> int:
    days = moments.buckets // DAILY
    chosen = (days >= PAST) & own[moments.places] & (chances <= levels[days])
    order = np.lexsort((moments.buckets[chosen], moments.places[chosen]))
    alarms = Scores(moments.places[chosen][order], moments.buckets[chosen][order], np.ones(order.size))
    return int(alarms.incidents(0.0, MERGED).places.size)


def print_table(kind: str, cells: Sequence[Sequence[Cell]]) -> None:
    names = ("15 min", "1 h", "6 h", "24 h", "together")
    print(f"\n{kind}: counted / expected\n")
    print(f"{'keys':<12}" + " ".join(f"{name:>17}" for name in names))
    total = [
        Cell(sum(row[n].expected for row in cells), sum(row[n].counted for row in cells)) for n in range(len(names))
    ]
    for name, row in zip((*CLASSES, "all"), (*cells, total), strict=True):
        print(f"{name:<12}" + " ".join(f"{_ratio(cell):>17}" for cell in row))


def _ratio(cell: Cell) -> str:
    share = f"{cell.counted / cell.expected:.1f}" if cell.expected > 0.5 else "-"
    return f"{cell.counted}/{cell.expected:.1f} = {share}"


def main() -> None:
    asked = options(__doc__, days=60).parse_args()
    setting = Setting(asked.keys, asked.days, asked.seed)
    with ProcessPoolExecutor(max_workers=asked.jobs) as pool:
        for kind, cells in zip(asked.kinds, pool.map(table, asked.kinds, [setting] * len(asked.kinds)), strict=True):
            print_table(kind, cells)


if __name__ == "__main__":
    main()
