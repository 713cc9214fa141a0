"""The exponential moving average of a network's weights (EMA), which are the ones kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class Average:
    """Follows the weights that learn. Young averages forget faster, so that the random start of the heads does not
    linger."""

    def __init__(self, live: Sequence[Tensor], decay: float) -> None:
        self.mean = [weight.detach().clone() for weight in live]
        self._live, self._decay = live, decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take note of a step; the first is 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mean, [weight.detach() for weight in self._live], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averaged weights in place of the live ones for the length of a `with`."""
        kept = [weight.detach().clone() for weight in self._live]
        put(self._live, self.mean)
        try:
            yield
        finally:
            put(self._live, kept)


@torch.no_grad()
def put(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Give weights their values, in place."""
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)
