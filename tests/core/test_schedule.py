from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.schedule import LONGEST_ORDER, WISH, Heard, Rhythm, max_age, retry_after, wait

NOW = datetime(2024, 5, 17, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

durations = st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=30))
rhythms = st.builds(Rhythm, interval=durations, longest=durations, jitter=st.floats(0, 1))
hints = st.none() | st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))
heards = st.builds(Heard, failures=st.integers(0, 10_000), asked=hints, fresh=hints, gone=st.booleans())
chances = st.floats(0, 1, exclude_max=True)


@given(rhythms, heards, chances)
def test_a_feed_is_never_read_sooner_than_the_interval_or_than_the_server_asked(
    rhythm: Rhythm, heard: Heard, chance: float
) -> None:
    pause = wait(rhythm, heard, chance)
    assert pause >= (LONGEST_ORDER if heard.gone else rhythm.interval)
    assert pause >= min(heard.asked or timedelta(0), LONGEST_ORDER)


@given(rhythms, heards, chances)
def test_every_wait_ends(rhythm: Rhythm, heard: Heard, chance: float) -> None:
    longest = max(rhythm.longest, WISH * rhythm.interval, LONGEST_ORDER)
    assert wait(rhythm, heard, chance) <= longest * (1 + rhythm.jitter) + timedelta(microseconds=1)


@given(rhythms, st.integers(1, 100), hints, chances)
def test_one_more_failure_never_shortens_the_wait(
    rhythm: Rhythm, failures: int, asked: timedelta | None, chance: float
) -> None:
    one, more = (wait(rhythm, Heard(failures=n, asked=asked), chance) for n in (failures, failures + 1))
    assert one <= more


def test_the_back_off_doubles_up_to_its_cap() -> None:
    rhythm = Rhythm(interval=5 * MINUTE, longest=60 * MINUTE, jitter=0)
    waits = [wait(rhythm, Heard(failures=n), 0.5) / MINUTE for n in range(1, 8)]
    assert waits == [5, 10, 20, 40, 60, 60, 60]


def test_a_wish_of_the_server_stretches_the_interval_but_not_beyond_three() -> None:
    rhythm = Rhythm(interval=5 * MINUTE, jitter=0)
    for fresh, expected in [(None, 5), (1, 5), (10, 10), (60, 15)]:
        heard = Heard(fresh=None if fresh is None else fresh * MINUTE)
        assert wait(rhythm, heard, 0.5) == expected * MINUTE


def test_an_order_of_the_server_is_kept() -> None:
    rhythm = Rhythm(interval=5 * MINUTE, longest=60 * MINUTE, jitter=0.1)
    assert wait(rhythm, Heard(failures=1, asked=180 * MINUTE), 0.0) == 180 * MINUTE


def test_jitter_is_a_share_of_the_wait() -> None:
    rhythm = Rhythm(interval=10 * MINUTE, jitter=0.2)
    assert wait(rhythm, Heard(), 0.0) == 10 * MINUTE
    assert wait(rhythm, Heard(), 0.5) == 11 * MINUTE


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("120", timedelta(seconds=120)),
        (" 0 ", timedelta(0)),
        ("Fri, 17 May 2024 12:02:00 GMT", timedelta(seconds=120)),
        ("Fri, 17 May 2024 11:00:00 GMT", timedelta(0)),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str | None, expected: timedelta | None) -> None:
    assert retry_after(header, NOW) == expected


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("max-age=300", 300),
        ('public, Max-Age="300", must-revalidate', 300),
        ("s-maxage=300", None),
        ("max-age=300, no-cache", None),
        ("no-store", None),
        ("max-age=soon", None),
    ],
)
def test_cache_control_is_read(header: str | None, seconds: int | None) -> None:
    assert max_age(header) == (None if seconds is None else timedelta(seconds=seconds))


@given(st.text())
def test_no_header_is_too_strange(header: str) -> None:
    for read in (retry_after(header, NOW), max_age(header)):
        assert read is None or read >= timedelta(0)


@pytest.mark.parametrize(
    "wrong", [{"interval": timedelta(0)}, {"longest": timedelta(seconds=-1)}, {"jitter": 2.0}, {"jitter": -0.1}]
)
def test_a_rhythm_without_rest_is_refused(wrong: dict[str, timedelta]) -> None:
    with pytest.raises(ValueError, match="expected positive waits"):
        Rhythm(**wrong)  # type: ignore[arg-type]  # one of them is no duration
