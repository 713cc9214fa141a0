"""Packing texts of many lengths into batches: padding is work for nothing, so nearest lengths go together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return batches of indices into `lengths`, the shortest texts first, each index once.

    A batch of n texts costs n times its longest length; that stays within `budget`, unless one text alone exceeds it.
    Deterministic: equal lengths keep their order.
    """
    if budget < 1:
        raise ValueError(f"a budget of {budget} padded tokens holds nothing: expected at least 1")
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > budget:
            batches.append(batch)
            batch = []
        batch.append(index)
    if batch:
        batches.append(batch)
    return batches


def shared(lengths: Sequence[int], parts: int) -> list[range]:
    """Cut a batch into at most `parts` stretches of about the same number of units, in order; none is empty."""
    total, cuts, held = sum(lengths), [0], 0
    for place, length in enumerate(lengths):
        if len(cuts) < parts and place > cuts[-1] and held + length / 2 >= total * len(cuts) / parts:
            cuts.append(place)
        held += length
    cuts.append(len(lengths))
    return [range(start, end) for start, end in pairwise(cuts) if end > start]
