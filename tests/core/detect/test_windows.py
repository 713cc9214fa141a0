from datetime import timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.detect.budget import WINDOWS
from monitor.core.detect.windows import (
    DAY,
    Track,
    added,
    bucket_of,
    feeders,
    moment_of,
    origins,
    tallies,
    tally,
    trimmed,
)
from monitor.types import ModelId, Rollup, Timeliness

from .conftest import MONDAY, rollup

M1 = ModelId("m1")
FIRST = bucket_of(MONDAY)
ROLLUPS = st.lists(
    st.builds(
        lambda bucket, negative, other, publisher, model, timeliness: rollup(
            "entity:acme",
            MONDAY + bucket * timedelta(minutes=5),
            negative,
            other=other,
            publisher=publisher,
            model=model,
            timeliness=timeliness,
            weight=float(negative),
        ),
        st.integers(0, 400),
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from(["one.example", "two.example", None]),
        st.sampled_from(["m1", "m2"]),
        st.sampled_from([Timeliness.LIVE, Timeliness.DAY]),
    ),
    max_size=40,
)


@given(ROLLUPS, st.integers(0, 450), st.integers(0, 300))
def test_windows_add_up_what_came_in_them(rollups: list[Rollup], last: int, floor: int) -> None:
    track: Track = ()
    for one in rollups:
        track = added(track, one)
    for length, total in zip(WINDOWS, tallies(track, M1, FIRST + last, FIRST + floor, WINDOWS), strict=True):
        inside = [
            one
            for one in rollups
            if one.model == M1
            and (one.timeliness is Timeliness.LIVE or length >= DAY)
            and max(last - length + 1, floor) <= bucket_of(one.bucket) - FIRST <= last
        ]
        assert total.stories == sum(one.stories for one in inside)
        assert total.negative == sum(one.negative for one in inside)
        assert total.weight == sum(one.weight for one in inside)


@given(ROLLUPS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(rollups: list[Rollup], random: Random) -> None:
    track: Track = ()
    other: Track = ()
    for one in rollups:
        track = added(track, one)
    mixed = list(rollups)
    random.shuffle(mixed)
    for one in mixed:
        other = added(other, one)
    assert track == other
    assert list(track) == sorted(track, key=lambda cell: (cell.bucket, cell.model, cell.daily))


def test_publishers_and_sources_are_told_of_the_window_alone() -> None:
    track: Track = added((), rollup("entity:acme", MONDAY, 2, publisher="old.example", source="blog"))
    track = added(track, rollup("entity:acme", MONDAY + timedelta(hours=1), 1, other=1, publisher="new.example"))
    later = FIRST + 12
    assert [origin.publisher for origin in origins(track, M1, later, later)] == ["new.example"]
    assert feeders(track, FIRST, later) == {"blog": 2, "wire": 2}
    assert tally(track, M1, FIRST, FIRST).negative == 2
    assert trimmed(track, later) == track[1:]


def test_buckets_are_five_minutes_of_utc() -> None:
    assert moment_of(bucket_of(MONDAY)) == MONDAY
    assert bucket_of(MONDAY + timedelta(minutes=4, seconds=59)) == bucket_of(MONDAY)
    assert bucket_of(MONDAY + timedelta(minutes=5)) == bucket_of(MONDAY) + 1
