"""Which sources feed which key: few for each, so they are kept apart from the columns, in order of row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.core.detect.baseline import Floats
from monitor.types import SourceId

FEEDERS = 8  # sources that are remembered for one key
_SHIFT = 20  # a code is a row's number and a source's, in this many bits
_PLACE = (1 << _SHIFT) - 1
_NARROW = 1 << 16  # up to so many sources, a place takes two bytes

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """How many stories each source brought each key, forgotten as the key's level is; in single precision.

    ends     where the ties of each row end, and so those of the next begin
    places   of the sources of a row, ascending; as narrow as can be
    amounts  stories
    sources  in order of name, so that whoever adds amounts up comes to the same sum, to the last bit
    """

    ends: npt.NDArray[np.int32]
    places: npt.NDArray[Any]
    amounts: npt.NDArray[np.float32]
    sources: tuple[SourceId, ...]

    def of(self, row: int) -> tuple[tuple[SourceId, float], ...]:
        """Return one row's sources with what they brought, in order of name."""
        if row >= self.ends.size:
            return ()
        first, end = int(self.ends[row - 1]) if row else 0, int(self.ends[row])
        names = map(self.sources.__getitem__, self.places[first:end].tolist())
        return tuple(zip(names, self.amounts[first:end].tolist(), strict=True))

    def of_all(self, rows: Ints) -> list[list[tuple[SourceId, float]]]:
        """As `of`, of many rows."""
        first, lengths = self.ranges(rows)
        every = spread(first, lengths)
        names = map(self.sources.__getitem__, self.places[every].tolist())
        ties = zip(names, self.amounts[every].tolist(), strict=True)
        return [list(islice(ties, length)) for length in lengths.tolist()]

    def faded(self, rows: Ints, kept: Floats) -> Ties:
        """Return the ties with only this part of each row's left; `rows` in any order, each once."""
        first, lengths = self.ranges(rows)
        every = spread(first, lengths)
        if not every.size:
            return self
        amounts = self.amounts.copy()
        amounts[every] = self.amounts[every] * np.repeat(kept, lengths)
        return Ties(self.ends, self.places, amounts, self.sources)

    def gained(self, rows: Ints, which: Ints, stories: Ints, names: Sequence[SourceId]) -> Ties:
        """Return the ties after these stories (of present evidence) of `names[which]`; the faintest are let go."""
        ties = self._knowing(names)
        known = {source: place for place, source in enumerate(ties.sources)}
        places = np.array([known[source] for source in names], dtype=np.int64)
        fed: Ints = (rows << _SHIFT) + places[which]
        codes, inverse = np.unique(fed, return_inverse=True)
        gains = np.bincount(inverse, weights=stories)
        touched = np.unique(codes >> _SHIFT)
        first, lengths = ties.ranges(touched)
        mine = spread(first, lengths)
        both = np.concatenate([(np.repeat(touched, lengths) << _SHIFT) + ties.places[mine], codes])
        amounts = np.concatenate([ties.amounts[mine], gains])
        order = np.argsort(both, kind="stable")
        both, amounts = both[order], amounts[order]
        again = np.flatnonzero(both[1:] == both[:-1])
        amounts[again] += amounts[again + 1]
        once = np.ones(both.size, dtype=np.bool_)
        once[again + 1] = False
        return ties.with_rows(touched, *_strongest(both[once], amounts[once]))

    def with_rows(self, rows: Ints, codes: Ints, amounts: npt.NDArray[Any]) -> Ties:
        """Return the ties with these, in order of code, as all that these ascending rows have."""
        counts = np.zeros(max(self.ends.size, int(rows[-1]) + 1), dtype=np.int64)
        counts[: self.ends.size] = np.diff(self.ends, prepend=0)
        stays = np.ones(counts.size, dtype=np.bool_)
        stays[rows] = False
        old = np.repeat(stays, counts)
        counts[rows] = np.bincount(codes >> _SHIFT, minlength=counts.size)[rows]
        new = np.repeat(~stays, counts)
        places, sums = np.empty(new.size, dtype=self.places.dtype), np.empty(new.size, dtype=np.float32)
        places[new], sums[new] = codes & _PLACE, amounts
        places[~new], sums[~new] = self.places[old], self.amounts[old]
        return Ties(np.cumsum(counts).astype(np.int32), places, sums, self.sources)

    def replaced(self, row: int, fed: Sequence[tuple[SourceId, float]]) -> Ties:
        """Return the ties with these for one row."""
        ties = self._knowing({source for source, _ in fed})
        mine = sorted(((row << _SHIFT) + ties.sources.index(source), amount) for source, amount in fed)
        codes = np.array([code for code, _ in mine], dtype=np.int64)
        return ties.with_rows(np.array([row]), codes, np.array([amount for _, amount in mine], dtype=np.float64))

    def shares(self, sources: Collection[SourceId], rows: int) -> tuple[Floats, Floats]:
        """Return for each of so many rows what all sources brought it, and what these did."""
        named = np.array([source in sources for source in self.sources], dtype=np.bool_)
        of = np.repeat(np.arange(self.ends.size), np.diff(self.ends, prepend=0))
        mine = named[self.places]
        total = np.bincount(of, weights=self.amounts, minlength=rows)
        part = np.bincount(of[mine], weights=self.amounts[mine], minlength=rows)
        return total.astype(np.float64), part.astype(np.float64)

    def ranges(self, rows: Ints) -> tuple[Ints, Ints]:
        """Return where the ties of these rows begin, and how many there are."""
        begins = np.concatenate([[0], self.ends]).astype(np.int64)
        first = begins[np.minimum(rows, self.ends.size)]
        return first, begins[np.minimum(rows + 1, self.ends.size)] - first

    def _knowing(self, sources: Iterable[SourceId]) -> Ties:
        """Return the ties with places for these sources, too."""
        wanted = {*self.sources, *sources}
        if len(wanted) == len(self.sources):
            return self
        names = tuple(sorted(wanted))
        known = {source: place for place, source in enumerate(names)}
        kind = np.uint16 if len(names) <= _NARROW else np.uint32
        places = np.array([known[source] for source in self.sources], dtype=kind)
        return Ties(self.ends, places[self.places], self.amounts, names)


def _strongest(codes: Ints, amounts: Floats) -> tuple[Ints, Floats]:
    """Return of ascending codes, and what they amount to, no more than the FEEDERS greatest of each row."""
    of = codes >> _SHIFT
    order = np.lexsort((codes, -amounts, of))
    ranks = np.arange(order.size) - np.searchsorted(of, of)  # within a row, the greatest first
    kept = np.sort(order[ranks < FEEDERS])
    return codes[kept], amounts[kept]


NO_TIES = Ties(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint16), np.zeros(0, dtype=np.float32), ())


def ties_from(fed: Sequence[tuple[int, SourceId, float]]) -> Ties:
    """Return the ties of (row, source, stories), each row's source once."""
    if not fed:
        return NO_TIES
    rows, sources, stories = zip(*fed, strict=True)
    known = {source: place for place, source in enumerate(sorted(set(sources)))}
    codes = (np.array(rows, dtype=np.int64) << _SHIFT) + np.array([known[source] for source in sources])
    order = np.argsort(codes, kind="stable")
    kind = np.uint16 if len(known) <= _NARROW else np.uint32
    empty = Ties(NO_TIES.ends, np.zeros(0, dtype=kind), NO_TIES.amounts, tuple(known))
    return empty.with_rows(np.unique(codes >> _SHIFT), codes[order], np.array(stories, dtype=np.float64)[order])


def spread(first: Ints, lengths: Ints) -> Ints:
    """Return all places of these ranges, one range after another."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if ends.size else 0
    places: Ints = np.arange(total) + np.repeat(first - (ends - lengths), lengths)
    return places
