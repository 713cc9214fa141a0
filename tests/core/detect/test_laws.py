"""Laws of `decide`: what may not matter, does not."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.detect import screening
from monitor.core.detect.detector import Rules, State, decide, dump, fresh, load
from monitor.errors import StoreError
from monitor.types import BUCKET, Key, Rollup, Signal, Timeliness

from .conftest import MONDAY, rollup

Call: TypeAlias = tuple[datetime, tuple[Rollup, ...]]

SEEDS = st.integers(0, 2**32)
KEYS = ("entity:acme", "entity:bolt", "topic:rates", "source:wire", "all")
TIMELINESS = (Timeliness.LIVE, Timeliness.LIVE, Timeliness.LIVE, Timeliness.LATE, Timeliness.HISTORY)


def days(seed: int) -> list[Call]:
    """Two to four days: ticks every half hour, batches in between, a burst on the last day, now and then a pause."""
    calls: list[Call] = []
    now = MONDAY
    random = Random(seed)
    length = random.randint(48, 96)
    model = "m1"
    for step in range(2 * length):
        now += timedelta(minutes=10)
        busy = 0.9 if 0 <= 2 * length - step - 10 < 6 else 0.2
        if random.random() < busy:
            if random.random() < 0.02:
                model = random.choice(["m1", "m2"])
            batch = [
                rollup(
                    random.choice(KEYS),
                    now - timedelta(minutes=random.choice([0, 0, 5, 40, 200, 2000])),
                    random.randint(0, 4),
                    other=random.randint(0, 2),
                    publisher=random.choice(["one.example", "two.example", None]),
                    source=random.choice(["wire", "blog"]),
                    model=model,
                    timeliness=random.choice(TIMELINESS),
                    weight=None,
                )
                for _ in range(random.randint(1, 4))
            ]
            calls.append((now, tuple(batch)))
        now += timedelta(minutes=5 if random.random() < 0.98 else 400)
        calls.append((now, ()))
        now += timedelta(minutes=5)
        calls.append((now, ()))
        now += timedelta(minutes=10)
        calls.append((now, ()))
    return calls


def fold(calls: Sequence[Call], state: State) -> tuple[State, list[Signal]]:
    said: list[Signal] = []
    for now, batch in calls:
        decision = decide(batch, state, now)
        state = decision.state
        said += decision.signals
    return state, said


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_how_a_moment_is_split_into_batches_makes_no_difference(seed: int) -> None:
    calls = days(seed)
    apart = [(now, (one,)) for now, batch in calls for one in batch or (None,) if one is not None or not batch]
    single: list[Call] = [(now, tuple(one for one in batch if one is not None)) for now, batch in apart]
    assert fold(calls, fresh(Rules())) == fold(single, fresh(Rules()))


@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_keys_that_are_not_looked_at_closely_have_nothing_to_tell(seed: int) -> None:
    calls = days(seed)
    screened = fold(calls, fresh(Rules(surges=50.0)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "SLACK", math.inf)
        assert fold(calls, fresh(Rules(surges=50.0))) == screened


class Store:
    """What the database keeps of a run: checkpoint rows as JSON text, and the sums of rollups."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.sums: dict[tuple[datetime, str, str, bool], list[Rollup]] = defaultdict(list)

    def run(self, calls: Sequence[Call], state: State) -> tuple[State, list[Signal]]:
        said: list[Signal] = []
        for now, batch in calls:
            decision = decide(batch, state, now)
            for name, row in dump(decision.state, decision.changed).items():
                self.rows[name] = json.dumps(row)
            for one in batch:
                history = one.timeliness is Timeliness.HISTORY
                self.sums[one.bucket, one.key, one.model, history].append(one)
            state = decision.state
            said += decision.signals
        return state, said

    def load(self, now: datetime) -> State:
        stored = [
            summed(parts, history=place[3])
            for place, parts in sorted(self.sums.items())
            if now - timedelta(hours=25) <= place[0] < now + timedelta(minutes=5)
        ]
        return load(Rules(), {name: json.loads(row) for name, row in self.rows.items()}, stored)


def summed(parts: Sequence[Rollup], *, history: bool) -> Rollup:
    total = replace(parts[0], timeliness=Timeliness.HISTORY if history else Timeliness.LIVE)
    for part in parts[1:]:
        total = replace(
            total,
            stories=total.stories + part.stories,
            negative=total.negative + part.negative,
            weight=total.weight + part.weight,
            origins=total.origins + part.origins,
        )
    return total


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.data())
def test_going_on_from_a_checkpoint_equals_going_on(seed: int, data: st.DataObject) -> None:
    calls = days(seed)
    cut = data.draw(st.integers(1, len(calls) - 1))
    store = Store()
    state, _ = store.run(calls[:cut], fresh(Rules()))
    loaded = store.load(calls[cut - 1][0])
    assert dump(loaded, loaded.names()) == dump(state, state.names())
    assert loaded == state
    assert fold(calls[cut:], loaded) == fold(calls[cut:], state)


@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_time_passing_never_raises_a_surge(seed: int) -> None:
    calls = days(seed)
    state = fresh(Rules())
    for now, batch in calls:
        decision = decide(batch, state, now)
        if not batch:
            assert {signal.kind.value for signal in decision.signals} <= {"calm", "blind"}
        state = decision.state


def test_the_state_one_had_is_not_changed_by_deciding() -> None:
    state = decide((), fresh(Rules()), MONDAY).state
    before = dump(state, state.names())
    decide([rollup("entity:acme", MONDAY)], state, MONDAY)
    assert dump(state, state.names()) == before
    assert Key("entity:acme") not in state.keys


def test_a_clock_that_steps_back_is_taken_for_the_last_tick() -> None:
    state = decide((), fresh(Rules()), MONDAY).state
    back = decide((), state, MONDAY - timedelta(hours=3))
    assert back.state == state
    assert back.signals == ()


def test_a_checkpoint_row_that_cannot_be_read_is_named() -> None:
    with pytest.raises(StoreError, match=r"row 'key:entity:acme' .* version 1"):
        load(Rules(), {"key:entity:acme": {"since": 3}}, [])


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_without_news_a_second_tick_in_a_bucket_changes_nothing(seed: int) -> None:
    state = fresh(Rules())
    for now, rollups in days(seed):
        state = decide((), decide(rollups, state, now).state, now).state
        later = decide((), state, now - (now - MONDAY) % BUCKET + BUCKET - timedelta(seconds=1))
        assert later.signals == ()
        assert later.changed <= {"clock"}
        before, after = (dump(each, {"clock"})["clock"] for each in (state, later.state))
        assert isinstance(before, dict)
        assert isinstance(after, dict)
        assert {**after, "now": 0} == {**before, "now": 0}
