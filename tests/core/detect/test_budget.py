import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitor.core.detect.budget import (
    Spending,
    cluster_rate,
    cluster_rates,
    ladder,
    log_gamma,
    log_probability,
    quantile,
    share_rate,
    share_rates,
    silence_rate,
    solve_level,
    tail_bound,
    threshold,
)

MEANS = st.floats(0.001, 500.0)
EXCESSES = st.one_of(st.just(0.0), st.floats(1e-5, 20.0))


@given(st.integers(0, 300), st.floats(0.01, 100.0), st.floats(0.01, 20.0))
def test_the_probability_is_the_negative_binomials(count: int, mean: float, excess: float) -> None:
    expected = stats.nbinom.logpmf(count, mean / excess, 1.0 / (1.0 + excess))
    assert log_probability(count, mean, excess) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(st.integers(0, 300), st.floats(0.01, 100.0))
def test_without_clustering_it_is_the_poissons(count: int, mean: float) -> None:
    assert log_probability(count, mean, 0.0) == pytest.approx(stats.poisson.logpmf(count, mean), rel=1e-9, abs=1e-9)


@given(st.floats(0.01, 50.0), st.floats(0.01, 20.0))
def test_the_quantile_is_the_first_count_that_calm_spans_seldom_exceed(mean: float, excess: float) -> None:
    count = quantile(0.99, mean, excess)
    law = stats.nbinom(mean / excess, 1.0 / (1.0 + excess))
    assert law.sf(count) <= 0.01 + 1e-9
    assert count == 0.0 or law.sf(count - 1.0) > 0.01 - 1e-9


@given(st.floats(500.1, 5000.0), st.floats(0.0, 5.0))
def test_the_quantile_of_many_is_the_normal_distributions(mean: float, excess: float) -> None:
    exact = (
        stats.nbinom.ppf(0.99, mean / excess, 1.0 / (1.0 + excess)) if excess > 1e-3 else stats.poisson.ppf(0.99, mean)
    )
    assert quantile(0.99, mean, excess) == pytest.approx(exact, rel=0.06)


@given(st.floats(0.01, 50.0), st.floats(0.01, 10.0), st.integers(1, 60))
def test_the_bound_lies_above_the_tail(mean: float, excess: float, above: int) -> None:
    count = math.ceil(mean) + above
    tail = stats.nbinom.sf(count - 1, mean / excess, 1.0 / (1.0 + excess))
    assert tail_bound(count, mean, excess) >= tail * (1.0 - 1e-6)


@given(MEANS, EXCESSES, st.floats(1e-4, 100.0), st.integers(1, 2000))
def test_more_stories_are_never_likelier(mean: float, excess: float, rate: float, count: int) -> None:
    assert cluster_rate(count + 1, mean, excess, rate) <= cluster_rate(count, mean, excess, rate) * (1.0 + 1e-9)


@given(MEANS, EXCESSES, st.integers(1, 100))
def test_a_window_at_or_below_its_mean_is_no_cluster(mean: float, excess: float, count: int) -> None:
    if count <= mean:
        assert cluster_rate(count, mean, excess, 1.0) == math.inf


@given(st.floats(0.01, 20.0), st.integers(3, 40), st.floats(0.1, 5.0))
def test_clustered_news_reaches_far_counts_more_often(mean: float, above: int, excess: float) -> None:
    count = math.ceil(mean + (5.0 + above) * math.sqrt(mean * (1.0 + excess)) + 3.0)
    assert cluster_rate(count, mean, excess, 1.0) >= cluster_rate(count, mean, 0.0, 1.0)


def test_a_poisson_scan_reaches_its_counts_as_often_as_the_formula_says() -> None:
    rate, hours, count = 0.5, 1.0, 4  # half a story an hour; four within an hour
    random = stats.poisson(rate * hours)
    assert cluster_rate(count, rate * hours, 0.0, rate) == pytest.approx(rate * random.pmf(3) * (1 - 0.5 / 4))


@pytest.mark.parametrize(("rate", "hours"), [(0.02, 1.0), (0.02, 6.0), (0.3, 1.0), (0.3, 6.0)])
def test_clustered_news_reaches_its_counts_no_more_often_than_the_formula_says(rate: float, hours: float) -> None:
    chance, watched = np.random.default_rng(5), 400_000.0
    first = np.sort(chance.random(chance.poisson(rate / 1.5 * watched)) * watched)
    others = chance.poisson(1.5 * (chance.random(first.size) < 1 / 3))  # one story in three draws others within hours
    times = np.sort(np.concatenate([first, np.repeat(first, others) + chance.exponential(1.5, int(others.sum()))]))
    windows = np.bincount((times / hours).astype(int))
    mean = rate * hours
    excess = float(windows.var() / windows.mean()) - 1.0
    held = np.arange(times.size) - np.searchsorted(times, times - hours) + 1
    for count in range(math.ceil(mean + math.sqrt(mean * (1.0 + excess)) + 1.0), 12):
        reached = times[held >= count]
        clusters = int((np.diff(reached, prepend=-hours) > hours).sum())
        if clusters >= 20:
            expected = cluster_rate(count, mean, excess, rate) * watched
            assert 0.15 * expected < clusters < 1.25 * expected


@given(st.integers(20, 200), st.floats(0.05, 0.5), st.floats(4.0, 200.0))
def test_a_larger_share_is_never_likelier(stories: int, share: float, certainty: float) -> None:
    chances = [share_rate(negative, stories, share, certainty, 1.0) for negative in range(1, stories + 1)]
    assert all(later <= earlier * (1.0 + 1e-9) for earlier, later in pairwise(chances))


@given(st.floats(0.1, 50.0), EXCESSES, st.floats(1.01, 5.0))
def test_longer_silence_is_less_likely(mean: float, excess: float, longer: float) -> None:
    assert silence_rate(mean * longer, excess, 1.0) < silence_rate(mean, excess, 1.0) <= 1.0


@given(st.floats(0.01, 20.0), st.floats(0.0, 3.0), st.floats(1e-6, 1e-2))
def test_the_threshold_is_the_first_count_that_alarms(mean: float, excess: float, level: float) -> None:
    count = threshold(10_000.0, mean, excess, mean, level)
    assert cluster_rate(count, mean, excess, mean) <= level < cluster_rate(count - 1, mean, excess, mean)


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.floats(0.001, 30.0), st.floats(1.0, 100.0), st.floats(1.0, 4.0)),
        min_size=1,
        max_size=20,
    ),
    st.floats(1e-5, 0.01),
)
def test_the_level_spends_the_budget_and_no_more(keys: list[tuple[int, float, float, float]], budget: float) -> None:
    tests = [
        (number, ladder(rate, certainty, clustering=clustering, hours=hours, least=3, doubt=0.0))
        for number, rate, certainty, clustering in keys
        for hours in (0.25, 1.0, 6.0, 24.0)
    ]
    level = solve_level(Spending(tests).at, budget)

    def spent(at: float) -> float:
        return sum(
            number * (at if not rungs else max((rung for rung in rungs if rung <= at), default=0.0))
            for number, rungs in tests
        )

    assert spent(level) <= budget * (1.0 + 1e-9)
    assert level > 0.99 * budget or spent(level * 1.0001) > budget


def test_what_quiet_keys_cannot_spend_goes_to_the_others() -> None:
    quiet = ladder(0.001, 2.0, clustering=1.5, hours=1.0, least=3, doubt=0.0)
    assert solve_level(Spending([(100, quiet), (1, ())]).at, 0.001) > 0.001 / 101


@given(st.lists(st.tuples(st.integers(0, 300), MEANS, EXCESSES, st.floats(1e-4, 100.0)), min_size=1, max_size=20))
def test_many_clusters_judged_at_once_are_judged_as_one_by_one(cases: list[tuple[int, float, float, float]]) -> None:
    one_by_one = [cluster_rate(*case) for case in cases]
    together = cluster_rates(*np.array(cases, dtype=np.float64).T)
    assert together.tolist() == pytest.approx(one_by_one, rel=1e-6, abs=1e-300)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60), st.floats(0.01, 0.9), st.floats(2.0, 300.0)), min_size=1)
)
def test_many_shares_judged_at_once_are_judged_as_one_by_one(cases: list[tuple[int, int, float, float]]) -> None:
    one_by_one = [share_rate(*case, 1.0) for case in cases]
    negative, stories, share, certainty = np.array(cases, dtype=np.float64).T
    together = share_rates(negative, stories, share, certainty, np.ones(len(cases)))
    assert together.tolist() == pytest.approx(one_by_one, rel=1e-6, abs=1e-300)


@given(st.floats(1e-9, 1e6))
def test_the_gamma_function_is_the_librarys(value: float) -> None:
    assert log_gamma(np.array([value]))[0] == pytest.approx(math.lgamma(value), rel=1e-9, abs=1e-9)
