"""The course of a fit as TensorBoard shows it: `tensorboard --logdir DIR`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from trainer.fit import Epoch, Step


class Board(AbstractContextManager["Board"]):
    """Writes a fit's events into a folder: `train/loss` and `train/rate` for each step, and for each epoch and head
    `dev/HEAD/macro_f1` and `dev/HEAD/loss`, all by the number of steps done."""

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder))

    def tell(self, event: Step | Epoch) -> None:
        """Take note of what a fit tells."""
        if isinstance(event, Step):
            self._scalar("train/loss", event.loss, event.step)
            self._scalar("train/rate", event.rate, event.step)
            return
        for head in event.f1:
            self._scalar(f"dev/{head}/macro_f1", event.f1[head], event.step)
            self._scalar(f"dev/{head}/loss", event.loss[head], event.step)

    def _scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
