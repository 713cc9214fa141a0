from __future__ import annotations

import numpy as np
import scores
from streams import DAILY

DAYS = 12


def calm() -> scores.Floats:
    """Return the counts of ten keys, one story every two hours each."""
    return np.random.default_rng(1).poisson(0.5 / 12.0, (10, DAYS * DAILY)).astype(float)


def test_every_moment_at_which_a_key_gains_a_story_is_judged_once() -> None:
    counts = calm()
    (moments,), days = scores.judged(counts, [counts])
    assert moments.places.size == np.count_nonzero(counts)
    assert (np.diff(moments.buckets) >= 0).all()
    assert len(days) == DAYS


def test_the_needle_learns_each_rate_and_a_burst_scores_highest() -> None:
    counts = calm()
    counts[:5] *= np.random.default_rng(2).random((5, DAYS * DAILY)) < 0.2
    struck = counts.copy()
    struck[7, 10 * DAILY : 10 * DAILY + 6] += 2.0
    (quiet, loud), days = scores.judged(counts, [counts, struck])
    assert (days[-1].rates[:5] < 0.25).all()
    assert (days[-1].rates[5:] > 0.3).all()
    first = int(loud.scores.argmax())
    assert loud.places[first] == 7
    assert 10 * DAILY <= loud.buckets[first] < 10 * DAILY + 6
    assert loud.scores[first] > quiet.scores.max() + 5.0


def test_no_score_knows_of_what_comes_later() -> None:
    counts, other = calm(), calm()
    other[:, 8 * DAILY :] += 1.0
    (quiet,), _ = scores.judged(counts, [counts])
    (loud,), _ = scores.judged(other, [other])
    known, still = quiet.buckets < 8 * DAILY, loud.buckets < 8 * DAILY
    np.testing.assert_array_equal(quiet.chances[known], loud.chances[still])
