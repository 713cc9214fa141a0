"""Which story an article belongs to, for each key: two hundred syndicated copies are one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.core.text.signature import ALIKE, PERMUTATIONS, alike, minima, similarities, size
from monitor.ports import Told
from monitor.types import Article, ArticleId, Key, Signature, StoryId


@dataclass(frozen=True, slots=True)
class Place:
    """An article's story under one key. The story is counted only where the article `leads` it."""

    story: StoryId
    leads: bool


class StoryBook:
    """The stories that a batch may join: those told before, and those the batch itself has begun.

    told  the stored articles that share a band with one of the batch, oldest first
    """

    def __init__(self, told: Sequence[Told]) -> None:
        self._copies = _Copies()
        self._stories: list[dict[Key, StoryId]] = []  # by row of `_copies`
        self._rows: dict[ArticleId, int] = {}
        for earlier in told:
            self._enter(earlier.article, earlier.signature, earlier.stories)

    def place(self, article: Article, keys: Sequence[Key]) -> Mapping[Key, Place]:
        """Return the article's story under each key: that of the most similar copy which has one (of equals, the
        first told), else a new one, which the article leads and whose id is its own.

        What was placed is remembered, so that later articles of the batch can join. To place an article again changes
        nothing and gives the same answer: whoever counts, counts each article and key once.
        """
        row = self._rows.get(article.id)
        known = self._stories[row] if row is not None else {}
        missing = [key for key in keys if key not in known]
        found: dict[Key, StoryId] = {}
        if missing:
            for copy in self._copies.of(article.signature):
                stories = self._stories[copy]
                found.update((key, stories[key]) for key in missing if key in stories and key not in found)
                if len(found) == len(missing):
                    break
        own = StoryId(article.id)
        stories = {**known, **{key: found.get(key, own) for key in missing}}
        self._enter(article.id, article.signature, stories)
        return {key: Place(stories[key], leads=stories[key] == own) for key in keys}

    def _enter(self, article: ArticleId, signature: Signature, stories: Mapping[Key, StoryId]) -> None:
        row = self._rows.get(article)
        if row is None:
            self._rows[article] = self._copies.add(signature)
            self._stories.append(dict(stories))
        else:
            self._stories[row].update(stories)


class _Copies:
    """Signatures in one growing array, so that one article is compared with thousands at once."""

    def __init__(self) -> None:
        self._minima = np.zeros((256, PERMUTATIONS), dtype=np.uint32)
        self._sizes: list[int] = []

    def add(self, signature: Signature) -> int:
        """Append a signature and return its row. The empty one is a row of zeros, like nothing."""
        row = len(self._sizes)
        if row == len(self._minima):
            self._minima = np.concatenate([self._minima, np.zeros_like(self._minima)])
        if signature:
            self._minima[row] = minima(signature)
        self._sizes.append(size(signature))
        return row

    def of(self, signature: Signature) -> Iterator[int]:
        """Yield the rows that are copies of this text, most similar first; of equals, the first added."""
        if not signature or not self._sizes:
            return
        own = size(signature)
        near = similarities(minima(signature), self._minima[: len(self._sizes)])
        rows = np.flatnonzero(near >= ALIKE)
        for row in rows[np.argsort(-near[rows], kind="stable")].tolist():
            if alike(float(near[row]), own, self._sizes[row]):
                yield row
