"""The last day of all keys: cells of five minutes in sorted layers, from which many windows are summed at once.

A layer never changes. What comes is laid on top; small layers are put together as they gather, and all of them once an
hour. It does not matter in which order anything is added up, because weights are multiples of a power of two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from monitor.core.detect.baseline import Floats
from monitor.core.detect.ties import Ints, spread
from monitor.core.detect.windows import Cell, Track, bucket_of
from monitor.types import Key, ModelId, Origin, Rollup, SourceId, Timeliness

SHIFT = 24  # a code is a row's number and a bucket's, the latter in this many bits: until the year 2129
BUCKETS_OF = (1 << SHIFT) - 1  # the part of a code that is the bucket
_STEP = 4  # a layer is put together with the next as soon as it is not this many times larger
_SPARE = 1000  # numbers of voices that may lie idle

Small: TypeAlias = npt.NDArray[np.int32]
Column: TypeAlias = npt.NDArray[Any]
Kind: TypeAlias = "tuple[ModelId, bool]"  # the model that counted, and whether only the day is known


class Voices:
    """Who brings stories: a number for each publisher and source. A number never changes, so that states share them."""

    def __init__(self) -> None:
        self.names: list[tuple[str, SourceId]] = []
        self._numbers: dict[tuple[str, SourceId], int] = {}

    def numbers(self, origins: Iterable[Origin]) -> Ints:
        """Return the numbers of publishers and the sources that they came through."""
        return np.array([self.number(origin.publisher, origin.source) for origin in origins], dtype=np.int64)

    def number(self, publisher: str, source: SourceId) -> int:
        """Return the number of a publisher who came through a source."""
        number = self._numbers.setdefault((publisher, source), len(self.names))
        if number == len(self.names):
            self.names.append((publisher, source))
        return number


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Cells in order of code, each once, and who brought them.

    codes                      ascending
    stories, negative, weight  running sums that begin with 0: what a range holds is one difference
    whose                      ascending: the codes of the cells that `voices` brought; one voice may bring in parts
    brought, bad               their stories, and how many of those are negative
    """

    codes: Ints
    stories: Small
    negative: Small
    weight: Floats
    whose: Ints
    voices: Small
    brought: Small
    bad: Small

    def sums(self, low: Ints, high: Ints) -> tuple[Ints, Ints, Floats]:
        """Return stories, negative ones and weight of the cells low..high, both included."""
        first, end = np.searchsorted(self.codes, low), np.searchsorted(self.codes, high, side="right")
        return (
            (self.stories[end] - self.stories[first]).astype(np.int64),
            (self.negative[end] - self.negative[first]).astype(np.int64),
            self.weight[end] - self.weight[first],
        )

    @property
    def cells(self) -> tuple[Column, ...]:
        """Codes, stories, negative ones and weight, cell by cell."""
        return self.codes, np.diff(self.stories), np.diff(self.negative), np.diff(self.weight)

    @property
    def origins(self) -> tuple[Column, ...]:
        """Codes, voices, stories and negative ones, as they were brought."""
        return self.whose, self.voices, self.brought, self.bad

    def since(self, first: int) -> Layer:
        """Return the layer without cells before bucket `first`."""
        kept, whose = (self.codes & BUCKETS_OF) >= first, (self.whose & BUCKETS_OF) >= first
        if kept.all():
            return self
        codes, *sums = (column[kept] for column in self.cells)
        return Layer(codes, *map(_running, sums), *(column[whose] for column in self.origins))


def _running(values: Column) -> Column:
    sums = np.zeros(values.size + 1, dtype=values.dtype)
    np.cumsum(values, out=sums[1:])
    return sums


def _starts(codes: Ints) -> Ints:
    """Return where a new code begins in sorted ones."""
    new = np.ones(codes.size, dtype=np.bool_)
    new[1:] = codes[1:] != codes[:-1]
    return np.flatnonzero(new)


def layer_of(cells: Iterable[Column], origins: Iterable[Column]) -> Layer:
    """Return a layer of gains in any order, which may name a cell more than once.

    cells    codes, stories, negative ones, weight
    origins  codes, voices, stories, negative ones
    """
    codes, stories, negative, weight = cells
    if codes.size > 1:
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        starts = _starts(codes)
        codes = codes[starts]
        stories, negative, weight = (np.add.reduceat(each[order], starts) for each in (stories, negative, weight))
    whose, *others = origins
    if whose.size > 1:
        order = np.argsort(whose, kind="stable")
        whose, *others = whose[order], *(each[order] for each in others)
    voices, brought, bad = others
    return Layer(
        codes,
        _running(stories.astype(np.int32)),
        _running(negative.astype(np.int32)),
        _running(weight.astype(np.float64)),
        whose,
        voices.astype(np.int32),
        brought.astype(np.int32),
        bad.astype(np.int32),
    )


def _together(layers: Sequence[Layer]) -> Layer:
    return layer_of(
        (np.concatenate(columns) for columns in zip(*(layer.cells for layer in layers), strict=True)),
        (np.concatenate(columns) for columns in zip(*(layer.origins for layer in layers), strict=True)),
    )


@dataclass(frozen=True, slots=True)
class Span:
    """The cells of some buckets, in any order; a cell may come in parts."""

    rows: Ints
    buckets: Ints
    stories: Ints
    negative: Ints
    weight: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """What one model counted of one kind: layers, the oldest and greatest first."""

    layers: tuple[Layer, ...] = ()

    def laid(self, layer: Layer) -> Log:
        """Return the log with one more layer on top."""
        layers = [*self.layers, layer]
        while len(layers) > 2 and layers[-2].codes.size < _STEP * layers[-1].codes.size:
            layers[-2:] = [_together(layers[-2:])]
        return Log(tuple(layers))

    def since(self, first: int) -> Log:
        """Return the log as one layer, without cells before bucket `first`."""
        if not self.layers:
            return self
        layer = self.layers[0] if len(self.layers) == 1 else _together(self.layers)
        layer = layer.since(first)
        return Log((layer,) if layer.codes.size else ())

    def sums(self, low: Ints, high: Ints) -> tuple[Ints, Ints, Floats]:
        """Return stories, negative ones and weight of the cells low..high, both included, one for each pair."""
        shape = np.broadcast_shapes(low.shape, high.shape)
        stories, negative, weight = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape)
        for layer in self.layers:
            more = layer.sums(low, high)
            stories += more[0]
            negative += more[1]
            weight += more[2]
        return stories, negative, weight

    def bad_ends(self, low: Ints, high: Ints) -> Ints:
        """Return the codes of all cells with negative stories in these ranges (both ends included), each once."""
        found = [np.zeros(0, dtype=np.int64)]
        for layer in self.layers:
            first, end = np.searchsorted(layer.codes, low), np.searchsorted(layer.codes, high, side="right")
            places = spread(first, end - first)
            found.append(layer.codes[places[layer.negative[places + 1] > layer.negative[places]]])
        return np.unique(np.concatenate(found))

    def span(self, first: int, last: int) -> Span:
        """Return the cells of buckets first..last."""
        parts = []
        for layer in self.layers:
            buckets = layer.codes & BUCKETS_OF
            chosen = np.flatnonzero((buckets >= first) & (buckets <= last))
            sums = (layer.stories, layer.negative, layer.weight)
            parts.append((layer.codes[chosen], *(column[chosen + 1] - column[chosen] for column in sums)))
        if not parts:
            none = np.zeros(0, dtype=np.int64)
            return Span(none, none, none, none, np.zeros(0))
        codes, stories, negative, weight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return Span(codes >> SHIFT, codes & BUCKETS_OF, stories, negative, weight)

    def brought(self, first: int, last: int) -> tuple[Ints, Small, Small]:
        """Return rows, voices and stories of what was brought in buckets first..last."""
        parts = [(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))]
        for layer in self.layers:
            buckets = layer.whose & BUCKETS_OF
            chosen = np.flatnonzero((buckets >= first) & (buckets <= last))
            parts.append((layer.whose[chosen] >> SHIFT, layer.voices[chosen], layer.brought[chosen]))
        rows, voices, stories = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return rows, voices, stories


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The cells of the last day, of every model that counted in it; those of whole days apart."""

    logs: Mapping[Kind, Log] = field(default_factory=dict)
    voices: Voices = field(default_factory=Voices)

    def log(self, model: ModelId | None, *, daily: bool = False) -> Log:
        """Return what one model counted: of stories whose time is known, or of those of whole days."""
        return self.logs.get((model or ModelId(""), daily), _EMPTY)

    def laid(self, layers: Mapping[Kind, Layer]) -> Windows:
        """Return the windows with more on top."""
        more = {kind: self.logs.get(kind, _EMPTY).laid(layer) for kind, layer in layers.items()}
        return Windows({**self.logs, **more}, self.voices)

    def since(self, first: int) -> Windows:
        """Return the windows without cells before bucket `first`, and without voices that are heard no more."""
        logs = {kind: kept for kind, log in self.logs.items() if (kept := log.since(first)).layers}
        heard = np.zeros(len(self.voices.names), dtype=np.bool_)
        for log in logs.values():
            heard[log.layers[0].voices] = True
        if heard.size <= 2 * heard.sum() + _SPARE:
            return Windows(logs, self.voices)
        voices = Voices()
        numbers = np.zeros(heard.size, dtype=np.int32)
        numbers[heard] = [voices.number(*self.voices.names[number]) for number in np.flatnonzero(heard).tolist()]
        return Windows({kind: Log((_renumbered(log.layers[0], numbers),)) for kind, log in logs.items()}, voices)

    def track(self, row: int) -> Track:
        """Return the cells of one row."""
        return tuple(
            sorted(
                (cell for kind, log in self.logs.items() for cell in self._cells(row, *kind, log)),
                key=lambda cell: (cell.bucket, cell.model, cell.daily),
            )
        )

    def _cells(self, row: int, model: ModelId, daily: bool, log: Log) -> list[Cell]:
        sums: dict[int, tuple[int, int, float]] = {}
        origins: dict[int, dict[tuple[str, SourceId], tuple[int, int]]] = {}
        for layer in log.layers:
            first, end = np.searchsorted(layer.codes, (row << SHIFT, (row + 1) << SHIFT)).tolist()
            columns = (layer.stories, layer.negative, layer.weight)
            parts = (np.diff(column[first : end + 1]).tolist() for column in columns)
            for code, stories, negative, weight in zip(layer.codes[first:end].tolist(), *parts, strict=True):
                old = sums.get(code & BUCKETS_OF, (0, 0, 0.0))
                sums[code & BUCKETS_OF] = (old[0] + stories, old[1] + negative, old[2] + weight)
            first, end = np.searchsorted(layer.whose, (row << SHIFT, (row + 1) << SHIFT)).tolist()
            parts = (column[first:end].tolist() for column in (layer.voices, layer.brought, layer.bad))
            for code, voice, brought, bad in zip(layer.whose[first:end].tolist(), *parts, strict=True):
                one = origins.setdefault(code & BUCKETS_OF, {})
                told = one.get(self.voices.names[voice], (0, 0))
                one[self.voices.names[voice]] = (told[0] + brought, told[1] + bad)
        return [Cell(bucket, model, daily, *sums[bucket], _origins(origins.get(bucket, {}))) for bucket in sums]

    def daily_rows(self) -> Ints:
        """Return the rows that have stories of which only the day is known."""
        codes = [layer.codes for (_, daily), log in self.logs.items() if daily for layer in log.layers]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *codes]) >> SHIFT)

    def rows(self) -> Ints:
        """Return the rows that have cells."""
        codes = [layer.codes for log in self.logs.values() for layer in log.layers]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *codes]) >> SHIFT)


_EMPTY = Log()


def _origins(brought: Mapping[tuple[str, SourceId], tuple[int, int]]) -> tuple[Origin, ...]:
    return tuple(
        Origin(publisher=publisher, source=source, stories=stories, negative=negative)
        for (publisher, source), (stories, negative) in sorted(brought.items())
    )


def _renumbered(layer: Layer, numbers: Small) -> Layer:
    voices = numbers[layer.voices]
    columns = (layer.codes, layer.stories, layer.negative, layer.weight, layer.whose)
    return Layer(*columns, voices, layer.brought, layer.bad)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rollups as columns, in their order; `rows` are those of their keys."""

    rollups: Sequence[Rollup]
    rows: Ints
    buckets: Ints
    stories: Ints
    negative: Ints
    weight: Floats

    @property
    def codes(self) -> Ints:
        """The cells they belong to."""
        return (self.rows << SHIFT) | self.buckets

    def layers(self, chosen: npt.NDArray[np.bool_], voices: Voices) -> dict[Kind, Layer]:
        """Return the chosen ones as layers."""
        kinds: dict[Kind, list[int]] = {}
        for place in np.flatnonzero(chosen).tolist():
            rollup = self.rollups[place]
            kinds.setdefault((rollup.model, rollup.timeliness is Timeliness.DAY), []).append(place)
        return {kind: self._layer(places, voices) for kind, places in kinds.items()}

    def _layer(self, places: Sequence[int], voices: Voices) -> Layer:
        brought = [self.rollups[place].origins for place in places]
        origins = [origin for each in brought for origin in each]
        codes = self.codes[places]
        cells = (codes, self.stories[places], self.negative[places], self.weight[places])
        whose = np.repeat(codes, [len(each) for each in brought])
        stories = np.array([origin.stories for origin in origins], dtype=np.int64)
        negative = np.array([origin.negative for origin in origins], dtype=np.int64)
        return layer_of(cells, (whose, voices.numbers(origins), stories, negative))


def batch_of(rollups: Sequence[Rollup], rows: Mapping[Key, int]) -> Batch:
    """Return these rollups as columns."""
    return Batch(
        rollups,
        np.array([rows[each.key] for each in rollups], dtype=np.int64),
        np.array([bucket_of(each.bucket) for each in rollups], dtype=np.int64),
        np.array([each.stories for each in rollups], dtype=np.int64),
        np.array([each.negative for each in rollups], dtype=np.int64),
        np.array([each.weight for each in rollups], dtype=np.float64),
    )


def windows_of(tracks: Iterable[tuple[int, Track]]) -> Windows:
    """Return the windows of rows with these cells."""
    voices = Voices()
    cells: dict[Kind, list[tuple[int, int, int, float]]] = {}
    origins: dict[Kind, list[tuple[int, int, int, int]]] = {}
    for row, track in tracks:
        for cell in track:
            code, kind = (row << SHIFT) | cell.bucket, (cell.model, cell.daily)
            cells.setdefault(kind, []).append((code, cell.stories, cell.negative, cell.weight))
            origins.setdefault(kind, []).extend(
                (code, voices.number(each.publisher, each.source), each.stories, each.negative) for each in cell.origins
            )
    layers = {}
    for kind, several in cells.items():
        brought = np.array(origins[kind], dtype=np.int64).reshape(-1, 4).T
        layers[kind] = layer_of(map(np.array, zip(*several, strict=True)), brought)
    return Windows({}, voices).laid(layers)
