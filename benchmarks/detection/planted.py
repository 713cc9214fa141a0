"""Does the needle see what is planted, and how soon, beside others that raise no more false incidents?

    python benchmarks/detection/planted.py [--keys 2000] [--days 90] [--jobs 2] [--kinds seasonal]

A tenth as many keys as in the calm streams, of 0.05 to 20 negative stories an hour, each with two surges: its rate
times 2 to 20, for half an hour to twelve. Each detector first lives through the same stream without surges. A rival's
factor is raised, with hindsight, until it raises no more incidents there than newsquake did: an advantage, for
newsquake was given nothing but a budget. A surge is found if an incident opens on its key between its start and an hour
after its end. The first 15 days, in which rivals learn, are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median

import needle
import numpy as np
import rivals
import streams
from calm import Setting, options, scored
from needle import BUDGETS, Alarm
from streams import Surge

from monitor.types import Key

SLOW, FAST = 0.05, 20.0  # negative stories an hour
EACH = 2  # surges a key
GRACE = 1.0  # hours after its end in which a surge still counts as found
RIPE = 15.0  # days after which every detector speaks: surges before are not counted

PARTS: dict[str, Mapping[str, Callable[[Surge], bool]]] = {
    "stories": {
        "3-5": lambda surge: surge.stories <= 5,
        "6-10": lambda surge: 6 <= surge.stories <= 10,
        "11-20": lambda surge: 11 <= surge.stories <= 20,
        "21-50": lambda surge: 21 <= surge.stories <= 50,
        "51+": lambda surge: surge.stories > 50,
    },
    "size": {
        "x2-3": lambda surge: surge.factor < 3.0,
        "x3-6": lambda surge: 3.0 <= surge.factor < 6.0,
        "x6-12": lambda surge: 6.0 <= surge.factor < 12.0,
        "x12-20": lambda surge: surge.factor >= 12.0,
    },
    "rate": {
        "0.05-0.2/h": lambda surge: surge.rate < 0.2,
        "0.2-1/h": lambda surge: 0.2 <= surge.rate < 1.0,
        "1-5/h": lambda surge: 1.0 <= surge.rate < 5.0,
        "5-20/h": lambda surge: surge.rate >= 5.0,
    },
}


@dataclass(frozen=True, slots=True)
class Found:
    """What one detector found under one budget: its false incidents when calm, and each surge's delay or None."""

    name: str
    false: int
    delays: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Planted:
    """One kind of stream with surges: what each detector found under each budget."""

    kind: str
    surges: Sequence[Surge]
    found: Mapping[str, Sequence[Found]]


def planted(kind: str, setting: Setting) -> Planted:
    """Live through one kind of stream, without surges and with them."""
    base = streams.rates(max(1, setting.keys // 10), SLOW, FAST, np.random.default_rng(setting.seed))
    negative, other = streams.calm(kind, base, setting.days, setting.seed)
    plants = streams.planted(base, setting.days, EACH, np.random.default_rng(setting.seed + 1))
    struck = dict(negative)
    for surge, extra in plants:
        struck[surge.key] = streams.merged([struck[surge.key], extra])
    surges = [surge for surge, _ in plants if surge.start >= RIPE * 24.0]
    quiet = needle.run(negative, other, setting.days, setting.seed)
    loud = needle.run(struck, other, setting.days, setting.seed)
    ripe = {budget: sum(alarm.at >= RIPE * 24.0 for alarm in quiet.alarms[budget]) for budget in BUDGETS}
    found = {budget: [Found("newsquake", ripe[budget], delays(surges, loud.alarms[budget]))] for budget in BUDGETS}
    for name, rival in rivals.RIVALS.items():
        calmly, loudly = since(scored(negative, setting.days, rival)), since(scored(struck, setting.days, rival))
        for budget, false in ripe.items():
            factor = rivals.factor_for(calmly, false)
            alarms = alarms_of(loudly.incidents(factor), list(base))
            found[budget].append(Found(name, calmly.incidents(factor).places.size, delays(surges, alarms)))
    return Planted(kind, surges, found)


def since(scores: rivals.Scores) -> rivals.Scores:
    """Return the scores from the day on from which every detector speaks."""
    late = scores.buckets >= RIPE * streams.DAILY
    return rivals.Scores(scores.places[late], scores.buckets[late], scores.values[late])


def alarms_of(incidents: rivals.Scores, keys: Sequence[Key]) -> list[Alarm]:
    """Return a rival's incidents, each at the end of its bucket."""
    return [
        Alarm(keys[place], (bucket + 1) / 12.0)
        for place, bucket in zip(incidents.places.tolist(), incidents.buckets.tolist(), strict=True)
    ]


def delays(surges: Sequence[Surge], alarms: Sequence[Alarm]) -> list[float | None]:
    """Return for each surge the hours from its start to the first incident that counts as finding it."""
    opened: dict[Key, list[float]] = {}
    for alarm in alarms:
        opened.setdefault(alarm.key, []).append(alarm.at)
    found: list[float | None] = []
    for surge in surges:
        inside = [at for at in opened.get(surge.key, ()) if surge.start <= at <= surge.start + surge.length + GRACE]
        found.append(min(inside) - surge.start if inside else None)
    return found


def print_planted(row: Planted, budget: str) -> None:
    """Print recall, and the median delay in hours, for each part of the surges."""
    found = row.found[budget]
    print(f"\nPlanted in the {row.kind} stream, budget {budget}: share found, median hours until then\n")
    print(f"{'':<11} {'surges':>6} " + " ".join(f"{each.name:>13}" for each in found))
    print(f"{'false calm':<11} {'':>6} " + " ".join(f"{each.false:>13}" for each in found))
    for parts in ({"all": {"all": lambda _: True}}, PARTS):
        for part in parts.values():
            for name, holds in part.items():
                places = [place for place, surge in enumerate(row.surges) if holds(surge)]
                cells = " ".join(f"{_cell([each.delays[place] for place in places]):>13}" for each in found)
                print(f"{name:<11} {len(places):>6} {cells}")


def _cell(waits: Sequence[float | None]) -> str:
    seen = [wait for wait in waits if wait is not None]
    return f"{len(seen) / len(waits):>4.0%} {median(seen):>6.1f} h" if seen else "0%         "


def main() -> None:
    asked = options(__doc__, kinds=("poisson", "seasonal")).parse_args()
    setting = Setting(asked.keys, asked.days, asked.seed)
    with ProcessPoolExecutor(max_workers=asked.jobs) as pool:
        rows = list(pool.map(planted, asked.kinds, [setting] * len(asked.kinds)))
    for row in rows:
        for budget in BUDGETS:
            print_planted(row, budget)


if __name__ == "__main__":
    main()
