"""The stored past, judged again by another model: its judgements and sums stand beside those of the others.

What is left to do is what the store lacks, so that it goes on where it was after any interruption, and nothing is
counted twice: whether an article is new to the model is asked in the transaction that writes.

An article keeps its stories. Whether it counts follows from its story alone: the first article of a story does, for
each model that puts it under the key. Where the model puts an article under a key that no model has put it under, its
story is looked for among near-copies, as with a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from monitor.core.counting import judgements_of, keyed, rollups_of
from monitor.core.stories import StoryBook
from monitor.core.text.signature import bands
from monitor.pipeline import Desk, Judged, judged
from monitor.ports import Judgement, Unscorable
from monitor.promotion.ports import ModelStore, ModelTransaction
from monitor.reading import Mark
from monitor.types import EPOCH, Article, ArticleId, Key, Mention, ModelId, Rollup, Score, StoryId

UNIT = 64  # articles judged and committed together
BEGINNING: Mark = (EPOCH, "0" * 32)

Scoring: TypeAlias = Callable[[Sequence[Mention]], Awaitable[Sequence[Score | Unscorable]]]


@dataclass(slots=True)
class Progress:
    """How far a model has come with the past, in articles: those it could not judge are not judged."""

    model: ModelId
    left: int
    judged: int = 0
    failed: int = 0


class Rescorer:
    """Lets one model judge what others have judged since a moment. One task at a time uses it."""

    def __init__(
        self, store: ModelStore, score: Scoring, desk: Callable[[], Desk], *, model: ModelId, since: datetime
    ) -> None:
        self.model = model
        self.since = since
        self.failed: set[ArticleId] = set()
        self._store = store
        self._score = score
        self._desk = desk
        self._mark = BEGINNING

    async def next(self) -> Sequence[Judged]:
        """Judge the next articles that the model has not judged; empty where there are none."""
        while True:
            articles = await self._store.unjudged(self.model, self.since, self._mark, UNIT)
            if not articles and self._mark == BEGINNING:
                return ()
            # Late news is published before the mark: the end is reached when a look from the beginning finds nothing.
            self._mark = (articles[-1].published, articles[-1].id) if articles else BEGINNING
            found = await self._judge([each for each in articles if each.id not in self.failed])
            if found:
                return found

    async def write(self, unit: Sequence[Judged], transaction: ModelTransaction) -> Sequence[Rollup]:
        """Store the judgements of a unit, and add up what they count for; return the sums that were added."""
        known = await transaction.judged(self.model, [each.article.id for each in unit])
        fresh = [each for each in unit if each.article.id not in known]
        judgements = await _placed(fresh, self._desk(), transaction)
        rollups = rollups_of(judgements, {each.article.id: each.article.timeliness for each in fresh})
        await transaction.add_judgements(judgements, {})
        await transaction.add_rollups(rollups)
        return rollups

    async def _judge(self, articles: Sequence[Article]) -> list[Judged]:
        tagger = self._desk().tagger
        tagged = await asyncio.to_thread(lambda: [tagger.tag(article) for article in articles])
        results = iter(await self._score([mention for each in tagged for mention in each.mentions]))
        found: list[Judged] = []
        for article, each in zip(articles, tagged, strict=True):
            entry = judged(article, [next(results) for _ in each.mentions], each.unjudged)
            if isinstance(entry, Judged):
                found.append(entry)
            else:
                self.failed.add(article.id)
        return found


async def _placed(fresh: Sequence[Judged], desk: Desk, transaction: ModelTransaction) -> list[Judgement]:
    """Place each article under each of its keys: in the story it is in already, else in that of a near-copy."""
    stories = await transaction.stories([each.article.id for each in fresh])
    keys = [keyed(each.scores, ancestors=desk.watchlist.ancestors, combine=desk.combine) for each in fresh]
    new = [
        [key for key in own if key not in stories.get(each.article.id, {})]
        for each, own in zip(fresh, keys, strict=True)
    ]
    near = {band for each, some in zip(fresh, new, strict=True) if some for band in bands(each.article.signature)}
    book = StoryBook(await transaction.told(near)) if near else StoryBook(())
    judgements: list[Judgement] = []
    for each, own, some in zip(fresh, keys, new, strict=True):
        places: dict[Key, StoryId] = dict(stories.get(each.article.id, {}))
        if some:
            places |= {key: place.story for key, place in book.place(each.article, some).items()}
        beginning = StoryId(each.article.id)
        leads = {key: (places[key], places[key] == beginning) for key in own}
        judgements += judgements_of(each.article, each.scores, own, leads)
    return judgements
