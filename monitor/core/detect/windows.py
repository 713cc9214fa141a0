"""The last day of one key, in 5-minute cells: what the windows add up. Rebuilt from stored rollups, never saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from monitor.types import BUCKET, EPOCH, ModelId, Origin, Rollup, SourceId, Timeliness

_SECONDS = int(BUCKET.total_seconds())
DAY = 288  # buckets: no shorter window holds stories of which only the day is known


def bucket_of(moment: datetime) -> int:
    """Return the number of the bucket, counted since 1970, that a moment falls into."""
    return (moment - EPOCH) // BUCKET


def moment_of(bucket: int) -> datetime:
    """Return the moment at which a bucket begins."""
    return EPOCH + timedelta(seconds=bucket * _SECONDS)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one bucket brought a key, by one model. `origins` are ordered by publisher, then source.

    Stories of which only the day is known lie apart, in `daily` cells of the day's last bucket.
    """

    bucket: int
    model: ModelId
    daily: bool
    stories: int
    negative: int
    weight: float
    origins: tuple[Origin, ...]


Track: TypeAlias = tuple[Cell, ...]  # ordered by bucket, then model, then daily


@dataclass(frozen=True, slots=True)
class Tally:
    """A window's sums."""

    stories: int = 0
    negative: int = 0
    weight: float = 0.0

    def plus(self, other: Tally | Cell) -> Tally:
        """Return both together."""
        return Tally(self.stories + other.stories, self.negative + other.negative, self.weight + other.weight)


def added(track: Track, rollup: Rollup) -> Track:
    """Return the track with a rollup's increments in it."""
    cell = Cell(
        bucket_of(rollup.bucket),
        rollup.model,
        rollup.timeliness is Timeliness.DAY,
        rollup.stories,
        rollup.negative,
        rollup.weight,
        _together(rollup.origins),
    )
    place = len(track)
    while place and _place(track[place - 1]) >= _place(cell):
        place -= 1
    if place < len(track) and _place(track[place]) == _place(cell):
        return (*track[:place], _merged(track[place], cell), *track[place + 1 :])
    return (*track[:place], cell, *track[place:])


def trimmed(track: Track, first: int) -> Track:
    """Return the track without cells before bucket `first`."""
    place = 0
    while place < len(track) and track[place].bucket < first:
        place += 1
    return track[place:]


def tally(track: Track, model: ModelId, first: int, last: int, *, daily: bool = True) -> Tally:
    """Return what one model counted in buckets first..last, both included; see `within` for `daily`."""
    cells = tuple(within(track, model, first, last, daily=daily))
    return Tally(
        sum(cell.stories for cell in cells), sum(cell.negative for cell in cells), sum(c.weight for c in cells)
    )


def tallies(track: Track, model: ModelId, last: int, floor: int, lengths: Sequence[int]) -> list[Tally]:
    """Return what one model counted in windows of these ascending lengths that end with bucket `last`.

    Nothing before bucket `floor` is counted, and the stories of whole days only in windows of a day or more.
    """
    sums: list[Tally] = []
    timed, daily = Tally(), Tally()
    place = len(track)
    for length in lengths:
        first = max(last - length + 1, floor)
        while place and track[place - 1].bucket >= first:
            place -= 1
            cell = track[place]
            if cell.bucket <= last and cell.model == model:
                if cell.daily:
                    daily = daily.plus(cell)
                else:
                    timed = timed.plus(cell)
        sums.append(timed.plus(daily) if length >= DAY else timed)
    return sums


def origins(track: Track, model: ModelId, first: int, last: int, *, daily: bool = True) -> list[Origin]:
    """Return who brought the negative stories of buckets first..last; see `within` for `daily`."""
    cells = within(track, model, first, last, daily=daily)
    return [origin for cell in cells for origin in cell.origins if origin.negative]


def feeders(track: Track, first: int, last: int) -> dict[SourceId, int]:
    """Return how many stories each source brought in buckets first..last, whatever the model."""
    fed: dict[SourceId, int] = {}
    for cell in track:
        if first <= cell.bucket <= last:
            for origin in cell.origins:
                fed[origin.source] = fed.get(origin.source, 0) + origin.stories
    return fed


def within(track: Track, model: ModelId, first: int, last: int, *, daily: bool = True) -> Iterator[Cell]:
    """Yield one model's cells of buckets first..last, newest first; those of whole days only if `daily`."""
    for cell in reversed(track):
        if cell.bucket < first:
            return
        if cell.bucket <= last and cell.model == model and (daily or not cell.daily):
            yield cell


def _place(cell: Cell) -> tuple[int, ModelId, bool]:
    return cell.bucket, cell.model, cell.daily


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
