"""How far a topic has been read, partition by partition, and what of it was there before anybody watched. Pure.

A topic's position in the store is several rows. The row of the partition "" is the *first look*: where each partition
began and ended when the source met the topic. It is committed before anything that is read, and once. The row of each
partition is the offset of the record that comes next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.types import Json, Position, SourceId


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a partition keeps: the offset of its first record, and the one that its next record will get."""

    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where reading goes on: an offset for each partition.

    missing  a sentence for each partition of which records are gone that were not read
    remade   the partitions that are not those which were read before: the topic was deleted and made anew
    """

    offsets: Mapping[int, int]
    missing: tuple[str, ...]
    remade: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Marks:
    """Where one source stands in one topic.

    met    for each partition of the first look, the offset at which reading began and that up to which records were
           there already: they are history. None before the first look.
    next   for each partition, the offset of the record that is handed over next, where one was handed over before
    """

    source: SourceId
    topic: str
    met: dict[int, tuple[int, int]] | None = None
    next: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, source: SourceId, topic: str, resume: Sequence[Position]) -> Marks:
        """Take up stored positions. Those of another topic count for nothing: that was another input."""
        marks = cls(source=source, topic=topic)
        for position in resume:
            value = position.value
            if value.get("topic") != topic:
                continue
            met, offset = value.get("met"), value.get("offset")
            if position.partition == "" and isinstance(met, dict):
                marks.met = {int(partition): _pair(pair) for partition, pair in met.items()}
            elif isinstance(offset, int):
                marks.next[int(position.partition)] = offset
        return marks

    def meet(self, bounds: Mapping[int, Bounds], *, latest: bool) -> Position:
        """Take the first look, and return the position that keeps it.

        What is there by now is history, whether it is read (from the earliest record on) or, with `latest`, skipped.
        """
        self.met = {partition: (each.end if latest else each.first, each.end) for partition, each in bounds.items()}
        return self.look()

    def look(self) -> Position:
        """Return the position that keeps the first look."""
        met: dict[str, Json] = {str(partition): list(pair) for partition, pair in sorted((self.met or {}).items())}
        return Position(source=self.source, value={"topic": self.topic, "met": met})

    def begin(self, bounds: Mapping[int, Bounds]) -> Start:
        """Say where to go on in each partition.

        One that was not there at the first look is read from its beginning: all that is in it is news. So is one that
        was made anew.
        """
        missing: list[str] = []
        remade: list[int] = []
        for partition, kept in sorted(bounds.items()):
            offset = self.offset(partition)
            if offset > kept.end:
                remade.append(partition)
                missing.append(f"partition {partition}: read up to {offset}, and ends at {kept.end}: it was made anew")
                self._forget(partition)
                offset = kept.first
            elif offset < kept.first and self._is_known(partition):
                missing.append(
                    f"partition {partition}: records {offset} to {kept.first - 1} were deleted before they were read"
                )
            self.next[partition] = max(offset, kept.first)
        return Start(
            offsets={partition: self.next[partition] for partition in bounds},
            missing=tuple(missing),
            remade=tuple(remade),
        )

    def offset(self, partition: int) -> int:
        """Return the offset of the record that comes next."""
        met = self.met or {}
        return self.next.get(partition, met.get(partition, (0, 0))[0])

    def is_history(self, partition: int, offset: int) -> bool:
        """Say whether a record was there before the source met the topic."""
        return offset < (self.met or {}).get(partition, (0, 0))[1]

    def advance(self, partition: int, offset: int) -> Position:
        """Note the offset of the record that comes next, and return the position that keeps it."""
        self.next[partition] = offset
        return Position(source=self.source, partition=str(partition), value={"topic": self.topic, "offset": offset})

    def _is_known(self, partition: int) -> bool:
        return partition in self.next or partition in (self.met or {})

    def _forget(self, partition: int) -> None:
        """Take a partition for one that was not there at the first look."""
        self.next.pop(partition, None)
        if self.met is not None:
            self.met.pop(partition, None)


def _pair(value: Json) -> tuple[int, int]:
    match value:
        case [int(begin), int(end)]:
            return begin, end
    raise ValueError(f"found {value!r} in a stored position; expected two offsets")
