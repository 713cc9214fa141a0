"""Starting, watching over and ending the daemon's parts.

A part that fails, or ends when it should not, stops the daemon loudly. Teardown is named and runs last in, first out;
each step is bounded, and a step that fails does not keep the next from running.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger()


class Stopped(Exception):
    """A stop was asked for before something was done."""


class Supervisor:
    """Runs named tasks until one fails or a stop is asked for, then tears down what was set up."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._broken = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._teardown: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        self._failure: BaseException | None = None

    def spawn(self, name: str, work: Coroutine[Any, Any, None], *, ends: bool = False) -> None:
        """Run `work` as a task. Its failure stops the daemon, and so does its end unless it `ends` by nature."""
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task

        def ended(task: asyncio.Task[None]) -> None:
            if self._tasks.get(name) is task:
                del self._tasks[name]
            if task.cancelled():
                return
            failure = task.exception()
            if failure is None and not ends and not self.stopping.is_set():
                failure = RuntimeError(f"{name} ended, though it should run as long as the daemon does")
            if failure is not None:
                self.fail(name, failure)

        task.add_done_callback(ended)

    def fail(self, name: str, failure: BaseException) -> None:
        """Remember the first failure and ask for a stop."""
        log.error("a part of the daemon failed", part=name, error=str(failure), exc_info=failure)
        if self._failure is None:
            self._failure = failure
        self._broken.set()
        self.stopping.set()

    async def cancel(self, name: str) -> None:
        """End one task and wait until it has ended."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def cancel_all(self) -> None:
        """End every task and wait until they have ended."""
        for name in list(self._tasks):
            await self.cancel(name)

    def on_teardown(self, name: str, step: Callable[[], Awaitable[object]]) -> None:
        """Add a step; steps run in reverse order."""
        self._teardown.append((name, step))

    async def wait(self) -> None:
        """Return when a stop is asked for."""
        await self.stopping.wait()

    async def unless_broken(self, wait: Coroutine[Any, Any, object]) -> None:
        """Await something that the daemon's parts bring about; give up once a part has failed."""
        tasks = [asyncio.ensure_future(wait), asyncio.ensure_future(self._broken.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what comes of `work`; raise Stopped, and cancel it, where a stop is asked for before."""
        doing, stop = asyncio.ensure_future(work), asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait([doing, stop], return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise Stopped
        finally:
            for task in (doing, stop):
                task.cancel()
            await asyncio.gather(doing, stop, return_exceptions=True)

    @property
    def failed(self) -> bool:
        """Whether a part has failed, so that waiting for it would be in vain."""
        return self._failure is not None

    async def close(self, *, within: float) -> None:
        """Run the teardown, end what still runs, and raise the failure that stopped the daemon, if one did.

        All steps together take at most `within` seconds, and a second more for each that finds none left.
        """
        self.stopping.set()
        deadline = asyncio.get_running_loop().time() + within
        while self._teardown:
            name, step = self._teardown.pop()
            left = max(deadline - asyncio.get_running_loop().time(), 1.0)
            try:
                async with asyncio.timeout(left):
                    await step()
            except TimeoutError:
                log.warning("gave up waiting while stopping", part=name, seconds=left)
            except Exception as error:  # noqa: BLE001 - the next step must still run; the failure is told below
                self.fail(name, error)
        await self.cancel_all()
        if self._failure is not None:
            raise self._failure


@contextmanager
def signals(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT call `stop`, and SIGHUP call `reload`, while the block runs."""
    loop = asyncio.get_running_loop()
    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
