"""What the detector remembers, as one immutable value, and its checkpoint rows.

Learned things and statuses are rows of the checkpoint: `clock`, `group:<group>`, `key:<key>`. The windows are not:
they are the stored rollups of the last day. Adopting a new state is assignment; an old one stays what it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from monitor.core.detect.baseline import Group, Level, dispersion_from
from monitor.core.detect.calendar import ALWAYS_OPEN, BUCKETS, Holidays, Rest, Season, season_from
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


@dataclass(frozen=True, slots=True)
class State:
    """Everything `decide` needs beside its arguments. `sources`, `firing` and `members` are indexes over `keys`."""

    rules: Rules
    pulse: Pulse = field(default_factory=Pulse)
    groups: Mapping[str, Group] = field(default_factory=dict)
    keys: Mapping[Key, KeyState] = field(default_factory=dict)
    tracks: Mapping[Key, Track] = field(default_factory=dict)
    sources: frozenset[Key] = frozenset()
    firing: frozenset[Key] = frozenset()

    def names(self) -> frozenset[str]:
        """Return the names of all checkpoint rows."""
        return frozenset({"clock", *(f"group:{name}" for name in self.groups), *(f"key:{key}" for key in self.keys)})


def fresh(rules: Rules) -> State:
    """Return the state of a detector that has seen nothing."""
    return State(rules)


def dump(state: State, names: Collection[str]) -> dict[str, Json]:
    """Return these checkpoint rows as JSON values. Floats come back from JSON exactly as they were."""
    rows: dict[str, Json] = {}
    for name in names:
        kind, _, rest = name.partition(":")
        if kind == "clock":
            pulse = state.pulse
            rows[name] = asdict(pulse) | {"unlearned": list(pulse.unlearned), "asked": list(pulse.asked)}
        elif kind == "group":
            rows[name] = _dump_group(state.groups[rest])
        else:
            rows[name] = _dump_key(state.keys[Key(rest)])
    return rows


def load(rules: Rules, rows: Mapping[str, Json], rollups: Iterable[Rollup]) -> State:
    """Return the state that these rows and rollups (see `with_windows`) stand for.

    Raises StoreError for a row that this version cannot read.
    """
    pulse, groups, keys = Pulse(), {}, {}
    for name, row in sorted(rows.items()):
        kind, _, rest = name.partition(":")
        try:
            if kind == "clock":
                pulse = _load_pulse(row)
            elif kind == "group":
                groups[rest] = _load_group(row, rules.holidays)
            else:
                keys[Key(rest)] = _load_key(row)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise StoreError(
                f"detector_state: row {name!r} is not what version {STATE_VERSION} of the checkpoint holds "
                f"({error!r}); it was written by another version or changed by hand"
            ) from error
    learned = State(
        rules=rules,
        pulse=pulse,
        groups=groups,
        keys=keys,
        sources=frozenset(key for key in keys if key.startswith("source:")),
        firing=frozenset(key for key, record in keys.items() if record.firing),
    )
    return with_windows(learned, rollups)


def with_windows(state: State, rollups: Iterable[Rollup]) -> State:
    """Return a state whose windows are the stored rollups of the last 25 hours.

    Those that are history, or older than the windows need, are left out.
    """
    return replace(state, tracks=tracks_of(rollups, state.pulse.hour * BUCKETS - KEPT))


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


def _dump_key(key: KeyState) -> Json:
    level, firing = key.level, key.firing
    told: Json = None
    if firing is not None:
        told = [firing.since, firing.window, firing.chance, firing.stories, firing.share, firing.calm, firing.held]
    return {
        "since": key.since,
        "level": [level.at, level.weight, level.stories, level.debt],
        "firing": told,
        "told": key.told,
        "heard": key.heard,
        "blind": key.blind,
        "fed": [[source, amount] for source, amount in key.fed],
    }


def _load_key(row: Any) -> KeyState:
    return KeyState(
        since=row["since"],
        level=Level(*row["level"]),
        firing=Firing(*row["firing"]) if row["firing"] else None,
        told=row["told"],
        heard=row["heard"],
        blind=row["blind"],
        fed=tuple((source, amount) for source, amount in row["fed"]),
    )


def _load_pulse(row: Any) -> Pulse:
    first, end = row["unlearned"]
    return Pulse(**{**row, "unlearned": (first, end), "asked": tuple(row.get("asked", ()))})


@dataclass(slots=True)
class Draft:
    """A state being changed: copied once for one decision, frozen again at its end."""

    rules: Rules
    pulse: Pulse
    groups: dict[str, Group]
    keys: dict[Key, KeyState]
    tracks: dict[Key, Track]
    sources: set[Key]
    firing: set[Key]
    changed: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, state: State) -> Draft:
        return cls(
            state.rules,
            state.pulse,
            dict(state.groups),
            dict(state.keys),
            dict(state.tracks),
            set(state.sources),
            set(state.firing),
        )

    def frozen(self) -> State:
        return State(
            self.rules,
            self.pulse,
            self.groups,
            self.keys,
            self.tracks,
            frozenset(self.sources),
            frozenset(self.firing),
        )

    def set_pulse(self, pulse: Pulse) -> None:
        if pulse != self.pulse:
            self.pulse = pulse
            self.changed.add("clock")

    def set_group(self, name: str, group: Group) -> None:
        self.groups[name] = group
        self.changed.add(f"group:{name}")

    def set_key(self, key: Key, record: KeyState) -> None:
        """Put a key's record in place; its row is written only where something differs."""
        if self.keys.get(key) == record:
            return
        self.keys[key] = record
        self.changed.add(f"key:{key}")
        if key.startswith("source:"):
            self.sources.add(key)
        (self.firing.add if record.firing else self.firing.discard)(key)
