from __future__ import annotations

import numpy as np
import pytest
import streams
from needle import Alarm
from planted import delays
from streams import Surge

from monitor.types import Key

RATES = {Key("entity:a"): 0.5, Key("entity:b"): 2.0}


@pytest.mark.parametrize("kind", streams.KINDS)
def test_a_calm_key_has_its_rate_on_average(kind: str) -> None:
    rng = np.random.default_rng(1)
    counts = [streams.KINDS[kind](2.0, 56, rng).size for _ in range(20)]
    assert np.mean(counts) / (56 * 24) == pytest.approx(2.0, rel=0.08)


def test_holidays_are_as_quiet_as_weekends() -> None:
    hours = streams.seasonal(50.0, 28, np.random.default_rng(1))
    daily = np.bincount((hours // 24).astype(int), minlength=28)
    weekends, holidays = daily[[5, 6, 12, 13]].mean(), daily[[0, 14]].mean()  # New Year, the third Monday of January
    assert holidays == pytest.approx(weekends, rel=0.15)
    assert daily[1:5].mean() > 3.0 * weekends


def test_every_story_reaches_the_detector_once_in_its_own_bucket() -> None:
    negative, other = streams.calm("clustered", RATES, 7, seed=1)
    rng = np.random.default_rng(1)
    fed = [(bucket, rollup) for bucket, rollups in streams.timeline(negative, other, rng) for rollup in rollups]
    assert [bucket for bucket, _ in fed] == sorted(bucket for bucket, _ in fed)
    assert all(streams.hours_since_start(rollup.bucket) * 12.0 == bucket for bucket, rollup in fed)
    for key in RATES:
        own = [rollup for _, rollup in fed if rollup.key == key]
        assert sum(rollup.negative for rollup in own) == negative[key].size
        assert sum(rollup.stories for rollup in own) == negative[key].size + other[key].size
        for rollup in own:
            assert sum(origin.stories for origin in rollup.origins) == rollup.stories
            assert sum(origin.negative for origin in rollup.origins) == rollup.negative


def test_a_surge_is_found_by_an_incident_of_its_key_that_opens_while_it_lasts() -> None:
    surge = Surge(Key("entity:a"), rate=1.0, start=100.0, length=2.0, factor=5.0, stories=8)
    early, other, late = Alarm(surge.key, 99.9), Alarm(Key("entity:b"), 101.0), Alarm(surge.key, 103.1)
    assert delays([surge], [early, other, late]) == [None]
    assert delays([surge], [early, Alarm(surge.key, 102.5), Alarm(surge.key, 101.5)]) == [1.5]
