"""A model is opened beside the event loop: verified, warmed up and compared before anything that serves is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from monitor.ports import Clock
from monitor.scoring.references import require
from monitor.scoring.worker import Model, Worker


async def open_worker(
    reference: str, *, clock: Clock, labels: Mapping[str, str] | None = None, threads: int | None = None
) -> Worker:
    """Load the model that a reference names, off the event loop, and let it answer; see `routed.open_model`."""
    return Worker(await open_aside(reference, labels=labels, threads=threads), clock)


async def open_aside(
    reference: str,
    *,
    labels: Mapping[str, str] | None = None,
    threads: int | None = None,
    cache: Path | None = None,
) -> Model:
    """As `routed.open_model`, off the event loop; so is the import of torch."""

    def work() -> Model:
        require(reference)
        from monitor.scoring.routed import open_model  # noqa: PLC0415 - takes seconds: not in the event loop

        return open_model(reference, labels=labels, threads=threads, cache=cache)

    return await asyncio.to_thread(work)
