"""A model is opened beside the event loop and put in place between two batches; a bad one leaves the old serving."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from monitor.errors import NewsquakeError
from monitor.ports import Clock
from monitor.scoring.references import require
from monitor.scoring.worker import Model, Worker
from monitor.telemetry import Telemetry
from monitor.types import ModelId


async def open_worker(
    reference: str, *, clock: Clock, labels: Mapping[str, str] | None = None, threads: int | None = None
) -> Worker:
    """Load the model that a reference names, off the event loop, and let it answer; see `model.open_model`."""
    return Worker(await open_aside(reference, labels=labels, threads=threads), clock)


async def open_aside(
    reference: str,
    *,
    labels: Mapping[str, str] | None = None,
    threads: int | None = None,
    cache: Path | None = None,
) -> Model:
    """As `model.open_model`, off the event loop; so is the import of torch."""

    def work() -> Model:
        require(reference)
        from monitor.scoring.model import open_model  # noqa: PLC0415 - takes seconds: not in the event loop

        return open_model(reference, labels=labels, threads=threads, cache=cache)

    return await asyncio.to_thread(work)


async def swap(
    worker: Worker,
    reference: str,
    telemetry: Telemetry,
    *,
    labels: Mapping[str, str] | None = None,
    threads: int | None = None,
    cache: Path | None = None,
) -> ModelId:
    """Open a model, verified and warm, and let the worker answer with it; return its id.

    Whatever is wrong with it is raised (ArtefactError, ConfigurationError) before the worker is touched, and
    `newsquake_model_reload_successful` says 0 until a swap succeeds.
    """
    try:
        model = await open_aside(reference, labels=labels, threads=threads, cache=cache)
        old = await worker.replace(model)
    except NewsquakeError:
        telemetry.model_reload_successful.set(0)
        raise
    if old != model.id:
        telemetry.model_info.remove(old)
    telemetry.model_info.labels(model.id).set(1)
    telemetry.model_reload_successful.set(1)
    return model.id
