"""How fast which weight learns when: AdamW's groups, and the rate over the steps."""

from __future__ import annotations

from torch.optim import AdamW

from monitor.scoring.network import Network
from trainer.config import FitRecipe


def optimiser(network: Network, how: FitRecipe) -> AdamW:
    """Return AdamW over the weights that learn; biases and norms do not decay."""
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    decayed = [weight for weight in trained if weight.ndim > 1]
    others = [weight for weight in trained if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": how.decay}, {"params": others, "weight_decay": 0.0}]
    return AdamW(groups, lr=how.rate, fused=True)


def share(step: int, steps: int, warmup: float) -> float:
    """Return the share of the rate at a step: up over the warm-up, then down in a line to nothing."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (steps - step) / max(1, steps - rising))
