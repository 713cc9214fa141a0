"""The push door as a source: whoever hands articles over learns how each of them ended, after the commit."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from monitor.errors import Busy, SourceError
from monitor.ports import Batch, Settled
from monitor.sources.records import FIELDS, Unreadable, read_record
from monitor.types import DeadLetter, Json, Position, RawItem, SourceId

LIMIT = 2_000  # items that may wait for their commit before more are turned away
UNIT = 256  # items of several submissions that are handed over together
PATIENCE = 2.0  # seconds after which one who was turned away may try again
PUSHED = {name: (name,) for name in FIELDS}


def read_article(source: SourceId, article: Json, now: datetime) -> RawItem | DeadLetter:
    """Read one pushed article: `title`, and any of `text`, `url`, `id`, `publisher`, `published`, `language`.

    One that is not to be understood becomes a dead letter, whose error names the field, what was found and what is
    expected. `published` is ISO 8601; without a zone it is UTC.
    """
    raw = json.dumps(article, separators=(",", ":")).encode()
    if not isinstance(article, dict):
        return DeadLetter(source=source, raw=raw, error="the article is no object", received=now)
    try:
        record = read_record(article, PUSHED)
    except Unreadable as error:
        return DeadLetter(source=source, raw=raw, error=str(error), received=now)
    return record.item(source, raw, now)


@dataclass(frozen=True, slots=True, eq=False)
class _Submission:
    """Items handed over together, and the future of who waits for their end."""

    items: tuple[RawItem | DeadLetter, ...]
    settled: asyncio.Future[Sequence[Settled]]


class PushSource:
    """Takes items from outside and answers when they are committed.

    limit  items that may wait for their commit; a submission that does not fit beside them is turned away
    """

    def __init__(self, source: SourceId, *, limit: int = LIMIT) -> None:
        self._source = source
        self._limit = limit
        self._queue: deque[_Submission] = deque()
        self._arrived = asyncio.Event()
        self._open: set[_Submission] = set()
        self._closed = False

    @property
    def id(self) -> SourceId:
        return self._source

    @property
    def waiting(self) -> int:
        """The number of items that are not committed yet."""
        return sum(len(submission.items) for submission in self._open)

    async def submit(self, items: Sequence[RawItem | DeadLetter]) -> Sequence[Settled]:
        """Hand items over and wait for their commit; returns one Settled for each, in order.

        Raises Busy where too many items wait already, and SourceError where the daemon ends before the commit: then
        the items may be handed over again. Who is cancelled while waiting does not know whether they were committed.
        """
        if self._closed:
            raise _ending()
        if not items:
            return ()
        if self._open and self.waiting + len(items) > self._limit:
            raise Busy(PATIENCE)
        submission = _Submission(tuple(items), asyncio.get_running_loop().create_future())
        self._open.add(submission)
        self._queue.append(submission)
        self._arrived.set()
        try:
            return await submission.settled
        finally:
            if submission in self._queue:  # nobody waits for it any more, and it was not handed over
                self._queue.remove(submission)
                self._open.discard(submission)

    async def batches(self, resume: Sequence[Position]) -> AsyncGenerator[Batch, None]:  # noqa: ARG002 the door has no past
        while True:
            await self._arrived.wait()
            if self._closed:
                return
            submissions = self._take()
            if submissions:
                yield Batch(
                    source=self._source,
                    items=tuple(item for each in submissions for item in each.items),
                    receipt=partial(self._settle, submissions),
                )

    async def close(self) -> None:
        """Let everybody who waits know that nothing more will be committed."""
        self._closed = True
        self._arrived.set()
        for submission in self._open:
            if not submission.settled.done():
                submission.settled.set_exception(_ending())
        self._open.clear()
        self._queue.clear()

    def _take(self) -> list[_Submission]:
        taken: list[_Submission] = []
        count = 0
        while self._queue and (not taken or count + len(self._queue[0].items) <= UNIT):
            taken.append(self._queue.popleft())
            count += len(taken[-1].items)
        if not self._queue:
            self._arrived.clear()
        return taken

    async def _settle(self, submissions: Sequence[_Submission], settled: Sequence[Settled]) -> None:
        start = 0
        for submission in submissions:
            end = start + len(submission.items)
            self._open.discard(submission)
            if not submission.settled.done():
                submission.settled.set_result(settled[start:end])
            start = end


def _ending() -> SourceError:
    return SourceError("newsquake is shutting down and may not have stored these articles; hand them over again")
