"""How the shipped series detector does on the tweets of the Numenta Anomaly Benchmark, by that benchmark's own rules.

    python benchmarks/detection/nab.py FOLDER [--false-alarms 1]

FOLDER holds `combined_windows.json` and the CSV files somewhere below it. Nothing was chosen by these files: they say
only what the configuration that ships makes of them. Scoring (standard profile): the first 15 % of a file, at most
750 rows, is not scored; the first alert in a window earns more the earlier it is, a missed window costs 1, a false
alert up to 0.11; 0 is silence, 100 is perfect. On so few windows, differences under 10 points are noise.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from monitor.series import detect_series

FALSE_WEIGHT = 0.11
Window = tuple[int, int]  # first and last row


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one file."""

    name: str
    windows: int
    hit: int
    false: int
    score: float


def sigmoid(position: float) -> float:
    """Return NAB's reward at a position relative to a window: about 1 at its start, 0 at its end, -1 long after."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def score(alerts: Sequence[int], windows: Sequence[Window]) -> float:
    """Return NAB's raw score of one file in the standard profile."""
    total = 0.0
    for first, last in windows:
        inside = [row for row in alerts if first <= row <= last]
        if inside:
            total += sigmoid(-(last - min(inside) + 1) / (last - first + 1)) / sigmoid(-1.0)
        else:
            total -= 1.0
    for row in alerts:
        if any(first <= row <= last for first, last in windows):
            continue
        before = [window for window in windows if window[1] < row]
        if before:
            first, last = before[-1]
            total += FALSE_WEIGHT * sigmoid((row - last) / (last - first))
        else:
            total -= FALSE_WEIGHT
    return total


def judge(path: Path, spans: Sequence[Sequence[str]], budget: float) -> Result:
    """Run one file through the detector and score it."""
    with path.open(encoding="utf-8") as lines:
        rows = [(moment(row["timestamp"]), float(row["value"])) for row in csv.DictReader(lines)]
    place = {at: row for row, (at, _) in enumerate(rows)}
    windows = [(place[moment(first)], place[moment(last)]) for first, last in spans]
    learning = min(750, int(0.15 * len(rows)))
    alerts = [n for n, row in enumerate(detect_series(rows, budget)) if row.alert and n >= learning]
    hit = [window for window in windows if any(window[0] <= row <= window[1] for row in alerts)]
    false = [row for row in alerts if not any(first <= row <= last for first, last in windows)]
    return Result(path.stem, len(windows), len(hit), len(false), score(alerts, windows))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--false-alarms", type=float, default=1.0, help="budget in false incidents a week and series")
    arguments = parser.parse_args()
    spans = json.loads((arguments.folder / "combined_windows.json").read_text(encoding="utf-8"))
    files = {path.name: path for path in sorted(arguments.folder.rglob("*.csv"))}
    results = [judge(files[Path(name).name], windows, arguments.false_alarms) for name, windows in spans.items()]
    print(f"{'series':<24} {'windows':>7} {'hit':>4} {'false':>6} {'raw':>6}")
    for result in results:
        print(f"{result.name:<24} {result.windows:>7} {result.hit:>4} {result.false:>6} {result.score:>6.2f}")
    perfect = sum(result.windows for result in results)
    total = sum(result.score for result in results)
    print(f"\nscore {100.0 * (total + perfect) / (2.0 * perfect):.1f} (0 says nothing, 100 is perfect)")


if __name__ == "__main__":
    main()
