"""Fine-tuning: AdamW with warm-up and linear decay, averaged weights, early stopping on macro F1, one pass per epoch
over length-grouped batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import AdamW

from monitor.scoring.network import Network
from monitor.scoring.preparation import Preparer
from trainer.config import FitRecipe, Recipe
from trainer.data import DEV, TRAIN, Data, Row, agreeing
from trainer.evaluate import macro_f1
from trainer.methods import Full, HeadOnly, Lora, Method, Seen
from trainer.network import Base, Targets, build, loss, targets

CHECKPOINT = "checkpoint.safetensors"
NEIGHBOURS = 40  # batches whose rows are sorted by length together: little padding, and still a fresh mix each epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a fit stands, and the rate that it learned this batch with."""

    epoch: int
    step: int
    steps: int
    loss: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What an epoch brought on the development part, per head, after so many steps in all."""

    epoch: int
    step: int
    f1: Mapping[str, float]  # macro F1
    loss: Mapping[str, float]
    best: bool


Listener = Callable[[Step | Epoch], None]


def fit(recipe: Recipe, data: Data, base: Base, out: Path, tell: Listener) -> Network:
    """Train by the recipe's method, and return the network with the best averaged weights.

    They are also in `out`, after each better epoch; interrupted after the first, it returns the best so far.
    Deterministic for a seed and a number of threads, as far as torch's kernels are.
    """
    how = recipe.fit
    torch.manual_seed(how.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build(base, data.labels, how.dropout).to(device)
    network.encoder.words.weight.requires_grad = not how.freeze_words
    out.mkdir(parents=True, exist_ok=True)
    if how.method == "lora":
        return _teach(Lora(network, how), recipe, data, base, out=out, tell=tell)
    if how.method == "head":
        return _teach(HeadOnly(network, how), recipe, data, base, out=out, tell=tell)
    return _teach(Full(network, how.precision), recipe, data, base, out=out, tell=tell)


def _teach(method: Method[Seen], recipe: Recipe, data: Data, base: Base, *, out: Path, tell: Listener) -> Network:
    how, network = recipe.fit, method.network
    chance = random.Random(how.seed)  # noqa: S311 - an order of rows, not a secret
    preparer = Preparer(base.tokenizer(), limit=how.limit)
    rows, exam = data.part(TRAIN), data.part(DEV) or data.part(TRAIN)
    marked = method.look(preparer.prepare([(row.text, row.spans) for row in rows]))
    whole = method.look(preparer.prepare([(row.text, ()) for row in rows]))
    asked = method.look(preparer.prepare([(row.text, row.spans) for row in exam]))
    bare = agreeing(rows)
    steps = how.epochs * -(-len(rows) // how.batch)
    optimiser = _optimiser(network, how)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps, how.warmup))
    average = _Average(network, how.averaging)
    best, since, step = -1.0, 0, 0
    try:
        for epoch in range(1, how.epochs + 1):
            network.train()
            shown = [
                w if b and chance.random() < how.unmarked else m for m, w, b in zip(marked, whole, bare, strict=True)
            ]
            for batch in length_grouped([method.length(each) for each in shown], how.batch, chance):
                rate = float(schedule.get_last_lr()[0])
                wanted = targets([rows[i] for i in batch], data.labels)
                value = _step(method, [shown[i] for i in batch], wanted, recipe, optimiser)
                schedule.step()
                average.update()
                step += 1
                tell(Step(epoch=epoch, step=step, steps=steps, loss=value, rate=rate))
            with average.applied():
                f1, lost = _examine(method, asked, exam, recipe, data)
                mean = sum(f1.values()) / len(f1)
                since = 0 if mean > best else since + 1
                if mean > best:
                    best = mean
                    save_file({k: v.contiguous().cpu() for k, v in network.state_dict().items()}, out / CHECKPOINT)
            tell(Epoch(epoch=epoch, step=step, f1=f1, loss=lost, best=since == 0))
            if since >= how.patience:
                break
    except KeyboardInterrupt:
        if best < 0:
            raise
    network.load_state_dict(load_file(out / CHECKPOINT))
    return method.finished().eval()


def _optimiser(network: Network, how: FitRecipe) -> AdamW:
    trained = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
    decayed = [weight for _, weight in trained if weight.ndim > 1]
    others = [weight for _, weight in trained if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": how.decay}, {"params": others, "weight_decay": 0.0}]
    return AdamW(groups, lr=how.rate, fused=True)


def _rate(step: int, steps: int, warmup: float) -> float:
    """The share of the rate at a step: up over the warm-up, then down in a line to nothing."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (steps - step) / max(1, steps - rising))


def _step(
    method: Method[Seen], batch: Sequence[Seen], wanted: Mapping[str, Targets], recipe: Recipe, optimiser: AdamW
) -> float:
    logits = method.logits(batch)
    value = loss({head: each.cpu() for head, each in logits.items()}, wanted, recipe.heads, recipe.fit.smoothing)
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(method.network.parameters(), recipe.fit.clip)
    optimiser.step()
    return float(value.detach())


def length_grouped(lengths: Sequence[int], batch: int, chance: random.Random) -> Iterator[list[int]]:
    """Yield batches of row numbers, each row once: rows of like length together, in an order of chance."""
    order = list(range(len(lengths)))
    chance.shuffle(order)
    numbers = iter(order)
    batches: list[list[int]] = []
    while chunk := list(islice(numbers, batch * NEIGHBOURS)):
        chunk.sort(key=lengths.__getitem__)
        batches += [chunk[i : i + batch] for i in range(0, len(chunk), batch)]
    chance.shuffle(batches)
    yield from batches


class _Average:
    """The exponential moving average of a network's weights. Young averages forget faster, so that the random start
    of the heads does not linger."""

    def __init__(self, network: Network, decay: float) -> None:
        self._live = [weight for weight in network.parameters() if weight.requires_grad]
        self._mean = [weight.detach().clone() for weight in self._live]
        self._decay, self._updates = decay, 0

    @torch.no_grad()
    def update(self) -> None:
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


def _examine(
    method: Method[Seen], asked: Sequence[Seen], rows: Sequence[Row], recipe: Recipe, data: Data
) -> tuple[dict[str, float], dict[str, float]]:
    """Return macro F1 and mean loss on `rows`, per head that any of them has a label for."""
    logits = method.answers(asked)
    wanted = targets(rows, data.labels)
    f1 = {head: macro_f1(rows, logits[head], head, data.labels[head], recipe.heads[head].kind) for head in wanted}
    found = {head: torch.from_numpy(each) for head, each in logits.items()}
    lost = {head: float(loss(found, {head: each}, recipe.heads, smoothing=0.0)) for head, each in wanted.items()}
    return f1, lost
