"""Which event a story belongs to: different stories about one happening, told by several, are one event.

Not to be mixed up with the table `events`, which is what the API's stream tells.

A story is compared once, when it is counted, with the stories received in the 48 hours before it. It joins the event
whose stories are nearest on average, if they are near enough; else it begins one of its own, which bears its id.

- Only stories about a shared company are compared, a parent's with its subsidiary's; where that is given, less nearness
  will do. A story about no watched company is compared with others about none, and has to be nearer: they are many, and
  most of them strangers.
- On *average*, not with the nearest story: else a chain of stories, each a little like the last, would be one event.
- An event ends when no story has joined it for 48 hours. Events are never merged and a story never changes its own, for
  what was told rests on it.

Copies are one story before this (`core/stories.py`): the story's first article stands for all of them. History raises
nothing and is in no event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from monitor.ports import Gathered
from monitor.types import ArticleId, EntityId, EventId, Gist

OPEN = timedelta(hours=48)  # in which a story is received after the event's last one
NEAR = 0.36  # mean cosine from which a story joins an event about a shared company
NEARER = 0.6  # and where neither names a watched company
GIST = 64  # numbers of a gist, int8; it is never all zeros
CROWD = 2048  # so many of the newest stories about no company, or about one, are looked at
_EXACT = 4  # decimals of a mean cosine that count, in whatever order it was summed up


class EventBook:
    """The events that a story may join: those told before, in order of receipt, and those it has placed since."""

    def __init__(self, told: Sequence[Gathered] = ()) -> None:
        self._stories: dict[ArticleId, Gathered] = {}  # by row
        self._about: defaultdict[EntityId | None, list[int]] = defaultdict(list)  # rows by company
        self._names: list[EventId] = []
        self._numbers: dict[EventId, int] = {}  # places in `_names`
        self._vectors: NDArray[np.float32] = np.zeros((256, GIST), dtype=np.float32)
        self._received: NDArray[np.float64] = np.zeros(256)  # seconds since 1970
        self._events: NDArray[np.intp] = np.zeros(256, dtype=np.intp)  # numbers
        for story in told:
            self._add(story)

    def place(self, article: ArticleId, *, received: datetime, gist: Gist, companies: Collection[EntityId]) -> Gathered:
        """Return the story that an article leads in its event, and remember it there. Placed again, it stays there.

        Of equally near events it is the one of the least id, so the order of what was received at one moment before
        does not matter. A story without a gist is alone.
        """
        known = self._stories.get(article)
        if known is not None:
            return known
        event = self._nearest(received, gist, companies) or EventId(article)
        story = Gathered(article=article, received=received, gist=gist, companies=frozenset(companies), event=event)
        self._add(story)
        return story

    def _nearest(self, received: datetime, gist: Gist, companies: Collection[EntityId]) -> EventId | None:
        rows = self._rows(companies)
        rows = rows[self._received[rows] >= (received - OPEN).timestamp()]
        if not rows.size or not gist:
            return None
        numbers, members = np.unique(self._events[rows], return_inverse=True)
        cosines = self._vectors[rows] @ _unit(gist)
        means = np.round(np.bincount(members, cosines) / np.bincount(members), _EXACT)
        if means.max() < (NEAR if companies else NEARER):
            return None
        return min(self._names[int(number)] for number in numbers[means == means.max()])

    def _rows(self, companies: Collection[EntityId]) -> NDArray[np.intp]:
        lists = [self._about[company][-CROWD:] for company in companies or (None,)]
        rows = lists[0] if len(lists) == 1 else sorted({row for rows in lists for row in rows})
        return np.array(rows, dtype=np.intp)

    def _add(self, story: Gathered) -> None:
        if not story.gist:
            return
        if self._stories and self._received[0] < (story.received - 2 * OPEN).timestamp():
            self._forget(story.received - OPEN)
        row = len(self._stories)
        if row == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._received = np.concatenate([self._received, np.zeros_like(self._received)])
            self._events = np.concatenate([self._events, np.zeros_like(self._events)])
        number = self._numbers.setdefault(story.event, len(self._names))
        if number == len(self._names):
            self._names.append(story.event)
        self._vectors[row] = _unit(story.gist)
        self._received[row] = story.received.timestamp()
        self._events[row] = number
        self._stories[story.article] = story
        for company in story.companies or (None,):
            self._about[company].append(row)

    def _forget(self, before: datetime) -> None:
        kept = [each for each in self._stories.values() if each.received >= before]
        self._stories, self._about, self._names, self._numbers = {}, defaultdict(list), [], {}
        for each in kept:
            self._add(each)


def _unit(gist: Gist) -> NDArray[np.float32]:
    vector = np.frombuffer(gist, dtype=np.int8).astype(np.float32)
    unit: NDArray[np.float32] = vector / np.linalg.norm(vector)
    return unit
