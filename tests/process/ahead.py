"""`newsquake run` on a clock that can be put forward while it runs: a bucket's edge need not be waited for.

python -m tests.process.ahead CONFIG FILE
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.app import run
from monitor.types import BUCKET
from tests.process.daemon import Daemon


class Ahead:
    """The machine's clock, put forward by the seconds that stand in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(self._file.read_text()))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class DaemonAhead(Daemon):
    """Runs by such a clock."""

    def __init__(self, config: Path, port: int) -> None:
        super().__init__(config, port)
        self._file = config.with_suffix(".ahead")
        self._file.write_text("0")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.process.ahead", str(self.config), str(self._file)]

    def put_forward(self) -> None:
        """Put the clock forward to the next bucket's edge."""
        left = BUCKET.total_seconds() - Ahead(self._file).now().timestamp() % BUCKET.total_seconds()
        fresh = self._file.with_suffix(".fresh")
        fresh.write_text(str(float(self._file.read_text()) + left))
        fresh.replace(self._file)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Ahead(Path(sys.argv[2]))))
