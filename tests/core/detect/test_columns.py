"""Keys in columns are keys one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.detect.baseline import Level, fade
from monitor.core.detect.columns import Firing, Keys, KeyState, keys_of
from monitor.core.detect.ties import FEEDERS, NO_TIES, Ties
from monitor.types import Key, SourceId

NAMES = [Key(name) for name in ("entity:acme", "topic:rates", "source:wire", "source:blog", "all")]
AMOUNTS = st.floats(0.0, 1000.0)
SOURCES = st.sampled_from([SourceId(name) for name in ("wire", "blog", "tape", "post")])
FED = st.dictionaries(SOURCES, st.floats(2.0**-10, 1000.0, width=32)).map(lambda fed: tuple(sorted(fed.items())))
FIRINGS = st.one_of(
    st.none(), st.builds(Firing, st.integers(0, 9), st.just(1), AMOUNTS, st.integers(3, 9), st.booleans())
)
RECORDS = st.builds(
    KeyState,
    since=st.integers(0, 9_000_000),
    level=st.builds(Level, st.integers(400_000, 500_000), AMOUNTS, AMOUNTS, AMOUNTS),
    firing=FIRINGS,
    told=st.integers(-1, 9_000_000),
    fed=FED,
)
ROOMS = st.dictionaries(st.sampled_from(NAMES), RECORDS)


@given(ROOMS, st.lists(st.tuples(st.sampled_from(NAMES), RECORDS)))
def test_what_is_put_is_found_and_what_was_taken_over_stays(
    room: dict[Key, KeyState], changes: list[tuple[Key, KeyState]]
) -> None:
    keys = keys_of(list(room.items()))
    twin = keys.twin()
    for key, record in changes:
        twin.put(key, record)
    assert dict(keys) == room
    assert dict(twin) == room | dict(changes)


@given(ROOMS, st.integers(500_000, 500_100))
def test_keys_age_together_as_each_alone(room: dict[Key, KeyState], hour: int) -> None:
    keys = keys_of(list(room.items()))
    keys.age(np.arange(len(keys)), hour)
    for key, record in room.items():
        kept = fade(hour - record.level.at)
        assert keys[key].level == record.level.aged(hour)
        assert keys[key].fed == tuple((source, float(np.float32(amount * kept))) for source, amount in record.fed)


@given(ROOMS)
def test_keys_are_blind_together_as_each_alone(room: dict[Key, KeyState]) -> None:
    keys = keys_of(list(room.items()))
    for row in list(keys.ears):
        keys.put(keys.roster.names[row], KeyState(since=0, level=Level(0, 0.0, 0.0, 0.0), blind=True))
    assert keys.blind().tolist() == [keys.blinded(row) for row in range(len(keys))]


def test_members_come_in_order_of_key_however_they_arrived() -> None:
    first, second = Keys(), Keys()
    level = Level(0, 0.0, 0.0, 0.0)
    first.add(NAMES, [0] * len(NAMES), [level] * len(NAMES))
    for name in reversed(NAMES):
        second.roster.members()
        second.add([name], [0], [level])

    def members(keys: Keys) -> dict[str, list[Key]]:
        return {kind: [keys.roster.names[row] for row in rows] for kind, rows in keys.roster.members().items()}

    assert members(first) == members(second)
    assert members(first)["source"] == ["source:blog", "source:wire"]


@given(st.lists(st.tuples(st.integers(0, 3), SOURCES, st.integers(1, 5)), min_size=1))
def test_feeders_add_up(brought: list[tuple[int, SourceId, int]]) -> None:
    together = gained(NO_TIES, brought)
    apart = NO_TIES
    for one in brought:
        apart = gained(apart, [one])
    for row in range(4):
        told: dict[SourceId, float] = {}
        for _, source, stories in [each for each in brought if each[0] == row]:
            told[source] = told.get(source, 0.0) + stories
        assert together.of(row) == apart.of(row) == tuple(sorted(told.items()))


def test_of_many_feeders_the_faintest_are_let_go() -> None:
    ties = gained(NO_TIES, [(0, SourceId(f"source{number}"), number) for number in range(1, 20)])
    assert [source for source, _ in ties.of(0)] == sorted(f"source{number}" for number in range(20 - FEEDERS, 20))


def gained(ties: Ties, brought: list[tuple[int, SourceId, int]]) -> Ties:
    rows, sources, stories = zip(*brought, strict=True)
    return ties.gained(np.array(rows), np.arange(len(sources)), np.array(stories), sources)
