from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.batching import pack, shared

lengths = st.lists(st.integers(1, 300), max_size=200)


@given(lengths, st.integers(1, 2000))
def test_every_text_is_in_one_batch(lengths: list[int], budget: int) -> None:
    assert sorted(index for batch in pack(lengths, budget) for index in batch) == list(range(len(lengths)))


@given(lengths, st.integers(1, 2000))
def test_no_batch_exceeds_the_budget_but_a_text_that_does_so_alone(lengths: list[int], budget: int) -> None:
    for batch in pack(lengths, budget):
        cost = len(batch) * max(lengths[index] for index in batch)
        assert cost <= budget or len(batch) == 1


@given(lengths, st.integers(1, 2000))
def test_nearest_lengths_go_together(lengths: list[int], budget: int) -> None:
    batches = pack(lengths, budget)
    for shorter, longer in itertools.pairwise(batches):
        assert max(lengths[i] for i in shorter) <= min(lengths[i] for i in longer)


@given(lengths, st.integers(1, 2000))
def test_no_two_neighbouring_batches_would_fit_into_one(lengths: list[int], budget: int) -> None:
    batches = pack(lengths, budget)
    for shorter, longer in itertools.pairwise(batches):
        assert (len(shorter) + 1) * lengths[longer[0]] > budget


def test_headlines_do_not_pay_for_an_article() -> None:
    assert pack([20, 256, 18, 22, 250], budget=512) == [[2, 0, 3], [4, 1]]


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pack([1], 0)


@given(st.lists(st.integers(0, 500), max_size=60), st.integers(1, 8))
def test_a_shared_batch_is_whole_and_in_order(lengths: list[int], parts: int) -> None:
    stretches = shared(lengths, parts)
    assert [index for stretch in stretches for index in stretch] == list(range(len(lengths)))
    assert len(stretches) <= parts
    assert all(stretches)


def test_lanes_get_about_the_same_work() -> None:
    assert [len(part) for part in shared([10] * 8, 2)] == [4, 4]
    assert [len(part) for part in shared([10] * 6 + [30] * 2, 2)] == [6, 2]
