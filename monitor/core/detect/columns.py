"""The keys as columns: a row for each key in numpy arrays, so that an hour is learned for all of them at once.

Looked at from outside, `Keys` is a mapping of key to `KeyState`. A draft takes a `twin` and writes through `own`, which
copies a column before its first change: the columns that are only read stay shared with the state they came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.core.detect.baseline import Floats, Level, fades
from monitor.core.detect.ties import NO_TIES, Ints, ties_from
from monitor.core.keys import group_of, source_key
from monitor.types import Key, SourceId

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Firing:
    """A surge that has been told and is not over."""

    since: int  # bucket of the moment it was raised
    window: int  # index of the window that was least likely
    chance: float  # the least chance seen
    stories: int  # the most negative stories seen in one window
    share: bool  # told for its share, not its count
    calm: int | None = None  # bucket since which the window is back to normal
    held: int = (
        -1
    )  # bucket before which it is not over: a new model calls the window calm, and the news has not changed


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key: what it is like, and what has been told about it."""

    since: int  # the earliest bucket it has news of
    level: Level
    firing: Firing | None = None
    told: int = -1  # stories up to this bucket belong to a surge that is over: they are never told again
    heard: int = 0  # source keys: bucket of the moment of the last arrival
    blind: bool = False  # source keys: silent for too long
    fed: tuple[tuple[SourceId, float], ...] = ()  # stories that its sources brought, forgotten up to `level.at`


@dataclass(frozen=True, slots=True)
class Ear:
    """A source key: when it was last heard, and whether it has been silent for too long."""

    heard: int
    blind: bool = False


class Roster:
    """Which key stands in which row. Rows are given in order of arrival and never change; a new key makes a new roster.

    kind   for each row the place of its group's name in `kinds`
    order  rows in order of key, as far as they have been sorted
    """

    __slots__ = ("kind", "kinds", "names", "order", "rows")

    def __init__(self, names: Sequence[Key] = (), former: Roster | None = None) -> None:
        """Take the rows of the `former` roster over, and add these names."""
        self.rows: dict[Key, int] = dict(former.rows) if former else {}
        self.names: list[Key] = list(former.names) if former else []
        kinds: dict[str, int] = {kind: place for place, kind in enumerate(former.kinds)} if former else {}
        for name in names:
            self.rows[name] = len(self.names)
            self.names.append(name)
        found = [kinds.setdefault(group_of(name), len(kinds)) for name in names]
        self.kinds: tuple[str, ...] = tuple(kinds)
        more = np.array(found, dtype=np.int16)
        self.kind: npt.NDArray[np.int16] = np.concatenate([former.kind, more]) if former else more
        self.order: npt.NDArray[np.int32] = former.order if former else np.zeros(0, dtype=np.int32)

    def members(self) -> dict[str, Ints]:
        """Return the rows of each group, in order of key: so their sums are the same, to the last bit."""
        if self.order.size < len(self.names):
            rows = [*self.order.tolist(), *range(self.order.size, len(self.names))]
            self.order = np.array(sorted(rows, key=self.names.__getitem__), dtype=np.int32)
        order = self.order.astype(np.int64)
        kind = self.kind[order]
        return {name: order[kind == place] for place, name in sorted(enumerate(self.kinds), key=lambda each: each[1])}


COLUMNS = ("since", "at", "weight", "stories", "debt", "told")


class Keys(Mapping[Key, KeyState]):
    """All keys: learned things in columns, what few keys have (surges, sources' silence, feeders) beside them."""

    __slots__ = ("_owned", "at", "debt", "ears", "firing", "roster", "since", "stories", "ties", "told", "weight")

    def __init__(self) -> None:
        self.roster = Roster()
        self.since = np.zeros(0, dtype=np.int32)
        self.at = np.zeros(0, dtype=np.int32)
        self.weight = np.zeros(0)
        self.stories = np.zeros(0)
        self.debt = np.zeros(0)
        self.told = np.zeros(0, dtype=np.int32)
        self.firing: dict[int, Firing] = {}
        self.ears: dict[int, Ear] = {}  # of all source keys
        self.ties = NO_TIES
        self._owned: set[str] = set()

    def twin(self) -> Keys:
        """Return a copy that can be written to; it shares whatever is not written."""
        twin = Keys()
        for name in ("roster", *COLUMNS, "firing", "ears", "ties"):
            setattr(twin, name, getattr(self, name))
        return twin

    def own(self, name: str) -> Any:
        """Return a column, or a mapping of rows, to write to."""
        if name not in self._owned:
            setattr(self, name, getattr(self, name).copy())
            self._owned.add(name)
        return getattr(self, name)

    def __getitem__(self, key: Key) -> KeyState:
        row = self.roster.rows[key]
        ear = self.ears.get(row)
        return KeyState(
            since=int(self.since[row]),
            level=self.level(row),
            firing=self.firing.get(row),
            told=int(self.told[row]),
            heard=ear.heard if ear else 0,
            blind=ear is not None and ear.blind,
            fed=self.ties.of(row),
        )

    def __contains__(self, key: object) -> bool:
        return key in self.roster.rows

    def __iter__(self) -> Iterator[Key]:
        return iter(self.roster.names)

    def __len__(self) -> int:
        return len(self.roster.names)

    def named(self, rows: Iterable[int]) -> frozenset[Key]:
        """Return the keys of these rows."""
        return frozenset(self.roster.names[row] for row in rows)

    def level(self, row: int) -> Level:
        """Return what one key has shown."""
        return Level(int(self.at[row]), float(self.weight[row]), float(self.stories[row]), float(self.debt[row]))

    def put(self, key: Key, record: KeyState) -> None:
        """Put one key's record in place; a new key gets a row."""
        if key not in self.roster.rows:
            self.add([key], [record.since], [record.level])
        row, level = self.roster.rows[key], record.level
        values: dict[str, float] = {
            "since": record.since,
            "told": record.told,
            "at": level.at,
            "weight": level.weight,
            "stories": level.stories,
            "debt": level.debt,
        }
        for name, value in values.items():
            if getattr(self, name)[row] != value:
                self.own(name)[row] = value
        self._put(row, "firing", record.firing)
        if key.startswith("source:"):
            self._put(row, "ears", Ear(record.heard, record.blind))
        if self.ties.of(row) != record.fed:
            self.ties = self.ties.replaced(row, record.fed)

    def _put(self, row: int, name: str, value: Firing | Ear | None) -> None:
        if getattr(self, name).get(row) != value:
            if value is None:
                del self.own(name)[row]
            else:
                self.own(name)[row] = value

    def add(self, names: Sequence[Key], since: Sequence[int], levels: Sequence[Level]) -> None:
        """Give rows to new keys."""
        self.roster = Roster(names, self.roster)
        columns: dict[str, list[float]] = {
            "since": list(since),
            "at": [level.at for level in levels],
            "weight": [level.weight for level in levels],
            "stories": [level.stories for level in levels],
            "debt": [level.debt for level in levels],
            "told": [-1] * len(names),
        }
        for name, values in columns.items():
            former = getattr(self, name)
            setattr(self, name, np.concatenate([former, np.array(values, dtype=former.dtype)]))
            self._owned.add(name)
        for name in names:
            if name.startswith("source:"):
                self.own("ears")[self.roster.rows[name]] = Ear(0)

    def age(self, rows: Ints, hour: int) -> None:
        """Let the evidence of these rows (each named once) count as it does at a later hour."""
        spans = hour - self.at[rows]
        old = rows[spans != 0]
        if not old.size:
            return
        kept = fades(hour - self.at[old])
        for name in ("weight", "stories", "debt"):
            self.own(name)[old] *= kept
        self.ties = self.ties.faded(old, kept)
        self.own("at")[old] = hour

    def blind(self) -> Flags:
        """Tell of each row whether it sees nothing: a silent source, or one that such sources brought half of."""
        silent = [row for row, ear in self.ears.items() if ear.blind]
        blind: Flags = np.zeros(len(self), dtype=np.bool_)
        if silent:
            names = {SourceId(self.roster.names[row].partition(":")[2]) for row in silent}
            total, dark = self.ties.shares(names, len(self))
            blind = (total > 0.0) & (total <= 2.0 * dark)
            blind[silent] = True
        return blind

    def blinded(self, row: int) -> bool:
        """As `blind`, of one row."""
        ear = self.ears.get(row)
        if ear is not None and ear.blind:
            return True
        total = dark = 0.0
        for source, amount in self.ties.of(row):
            total += amount
            feeder = self.ears.get(self.roster.rows.get(source_key(source), -1))
            if feeder is not None and feeder.blind:
                dark += amount
        return 0.0 < total <= 2.0 * dark

    def aged(self, rows: Ints, hour: int) -> tuple[Floats, Floats, Floats]:
        """Return weight, stories and debt of these rows, as they count at this hour."""
        kept = fades(hour - self.at[rows])
        return self.weight[rows] * kept, self.stories[rows] * kept, self.debt[rows] * kept


def keys_of(records: Sequence[tuple[Key, KeyState]]) -> Keys:
    """Return these keys as columns."""
    keys = Keys()
    keys.add([key for key, _ in records], [each.since for _, each in records], [each.level for _, each in records])
    keys.told[:] = [each.told for _, each in records]
    for row, (key, record) in enumerate(records):
        if record.firing is not None:
            keys.firing[row] = record.firing
        if key.startswith("source:"):
            keys.ears[row] = Ear(record.heard, record.blind)
    keys.ties = ties_from([(row, *tie) for row, (_, record) in enumerate(records) for tie in record.fed])
    return keys.twin()
