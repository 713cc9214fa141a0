"""One step of a fit: the loss of its batches, the gradient, AdamW, and what is done after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Generic

import torch
from torch import Tensor

from trainer.adversary import Adversary
from trainer.averaging import Average, put
from trainer.batches import Batch
from trainer.config import Recipe
from trainer.methods import Method, Seen
from trainer.network import labelled, loss
from trainer.schedule import optimiser, share


class Learner(Generic[Seen]):
    """A network with all that changes with each step: live weights, averaged weights, the optimiser."""

    def __init__(self, method: Method[Seen], recipe: Recipe, steps: int, balanced: Mapping[str, Tensor]) -> None:
        """`steps` are those of the whole fit, which the rate follows; `balanced` is what labels weigh."""
        how, network = recipe.fit, method.network
        self._method, self._recipe, self._steps = method, recipe, steps
        self._balanced = {head: each.to(method.device) for head, each in balanced.items()}
        self._weights = [weight for weight in network.parameters() if weight.requires_grad]
        self._optimiser = optimiser(network, how)
        self._scaler = torch.amp.GradScaler(method.device.type, enabled=how.precision == "fp16")
        self._average = Average(self._weights, how.averaging)
        self._adversary = Adversary(network.encoder.words, how.adversarial) if how.adversarial else None
        self.step = 0  # steps taken

    def learn(self, batches: Sequence[Batch[Seen]]) -> tuple[float, float]:
        """Take a step; return the loss before it and the rate it was taken with."""
        how = self._recipe.fit
        self._method.network.train()
        part = share(self.step, self._steps, how)
        for group in self._optimiser.param_groups:
            group["lr"] = part * group["peak"]
        among = sum(labelled(batch.wanted) for batch in batches)
        self._optimiser.zero_grad(set_to_none=True)
        values = [self._gradient(batch, among) for batch in batches]
        self._scaler.unscale_(self._optimiser)
        torch.nn.utils.clip_grad_norm_(self._weights, how.clip)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self.step += 1
        self._average.update(self.step)
        return float(torch.stack(values).sum()), part * how.rate

    def averaged(self) -> AbstractContextManager[None]:
        """Put the averaged weights in place of the live ones for the length of a `with`."""
        return self._average.applied()

    def _gradient(self, batch: Batch[Seen], among: int) -> Tensor:
        """Add a batch's gradient to the step's, and its texts' moved against the network; return its loss."""
        if self._adversary is None:
            return self._backward(batch, among)
        with self._adversary.watching():
            value = self._backward(batch, among)
        with self._adversary.attacking():
            self._backward(batch, among)
        return value

    def _backward(self, batch: Batch[Seen], among: int) -> Tensor:
        value = self._loss(batch, among)
        self._scaler.scale(value).backward()  # type: ignore[no-untyped-call]
        return value.detach()

    def _loss(self, batch: Batch[Seen], among: int) -> Tensor:
        wanted = {head: each.to(self._method.device) for head, each in batch.wanted.items()}
        recipe = self._recipe
        return loss(
            self._method.logits(batch.seen),
            wanted,
            recipe.heads,
            smoothing=recipe.fit.smoothing,
            balanced=self._balanced,
            among=among,
        )

    def state(self) -> dict[str, Tensor]:
        """Return all that changes with a step, the random states of what drops out among it."""
        found = {"step": torch.tensor(self.step), "random": torch.get_rng_state()}
        if self._method.device.type == "cuda":
            found["random.cuda"] = torch.cuda.get_rng_state()
        for i, (live, mean) in enumerate(zip(self._weights, self._average.mean, strict=True)):
            found |= {f"live.{i}": live.detach(), f"mean.{i}": mean}
        for i, values in self._optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{i}.{name}": value for name, value in values.items()}
        found |= {f"scaler.{name}": torch.tensor(value) for name, value in self._scaler.state_dict().items()}
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave, of a learner made for the same fit."""
        self.step = int(state["step"])
        torch.set_rng_state(state["random"])
        if "random.cuda" in state:
            torch.cuda.set_rng_state(state["random.cuda"])
        count = range(len(self._weights))
        put(self._weights, [state[f"live.{i}"] for i in count])
        put(self._average.mean, [state[f"mean.{i}"] for i in count])
        steps: dict[int, dict[str, Tensor]] = {}
        scaler: dict[str, float] = {}
        for name, value in state.items():
            match name.split("."):
                case ["optimiser", i, key]:
                    steps.setdefault(int(i), {})[key] = value
                case ["scaler", key]:
                    scaler[key] = value.item()
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": steps, "param_groups": groups})
        self._scaler.load_state_dict(scaler)
