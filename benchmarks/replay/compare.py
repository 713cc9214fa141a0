"""Hold the incidents of a replay beside events that are known to have happened.

    newsquake replay ../shared/data/headlines_2018_2020/headlines.jsonl.gz -c replay.toml --report out
    python benchmarks/replay/compare.py out/report.json ../shared/data/headlines_2018_2020/events.json

An event counts as found where an incident opens within its dates and one of its headlines holds one of the event's
words. What is left over is not all false: the list of events is short, and the archive is full of others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

WEEK = timedelta(days=7)


def matches(incident: dict[str, Any], event: dict[str, Any]) -> bool:
    opened = datetime.fromisoformat(incident["opened"]).date()
    dates = datetime.fromisoformat(event["start"]).date(), datetime.fromisoformat(event["end"]).date()
    if not dates[0] <= opened <= dates[1]:
        return False
    words = [word.lower() for word in event["keywords"]]
    return any(word in evidence["title"].lower() for evidence in incident["evidence"] for word in words)


def rows(incidents: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> None:
    for event in events:
        found = [incident for incident in incidents if matches(incident, event)]
        first = f"{found[0]['opened'][:16]} {found[0]['keys'][0]} ({found[0]['severity']})" if found else "-"
        print(f"{event['id']:28} {event['start']}  busiest {event['busiest_day'][0]}  {first}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("events", type=Path)
    given = parser.parse_args()
    report = json.loads(given.report.read_text(encoding="utf-8"))
    events = json.loads(given.events.read_text(encoding="utf-8"))
    incidents = report["incidents"]
    rows(incidents, events)
    weeks = (datetime.fromisoformat(report["ended"]) - datetime.fromisoformat(report["began"])) / WEEK
    others = [each for each in incidents if not any(matches(each, event) for event in events)]
    budget = weeks * report["false_alarms_per_week"]
    print(f"{len(incidents)} incidents, {len(others)} of them at no listed event;", end=" ")
    print(f"the budget over {weeks:.0f} weeks: {budget:.0f} false ones")
    for each in others:
        headline = each["evidence"][0]["title"] if each["evidence"] else ""
        print(f"  {each['opened'][:16]} {each['kind']:6} {each['severity']:8} {each['keys'][0]:32} {headline[:70]}")


if __name__ == "__main__":
    main()
