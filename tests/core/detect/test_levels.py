from datetime import timedelta

import pytest

from monitor.core.detect.levels import expected, levels
from monitor.types import Key

from .conftest import Desk


def test_the_page_sees_what_the_windows_hold_and_what_would_be_normal(desk: Desk) -> None:
    desk.calm(6)
    desk.surge(10)
    acme, bolt, _ = levels(desk.state, desk.now)
    assert (acme.key, acme.surging, acme.blind, acme.learning_since) == ("entity:acme", True, False, None)
    assert [window.window for window in acme.windows] == [timedelta(minutes=m) for m in (15, 60, 360, 1440)]
    hour = acme.windows[1]
    assert hour.stories >= 10
    assert hour.negative == pytest.approx(9.0)
    assert 0.0 < hour.expected < 1.0
    assert not bolt.surging


def test_a_key_is_learning_until_its_history_is_long_enough(desk: Desk) -> None:
    desk.calm(6)
    desk.story("entity:new")
    desk.calm(1, keys=("entity:new",))
    young = {level.key: level.learning_since for level in levels(desk.state, desk.now)}
    assert young[Key("entity:acme")] is None
    assert young[Key("entity:new")] is not None


def test_what_is_normal_adds_up_over_spans_and_is_unknown_for_the_unknown(desk: Desk) -> None:
    desk.calm(4)
    day = expected(desk.state, Key("entity:acme"), desk.now, timedelta(days=1))
    parts = [
        expected(desk.state, Key("entity:acme"), desk.now + timedelta(hours=6 * n), timedelta(hours=6)) or 0.0
        for n in range(4)
    ]
    assert day == pytest.approx(sum(parts))
    assert 1.0 < sum(parts) < 6.0
    assert expected(desk.state, Key("entity:nobody"), desk.now, timedelta(days=1)) is None
