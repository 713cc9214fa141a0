"""Where the needle stands: what the API and the metrics show of the detector's state."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from monitor.core.detect.baseline import SETTLED, Floats, moments
from monitor.core.detect.budget import WINDOWS, quantile
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.cells import SHIFT
from monitor.core.detect.learning import surge_rates
from monitor.core.detect.state import State
from monitor.core.detect.ties import Ints
from monitor.core.detect.windows import DAY, bucket_of, moment_of
from monitor.core.keys import group_of
from monitor.reading import KeyLevel, Normal, WindowLevel
from monitor.types import BUCKET, Key

BAND = 0.99  # the share of calm spans that stay within what is shown as normal


def levels(state: State, now: datetime) -> tuple[KeyLevel, ...]:
    """Return every key with its windows that end now, in order of key."""
    last, blind = bucket_of(now), state.keys.blind()
    found: list[KeyLevel] = []
    for kind, rows in state.keys.roster.members().items():
        group = state.groups[kind]
        stories, weights = _sums(state, rows, last)
        spans = [group.season.span(last + 1 - length, last + 1) for length in WINDOWS]
        expected = np.outer(surge_rates(state, group, rows).mean, spans)
        columns = zip(stories.tolist(), weights.tolist(), expected.tolist(), strict=True)
        for row, windows in zip(rows.tolist(), columns, strict=True):
            since = int(state.keys.since[row])
            young = group.settled < SETTLED or last - since < SETTLED * BUCKETS
            found.append(
                KeyLevel(
                    key=state.keys.roster.names[row],
                    surging=row in state.keys.firing,
                    blind=bool(blind[row]),
                    learning_since=moment_of(since) if young else None,
                    windows=_windows(*windows),
                )
            )
    return tuple(sorted(found, key=lambda level: level.key))


def _sums(state: State, rows: Ints, last: int) -> tuple[Ints, Floats]:
    """Return stories, and the weight of the negative ones, in the windows of these rows that end with a bucket."""
    high = ((rows << SHIFT) | last)[:, None]
    low = high + 1 - np.array(WINDOWS)
    stories, _, weights = state.windows.log(state.pulse.model).sums(low, high)
    days = [place for place, length in enumerate(WINDOWS) if length >= DAY]
    daily = state.windows.log(state.pulse.model, daily=True).sums(low[:, days], high)
    stories[:, days] += daily[0]
    weights[:, days] += daily[2]
    return stories, weights


def _windows(stories: Sequence[int], weights: Sequence[float], expected: Sequence[float]) -> tuple[WindowLevel, ...]:
    return tuple(
        WindowLevel(window=length * BUCKET, stories=told, negative=weight, expected=normal_)
        for length, told, weight, normal_ in zip(WINDOWS, stories, weights, expected, strict=True)
    )


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
