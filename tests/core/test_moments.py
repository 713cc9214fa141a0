from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.moments import read_moment

MORNING = datetime(2024, 5, 17, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2024-05-17T09:30:00Z",
        "2024-05-17T17:30:00+08:00",
        " 2024-05-17 09:30:00 ",
        "Fri, 17 May 2024 09:30:00 GMT",
        "Fri, 17 May 2024 05:30:00 -0400",
        "17 May 2024 09:30:00",
        "1715938200",
        "1715938200000",
        1715938200,
        1715938200.0,
        1715938200000,
    ],
)
def test_a_time_is_read_however_it_is_written(written: str | float) -> None:
    moment = read_moment(written)
    assert moment == MORNING
    assert moment.tzinfo is UTC


@pytest.mark.parametrize("written", ["2024-05-17", "20240517"])
def test_a_bare_day_is_not_known_before_it_ends(written: str) -> None:
    assert read_moment(written) == datetime(2024, 5, 17, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "written", ["", "yesterday", "2024-13-01", "9999-12-31T23:59:59-01:00", "1e400", float("inf"), 1e300]
)
def test_what_is_no_time_is_refused_by_name(written: str | float) -> None:
    with pytest.raises(ValueError, match="expected a time such as"):
        read_moment(written)


@given(st.text() | st.floats() | st.integers())
def test_anything_is_a_time_in_utc_or_a_value_error(written: str | float) -> None:
    try:
        moment = read_moment(written)
    except ValueError:
        return
    assert moment.tzinfo is UTC
