from datetime import timedelta

import pytest

from monitor.core.detect.levels import levels, normal
from monitor.reading import Normal
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


def normal_of(desk: Desk, key: str, since: timedelta, span: timedelta) -> Normal:
    found = normal(desk.state, Key(key), desk.now + since, span)
    assert found is not None
    return found


def test_what_is_normal_adds_up_over_spans_and_is_unknown_for_the_unknown(desk: Desk) -> None:
    desk.calm(4)
    day = normal_of(desk, "entity:acme", timedelta(0), timedelta(days=1))
    parts = [normal_of(desk, "entity:acme", timedelta(hours=6 * n), timedelta(hours=6)) for n in range(4)]
    assert day.expected == pytest.approx(sum(part.expected for part in parts))
    assert 1.0 < day.expected < 6.0
    assert normal(desk.state, Key("entity:nobody"), desk.now, timedelta(days=1)) is None


def test_the_band_holds_calm_days_and_not_a_surge(desk: Desk) -> None:
    desk.calm(6)
    calm = normal_of(desk, "entity:acme", timedelta(hours=-1), timedelta(hours=1))
    assert calm.expected < calm.upper < 4.0
    desk.surge(10)
    assert levels(desk.state, desk.now)[0].windows[1].negative > calm.upper


def test_the_band_narrows_beside_what_is_expected_as_the_span_grows(desk: Desk) -> None:
    desk.calm(6)
    spans = [normal_of(desk, "entity:acme", timedelta(0), timedelta(hours=hours)) for hours in (1, 6, 24, 72)]
    ratios = [span.upper / span.expected for span in spans]
    assert ratios == sorted(ratios, reverse=True)
