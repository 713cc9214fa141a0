"""What a fit shows of its course: a bar on standard error, and a line for each epoch; and how it is interrupted."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trainer.fit import Epoch, Step


class Bar(AbstractContextManager["Bar"]):
    """Shows epoch, loss, rate, rows a second, steps, and the time gone and left."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, TimeRemainingColumn(), console=console)
        self._rows = self._steps = 0

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task("reading", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def tell(self, event: Step | Epoch) -> None:
        """Show what a fit tells."""
        if isinstance(event, Epoch):
            f1 = ", ".join(f"{head} {value:.4f}" for head, value in event.f1.items())
            self._progress.console.print(f"epoch {event.epoch}: macro F1 {f1}{' (best)' if event.best else ''}")
            return
        if not self._steps:  # the steps before an interruption took no time now
            self._progress.reset(self._task, completed=event.step - 1, total=event.steps)
        self._rows, self._steps = self._rows + event.rows, self._steps + 1
        task = self._progress.tasks[self._task]
        pace = (task.speed or 0.0) * self._rows / self._steps
        shown = f"epoch {event.epoch} loss {event.loss:.3f} rate {event.rate:.1e} {pace:,.0f} rows/s"
        self._progress.update(self._task, completed=event.step, description=shown)


class Interrupts(AbstractContextManager["Interrupts"]):
    """Takes note of the first SIGINT or SIGTERM, for a fit to stop at its next step; a second one has its usual effect.

    For the main thread alone, as signals are.
    """

    def __init__(self) -> None:
        self._came = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def came(self) -> bool:
        """Whether one came."""
        return self._came
