"""Adversarial training: the words' embeddings, moved to where the loss grows fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Adversary:
    """The fast gradient method on embeddings (Miyato et al. 2017).

    It moves what the embeddings give, not their weights, which may be frozen. Each text is moved by `length` in all,
    along its own gradient.
    """

    def __init__(self, words: nn.Module, length: float) -> None:
        self._words, self._length = words, length
        self._moved: list[Tensor] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Learn the direction from what goes forward, and backward, in this `with`."""
        self._moved = []

        def watch(given: Tensor) -> Tensor:
            self._moved.append(torch.zeros_like(given, requires_grad=True))
            return given + self._moved[-1]

        with self._through(watch):
            yield

    @contextmanager
    def attacking(self) -> Iterator[None]:
        """Move the same texts, shown in the same order, in this `with`."""
        moves = iter([self._move(each.grad) for each in self._moved if each.grad is not None])
        with self._through(lambda given: given + next(moves)):
            yield

    def _move(self, gradient: Tensor) -> Tensor:
        size = gradient.float().flatten(1).norm(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
        move: Tensor = self._length * gradient / size[:, None, None]
        return move

    @contextmanager
    def _through(self, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        hook = self._words.register_forward_hook(lambda _module, _given, result: change(result))
        try:
            yield
        finally:
            hook.remove()
