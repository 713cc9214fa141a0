from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import rivals
from rivals import HOUR, WEEK, Floats, Scores

THREE_WEEKS = 3 * WEEK
STRUCK = 2 * WEEK + 3 * 24 * HOUR  # a bucket of the third week, at the beginning of an hour


def calm(rate: float = 1.0, keys: int = 3, seed: int = 1) -> Floats:
    """Return counts of keys whose stories come at so many an hour."""
    return np.random.default_rng(seed).poisson(rate / HOUR, (keys, THREE_WEEKS)).astype(float)


@pytest.fixture(params=sorted(rivals.RIVALS))
def rival(request: pytest.FixtureRequest) -> Callable[[Floats], Scores]:
    return rivals.RIVALS[str(request.param)]


def test_every_rival_scores_an_hour_of_thirty_stories_higher_than_any_calm_one(
    rival: Callable[[Floats], Scores],
) -> None:
    counts = calm()
    quiet = rival(counts)
    counts[1, STRUCK : STRUCK + HOUR] += 2.5
    found = rival(counts).incidents(float(quiet.values.max()))
    assert set(found.places.tolist()) == {1}
    assert STRUCK <= int(found.buckets[0]) < STRUCK + HOUR


def test_no_rival_sees_what_comes_later(rival: Callable[[Floats], Scores]) -> None:
    counts = calm()
    before = rival(counts)
    counts[:, STRUCK:] += 5.0
    after = rival(counts)
    known, still = before.buckets < STRUCK, after.buckets < STRUCK
    assert known.any()
    np.testing.assert_array_equal(before.buckets[known], after.buckets[still])
    np.testing.assert_allclose(before.values[known], after.values[still], rtol=1e-6, atol=1e-6)


def test_no_rival_speaks_of_fewer_than_three_stories(rival: Callable[[Floats], Scores]) -> None:
    counts = np.zeros((1, THREE_WEEKS))
    counts[0, [STRUCK, STRUCK + 1]] = 1.0
    assert rival(counts).values.size == 0


def test_scores_that_stay_high_are_one_incident_until_half_an_hour_passes_without() -> None:
    scores = Scores(
        places=np.array([0, 0, 0, 0, 1]),
        buckets=np.array([10, 11, 17, 24, 25]),
        values=np.array([5.0, 6.0, 5.0, 5.0, 5.0]),
    )
    opened = scores.incidents(4.0)
    assert list(zip(opened.places.tolist(), opened.buckets.tolist(), strict=True)) == [(0, 10), (0, 24), (1, 25)]


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_a_factor_is_raised_until_no_more_incidents_open_than_allowed(allowed: int) -> None:
    scores = rivals.z_score(calm(keys=5))
    factor = rivals.factor_for(scores, allowed)
    assert scores.incidents(factor).places.size <= allowed < scores.incidents(0.9 * factor).places.size


def test_keys_taken_in_parts_are_scored_as_all_together() -> None:
    counts = calm(keys=4)
    whole = rivals.z_score(counts)
    parts = rivals.joined([(0, rivals.z_score(counts[:3])), (3, rivals.z_score(counts[3:]))])
    np.testing.assert_array_equal(whole.places, parts.places)
    np.testing.assert_array_equal(whole.buckets, parts.buckets)
    np.testing.assert_allclose(whole.values, parts.values)
