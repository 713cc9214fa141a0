"""Showing training rows a little otherwise in each epoch, so that a model learns what a label does not depend on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from monitor.scoring.glossary import Span
from trainer.config import AugmentRecipe
from trainer.data import Row
from trainer.perturb import Spans, lower, noise, swap_all, title, typos, upper

CASHTAG = re.compile(r"(?<![\w$])\$[A-Za-z]{1,6}(?!\w)")


class Augmenter:
    """Rows, and how often each is shown as a changed copy. Labels, weight and group of a copy are the row's own."""

    def __init__(self, rows: Sequence[Row], how: AugmentRecipe) -> None:
        self._rows, self._how = rows, how
        self._changes = ((how.typos, (typos,)), (how.noise, (noise,)), (how.case, (upper, lower, title)))
        self._companies: defaultdict[tuple[str, str], dict[Spans, None]] = defaultdict(dict)
        for row in rows:
            if row.spans:
                self._companies[row.source, row.text][row.spans] = None

    def epoch(self, rng: Random) -> list[Row]:
        """Return as many rows in the same order; one that is shown as it is, is the row itself."""
        return [self._shown(row, rng) for row in self._rows]

    def _shown(self, row: Row, rng: Random) -> Row:
        if not row.spans and rng.random() < self._how.cashtags:
            row = _of_its_cashtag(row)
        if rng.random() < self._how.swap:
            row = self._renamed(row, rng)
        for share, changes in self._changes:
            if rng.random() < share:
                row = _rewritten(row, *rng.choice(changes)(row.text, row.spans, rng))
        return row

    def _renamed(self, row: Row, rng: Random) -> Row:
        """Give each company that the rows name in this text a name of its own; the row's company leads."""
        companies = [row.spans]
        for others in self._companies.get((row.source, row.text), ()):
            if not any(_overlap(other, known) for other in others for spans in companies for known in spans):
                companies.append(others)
        text, moved = swap_all(row.text, companies, rng)
        return _rewritten(row, text, moved[0])


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _rewritten(row: Row, text: str, spans: Spans) -> Row:
    if text == row.text:
        return row
    entity = text[slice(*spans[0])] if spans else row.entity
    return replace(row, text=text, spans=spans, entity=entity)


def _of_its_cashtag(row: Row) -> Row:
    """Return a row on the company whose cashtag is the text's only one: what is said of the text is said of it."""
    found = list(CASHTAG.finditer(row.text))
    if len({tag[0].upper() for tag in found}) != 1:
        return row
    return replace(row, entity=found[0][0], spans=tuple(tag.span() for tag in found))
