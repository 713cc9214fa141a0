"""Where the needle stands: what the API and the metrics show of the detector's state."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor.core.detect.baseline import SETTLED
from monitor.core.detect.budget import WINDOWS
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.learning import blinded
from monitor.core.detect.state import KeyState, State
from monitor.core.detect.windows import Tally, bucket_of, moment_of, tallies
from monitor.core.keys import group_of
from monitor.ports import KeyLevel, WindowLevel
from monitor.types import BUCKET, Key


def levels(state: State, now: datetime) -> tuple[KeyLevel, ...]:
    """Return every key with its windows that end now, in order of key."""
    return tuple(_level(state, key, state.keys[key], now) for key in sorted(state.keys))


def expected(state: State, key: Key, since: datetime, span: timedelta) -> float | None:
    """Return the calibrated negative stories that are normal in the span from `since`, by today's baseline.

    None for a key that has never been heard of.
    """
    record, group = state.keys.get(key), state.groups.get(group_of(key))
    if record is None or group is None:
        return None
    rate = record.level.surge(group, state.pulse.hour)
    return rate.mean * group.season.span(bucket_of(since), bucket_of(since + span))


def _level(state: State, key: Key, record: KeyState, now: datetime) -> KeyLevel:
    group, last = state.groups[group_of(key)], bucket_of(now)
    rate = record.level.surge(group, state.pulse.hour)
    totals = (
        [Tally()] * len(WINDOWS)
        if state.pulse.model is None
        else tallies(state.tracks.get(key, ()), state.pulse.model, last, 0, WINDOWS)
    )
    young = group.settled < SETTLED or last - record.since < SETTLED * BUCKETS
    return KeyLevel(
        key=key,
        surging=record.firing is not None,
        blind=blinded(state.keys, record),
        learning_since=moment_of(record.since) if young else None,
        windows=tuple(
            WindowLevel(
                window=length * BUCKET,
                stories=total.stories,
                negative=total.weight,
                expected=rate.mean * group.season.span(last + 1 - length, last + 1),
            )
            for length, total in zip(WINDOWS, totals, strict=True)
        ),
    )
