"""The exponential moving average of a network's weights (EMA), which are the ones kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor


class Average:
    """Follows the weights that learn. Young averages forget faster, so that the random start of the heads does not
    linger."""

    def __init__(self, live: Sequence[Tensor], decay: float) -> None:
        self._live = live
        self._mean = [weight.detach().clone() for weight in live]
        self._decay, self._updates = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take note of a step."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        torch._foreach_lerp_(self._mean, [weight.detach() for weight in self._live], 1 - decay)

    def applied(self) -> AbstractContextManager[None]:
        """Put the averaged weights in place of the live ones for the length of a `with`."""
        return _Swapped(self._live, self._mean)


class _Swapped(AbstractContextManager[None]):
    def __init__(self, live: Sequence[Tensor], mean: Sequence[Tensor]) -> None:
        self._live, self._mean = live, mean

    def __enter__(self) -> None:
        self._kept = [weight.detach().clone() for weight in self._live]
        self._put(self._mean)

    def __exit__(self, *_: object) -> None:
        self._put(self._kept)

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        for weight, value in zip(self._live, values, strict=True):
            weight.copy_(value)
