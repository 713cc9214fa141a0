"""How the series detector that ships does on the tweets of the Numenta Anomaly Benchmark, by that benchmark's rules.

    python benchmarks/detection/nab.py FOLDER [--false-alarms 1]

FOLDER holds `combined_windows.json`, `published_realtweets_scores.csv` and, somewhere below it, the CSV files. The
rules (nab_scoring.py) are checked first against the published raw scores. Nothing was chosen by these files: the
configuration is the one that ships, chosen on the invented series of series.py. With 15 windows one window more or less
is worth 6 points and more: differences under 10 points are noise.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import nab_published
from nab_published import Published
from nab_scoring import PROFILES, Outcome, Window, final_score, outcome, raw_score

from monitor.core.detect.series import detect_series


@dataclass(frozen=True, slots=True)
class Series:
    """One file of the benchmark."""

    name: str
    rows: Sequence[tuple[datetime, float]]
    windows: Sequence[Window]


def read(folder: Path) -> list[Series]:
    """Read every file that has windows."""
    spans = json.loads((folder / "combined_windows.json").read_text(encoding="utf-8"))
    paths = {path.name: path for path in sorted(folder.rglob("*.csv"))}
    found = []
    for name, windows in spans.items():
        with paths[Path(name).name].open(encoding="utf-8") as lines:
            rows = [(moment(row["timestamp"]), float(row["value"])) for row in csv.DictReader(lines)]
        place = {at: row for row, (at, _) in enumerate(rows)}
        found.append(Series(name, rows, [(place[moment(first)], place[moment(last)]) for first, last in windows]))
    return found


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def print_ours(series: Sequence[Series], results: Sequence[Outcome], budget: float) -> None:
    print(f"\n{'series':<34} {'windows':>7} {'hit':>4} {'false':>6} {'allowed':>7} {'raw':>6}")
    for each, result in zip(series, results, strict=True):
        weeks = (each.rows[-1][0] - each.rows[0][0]).days / 7.0
        figures = f"{len(result.penalties):>6} {budget * weeks:>7.1f} {raw_score(result, PROFILES[0]):>6.2f}"
        print(f"{each.name:<34} {result.windows:>7} {len(result.rewards):>4} {figures}")


def print_all(ours: Sequence[Outcome], published: Sequence[Published]) -> None:
    windows = sum(result.windows for result in ours)
    totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for each in published:
        for profile in PROFILES:
            totals[each.detector][profile.name] += each.scores[profile.name][0]
    totals["newsquake"] = {profile.name: sum(raw_score(result, profile) for result in ours) for profile in PROFILES}
    print(f"\n{'detector':<18} " + " ".join(f"{profile.name:>18}" for profile in PROFILES))
    for name in sorted(totals, key=lambda each: -totals[each][PROFILES[0].name]):
        finals = [final_score(totals[name][profile.name], windows, profile) for profile in PROFILES]
        print(f"{name:<18} " + " ".join(f"{final:>18.1f}" for final in finals))
    print("\n0 says nothing, 100 is perfect; differences under 10 points are noise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--false-alarms", type=float, default=1.0, help="budget in false incidents a week and series")
    arguments = parser.parse_args()
    series = read(arguments.folder)
    published = nab_published.read(arguments.folder / "published_realtweets_scores.csv")
    spans = {each.name: each.windows for each in series}
    print(*nab_published.check(published, spans, {each.name: len(each.rows) for each in series}), sep="\n", flush=True)
    results = []
    for each in series:
        told = detect_series(each.rows, arguments.false_alarms)
        results.append(outcome([n for n, row in enumerate(told) if row.alert], each.windows, len(each.rows)))
    print_ours(series, results, arguments.false_alarms)
    print_all(results, published)


if __name__ == "__main__":
    main()
