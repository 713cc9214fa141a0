"""The windows in columns say what each key's own cells say."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.detect.cells import SHIFT, Windows, batch_of
from monitor.core.detect.windows import Track, added, bucket_of, origins, tally, trimmed
from monitor.types import Key, ModelId, Rollup, Timeliness

from .conftest import MONDAY, rollup

FIRST = bucket_of(MONDAY)
ROWS = {Key("entity:acme"): 0, Key("entity:bolt"): 1, Key("source:wire"): 2}
ROLLUPS = st.lists(
    st.builds(
        lambda key, bucket, negative, other, publisher, model, timeliness: rollup(
            key,
            MONDAY + bucket * timedelta(minutes=5),
            negative,
            other=other,
            publisher=publisher,
            model=model,
            timeliness=timeliness,
        ),
        st.sampled_from(sorted(ROWS)),
        st.integers(0, 30),
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from(["one.example", "two.example", None]),
        st.sampled_from(["m1", "m1", "m2"]),
        st.sampled_from([Timeliness.LIVE, Timeliness.LIVE, Timeliness.DAY]),
    ),
    max_size=60,
)


def laid(rollups: Sequence[Rollup], each: int) -> Windows:
    """The windows after these rollups, so many at a time."""
    windows = Windows()
    for place in range(0, len(rollups), each):
        batch = batch_of(rollups[place : place + each], ROWS)
        windows = windows.laid(batch.layers(np.ones(len(batch.rollups), dtype=np.bool_), windows.voices))
    return windows


def track_of(rollups: Sequence[Rollup], key: Key) -> Track:
    track: Track = ()
    for one in rollups:
        track = added(track, one) if one.key == key else track
    return track


@given(ROLLUPS, st.integers(1, 9), st.integers(0, 35))
def test_cells_are_the_same_however_they_came(rollups: list[Rollup], each: int, first: int) -> None:
    windows = laid(rollups, each)
    kept = windows.since(FIRST + first)
    for key, row in ROWS.items():
        assert windows.track(row) == track_of(rollups, key)
        assert kept.track(row) == trimmed(track_of(rollups, key), FIRST + first)


@given(ROLLUPS, st.integers(1, 9), st.integers(0, 30), st.integers(0, 30))
def test_many_windows_at_once_hold_what_each_holds(rollups: list[Rollup], each: int, first: int, length: int) -> None:
    windows, low, high = laid(rollups, each), FIRST + first, FIRST + first + length
    codes = np.array(list(ROWS.values())) << SHIFT
    sums = windows.log(ModelId("m1")).sums(codes | low, codes | high)
    gained = windows.log(ModelId("m1")).span(low, high)
    for place, key in enumerate(ROWS):
        total = tally(track_of(rollups, key), ModelId("m1"), low, high, daily=False)
        assert tuple(column[place] for column in sums) == (total.stories, total.negative, total.weight)
        assert gained.weight[gained.rows == place].sum() == total.weight


@given(ROLLUPS, st.integers(1, 9))
def test_who_brought_what_is_kept(rollups: list[Rollup], each: int) -> None:
    windows = laid(rollups, each)
    names = windows.voices.names
    for model in ("m1", "m2"):
        rows, voices, stories = windows.log(ModelId(model)).brought(0, FIRST + 100)
        for key, row in ROWS.items():
            told = {
                origin.publisher
                for origin in origins(track_of(rollups, key), ModelId(model), 0, FIRST + 100, daily=False)
            }
            mine = rows == row
            assert told <= {names[voice][0] for voice in voices[mine].tolist()}
            brought = [
                one.stories
                for one in rollups
                if (one.key, one.model, one.timeliness, bool(one.origins)) == (key, model, Timeliness.LIVE, True)
            ]
            assert stories[mine].sum() == sum(brought)


def test_publishers_that_are_heard_no_more_are_forgotten() -> None:
    past = [rollup("entity:acme", MONDAY, publisher=f"{number}.example") for number in range(3000)]
    windows = laid([*past, rollup("entity:acme", MONDAY + timedelta(hours=30), publisher="last.example")], 500)
    assert len(windows.voices.names) == 3001
    kept = windows.since(FIRST + 100)
    assert kept.voices.names == [("last.example", "wire")]
    assert kept.track(0) == windows.track(0)[1:]
