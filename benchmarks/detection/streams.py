"""Invented streams of negative and other stories for many keys, with nothing wrong in them, and surges to plant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from monitor.types import BUCKET, Key, ModelId, Origin, Rollup, SourceId, Timeliness

START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
MODEL = ModelId("benchmark")
PUBLISHERS = tuple(f"publisher{number}.example" for number in range(20))
KINDS = ("poisson", "clustered", "seasonal", "drifting")
Hours = npt.NDArray[np.float64]  # hours since START, ascending


@dataclass(frozen=True, slots=True)
class Surge:
    """A planted surge: the key's rate times `factor`, from `start` for `length` hours, bringing `stories` more."""

    key: Key
    start: float
    length: float
    factor: float
    stories: int


def rates(keys: int, rng: np.random.Generator) -> dict[Key, float]:
    """Return negative stories an hour for each key, evenly spread over the magnitudes from 0.005 to 2."""
    return {Key(f"entity:{n:04d}"): float(rate) for n, rate in enumerate(0.005 * 400.0 ** rng.random(keys))}


def intensity(kind: str, hours: Hours, days: float) -> Hours:
    """Return the season and drift of a stream, averaging about 1."""
    if kind == "drifting":
        return 0.6 + 0.8 * hours / (24.0 * days)
    if kind != "seasonal":
        return np.ones_like(hours)
    day = 1.0 + 0.8 * np.sin((hours % 24.0 - 8.0) * np.pi / 12.0)
    week = np.where(hours // 24.0 % 7 >= 5, 0.3, 1.28)
    return np.asarray(day * week)


def stories(kind: str, rate: float, days: float, rng: np.random.Generator) -> Hours:
    """Return when stories come. All but `poisson` come in clusters: one in three draws 1.5 others within hours."""
    burst = 0.0 if kind == "poisson" else 0.5
    parents = _thinned(kind, rate / (1.0 + burst), days, rng)
    children = rng.poisson(1.5 * (rng.random(parents.size) < burst / 1.5))
    times = np.repeat(parents, children) + rng.exponential(1.5, int(children.sum()))
    every = np.sort(np.concatenate([parents, times]))
    return every[every < 24.0 * days]


def _thinned(kind: str, rate: float, days: float, rng: np.random.Generator) -> Hours:
    peak = {"seasonal": 2.4, "drifting": 1.5}.get(kind, 1.0)
    hours = np.sort(rng.random(rng.poisson(rate * peak * days * 24.0)) * days * 24.0)
    return hours[rng.random(hours.size) * peak < intensity(kind, hours, days)]


def planted(base: Mapping[Key, float], days: float, each: int, rng: np.random.Generator) -> list[tuple[Surge, Hours]]:
    """Return `each` surges a key, spread over the time after the first 15 days, and when their stories come."""
    surges = []
    for key, rate in base.items():
        for slot in range(each):
            room = (days - 16.0) / each
            start = 24.0 * (15.0 + slot * room + rng.random() * 0.5 * room)
            length = float(0.5 * 24.0 ** rng.random())
            factor = float(2.0 * 10.0 ** rng.random())
            extra = np.sort(start + length * rng.random(rng.poisson(rate * (factor - 1.0) * length)))
            if extra.size >= 3:
                surges.append((Surge(key, start, length, factor, int(extra.size)), extra))
    return surges


def timeline(
    negative: Mapping[Key, Hours], other: Mapping[Key, Hours], rng: np.random.Generator
) -> dict[int, list[Rollup]]:
    """Return the rollups of each bucket since START."""
    counts: dict[int, dict[Key, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for column, streams in enumerate((negative, other)):
        for key, hours in streams.items():
            for bucket in (hours * 12.0).astype(int).tolist():
                counts[bucket][key][column] += 1
    return {
        bucket: [_rollup(key, bucket, negative, other, rng) for key, (negative, other) in keys.items()]
        for bucket, keys in counts.items()
    }


def _rollup(key: Key, bucket: int, negative: int, other: int, rng: np.random.Generator) -> Rollup:
    weight = float(np.sum(0.6 + 0.4 * rng.random(negative)))
    names = rng.integers(len(PUBLISHERS), size=negative + other).tolist()
    brought: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        count = brought.setdefault(PUBLISHERS[name], [0, 0])
        count[0] += 1
        count[1] += place < negative
    return Rollup(
        key=key,
        bucket=START + bucket * BUCKET,
        model=MODEL,
        timeliness=Timeliness.LIVE,
        stories=negative + other,
        negative=negative,
        weight=weight,
        sum_negative=weight + 0.1 * other,
        sum_neutral=0.3 * (negative + other),
        sum_positive=0.1 * other,
        origins=tuple(
            Origin(publisher=publisher, source=SourceId("feed"), stories=count, negative=bad)
            for publisher, (count, bad) in brought.items()
        ),
    )


def hours_since_start(moment: datetime) -> float:
    """Return a moment as hours since START."""
    return (moment - START) / timedelta(hours=1)


def hourly(times: Hours, days: int) -> Hours:
    """Return counts per hour."""
    return np.bincount(times.astype(int), minlength=24 * days)[: 24 * days].astype(float)


def merged(parts: Sequence[Hours]) -> Hours:
    """Return all times, in order."""
    return np.sort(np.concatenate(list(parts)))
