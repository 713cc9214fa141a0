"""How far a network is taught: all of it, by low-rank adapters, or its heads alone.

All three teach the same plain network and end with one: an artefact needs no library of the method that made it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from monitor.scoring.network import Network, collate
from monitor.scoring.preparation import Prepared
from trainer.config import FitRecipe

Seen = TypeVar("Seen")  # what a batch is made of

BATCH = 64  # texts, where nothing is learned


class Method(ABC, Generic[Seen]):
    """A network, which of its weights learn, and what it is shown.

    The weights that learn are those that require a gradient; making a Method decides it.
    """

    def __init__(self, network: Network, precision: str) -> None:
        self.network = network
        self.device = next(network.parameters()).device
        self._precision = precision

    @abstractmethod
    def look(self, prepared: Sequence[Prepared]) -> list[Seen]:
        """Return what the network is shown of each text, in order. Called once for a text, however often it learns, and
        for one that an epoch shows changed."""

    @abstractmethod
    def length(self, seen: Seen) -> int:
        """Return what a text costs: those of like length are shown together."""

    @abstractmethod
    def logits(self, batch: Sequence[Seen]) -> dict[str, Tensor]:
        """Return each head's logits (batch, label)."""

    def finished(self) -> Network:
        """Return the plain network with all that was learned."""
        return self.network

    def cast(self) -> AbstractContextManager[object]:
        """Compute in the precision asked for, for the length of a `with`."""
        if self._precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self._precision == "bf16" else torch.float16)

    @torch.no_grad()
    def answers(self, seen: Sequence[Seen]) -> dict[str, npt.NDArray[np.float32]]:
        """Return each head's logits (row, label) in order of the rows, as the network serves: without dropout."""
        self.network.eval()
        order = sorted(range(len(seen)), key=lambda i: self.length(seen[i]))
        parts: dict[str, list[Tensor]] = {}
        for first in range(0, len(order), BATCH):
            for head, logits in self.logits([seen[i] for i in order[first : first + BATCH]]).items():
                parts.setdefault(head, []).append(logits.float().cpu())
        back = np.argsort(order)
        return {head: torch.cat(found).numpy()[back] for head, found in parts.items()}


class Full(Method[Prepared]):
    """Every weight learns, but the word embeddings where they are frozen."""

    def look(self, prepared: Sequence[Prepared]) -> list[Prepared]:
        return list(prepared)

    def length(self, seen: Prepared) -> int:
        return len(seen.ids)

    def logits(self, batch: Sequence[Prepared]) -> dict[str, Tensor]:
        ids, pool = collate(batch)
        with self.cast():
            return dict(self.network(ids.to(self.device), pool.to(self.device)))


class Lora(Full):
    """The encoder stays and each target learns a low-rank correction (Hu et al. 2021), merged into it at the end."""

    def __init__(self, network: Network, how: FitRecipe) -> None:
        from peft import LoraConfig  # noqa: PLC0415 - takes seconds, and the other methods do without
        from peft.tuners.lora import LoraModel  # noqa: PLC0415

        settings = how.lora
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=list(settings.targets),
        )
        self._tuner = LoraModel(network, config, "fit")  # puts its layers into the network, and freezes all others
        network.heads.requires_grad_(requires_grad=True)
        super().__init__(network, how.precision)

    def finished(self) -> Network:
        merged = self._tuner.merge_and_unload()
        assert isinstance(merged, Network)
        return merged


class HeadOnly(Method[Tensor]):
    """The encoder stays: it reads each text once, and the heads learn from what it makes of them."""

    def __init__(self, network: Network, how: FitRecipe) -> None:
        super().__init__(network, how.precision)
        network.encoder.requires_grad_(requires_grad=False)

    @torch.no_grad()
    def look(self, prepared: Sequence[Prepared]) -> list[Tensor]:
        learning = self.network.training
        self.network.eval()
        order = sorted(range(len(prepared)), key=lambda i: len(prepared[i].ids))
        found: dict[int, Tensor] = {}
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            ids, pool = collate([prepared[i] for i in batch])
            with self.cast():
                features = self.network.features(ids.to(self.device), pool.to(self.device))
            found |= zip(batch, features.float().cpu(), strict=True)
        self.network.train(learning)
        return [found[i] for i in range(len(prepared))]

    def length(self, seen: Tensor) -> int:  # noqa: ARG002 - all are alike
        return 1

    def logits(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        with self.cast():
            return self.network.answer(torch.stack(list(batch)).to(self.device))


def predict(
    network: Network, prepared: Sequence[Prepared], *, precision: str = "bf16"
) -> dict[str, npt.NDArray[np.float32]]:
    """Return each head's logits (row, label), in order of the rows."""
    return Full(network, precision).answers(prepared)
