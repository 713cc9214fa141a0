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
CROWD = 4096  # so many of the newest stories about no company, or about one, are looked at
_EXACT = 4  # decimals of a mean cosine that count, in whatever order it was summed up


class EventBook:
    """The events that a story may join: those told before, in order of receipt, and those it has placed since."""

    def __init__(self, told: Sequence[Gathered] = ()) -> None:
        self._stories: list[Gathered] = []
        self._about: dict[EntityId | None, list[int]] = defaultdict(list)  # rows by company
        self._vectors = np.zeros((256, GIST), dtype=np.float32)
        for story in told:
            self._add(story)

    def place(self, article: ArticleId, *, received: datetime, gist: Gist, companies: Collection[EntityId]) -> Gathered:
        """Return the story that an article leads in its event, and remember it there.

        Of equally near events it is the one of the least id, so the order of what was received at one moment before
        does not matter. A story without a gist is alone.
        """
        event = self._nearest(received, gist, companies) or EventId(article)
        story = Gathered(article=article, received=received, gist=gist, companies=frozenset(companies), event=event)
        self._add(story)
        return story

    def _nearest(self, received: datetime, gist: Gist, companies: Collection[EntityId]) -> EventId | None:
        rows = [row for row in self._rows(companies) if self._stories[row].received >= received - OPEN]
        if not rows or not gist:
            return None
        names, events = np.unique([self._stories[row].event for row in rows], return_inverse=True)
        cosines = self._vectors[rows] @ _unit(gist)
        means = np.round(np.bincount(events, cosines) / np.bincount(events), _EXACT)
        nearest = int(np.argmax(means))
        return EventId(str(names[nearest])) if means[nearest] >= (NEAR if companies else NEARER) else None

    def _rows(self, companies: Collection[EntityId]) -> list[int]:
        lists = [self._about[company][-CROWD:] for company in companies] or [self._about[None][-CROWD:]]
        return lists[0] if len(lists) == 1 else sorted({row for rows in lists for row in rows})

    def _add(self, story: Gathered) -> None:
        if not story.gist:
            return
        if self._stories and self._stories[0].received < story.received - 2 * OPEN:
            self._forget(story.received - OPEN)
        row = len(self._stories)
        if row == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._vectors[row] = _unit(story.gist)
        self._stories.append(story)
        for company in story.companies or (None,):
            self._about[company].append(row)

    def _forget(self, before: datetime) -> None:
        kept = [each for each in self._stories if each.received >= before]
        self._stories, self._about = [], defaultdict(list)
        for each in kept:
            self._add(each)


def _unit(gist: Gist) -> NDArray[np.float32]:
    vector = np.frombuffer(gist, dtype=np.int8).astype(np.float32)
    unit: NDArray[np.float32] = vector / np.linalg.norm(vector)
    return unit
