"""Which texts are near-copies of each other, so that they are trained on or held out together.

Two texts are copies where their groups are named alike, or where the copy signature by which the daemon knows a story
again says so (`monitor/core/text/signature.py`), addresses of web pages aside. A copy's copy is a copy too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from monitor.core.text.signature import alike, bands, sign, similarity, size
from monitor.scoring.preparation import ADDRESS
from monitor.types import Signature

CROWD = 100  # texts of one band that a text is compared with: what fills a band is a template, and copies share more


def merged(texts: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return the group of each text: one for all near-copies, named as the first in the alphabet of theirs.

    Takes some 0.15 ms for each different text, most of it for its signature.
    """
    at = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    copies = _Sets(len(at))
    firsts: dict[str, int] = {}
    for text, group in zip(texts, groups, strict=True):
        copies.join(firsts.setdefault(group, at[text]), at[text])
    signatures = [sign(ADDRESS.sub(" ", text)) for text in at]
    for one, other in _neighbours(signatures):
        if copies.of(one) != copies.of(other) and _copies(signatures[one], signatures[other]):
            copies.join(one, other)
    names: dict[int, str] = {}
    for text, group in zip(texts, groups, strict=True):
        root = copies.of(at[text])
        names[root] = min(group, names.get(root, group))
    return [names[copies.of(at[text])] for text in texts]


def _neighbours(signatures: Sequence[Signature]) -> Iterator[tuple[int, int]]:
    """Yield all pairs that share a band, the crowded ones aside."""
    known: defaultdict[int, list[int]] = defaultdict(list)
    for number, signature in enumerate(signatures):
        for band in bands(signature):
            yield from ((earlier, number) for earlier in known[band][-CROWD:])
            known[band].append(number)


def _copies(one: Signature, other: Signature) -> bool:
    return alike(similarity(one, other), size(one), size(other))


class _Sets:
    """Disjoint sets of numbers (union-find)."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def of(self, number: int) -> int:
        """Return the number that stands for the set of this one."""
        while self._above[number] != number:
            self._above[number] = self._above[self._above[number]]
            number = self._above[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Make one set of two."""
        self._above[self.of(other)] = self.of(one)
