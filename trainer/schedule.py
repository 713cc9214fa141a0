"""How fast which weight learns when: AdamW's groups, and the rate over the steps."""

from __future__ import annotations

import math
import re
from collections import defaultdict

from torch import Tensor
from torch.optim import AdamW

from monitor.scoring.network import Network
from trainer.config import FitRecipe


def optimiser(network: Network, how: FitRecipe) -> AdamW:
    """Return AdamW over the weights that learn; each group's `peak` is its rate where `share` is 1.

    Biases and norms do not decay. With `layer_decay` each layer learns that much slower than the one above it
    (discriminative rates: Howard and Ruder 2018); the heads at the whole rate, the embeddings slowest.
    """
    groups: defaultdict[tuple[int, bool], list[Tensor]] = defaultdict(list)
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            groups[depth(name, len(network.encoder.layers)), weight.ndim > 1].append(weight)
    settings = [
        {"params": weights, "weight_decay": how.decay * decays, "peak": how.rate * how.layer_decay**below}
        for (below, decays), weights in groups.items()
    ]
    return AdamW(settings, lr=how.rate, fused=True)


def depth(name: str, layers: int) -> int:
    """Return how far below the heads a weight lies: they at 0, the top layer at 1, the embeddings below them all."""
    if not name.startswith("encoder."):
        return 0
    layer = re.match(r"encoder\.layers\.(\d+)\.", name)
    return layers - int(layer[1]) if layer else layers + 1


def share(step: int, steps: int, how: FitRecipe) -> float:
    """Return the share of the rate at a step: up over the warm-up, then down to nothing, in a line or a half cosine."""
    rising = max(1, round(steps * how.warmup))
    if step < rising:
        return (step + 1) / rising
    left = max(0.0, (steps - step) / max(1, steps - rising))
    return left if how.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2
