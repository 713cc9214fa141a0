"""Where the needle stands: what the API and the metrics show of the detector's state."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime, timedelta

from monitor.core.detect.baseline import SETTLED, moments
from monitor.core.detect.budget import WINDOWS, quantile
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.columns import KeyState
from monitor.core.detect.state import State
from monitor.core.detect.windows import Tally, bucket_of, moment_of, tallies
from monitor.core.keys import group_of
from monitor.reading import KeyLevel, Normal, WindowLevel
from monitor.types import BUCKET, Key

BAND = 0.99  # the share of calm spans that stay within what is shown as normal


def levels(state: State, now: datetime) -> tuple[KeyLevel, ...]:
    """Return every key with its windows that end now, in order of key."""
    return tuple(_level(state, key, state.keys[key], now) for key in sorted(state.keys))


def normal(state: State, key: Key, since: datetime, span: timedelta) -> Normal | None:
    """Return what is normal in the span from `since`, by today's baseline: the past is seen with what is known now.

    The upper end allows for all that the detector allows for: how the group's news clusters, and how sure the rate and
    the season are. None for a key that has never been heard of.
    """
    record, group = state.keys.get(key), state.groups.get(group_of(key))
    if record is None or group is None:
        return None
    first, end = bucket_of(since), bucket_of(since + span)
    window = min(bisect_left(WINDOWS, end - first), len(WINDOWS) - 1)
    mean, excess = moments(group, window, first, end, record.level.surge(group, state.pulse.hour))
    return Normal(expected=mean * group.unit, upper=quantile(BAND, mean, excess) * group.unit)


def _level(state: State, key: Key, record: KeyState, now: datetime) -> KeyLevel:
    group, last = state.groups[group_of(key)], bucket_of(now)
    rate = record.level.surge(group, state.pulse.hour)
    totals = (
        [Tally()] * len(WINDOWS)
        if state.pulse.model is None
        else tallies(state.windows.track(state.keys.roster.rows[key]), state.pulse.model, last, 0, WINDOWS)
    )
    young = group.settled < SETTLED or last - record.since < SETTLED * BUCKETS
    return KeyLevel(
        key=key,
        surging=record.firing is not None,
        blind=state.keys.blinded(state.keys.roster.rows[key]),
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
