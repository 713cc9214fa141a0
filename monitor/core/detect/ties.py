"""Which sources feed which key: few for each, so they are kept apart from the columns, in order of row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from monitor.core.detect.baseline import Floats
from monitor.types import SourceId

FEEDERS = 8  # sources that are remembered for one key
_SHIFT = 20  # a code is a row's number and a source's, in this many bits
_PLACE = (1 << _SHIFT) - 1

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """How many stories each source brought each key, forgotten as the key's level is.

    codes    ascending: row, then the place of the source in `sources`
    amounts  stories
    sources  in order of name, so that whoever adds amounts up comes to the same sum, to the last bit
    """

    codes: Ints
    amounts: Floats
    sources: tuple[SourceId, ...]

    def of(self, row: int) -> tuple[tuple[SourceId, float], ...]:
        """Return one row's sources with what they brought, in order of name."""
        if not self.codes.size:
            return ()
        first, end = np.searchsorted(self.codes, (row << _SHIFT, (row + 1) << _SHIFT)).tolist()
        places = (self.codes[first:end] & _PLACE).tolist()
        return tuple(zip(map(self.sources.__getitem__, places), self.amounts[first:end].tolist(), strict=True))

    def of_all(self, rows: Ints) -> list[list[tuple[SourceId, float]]]:
        """As `of`, of many rows."""
        first = np.searchsorted(self.codes, rows << _SHIFT)
        lengths = np.searchsorted(self.codes, (rows + 1) << _SHIFT) - first
        places = spread(first, lengths)
        names = map(self.sources.__getitem__, (self.codes[places] & _PLACE).tolist())
        ties = zip(names, self.amounts[places].tolist(), strict=True)
        return [list(islice(ties, length)) for length in lengths.tolist()]

    def faded(self, rows: Ints, kept: Floats) -> Ties:
        """Return the ties with only this part of each row's left; `rows` in any order, each once."""
        if not self.codes.size:
            return self
        first = np.searchsorted(self.codes, rows << _SHIFT)
        lengths = np.searchsorted(self.codes, (rows + 1) << _SHIFT) - first
        places = spread(first, lengths)
        amounts = self.amounts.copy()
        amounts[places] *= np.repeat(kept, lengths)
        return Ties(self.codes, amounts, self.sources)

    def gained(self, rows: Sequence[int], sources: Sequence[SourceId], stories: Sequence[int]) -> Ties:
        """Return the ties after these stories (of present evidence); of each key the faintest are let go."""
        ties = self.knowing(sources)
        known = {source: place for place, source in enumerate(ties.sources)}
        places = np.array([known[source] for source in sources], dtype=np.int64)
        gained: Ints = (np.array(rows, dtype=np.int64) << _SHIFT) + places
        codes, inverse = np.unique(gained, return_inverse=True)
        gains = np.bincount(inverse, weights=np.array(stories, dtype=np.float64))
        at = np.searchsorted(ties.codes, codes)
        old = np.zeros(codes.size, dtype=np.bool_)
        inside = at < ties.codes.size
        old[inside] = ties.codes[at[inside]] == codes[inside]
        amounts = ties.amounts.copy()
        amounts[at[old]] += gains[old]
        new = ~old
        codes, at, gains = codes[new], at[new], gains[new]
        grown = Ties(np.insert(ties.codes, at, codes), np.insert(amounts, at, gains), ties.sources)
        return grown._kept(np.unique(codes >> _SHIFT))

    def knowing(self, sources: Iterable[SourceId]) -> Ties:
        """Return the ties with places for these sources, too."""
        wanted = {*self.sources, *sources}
        if len(wanted) == len(self.sources):
            return self
        names = tuple(sorted(wanted))
        known = {source: place for place, source in enumerate(names)}
        places = np.array([known[source] for source in self.sources], dtype=np.int64)
        codes = (self.codes >> _SHIFT << _SHIFT) + places[self.codes & _PLACE] if self.codes.size else self.codes
        return Ties(codes, self.amounts, names)

    def _kept(self, rows: Ints) -> Ties:
        """Return the ties with no more than FEEDERS for each of these rows."""
        first = np.searchsorted(self.codes, rows << _SHIFT)
        crowded = rows[np.searchsorted(self.codes, (rows + 1) << _SHIFT) - first > FEEDERS]
        ties = self
        for row in crowded.tolist():
            ties = ties.replaced(row, sorted(ties.of(row), key=lambda tie: (-tie[1], tie[0]))[:FEEDERS])
        return ties

    def replaced(self, row: int, fed: Sequence[tuple[SourceId, float]]) -> Ties:
        """Return the ties with these for one row."""
        ties = self.knowing(source for source, _ in fed)
        places = np.array([ties.sources.index(source) for source, _ in sorted(fed)], dtype=np.int64)
        first, end = np.searchsorted(ties.codes, (row << _SHIFT, (row + 1) << _SHIFT)).tolist()
        amounts = np.array([amount for _, amount in sorted(fed)], dtype=np.float64)
        return Ties(
            np.concatenate([ties.codes[:first], (row << _SHIFT) + places, ties.codes[end:]]),
            np.concatenate([ties.amounts[:first], amounts, ties.amounts[end:]]),
            ties.sources,
        )

    def shares(self, sources: Collection[SourceId], rows: int) -> tuple[Floats, Floats]:
        """Return for each of so many rows what all sources brought it, and what these did."""
        named = np.array([source in sources for source in self.sources], dtype=np.bool_)
        of, mine = self.codes >> _SHIFT, named[self.codes & _PLACE] if self.codes.size else slice(0)
        total = np.bincount(of, weights=self.amounts, minlength=rows)
        part = np.bincount(of[mine], weights=self.amounts[mine], minlength=rows)
        return total.astype(np.float64), part.astype(np.float64)


NO_TIES = Ties(np.zeros(0, dtype=np.int64), np.zeros(0), ())


def ties_from(fed: Sequence[tuple[int, SourceId, float]]) -> Ties:
    """Return the ties of (row, source, stories)."""
    ties = NO_TIES.knowing({source for _, source, _ in fed})
    known = {source: place for place, source in enumerate(ties.sources)}
    codes = np.array([(row << _SHIFT) + known[source] for row, source, _ in fed], dtype=np.int64)
    order = np.argsort(codes, kind="stable")
    return Ties(codes[order], np.array([amount for *_, amount in fed], dtype=np.float64)[order], ties.sources)


def spread(first: Ints, lengths: Ints) -> Ints:
    """Return all places of these ranges, one range after another."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if ends.size else 0
    places: Ints = np.arange(total) + np.repeat(first - (ends - lengths), lengths)
    return places
