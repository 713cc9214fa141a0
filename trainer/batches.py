"""What an epoch shows: each training row once, marked or as a whole, in batches of like length."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic

from monitor.scoring.preparation import Preparer
from trainer.augment import Augmenter
from trainer.config import FitRecipe
from trainer.data import TRAIN, Data, Row, agreeing
from trainer.methods import Method, Seen
from trainer.network import Targets, targets

NEIGHBOURS = 40  # batches whose rows are sorted by length together: little padding, and still a fresh mix each epoch


@dataclass(frozen=True, slots=True)
class Batch(Generic[Seen]):
    """What the network is shown at once, and what it should say of it."""

    seen: Sequence[Seen]
    wanted: dict[str, Targets]


class Lessons(Generic[Seen]):
    """The training rows as each epoch shows them.

    What is shown, and in which order, follows from the seed and the epoch's number alone: a fit that was interrupted
    in the middle of an epoch finds the rest of it again.
    """

    def __init__(self, data: Data, method: Method[Seen], preparer: Preparer, how: FitRecipe) -> None:
        self._rows, self._labels, self._method, self._how = data.part(TRAIN), data.labels, method, how
        self._preparer, self._augmenter = preparer, Augmenter(self._rows, how.augment)
        self._marked = method.look(preparer.prepare([(row.text, row.spans) for row in self._rows]))
        self._whole = method.look(preparer.prepare([(row.text, ()) for row in self._rows]))
        self._bare = agreeing(self._rows)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._rows) // (self._how.batch * self._how.accumulate))

    def epoch(self, number: int, after: int = 0) -> Iterator[list[Batch[Seen]]]:
        """Yield the batches of each of the epoch's steps, but the first `after` of them."""
        chance = random.Random(f"{self._how.seed}:{number}")  # noqa: S311 - an order of rows, not a secret
        rows, shown = self._shown(chance)
        size = self._how.batch
        order = length_grouped([self._method.length(each) for each in shown], size * self._how.accumulate, chance)
        for step in islice(order, after, None):
            parts = [step[i : i + size] for i in range(0, len(step), size)]
            yield [Batch([shown[i] for i in part], targets([rows[i] for i in part], self._labels)) for part in parts]

    def _shown(self, chance: random.Random) -> tuple[Sequence[Row], list[Seen]]:
        """Return this epoch's rows, and what the network is shown of each."""
        unmarked = [bare and chance.random() < self._how.unmarked for bare in self._bare]
        pairs = zip(self._marked, self._whole, unmarked, strict=True)
        shown = [whole if alone else marked for marked, whole, alone in pairs]
        rows = self._augmenter.epoch(chance)
        changed = [i for i, (row, own) in enumerate(zip(rows, self._rows, strict=True)) if row is not own]
        texts = [(rows[i].text, () if unmarked[i] else rows[i].spans) for i in changed]
        for i, seen in zip(changed, self._method.look(self._preparer.prepare(texts)), strict=True):
            shown[i] = seen
        return rows, shown


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
