"""Invented streams of negative and other stories for many keys, with nothing wrong in them, and surges to plant."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import numpy as np
import numpy.typing as npt

from monitor.types import BUCKET, Key, ModelId, Origin, Rollup, SourceId, Timeliness

START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday, and a holiday
MODEL = ModelId("benchmark")
FEED = SourceId("feed")
PUBLISHERS = tuple(f"publisher{number}.example" for number in range(20))
QUIET, BUSY = 0.005, 2.0  # negative stories an hour of a calm stream's keys
DAILY = 288  # buckets

# Weekdays on which New York's exchanges are closed: news is as sparse then as at a weekend.
HOLIDAYS = tuple(
    (date(2024, month, day) - START.date()).days
    for month, day in ((1, 1), (1, 15), (2, 19), (3, 29), (5, 27), (6, 19), (7, 4), (9, 2), (11, 28), (12, 25))
)

Hours = npt.NDArray[np.float64]  # hours since START, ascending
Stream = dict[Key, Hours]
Intensity = Callable[[Hours], Hours]  # of each moment, relative to the key's rate


@dataclass(frozen=True, slots=True)
class Surge:
    """A planted surge: the key's rate times `factor`, from `start` for `length` hours, bringing `stories` more."""

    key: Key
    rate: float
    start: float
    length: float
    factor: float
    stories: int


def rates(keys: int, low: float, high: float, rng: np.random.Generator) -> dict[Key, float]:
    """Return negative stories an hour for each key, evenly spread over the magnitudes from `low` to `high`."""
    return {Key(f"entity:{n:04d}"): float(rate) for n, rate in enumerate(low * (high / low) ** rng.random(keys))}


# --- calm streams ---


def poisson(rate: float, days: float, rng: np.random.Generator) -> Hours:
    """Stories that know nothing of each other, at a constant rate."""
    return np.sort(rng.random(rng.poisson(rate * days * 24.0)) * days * 24.0)


def clustered(rate: float, days: float, rng: np.random.Generator) -> Hours:
    """A third of the stories draws 1.5 others each, within hours (a Neyman-Scott process)."""
    return _clusters(poisson(rate / 1.5, days, rng), days, rng)


def seasonal(rate: float, days: float, rng: np.random.Generator) -> Hours:
    """Clustered, with busy days, quiet nights, weekends and holidays."""
    return _clusters(_thinned(_season, 2.4, rate / 1.5, days, rng), days, rng)


def drifting(rate: float, days: float, rng: np.random.Generator) -> Hours:
    """Clustered, and each key's rate grows or shrinks steadily, at most twofold in 60 days."""
    growth = math.log(2.0) / (60.0 * 24.0) * rng.uniform(-1.0, 1.0)
    middle = days * 12.0

    def drift(hours: Hours) -> Hours:
        return np.exp(growth * (hours - middle))

    return _clusters(_thinned(drift, math.exp(abs(growth) * middle), rate / 1.5, days, rng), days, rng)


def copied(rate: float, days: float, rng: np.random.Generator) -> Hours:
    """One story in ten is syndicated: 5 to 200 copies, within hours.

    Copies are no stories: the copy signature joins them. One in fifty is taken to be rewritten so far that it is
    counted nevertheless; 53 copies on average make 0.11 such stories for each true one.
    """
    firsts = poisson(rate / 1.106, days, rng)
    spread = 5.0 * 40.0 ** rng.random(firsts.size) * (rng.random(firsts.size) < 0.1)
    missed = rng.binomial(spread.astype(int), 0.02)
    return _with_followers(firsts, missed, 2.0, days, rng)


KINDS: dict[str, Callable[[float, float, np.random.Generator], Hours]] = {
    "poisson": poisson,
    "clustered": clustered,
    "seasonal": seasonal,
    "drifting": drifting,
    "copied": copied,
}


def calm(kind: str, base: Mapping[Key, float], days: float, seed: int) -> tuple[Stream, Stream]:
    """Return the negative and the other stories of all keys, with nothing wrong in them: two others for each."""
    rng, draw = np.random.default_rng(seed), KINDS[kind]
    negative = {key: draw(rate, days, rng) for key, rate in base.items()}
    return negative, {key: draw(2.0 * rate, days, rng) for key, rate in base.items()}


def _clusters(parents: Hours, days: float, rng: np.random.Generator) -> Hours:
    children = rng.poisson(1.5 * (rng.random(parents.size) < 1.0 / 3.0))
    return _with_followers(parents, children, 1.5, days, rng)


def _with_followers(
    leaders: Hours, followers: npt.NDArray[np.int64], hours: float, days: float, rng: np.random.Generator
) -> Hours:
    """Return the leaders, and after each so many followers, on average so many hours later."""
    times = np.repeat(leaders, followers) + rng.exponential(hours, int(followers.sum()))
    every = merged([leaders, times])
    return every[every < 24.0 * days]


def _season(hours: Hours) -> Hours:
    """Return how busy each moment is: on average about 1."""
    day = 1.0 + 0.8 * np.sin((hours % 24.0 - 8.0) * np.pi / 12.0)
    free = (hours // 24.0 % 7 >= 5) | np.isin(hours // 24.0, HOLIDAYS)
    return np.asarray(day * np.where(free, 0.3, 1.28))


def _thinned(intensity: Intensity, peak: float, rate: float, days: float, rng: np.random.Generator) -> Hours:
    hours = poisson(rate * peak, days, rng)
    return hours[rng.random(hours.size) * peak < intensity(hours)]


# --- surges ---


def planted(base: Mapping[Key, float], days: float, each: int, rng: np.random.Generator) -> list[tuple[Surge, Hours]]:
    """Return `each` surges a key and when their stories come.

    They are spread over the time after the first 15 days: x2 to x20, for half an hour to twelve, evenly over the
    magnitudes. One that brings fewer than 3 stories is none.
    """
    surges = []
    for key, rate in base.items():
        for slot in range(each):
            room = (days - 16.0) / each
            start = 24.0 * (15.0 + slot * room + rng.random() * 0.5 * room)
            length = float(0.5 * 24.0 ** rng.random())
            factor = float(2.0 * 10.0 ** rng.random())
            extra = np.sort(start + length * rng.random(rng.poisson(rate * (factor - 1.0) * length)))
            if extra.size >= 3:
                surges.append((Surge(key, rate, start, length, factor, int(extra.size)), extra))
    return surges


# --- what the detector is fed ---

# What one story alone brings: by publisher, and whether it is negative.
_ALONE = [[(Origin(publisher=name, source=FEED, stories=1, negative=bad),) for bad in (0, 1)] for name in PUBLISHERS]


def timeline(negative: Stream, other: Stream, rng: np.random.Generator) -> Iterator[tuple[int, list[Rollup]]]:
    """Yield (bucket since START, its rollups) for each bucket with news, in order."""
    keys = list(negative)
    columns = [
        (place, streams[key], bad) for bad, streams in ((1, negative), (0, other)) for place, key in enumerate(keys)
    ]
    hours = np.concatenate([times for _, times, _ in columns])
    places = np.concatenate([np.full(times.size, place) for place, times, _ in columns])
    bad = np.concatenate([np.full(times.size, flag) for _, times, flag in columns])
    buckets = (hours * 12.0).astype(np.int64)
    order = np.lexsort((places, buckets))
    voices = rng.integers(len(PUBLISHERS), size=hours.size)
    weights = np.where(bad == 1, 0.6 + 0.4 * rng.random(hours.size), 0.0)
    columned = zip(*(column[order].tolist() for column in (buckets, places, bad, voices, weights)), strict=True)
    for bucket, rows in groupby(columned, key=lambda row: row[0]):
        begins = START + bucket * BUCKET
        yield bucket, [_rollup(keys[place], begins, list(own)) for place, own in groupby(rows, key=lambda row: row[1])]


def _rollup(key: Key, begins: datetime, rows: Sequence[tuple[int, int, int, int, float]]) -> Rollup:
    stories, negative, weight = len(rows), sum(row[2] for row in rows), math.fsum(row[4] for row in rows)
    return Rollup(
        key=key,
        bucket=begins,
        model=MODEL,
        timeliness=Timeliness.LIVE,
        stories=stories,
        negative=negative,
        weight=weight,
        sum_negative=weight + 0.1 * (stories - negative),
        sum_neutral=0.3 * stories,
        sum_positive=0.1 * (stories - negative),
        origins=_ALONE[rows[0][3]][rows[0][2]] if stories == 1 else _origins(rows),
    )


def _origins(rows: Sequence[tuple[int, int, int, int, float]]) -> tuple[Origin, ...]:
    brought: dict[int, list[int]] = {}
    for _, _, bad, voice, _ in rows:
        count = brought.setdefault(voice, [0, 0])
        count[0] += 1
        count[1] += bad
    return tuple(
        Origin(publisher=PUBLISHERS[voice], source=FEED, stories=count, negative=bad)
        for voice, (count, bad) in brought.items()
    )


# --- small things ---


def hours_since_start(moment: datetime) -> float:
    """Return a moment as hours since START."""
    return (moment - START) / timedelta(hours=1)


def counted(negative: Stream, days: int) -> npt.NDArray[np.float64]:
    """Return stories per (key, bucket)."""
    return np.array(
        [np.bincount((hours * 12.0).astype(int), minlength=days * DAILY) for hours in negative.values()], float
    )


def merged(parts: Sequence[Hours]) -> Hours:
    """Return all times, in order."""
    return np.sort(np.concatenate(list(parts)))
