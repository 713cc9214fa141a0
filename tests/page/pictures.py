"""Pictures of the page for the READMEs, taken of the demo at the noon of its third day.

python -m tests.page.pictures docs/images
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from monitor import demo
from monitor.app import Daemon
from monitor.clock import DrivenClock
from monitor.config import Config
from monitor.ports import Batch
from monitor.telemetry import Telemetry, configure_log
from tests.page.browser import Scheme, chromium, visiting

UNTIL = timedelta(hours=60)
PICTURES: tuple[tuple[str, str, Scheme, tuple[int, int]], ...] = (
    ("page-en", "en-GB", "dark", (1440, 900)),
    ("page-zh", "zh-CN", "light", (1440, 900)),
)


@asynccontextmanager
async def noon_of_the_third_day() -> AsyncIterator[str]:
    """Run the demo so far, and give the address of its page."""
    start = demo.first_day(datetime.now(UTC))
    clock = DrivenClock(start)
    items = [
        item for item in demo.items_of(Path(str(demo.STREAM / "stream.jsonl")), start) if item.received < start + UNTIL
    ]
    with TemporaryDirectory() as folder:
        config = Config.model_validate(
            {
                "store": {"url": f"sqlite:///{folder}/demo.db"},
                "api": {"bind": "127.0.0.1:0"},
                "source": [{"kind": "push", "id": source} for source in sorted({item.source for item in items})],
                "watchlist": {"files": [str(demo.STREAM / "watchlist.toml")]},
                "log": {"level": "error"},
            }
        )
        daemon = Daemon(config, clock=clock, random=Random(0), telemetry=Telemetry())
        await daemon.start(ticking=False)
        try:
            for moment, group in groupby(items, key=lambda item: item.received):
                await demo._pass_time(daemon, clock, moment)
                for item in group:
                    await daemon.pipeline.submit(Batch(source=item.source, items=(item,)))
                await daemon.pipeline.drained()
            await demo._pass_time(daemon, clock, start + UNTIL)
            yield daemon.address
        finally:
            await daemon.close()


async def take(folder: Path) -> None:
    configure_log("error")
    folder.mkdir(parents=True, exist_ok=True)
    async with noon_of_the_third_day() as address, chromium() as browser:
        for name, language, scheme, size in PICTURES:
            async with visiting(browser, address, language=language, scheme=scheme, size=size) as visit:
                await visit.settle()
                await visit.page.screenshot(path=folder / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
