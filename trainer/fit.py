"""Fine-tuning: epochs of lessons, an exam on the development part after each, and early stopping on its macro F1."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic

import torch
from safetensors.torch import load_file

from monitor.errors import ConfigurationError
from monitor.scoring.network import Network
from monitor.scoring.preparation import Preparer
from trainer.batches import Lessons
from trainer.config import Recipe
from trainer.data import DEV, TRAIN, Data
from trainer.evaluate import macro_f1
from trainer.learner import Learner
from trainer.methods import Full, HeadOnly, Lora, Method, Seen
from trainer.network import Base, balance, build, loss, targets
from trainer.resume import CHECKPOINT, EVERY, Course, Keeper, Stopped, fingerprint, replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a fit stands, and how it learned from this step's rows."""

    epoch: int
    step: int
    steps: int
    rows: int
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


def never() -> bool:
    """Let nothing interrupt a fit."""
    return False


def fit(
    recipe: Recipe,
    data: Data,
    base: Base,
    out: Path,
    tell: Listener,
    *,
    halted: Callable[[], bool] = never,
    finish: bool = False,
    every: float = EVERY,
) -> Network:
    """Train by the recipe's method, and return the network with the best averaged weights.

    All that it has learned is kept in `out`: after each epoch, in between every so many seconds, and where `halted`
    says so after a step, which raises Stopped. The same fit called again goes on from there, and ends as if nothing had
    interrupted it; with `finish` it takes the best epoch so far instead. `forget` removes what was kept.

    Deterministic for a seed and a number of threads, as far as torch's kernels are. Raise ConfigurationError where what
    is kept in `out` is another fit's, or the device cannot compute in the precision.
    """
    how = recipe.fit
    torch.manual_seed(how.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if how.precision == "fp16" and device.type != "cuda":
        raise ConfigurationError("fit.precision: found fp16, which needs a GPU; on a CPU expected bf16 or fp32")
    network = build(base, data.labels, how.dropout).to(device)
    network.encoder.words.weight.requires_grad = not how.freeze_words
    out.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(out, fingerprint(recipe, data, base), time.monotonic, every)
    school = _School(recipe, data, base, keeper, out, tell, halted, finish)
    if how.method == "lora":
        return _teach(Lora(network, how), school)
    if how.method == "head":
        return _teach(HeadOnly(network, how), school)
    return _teach(Full(network, how.precision), school)


@dataclass(frozen=True, slots=True)
class _School:
    """What a fit works with, whatever its method."""

    recipe: Recipe
    data: Data
    base: Base
    keeper: Keeper
    out: Path
    tell: Listener
    halted: Callable[[], bool]
    finish: bool


def _teach(method: Method[Seen], school: _School) -> Network:
    recipe, data, keeper, how = school.recipe, school.data, school.keeper, school.recipe.fit
    preparer = school.base.preparer(recipe)
    lessons = Lessons(data, method, preparer, how)
    exam = _Exam(data, method, preparer, recipe)
    steps = how.epochs * lessons.steps
    balanced = balance(targets(data.part(TRAIN), data.labels), recipe.heads)
    learner = Learner(method, recipe, steps, balanced)
    course = Course()
    if found := keeper.kept():
        course, state = found
        learner.restore(state)
    while course.epoch <= how.epochs and course.since < how.patience and not school.finish:
        done = learner.step - (course.epoch - 1) * lessons.steps
        for batches in lessons.epoch(course.epoch, done):
            value, rate = learner.learn(batches)
            rows = sum(len(batch.seen) for batch in batches)
            school.tell(Step(epoch=course.epoch, step=learner.step, steps=steps, rows=rows, loss=value, rate=rate))
            halted = school.halted()
            if halted or keeper.due():
                keeper.keep(course, learner.state())
            if halted:
                raise Stopped(
                    f"{school.out}: stopped in epoch {course.epoch} after step {learner.step} of {steps}; the same fit"
                    " into the same folder goes on from there"
                )
        with learner.averaged():
            f1, lost = exam.sat()
            mean = sum(f1.values()) / len(f1)
            better = mean > course.best
            if better:
                replaced(school.out / CHECKPOINT, method.network.state_dict())
        school.tell(Epoch(epoch=course.epoch, step=learner.step, f1=f1, loss=lost, best=better))
        course = replace(
            course, epoch=course.epoch + 1, best=max(mean, course.best), since=0 if better else course.since + 1
        )
        keeper.keep(course, learner.state())
    if course.best < 0:
        raise ConfigurationError(f"{school.out}: no epoch of this fit has ended yet, so there is none to take")
    method.network.load_state_dict(load_file(school.out / CHECKPOINT))
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
        lost = {head: float(loss(found, {head: each}, heads)) for head, each in wanted.items()}
        return f1, lost
