"""What a model would have raised: the recent archive lived through again with its judgements, on a desk of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.clock import SystemClock
from monitor.config import Config
from monitor.replay import rehearsal
from monitor.scoring.reload import open_worker
from monitor.types import Article, Incident

CHUNK = 256  # articles judged together


async def rehearse(
    config: Config, reference: str, articles: Sequence[Article], tell: Callable[[int], None]
) -> list[Incident]:
    """Return the incidents that a model raises on articles in order of receipt, at least one, the first opened first.

    The watchlist, the budget and the guards are the configuration's; nothing is delivered, and the live database is not
    touched. The detector begins with nothing learned. `tell` hears how many articles have passed since it was called.
    """
    threads = config.model.threads or None
    worker = await open_worker(reference, labels=config.model.labels, threads=threads, clock=SystemClock())
    try:
        async with rehearsal(config, worker, articles[0].received) as stage:
            for start in range(0, len(articles), CHUNK):
                chunk = articles[start : start + CHUNK]
                await stage.live_again(chunk)
                tell(len(chunk))
            return await stage.incidents()
    finally:
        await worker.close()
