"""How many keys one core can watch, how fast, and in how much memory.

    python benchmarks/detection/scale.py [--keys 100000] [--days 4]

Companies have two stories a day on average, a hundredth of them more than ten, from 40 sources. Printed are

- the mentions a second of the last day, read as a backlog is: five minutes of news at a time, and a tick after each.
  What one key gains in five minutes is one rollup; rollups are counted, so a mention is at least that.
- the same for one key after another, as the columns replaced it (counting and judging only, nothing is learned);
- what a decision takes at that many keys: one mention, the first of a new key, a tick, the tick that learns an hour;
- the bytes of state a key, names and index included, and of the last day's cells beside them, day by day;
- the seconds in which a checkpoint and the rollups of 25 hours become that state again, the database aside.
"""

from __future__ import annotations

import argparse
import gc
import json
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from time import process_time

import numpy as np

from monitor.core.counting import exact
from monitor.core.detect.budget import WINDOWS
from monitor.core.detect.detector import Rules, State, decide, dump, fresh, load
from monitor.core.detect.judging import Window, judge, normal_of
from monitor.core.detect.state import Draft
from monitor.core.detect.windows import Track, added, bucket_of, tallies, trimmed
from monitor.types import BUCKET, Key, ModelId, Origin, Rollup, SignalKind, SourceId, Timeliness

START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
MODEL = ModelId("benchmark")
SOURCES, PUBLISHERS, NEGATIVE = 40, 2000, 0.3
DAILY = 288
SPREAD = 1.3  # standard deviation of the logarithm of the keys' rates
ONE_BY_ONE = 20_000  # rollups that the slow way is given


def news(keys: int, day: int, stories_a_day: float) -> Iterator[list[Rollup]]:
    """Yield the rollups of each five minutes of a day."""
    rng = np.random.default_rng(day)
    rates = stories_a_day * np.exp(SPREAD * np.random.default_rng(0).standard_normal(keys) - 0.5 * SPREAD**2) / DAILY
    for bucket in range(day * DAILY, (day + 1) * DAILY):
        stories = rng.poisson(rates) if bucket else np.ones(keys, dtype=np.int64)  # all are heard of at the start
        heard = np.flatnonzero(stories)
        told = stories[heard]
        bad = rng.binomial(told, NEGATIVE)
        columns = (heard, told, bad, rng.integers(PUBLISHERS, size=heard.size))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        yield [_rollup(Key(f"entity:{key:06d}"), bucket, *rest) for key, *rest in rows]


def _rollup(key: Key, bucket: int, *rest: int) -> Rollup:
    stories, negative, publisher = rest
    weight = exact(0.8) * negative
    return Rollup(
        key=key,
        bucket=START + bucket * BUCKET,
        model=MODEL,
        timeliness=Timeliness.LIVE,
        stories=stories,
        negative=negative,
        weight=weight,
        sum_negative=weight,
        sum_neutral=0.0,
        sum_positive=0.0,
        origins=(
            Origin(
                publisher=f"{publisher}.example",
                source=SourceId(f"source{publisher % SOURCES}"),
                stories=stories,
                negative=negative,
            ),
        ),
    )


def live(state: State, day: Sequence[list[Rollup]], number: int) -> tuple[State, float, list[float]]:
    """Return the state after a day, the processor seconds it took, and those of each tick."""
    spent, ticks = 0.0, []
    for place, rollups in enumerate(day):
        now = START + (number * DAILY + place + 1) * BUCKET
        began = process_time()
        state = decide(rollups, state, now - timedelta(seconds=30)).state
        ticked = process_time()
        state = decide((), state, now).state
        ticks.append(process_time() - ticked)
        spent += ticked - began + ticks[-1]
    return state, spent, ticks


def one_by_one(state: State, rollups: Sequence[Rollup]) -> float:
    """Return the processor seconds that one key after another takes: add to its cells, sum and judge its windows."""
    draft, tracks = Draft.of(state), dict[Key, Track]()
    began = process_time()
    for rollup in rollups:
        bucket = bucket_of(rollup.bucket)
        track = tracks[rollup.key] = trimmed(added(tracks.get(rollup.key, ()), rollup), bucket - WINDOWS[-1])
        if rollup.negative and rollup.key in draft.keys:
            normal = normal_of(draft, rollup.key)
            for index, total in enumerate(tallies(track, MODEL, bucket, 0, WINDOWS)):
                judge(normal, Window(index, bucket, total), SignalKind.SURGE)
    return process_time() - began


def latency(state: State, rollups: Sequence[Rollup], now: datetime) -> list[float]:
    """Return the processor seconds of a decision about each of these alone; each adds to the state of the last."""
    took = []
    for rollup in rollups:
        began = process_time()
        state = decide((rollup,), state, now).state
        took.append(process_time() - began)
    return took


def weigh(state: State, recent: Sequence[Rollup]) -> tuple[float, float, int, float]:
    """Return the bytes a key and a cell, the cells, and the processor seconds of getting this state back."""
    text = json.dumps(dump(state, state.names()))
    began = process_time()
    rows = json.loads(text)
    loaded = load(state.rules, rows, recent)
    took = process_time() - began
    assert loaded.keys == state.keys
    del loaded
    gc.collect()
    tracemalloc.start()
    keys = load(state.rules, rows, ())
    keys.keys.roster.members()
    gc.collect()
    alone = tracemalloc.get_traced_memory()[0]
    both = load(state.rules, rows, recent)
    both.keys.roster.members()
    gc.collect()
    cells = tracemalloc.get_traced_memory()[0] - 2 * alone
    tracemalloc.stop()
    number = sum(layer.codes.size for log in both.windows.logs.values() for layer in log.layers)
    return alone / len(state.keys), cells / number, number, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--stories", type=float, default=2.0, help="a day and key, on average")
    arguments = parser.parse_args()
    keys, days = arguments.keys, arguments.days
    state, day = fresh(Rules()), list[list[Rollup]]()
    print(
        f"{'day':>4} {'rollups':>9} {'a second':>9} {'keys':>8} {'bytes a key':>12} {'cells':>8} {'bytes a cell':>13}"
    )
    for number in range(days):
        before, day = [each for rollups in day for each in rollups], list(news(keys, number, arguments.stories))
        state, spent, ticks = live(state, day, number)
        total = sum(map(len, day))
        since = START + ((number + 1) * DAILY - 25 * 12) * BUCKET
        recent = [each for each in (*before, *(each for rollups in day for each in rollups)) if each.bucket >= since]
        of_key, of_cell, cells, rebuilt = weigh(state, recent)
        print(
            f"{number + 1:>4} {total:>9,} {total / spent:>9,.0f} {len(state.keys):>8,} {of_key:>12.0f} {cells:>8,} "
            f"{of_cell:>13.0f}"
        )
    some = [each for rollups in day for each in rollups][-ONE_BY_ONE:]
    print(f"\none key after another: {len(some) / one_by_one(state, some):,.0f} rollups a second")
    now = START + days * DAILY * BUCKET
    tomorrow = [each for rollups in news(keys, days, arguments.stories) for each in rollups][:200]
    new = [_rollup(Key(f"entity:new{number}"), days * DAILY, 1, 1, 0) for number in range(20)]
    for what, took in (
        ("one mention", latency(state, tomorrow, now)),
        ("the first of a new key", latency(state, new, now)),
        ("a tick", sorted(ticks)[: -len(ticks) // 10]),
        ("a tick that learns an hour", sorted(ticks)[-24:]),
    ):
        print(f"{what}: {1e3 * median(took):.2f} ms, at worst {1e3 * max(took):.2f}")
    print(f"checkpoint and rollups of 25 hours into a state: {rebuilt:.1f} s")


if __name__ == "__main__":
    main()
