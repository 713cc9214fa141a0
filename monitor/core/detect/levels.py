"""Where the needle stands, for people and metrics: what each key shows now beside what is normal for this hour."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor.core.detect.baseline import CAUTIOUS, moments
from monitor.core.detect.budget import WINDOWS
from monitor.core.detect.learning import blinded
from monitor.core.detect.state import KeyState, State
from monitor.core.detect.windows import bucket_of, moment_of, tally
from monitor.core.keys import group_of
from monitor.ports import KeyLevel, WindowLevel
from monitor.types import BUCKET, Key, ModelId


def levels(state: State, now: datetime) -> list[KeyLevel]:
    """Return the level of each known key, in order of its name."""
    return [_level(state, key, record, now) for key, record in sorted(state.keys.items())]


def expected(state: State, key: Key, since: datetime, span: timedelta) -> float | None:
    """Return the calibrated negative stories that are normal for a key in [since, since + span), as known now.

    None for a key that is not known.
    """
    record = state.keys.get(key)
    if record is None:
        return None
    first = bucket_of(since)
    return _expected(state, key, record, first, first + max(1, span // BUCKET))


def _expected(state: State, key: Key, record: KeyState, first: int, end: int) -> float:
    group = state.groups[group_of(key)]
    mean, _ = moments(group, 0, first, end, record.level.surge(group, state.pulse.hour))
    return mean * group.unit


def _level(state: State, key: Key, record: KeyState, now: datetime) -> KeyLevel:
    group, last = state.groups[group_of(key)], bucket_of(now)
    model = state.pulse.model or ModelId("")
    windows = []
    for length in WINDOWS:
        total = tally(state.tracks.get(key, ()), model, last - length + 1, last)
        windows.append(
            WindowLevel(
                window=length * BUCKET,
                stories=total.stories,
                negative=total.weight,
                expected=_expected(state, key, record, last - length + 1, last + 1),
            )
        )
    return KeyLevel(
        key=key,
        surging=record.firing is not None,
        blind=blinded(state.keys, record),
        learning_since=moment_of(record.since) if group.watched < CAUTIOUS else None,
        windows=tuple(windows),
    )
