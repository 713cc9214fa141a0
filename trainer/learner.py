"""One step of a fit: the loss of a batch, the gradient, AdamW, and what is done after it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Generic

import torch
from torch import Tensor

from trainer.averaging import Average
from trainer.batches import Batch
from trainer.config import Recipe
from trainer.methods import Method, Seen
from trainer.network import loss
from trainer.schedule import optimiser, share


class Learner(Generic[Seen]):
    """A network with all that changes with each step: live weights, averaged weights, the optimiser."""

    def __init__(self, method: Method[Seen], recipe: Recipe, steps: int) -> None:
        """`steps` are those of the whole fit, which the rate follows."""
        self._method, self._recipe, self._steps = method, recipe, steps
        self._weights = [weight for weight in method.network.parameters() if weight.requires_grad]
        self._optimiser = optimiser(method.network, recipe.fit)
        self._average = Average(self._weights, recipe.fit.averaging)
        self.step = 0  # steps taken

    def learn(self, batch: Batch[Seen]) -> tuple[float, float]:
        """Take a step; return the loss before it and the rate it was taken with."""
        how = self._recipe.fit
        rate = how.rate * share(self.step, self._steps, how.warmup)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        value = self._loss(batch)
        self._optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._weights, how.clip)
        self._optimiser.step()
        self._average.update()
        self.step += 1
        return float(value.detach()), rate

    def averaged(self) -> AbstractContextManager[None]:
        """Put the averaged weights in place of the live ones for the length of a `with`."""
        return self._average.applied()

    def _loss(self, batch: Batch[Seen]) -> Tensor:
        logits = {head: each.cpu() for head, each in self._method.logits(batch.seen).items()}
        return loss(logits, batch.wanted, self._recipe.heads, self._recipe.fit.smoothing)
