"""A COMMIT whose answer never came: PostgreSQL is asked, once it is back, how that transaction ended.

Without this the caller would have to guess. What he takes for undone, he does again; and what is done already is then
counted nowhere, because it is known.
"""

from __future__ import annotations

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.errors import StoreAway, StoreError
from monitor.ports import Clock
from monitor.store.engine import name_of, plainly
from monitor.store.server import sqlstate

ASKED = text("SELECT pg_xact_status(CAST(CAST(:ticket AS text) AS xid8))")
PAUSE, LONGEST = 0.5, 15.0  # seconds between two questions
UNKNOWN = "22023"  # the server never heard of the transaction: a standby that took over before it came through

log = structlog.get_logger()


async def committed(engine: AsyncEngine, ticket: str, clock: Clock) -> bool:
    """Tell whether the transaction of this number (`pg_current_xact_id`) was committed; wait until that is known."""
    pause = PAUSE
    while True:
        try:
            ended = await _asked(engine, ticket)
        except StoreAway as error:
            log.warning("a commit was not answered; waiting to ask how it ended", error=str(error), seconds=pause)
            ended = None
        except StoreError as error:
            if error.__cause__ is None or sqlstate(error.__cause__) != UNKNOWN:
                raise
            return False
        if ended is not None:
            log.info("asked how an unanswered commit ended", committed=ended)
            return ended
        await clock.sleep(pause)
        pause = min(2 * pause, LONGEST)


async def _asked(engine: AsyncEngine, ticket: str) -> bool | None:
    """Return None while the server has not given the transaction up yet."""
    with plainly(name_of(engine.url)):
        async with engine.connect() as connection:
            status: str | None = await connection.scalar(ASKED, {"ticket": ticket})
    return None if status == "in progress" else status == "committed"
