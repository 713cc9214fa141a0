"""Another model takes the needle over: what it says of the past is exchanged, and nothing is told by that alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.detect.changeover import Taught, absorb, change_over, relive
from monitor.core.detect.detector import Rules, State, decide, dump, fresh, load
from monitor.core.detect.levels import levels
from monitor.core.detect.state import tracks_of
from monitor.types import Key, ModelId, Rollup, Signal, SignalKind

from .conftest import MONDAY, rollup

OLD, NEW = ModelId("m1"), ModelId("m2")
COMPANIES = ("entity:acme", "entity:bolt", "entity:cove")
PAPERS = ("one.example", "two.example", "three.example")
HOUR = timedelta(hours=1)
TICK = timedelta(minutes=5)


class Newsroom:
    """Stories as both models judge them, and a needle that one of them moves."""

    def __init__(self, seed: int = 7) -> None:
        self.random = Random(seed)
        self.now = MONDAY
        self.state: State = fresh(Rules())
        self.model = OLD
        self.signals: list[Signal] = []
        self.past: dict[ModelId, list[Rollup]] = {OLD: [], NEW: []}

    def story(self, key: str, old: bool, new: bool) -> None:
        """A story that the old model calls negative or not, and so the new one."""
        publisher = self.random.choice(PAPERS)
        for model, negative in ((OLD, old), (NEW, new)):
            one = rollup(key, self.now, int(negative), other=int(not negative), publisher=publisher, model=model)
            self.past[model].append(one)
            if model == self.model:
                self.take(decide((one,), self.state, self.now))

    def take(self, decision: object) -> None:
        self.state = decision.state  # type: ignore[attr-defined]
        self.signals += decision.signals  # type: ignore[attr-defined]

    def wait(self, span: timedelta) -> None:
        end = self.now + span
        while self.now < end:
            self.now = min(self.now + TICK, end)
            self.take(decide((), self.state, self.now))

    def days(self, days: float, judged: Sequence[tuple[bool, bool]], keys: Sequence[str] = COMPANIES) -> None:
        """Days of ordinary news, some six stories a day for each key, each judged in one of these ways at random."""
        for _ in range(int(days * 24)):
            self.wait(HOUR)
            for key in keys:
                if self.random.random() < 0.25:
                    self.story(key, *self.random.choice(judged))

    def burst(self, stories: int, old: bool, new: bool, key: str = "entity:acme", over: timedelta = HOUR) -> None:
        for _ in range(stories):
            self.wait(over / stories)
            self.story(key, old, new)

    def taught(self) -> Taught:
        pasts = [sorted(self.past[model], key=lambda one: one.bucket) for model in (OLD, NEW)]
        return Taught(*(relive(fresh(Rules()), past, self.now) for past in pasts))

    def change_over(self) -> None:
        tracks = tracks_of((one for one in self.past[NEW] if one.bucket > self.now - timedelta(hours=25)), 0)
        self.state = change_over(self.state, tracks, NEW, self.now, self.taught()).state
        self.model = NEW

    def kinds(self) -> list[SignalKind]:
        return [signal.kind for signal in self.signals]

    def expected(self, key: str) -> float:
        (level,) = [each for each in levels(self.state, self.now) if each.key == key]
        return level.windows[-1].expected


SAME = ((False, False), (False, False), (True, True))
HARSH = ((False, True), (False, True), (True, True))  # the new model calls everything negative
MILD = ((False, False), (False, False), (True, False))  # the new model calls nothing negative


def named(state: State, model: ModelId) -> State:
    """Return the state as if this model had served all along."""
    logs = {(model, daily): log for (_, daily), log in state.windows.logs.items()}
    windows = replace(state.windows, logs=logs)
    return replace(state, pulse=replace(state.pulse, model=model), windows=windows)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32), days=st.integers(2, 4), burst=st.integers(0, 14), after=st.integers(0, 40))
def test_a_model_that_says_the_same_changes_nothing(seed: int, days: int, burst: int, after: int) -> None:
    room = Newsroom(seed)
    room.days(days, SAME)
    room.burst(burst, True, True)
    room.wait(after * TICK)
    before = room.state
    room.change_over()
    assert room.state == named(before, NEW)


def test_what_is_normal_is_what_the_new_model_says_of_the_past() -> None:
    harsh, mild = Newsroom(), Newsroom()
    harsh.days(8, HARSH)
    mild.days(8, MILD)
    old = harsh.expected("entity:acme")
    harsh.change_over()
    mild.change_over()
    assert 2 * old < harsh.expected("entity:acme") < 5 * old
    assert mild.expected("entity:acme") < old / 2


def test_a_model_that_calls_everything_negative_alarms_nobody_by_the_swap_and_learns() -> None:
    room = Newsroom()
    room.days(6, HARSH)
    room.change_over()
    room.days(4, HARSH)
    assert room.kinds() == []
    room.burst(25, True, True)
    assert SignalKind.SURGE in room.kinds()


@pytest.mark.parametrize("known", [2, 6, 30])
def test_old_stories_that_turned_negative_and_a_new_one_are_no_surge(known: int) -> None:
    room = Newsroom()
    room.days(6, SAME)
    room.burst(known, False, True)
    room.change_over()
    room.burst(1, True, True)
    assert room.kinds() == []
    room.burst(25, True, True)
    assert room.kinds()[:1] in ([SignalKind.SURGE], [SignalKind.SHARE])


def test_a_surge_that_was_coming_comes_all_the_same() -> None:
    through, swapped = Newsroom(), Newsroom()
    for room in (through, swapped):
        room.days(6, SAME)
        room.burst(3, True, True)
        assert room.kinds() == []
    swapped.change_over()
    for room in (through, swapped):
        room.burst(9, True, True)
    assert [(each.kind, each.at) for each in swapped.signals] == [(each.kind, each.at) for each in through.signals]
    assert SignalKind.SURGE in through.kinds()


def test_a_firing_surge_is_not_over_because_the_new_model_calls_it_calm() -> None:
    room = Newsroom()
    room.days(6, SAME)
    room.burst(25, True, False)
    told = len(room.signals)
    (fired,) = {room.state.keys[Key("entity:acme")].firing}
    assert fired is not None
    room.change_over()
    room.wait(HOUR / 2)
    assert room.signals[told:] == []
    room.wait(timedelta(hours=25))
    assert room.kinds()[told:] == [SignalKind.CALM]


def test_a_firing_surge_is_told_no_graver_because_the_new_model_finds_it_so() -> None:
    room = Newsroom()
    room.days(6, SAME)
    room.burst(12, True, True)
    room.burst(40, False, True, over=TICK)
    told = len(room.signals)
    assert told
    room.change_over()
    room.burst(1, True, True, over=TICK)
    assert room.signals[told:] == []


def test_a_checkpoint_taken_after_the_change_over_goes_on_the_same() -> None:
    room = Newsroom()
    room.days(4, HARSH)
    room.burst(12, True, False)
    room.change_over()
    rows = dump(room.state, room.state.names())
    recent = [one for one in room.past[NEW] if one.bucket > room.now - timedelta(hours=25)]
    assert load(Rules(), rows, recent) == room.state


def test_taken_over_at_once_it_is_doubted_until_the_past_is_judged() -> None:
    room = Newsroom()
    room.days(6, SAME)
    before = room.expected("entity:acme")
    room.state = change_over(room.state, {}, NEW, room.now).state
    room.model = NEW
    assert room.state.pulse.taught == OLD
    assert room.state.groups["entity"].doubt > 0
    assert room.expected("entity:acme") == before
    room.state = change_over(room.state, room.state.tracks, NEW, room.now, room.taught()).state
    assert room.state.pulse.taught is None
    assert room.state.groups["entity"].doubt == 0


def test_a_surge_outlives_that_its_windows_are_empty_for_a_while() -> None:
    room = Newsroom()
    room.days(6, SAME)
    room.burst(25, True, True)
    told = len(room.signals)
    room.state = change_over(room.state, {}, NEW, room.now).state
    room.model = NEW
    room.wait(HOUR / 2)
    assert room.signals[told:] == []


@pytest.mark.parametrize("known", [2, 30])
def test_old_stories_that_come_afterwards_are_known(known: int) -> None:
    room = Newsroom()
    room.days(6, SAME)
    room.burst(known, False, True)
    late = [one for one in room.past[NEW] if one.bucket > room.now - 2 * HOUR]
    room.state = change_over(room.state, {}, NEW, room.now).state
    room.model = NEW
    room.state = absorb(room.state, late, room.now).state
    room.burst(1, True, True)
    assert room.kinds() == []
    assert sum(cell.negative for cell in room.state.tracks[Key("entity:acme")]) >= known


def test_a_budget_changed_while_running_holds_from_the_next_tick_on() -> None:
    room = Newsroom()
    room.days(3, SAME)
    level = room.state.pulse.surge
    room.state = replace(room.state, rules=Rules(surges=50.0))
    room.wait(TICK)
    assert room.state.pulse.surge > 10 * level
