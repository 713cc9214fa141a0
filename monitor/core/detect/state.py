"""What the detector remembers, as one immutable value, and its checkpoint rows.

Learned things and statuses are rows of the checkpoint: `clock`, `record`, `group:<group>`, `key:<key>`. The windows are
not: they are the stored rollups of the last day. Adopting a new state is assignment; an old one stays what it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from monitor.core.detect.baseline import Group, Level, dispersion_from
from monitor.core.detect.calendar import ALWAYS_OPEN, BUCKETS, Holidays, Rest, Season, season_from
from monitor.core.detect.calibration import LEVELS, Record, Spell
from monitor.core.detect.cells import Windows, batch_of
from monitor.core.detect.columns import Firing, Keys, KeyState, keys_of
from monitor.core.detect.ties import Ints
from monitor.core.detect.windows import Track, added, trimmed
from monitor.errors import StoreError
from monitor.types import Json, Key, ModelId, Rollup, SourceId, Timeliness

STATE_VERSION = 1
KEPT = 23 * BUCKETS  # buckets kept before the last closed hour: with the open one, a day at every moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the operator asks for. Budgets are false incidents a week, over all keys together."""

    surges: float = 1.0
    blinds: float = 1.0
    stories: int = 3  # a surge rests on at least so many negative stories
    publishers: int = 2  # of at least so many independent publishers, unless one of them is trusted
    trusted_publishers: frozenset[str] = frozenset()
    trusted_sources: frozenset[SourceId] = frozenset()
    awaited: frozenset[SourceId] | None = None  # sources whose silence means something; None: that of every source
    holidays: Holidays = ALWAYS_OPEN  # of the exchanges whose hours the news keep
    release: float = 10.0  # a surge is over once its window is this many times likelier than what alarms
    hold: int = 6  # buckets for which that must last

    @property
    def asked(self) -> tuple[float, ...]:
        """What the levels at which windows alarm depend on."""
        return self.surges, self.blinds, float(self.stories)

    def __post_init__(self) -> None:
        if self.surges <= 0 or self.blinds <= 0:
            raise ValueError(f"budgets of {self.surges} surges and {self.blinds} blinds a week: expected more than 0")
        if self.stories < 1 or self.publishers < 1 or self.release < 1 or self.hold < 0:
            raise ValueError(
                f"guards of {self.stories} stories and {self.publishers} publishers, release {self.release}, "
                f"hold {self.hold}: expected at least 1, 1, 1 and 0"
            )


@dataclass(frozen=True, slots=True)
class Pulse:
    """The detector's own time, and what holds for all keys."""

    now: int = -1  # second of the last call; -1 before the first
    hour: int = 0  # the first hour, counted since 1970, that is not learned yet
    unlearned: tuple[int, int] = (0, 0)  # hours [from, to) that nobody watched: their news teaches nothing
    awake: int = 0  # bucket since which ticks have come without a gap
    model: ModelId | None = None  # the model that serves
    taught: ModelId | None = None  # the model whose judgements taught what is normal, where that is another one
    changed: int = -1  # bucket of the moment at which it began to
    publisher: str | None = None  # the only publisher ever seen
    publishers: int = 0  # publishers ever seen: none, one, or two for "several"
    solved: int = 0  # keys for which the levels were solved
    asked: tuple[float, ...] = ()  # the budgets and the least number of stories that they were solved for
    surge: float = 0.0  # chance per hour at which a window alarms
    share: float = 0.0
    blind: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything `decide` needs beside its arguments. Two are equal if they stand for the same, in whatever order."""

    rules: Rules
    pulse: Pulse = field(default_factory=Pulse)
    groups: Mapping[str, Group] = field(default_factory=dict)
    keys: Keys = field(default_factory=Keys)
    windows: Windows = field(default_factory=Windows)
    record: Record = field(default_factory=Record)

    @property
    def sources(self) -> frozenset[Key]:
        """The keys that are sources."""
        return self.keys.named(self.keys.ears)

    @property
    def firing(self) -> frozenset[Key]:
        """The keys whose surge has been told and is not over."""
        return self.keys.named(self.keys.firing)

    @property
    def tracks(self) -> dict[Key, Track]:
        """The windows' cells, key by key."""
        return {self.keys.roster.names[row]: self.windows.track(row) for row in self.windows.rows().tolist()}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        mine = self.rules, self.pulse, self.groups, self.record
        theirs = other.rules, other.pulse, other.groups, other.record
        return mine == theirs and self.keys == other.keys and self.tracks == other.tracks

    __hash__ = None  # type: ignore[assignment]  # it holds mappings

    def names(self) -> frozenset[str]:
        """Return the names of all checkpoint rows."""
        return frozenset(
            {"clock", "record", *(f"group:{name}" for name in self.groups), *(f"key:{key}" for key in self.keys)}
        )


def fresh(rules: Rules) -> State:
    """Return the state of a detector that has seen nothing."""
    return State(rules)


def dump(state: State, names: Collection[str]) -> dict[str, Json]:
    """Return these checkpoint rows as JSON values. Floats come back from JSON exactly as they were."""
    rows: dict[str, Json] = {}
    keys: list[Key] = []
    for name in names:
        kind, _, rest = name.partition(":")
        if kind == "clock":
            pulse = state.pulse
            rows[name] = asdict(pulse) | {"unlearned": list(pulse.unlearned), "asked": list(pulse.asked)}
        elif kind == "record":
            rows[name] = _dump_record(state.record)
        elif kind == "group":
            rows[name] = _dump_group(state.groups[rest])
        else:
            keys.append(Key(rest))
    return rows | _dump_keys(state.keys, keys)


def load(rules: Rules, rows: Mapping[str, Json], rollups: Iterable[Rollup]) -> State:
    """Return the state that these rows and rollups (see `with_windows`) stand for.

    Raises StoreError for a row that this version cannot read.
    """
    pulse, groups, record = Pulse(), {}, Record()
    keys: list[tuple[Key, KeyState]] = []
    for name, row in sorted(rows.items()):
        kind, _, rest = name.partition(":")
        try:
            if kind == "clock":
                pulse = _load_pulse(row)
            elif kind == "record":
                record = _load_record(row)
            elif kind == "group":
                groups[rest] = _load_group(row, rules.holidays)
            else:
                keys.append((Key(rest), _load_key(row)))
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise StoreError(
                f"detector_state: row {name!r} is not what version {STATE_VERSION} of the checkpoint holds "
                f"({error!r}); it was written by another version or changed by hand"
            ) from error
    return with_windows(State(rules=rules, pulse=pulse, groups=groups, keys=keys_of(keys), record=record), rollups)


def with_windows(state: State, rollups: Iterable[Rollup]) -> State:
    """Return a state whose windows are the stored rollups of the last 25 hours.

    Those that are history, or older than the windows need, are left out.
    """
    rows, first = state.keys.roster.rows, state.pulse.hour * BUCKETS - KEPT
    recent = [each for each in rollups if each.timeliness is not Timeliness.HISTORY and each.key in rows]
    windows = Windows()
    if recent:
        batch = batch_of(recent, rows)
        windows = windows.laid(batch.layers(batch.buckets >= first, windows.voices))
    return replace(state, windows=windows)


def tracks_of(rollups: Iterable[Rollup], first: int) -> dict[Key, Track]:
    """Return the windows' cells from bucket `first` on; history is in none."""
    tracks: dict[Key, Track] = {}
    for rollup in rollups:
        if rollup.timeliness is not Timeliness.HISTORY:
            tracks[rollup.key] = added(tracks.get(rollup.key, ()), rollup)
    kept = {key: trimmed(track, first) for key, track in tracks.items()}
    return {key: track for key, track in kept.items() if track}


def _dump_group(group: Group) -> Json:
    return {
        "watched": group.watched,
        "recalled": [*sorted(group.recalled)],
        "settled": group.settled,
        "exposure": group.exposure,
        "rate": group.rate,
        "flow": group.flow,
        "weight": group.weight,
        "negative": group.negative,
        "surge": [list(group.surge.squares), list(group.surge.weights)],
        "stream": [list(group.stream.squares), list(group.stream.weights)],
        "season": _dump_season(group.season),
    }


def _dump_season(season: Season) -> Json:
    rest: list[Json] = [list(season.rest.counts), list(season.rest.expected)]
    return [list(season.counts), list(season.watched), season.clustering, rest]


def _load_group(row: Any, holidays: Holidays) -> Group:
    counts, watched, clustering, rest = row["season"]
    fields = ("watched", "settled", "exposure", "rate", "flow", "weight", "negative")
    return Group(
        **{name: row[name] for name in fields},
        recalled=frozenset(row["recalled"]),
        surge=dispersion_from(*row["surge"]),
        stream=dispersion_from(*row["stream"]),
        season=season_from(counts, watched, clustering, Rest(*map(tuple, rest)), holidays),
    )


def _dump_keys(keys: Keys, names: Sequence[Key]) -> dict[str, Json]:
    rows = np.array([keys.roster.rows[name] for name in names], dtype=np.int64)
    columns = (keys.since, keys.at, keys.weight, keys.stories, keys.debt, keys.told)
    dumped: dict[str, Json] = {}
    for name, row, fed, since, at, weight, stories, debt, told in zip(
        names, rows.tolist(), keys.ties.of_all(rows), *(column[rows].tolist() for column in columns), strict=True
    ):
        ear = keys.ears.get(row)
        dumped[f"key:{name}"] = {
            "since": since,
            "level": [at, weight, stories, debt],
            "firing": _dump_firing(keys.firing.get(row)),
            "told": told,
            "heard": ear.heard if ear else 0,
            "blind": ear is not None and ear.blind,
            "fed": [[source, amount] for source, amount in fed],
        }
    return dumped


def _dump_firing(firing: Firing | None) -> Json:
    if firing is None:
        return None
    return [firing.since, firing.window, firing.chance, firing.stories, firing.share, firing.calm, firing.held]


def _load_key(row: Any) -> KeyState:
    at, weight, stories, debt = row["level"]
    return KeyState(
        since=int(row["since"]),
        level=Level(int(at), float(weight), float(stories), float(debt)),
        firing=Firing(*row["firing"]) if row["firing"] else None,
        told=int(row["told"]),
        heard=int(row["heard"]),
        blind=row["blind"],
        fed=tuple(sorted((source, float(amount)) for source, amount in row["fed"])),
    )


def _dump_record(record: Record) -> Json:
    return {
        "hours": record.hours,
        "nominal": list(record.nominal),
        "due": list(record.due),
        "seen": list(record.seen),
        "spells": [[key, spell.step, spell.until] for key, spell in sorted(record.spells.items())],
    }


def _load_record(row: Any) -> Record:
    counted = {name: tuple(map(float, row[name])) for name in ("nominal", "due", "seen")}
    if any(len(values) != len(LEVELS) for values in counted.values()):
        raise ValueError(f"expected {len(LEVELS)} values")
    spells = {Key(key): Spell(step, until) for key, step, until in row["spells"]}
    return Record(hours=int(row["hours"]), spells=spells, **counted)


def _load_pulse(row: Any) -> Pulse:
    first, end = row["unlearned"]
    return Pulse(**{**row, "unlearned": (first, end), "asked": tuple(row.get("asked", ()))})


@dataclass(slots=True)
class Draft:
    """A state being changed, for one decision. What is not changed stays shared with the state it came from."""

    rules: Rules
    pulse: Pulse
    groups: dict[str, Group]
    keys: Keys
    windows: Windows
    record: Record
    changed: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, state: State) -> Draft:
        return cls(state.rules, state.pulse, dict(state.groups), state.keys.twin(), state.windows, state.record)

    def frozen(self) -> State:
        return State(self.rules, self.pulse, self.groups, self.keys, self.windows, self.record)

    def set_pulse(self, pulse: Pulse) -> None:
        if pulse != self.pulse:
            self.pulse = pulse
            self.changed.add("clock")

    def set_record(self, record: Record) -> None:
        self.record = record
        self.changed.add("record")

    def set_group(self, name: str, group: Group) -> None:
        self.groups[name] = group
        self.changed.add(f"group:{name}")

    def set_key(self, key: Key, record: KeyState) -> None:
        """Put a key's record in place; its row is written only where something differs."""
        if self.keys.get(key) != record:
            self.keys.put(key, record)
            self.changed.add(f"key:{key}")

    def touch(self, rows: Ints) -> None:
        """Note that the columns of these rows have changed."""
        names = self.keys.roster.names
        self.changed.update(f"key:{names[row]}" for row in rows.tolist())

    def track(self, key: Key) -> Track:
        """Return the cells of one key."""
        row = self.keys.roster.rows.get(key)
        return () if row is None else self.windows.track(row)
