"""The last day of one key, in 5-minute cells: what the windows add up. Rebuilt from stored rollups, never saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from monitor.types import BUCKET, EPOCH, ModelId, Origin, Rollup, SourceId

_SECONDS = int(BUCKET.total_seconds())


def bucket_of(moment: datetime) -> int:
    """Return the number of the bucket, counted since 1970, that a moment falls into."""
    return (moment - EPOCH) // BUCKET


def moment_of(bucket: int) -> datetime:
    """Return the moment at which a bucket begins."""
    return EPOCH + timedelta(seconds=bucket * _SECONDS)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one bucket brought a key, by one model. `origins` are ordered by publisher, then source."""

    bucket: int
    model: ModelId
    stories: int
    negative: int
    weight: float
    origins: tuple[Origin, ...]


Track: TypeAlias = tuple[Cell, ...]  # ordered by bucket, then model


@dataclass(frozen=True, slots=True)
class Tally:
    """A window's sums."""

    stories: int = 0
    negative: int = 0
    weight: float = 0.0


def added(track: Track, rollup: Rollup) -> Track:
    """Return the track with a rollup's increments in it."""
    cell = Cell(
        bucket_of(rollup.bucket),
        rollup.model,
        rollup.stories,
        rollup.negative,
        rollup.weight,
        _together(rollup.origins),
    )
    place = len(track)
    while place and (track[place - 1].bucket, track[place - 1].model) >= (cell.bucket, cell.model):
        place -= 1
    if place < len(track) and (track[place].bucket, track[place].model) == (cell.bucket, cell.model):
        return (*track[:place], _merged(track[place], cell), *track[place + 1 :])
    return (*track[:place], cell, *track[place:])


def trimmed(track: Track, first: int) -> Track:
    """Return the track without cells before bucket `first`."""
    place = 0
    while place < len(track) and track[place].bucket < first:
        place += 1
    return track[place:]


def tally(track: Track, model: ModelId, first: int, last: int) -> Tally:
    """Return what one model counted in buckets first..last, both included."""
    return tallies(track, model, last, first, (last - first + 1,))[0]


def tallies(track: Track, model: ModelId, last: int, floor: int, lengths: Sequence[int]) -> list[Tally]:
    """Return what one model counted in windows of these ascending lengths that end with bucket `last`.

    Nothing before bucket `floor` is counted.
    """
    sums: list[Tally] = []
    stories = negative = 0
    weight = 0.0
    place = len(track)
    for length in lengths:
        first = max(last - length + 1, floor)
        while place and track[place - 1].bucket >= first:
            place -= 1
            cell = track[place]
            if cell.bucket <= last and cell.model == model:
                stories += cell.stories
                negative += cell.negative
                weight += cell.weight
        sums.append(Tally(stories, negative, weight))
    return sums


def origins(track: Track, model: ModelId, first: int, last: int) -> list[Origin]:
    """Return who brought the negative stories of buckets first..last."""
    return [origin for cell in within(track, model, first, last) for origin in cell.origins if origin.negative]


def feeders(track: Track, first: int, last: int) -> dict[SourceId, int]:
    """Return how many stories each source brought in buckets first..last, whatever the model."""
    fed: dict[SourceId, int] = {}
    for cell in track:
        if first <= cell.bucket <= last:
            for origin in cell.origins:
                fed[origin.source] = fed.get(origin.source, 0) + origin.stories
    return fed


def within(track: Track, model: ModelId, first: int, last: int) -> Iterator[Cell]:
    """Yield one model's cells of buckets first..last, newest first."""
    for cell in reversed(track):
        if cell.bucket < first:
            return
        if cell.bucket <= last and cell.model == model:
            yield cell


def _origin(origin: Origin) -> tuple[str, str]:
    return origin.publisher, origin.source


def _together(brought: Sequence[Origin]) -> tuple[Origin, ...]:
    """Return one origin for each publisher and source, in their order."""
    both: dict[tuple[str, str], Origin] = {}
    for origin in brought:
        known = both.get(_origin(origin))
        both[_origin(origin)] = (
            origin
            if known is None
            else replace(known, stories=known.stories + origin.stories, negative=known.negative + origin.negative)
        )
    return tuple(both[name] for name in sorted(both))


def _merged(one: Cell, other: Cell) -> Cell:
    return replace(
        one,
        stories=one.stories + other.stories,
        negative=one.negative + other.negative,
        weight=one.weight + other.weight,
        origins=_together(one.origins + other.origins),
    )
