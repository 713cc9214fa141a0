"""Fine-tuning: epochs of lessons, an exam on the development part after each, and early stopping on its macro F1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch
from safetensors.torch import load_file, save_file

from monitor.scoring.network import Network
from monitor.scoring.preparation import Preparer
from trainer.batches import Lessons
from trainer.config import Recipe
from trainer.data import DEV, TRAIN, Data
from trainer.evaluate import macro_f1
from trainer.learner import Learner
from trainer.methods import Full, HeadOnly, Lora, Method, Seen
from trainer.network import Base, build, loss, targets

CHECKPOINT = "checkpoint.safetensors"


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
    preparer = base.preparer(recipe)
    lessons = Lessons(data, method, preparer, how)
    exam = _Exam(data, method, preparer, recipe)
    steps = how.epochs * lessons.steps
    learner = Learner(method, recipe, steps)
    best, since = -1.0, 0
    try:
        for epoch in range(1, how.epochs + 1):
            network.train()
            for batch in lessons.epoch(epoch):
                value, rate = learner.learn(batch)
                tell(Step(epoch=epoch, step=learner.step, steps=steps, loss=value, rate=rate))
            with learner.averaged():
                f1, lost = exam.sat()
                mean = sum(f1.values()) / len(f1)
                since = 0 if mean > best else since + 1
                if mean > best:
                    best = mean
                    save_file({k: v.contiguous().cpu() for k, v in network.state_dict().items()}, out / CHECKPOINT)
            tell(Epoch(epoch=epoch, step=learner.step, f1=f1, loss=lost, best=since == 0))
            if since >= how.patience:
                break
    except KeyboardInterrupt:
        if best < 0:
            raise
    network.load_state_dict(load_file(out / CHECKPOINT))
    return method.finished().eval()


class _Exam(Generic[Seen]):
    """The development part; the training rows where there is none."""

    def __init__(self, data: Data, method: Method[Seen], preparer: Preparer, recipe: Recipe) -> None:
        self._rows = data.part(DEV) or data.part(TRAIN)
        self._seen = method.look(preparer.prepare([(row.text, row.spans) for row in self._rows]))
        self._method, self._labels, self._heads = method, data.labels, recipe.heads

    def sat(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return macro F1 and mean loss, per head that any of the rows has a label for."""
        logits, rows, heads = self._method.answers(self._seen), self._rows, self._heads
        wanted = targets(rows, self._labels)
        f1 = {head: macro_f1(rows, logits[head], head, self._labels[head], heads[head].kind) for head in wanted}
        found = {head: torch.from_numpy(each) for head, each in logits.items()}
        lost = {head: float(loss(found, {head: each}, heads, smoothing=0.0)) for head, each in wanted.items()}
        return f1, lost
