"""How an hour becomes experience: it is learned once, as a whole and for all keys, half an hour after its end.

What came of it by then is added to the rates, the season and the clustering of the groups; then the levels at which
windows alarm are solved anew. Peaks beyond those levels count as if they had just reached them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.core.detect.baseline import Floats, Group, Rates, fade, learned_hour, posteriors
from monitor.core.detect.budget import (
    CAUTION,
    SHARE,
    WEEK_HOURS,
    WINDOWS,
    Spending,
    cluster_rates,
    ladder,
    threshold,
)
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.calibration import LEVELS, solve
from monitor.core.detect.columns import Flags
from monitor.core.detect.state import KEPT, Draft, State
from monitor.core.detect.ties import Ints
from monitor.core.detect.windows import DAY

LAG = 6  # buckets that an hour's stragglers have before it is learned
LASTING = 288  # buckets after which a surge is taken for the key's new level
SHARE_STORIES = 20  # stories a window must hold for its share to be tested
SOLVING = 6  # hours after which the levels are solved again though no key has come
RARE = 1e-3  # chance per hour beyond which a count may be bad news, and teaches no clustering beyond that
FIRST_LEVEL = 1e-6  # chance per hour beyond which a count is a peak, before the levels are solved
_NEARLY = 1.0 + 1e-6  # by how much chances worked out together may differ from one worked out alone
_CERTAINTIES = 1024.0  # places on the grid of certainties
_YOUNG = 20.0  # key-hours that the first guess of a group's typical rates counts for


def learn_until(draft: Draft, bucket: int) -> None:
    """Learn every hour that ended at least LAG buckets before this one."""
    while bucket >= (draft.pulse.hour + 1) * BUCKETS + LAG:
        _learn_hour(draft)


def _learn_hour(draft: Draft) -> None:
    hour = draft.pulse.hour
    members = draft.keys.roster.members()
    before = dict(draft.groups)
    exposed = {name: before[name].season.factor(hour * BUCKETS) for name in members}
    learned = _hour(draft)
    for name, rows in members.items():
        draft.set_group(name, _learned_group(draft, before[name], rows, exposed[name], learned))
    _learn_keys(draft, before, members, exposed, learned.gain)
    draft.set_record(draft.record.watched(draft.pulse.surge, hour * BUCKETS))
    draft.set_pulse(replace(draft.pulse, hour=hour + 1))
    for name, rows in members.items():
        draft.set_group(name, _typical(draft, draft.groups[name], rows))
    if draft.pulse.solved != len(draft.keys) or draft.pulse.hour % SOLVING == 0:
        _set_levels(draft, members)


def take_stock(draft: Draft) -> None:
    """Take up what has changed since the last call: what an archive has taught, and what the operator asks for."""
    if draft.pulse.solved == 0 or (draft.pulse.solved > 0 and draft.pulse.asked == draft.rules.asked):
        return
    relevel(draft)


def relevel(draft: Draft) -> None:
    """Set the typical rates, and the levels at which windows alarm, by what the keys are like now."""
    members = draft.keys.roster.members()
    for name, rows in members.items():
        draft.set_group(name, _typical(draft, draft.groups[name], rows))
    _set_levels(draft, members)


def trim(draft: Draft) -> None:
    """Let go of what no window needs any more."""
    draft.windows = draft.windows.since(draft.pulse.hour * BUCKETS - KEPT)


def closing_windows(hour: int) -> list[tuple[int, int, int]]:
    """Return (index, first bucket, end) of the aligned windows that end with or within this hour."""
    end = (hour + 1) * BUCKETS
    windows = [(0, first, first + WINDOWS[0]) for first in range(end - BUCKETS, end, WINDOWS[0])]
    windows += [(i, end - WINDOWS[i], end) for i in (1, 2, 3) if end % WINDOWS[i] == 0]
    return windows


def surge_rates(draft: Draft | State, group: Group, rows: Ints) -> Rates:
    """Return the rates of negative stories, by weight, of these keys of a group at present."""
    weight, _, debt = draft.keys.aged(rows, draft.pulse.hour)
    return posteriors(weight, group.exposure - debt, group.rate, group.surge.factors[3])


def stream_rates(draft: Draft, group: Group, rows: Ints) -> Rates:
    """Return the rates of all stories of these keys of a group at present."""
    _, stories, debt = draft.keys.aged(rows, draft.pulse.hour)
    return posteriors(stories, group.exposure - debt, group.flow, group.stream.factors[3])


@dataclass(frozen=True, slots=True)
class _Gain:
    """What each row gained in some buckets, by the serving model: of stories whose time is known, and of whole days."""

    weight: Floats
    daily_weight: Floats
    stories: Floats
    daily_stories: Floats
    negative: Floats


def _gain(draft: Draft, first: int, last: int) -> _Gain:
    timed, daily = (draft.windows.log(draft.pulse.model, daily=daily).span(first, last) for daily in (False, True))
    rows = len(draft.keys)
    return _Gain(
        _by_row(timed.rows, timed.weight, rows),
        _by_row(daily.rows, daily.weight, rows),
        _by_row(timed.rows, timed.stories, rows),
        _by_row(daily.rows, daily.stories, rows),
        _by_row(timed.rows, timed.negative, rows) + _by_row(daily.rows, daily.negative, rows),
    )


def _by_row(places: Ints, values: npt.NDArray[Any], rows: int) -> Floats:
    return np.bincount(places, weights=values, minlength=rows).astype(np.float64, copy=False)


@dataclass(frozen=True, slots=True)
class _Hour:
    """What is learned at once: the hour itself, and the windows that end with or within it (see `closing_windows`)."""

    gain: _Gain
    closing: Sequence[tuple[tuple[int, int, int], _Gain]]


def _hour(draft: Draft) -> _Hour:
    hour = draft.pulse.hour
    closing = [(window, _gain(draft, window[1], window[2] - 1)) for window in closing_windows(hour)]
    return _Hour(next(gain for (index, *_), gain in closing if index == 1), closing)


def _learned_group(draft: Draft, group: Group, rows: Ints, exposed: float, hours: _Hour) -> Group:
    hour, holidays = draft.pulse.hour, draft.rules.holidays
    if draft.pulse.model is None:
        return learned_hour(group, exposed, hour, 0.0, holidays)
    surge, stream = group.surge, group.stream
    known = group.exposure - draft.keys.aged(rows, hour)[2] > 0.0
    rates, flows = surge_rates(draft, group, rows), stream_rates(draft, group, rows)
    timed = known & ~np.isin(rows, draft.windows.daily_rows())  # when the stories of a day came is unknown
    firing = np.isin(rows, list(draft.keys.firing))
    for (window, first, end), gain in hours.closing:
        span, past = group.season.span(first, end), fade((end - first) / BUCKETS)
        whole = WINDOWS[window] >= DAY
        surged = firing | (draft.keys.told[rows] >= first)  # a surge tells nothing of how calm news clusters
        told = (known if whole else timed) & ~surged
        weights = gain.weight[rows] + gain.daily_weight[rows] if whole else gain.weight[rows]
        stories = gain.stories[rows] + gain.daily_stories[rows] if whole else gain.stories[rows]
        means = np.where(told, rates.mean * span / group.unit, 0.0)
        excess = surge.factors[window] - 1.0 + means / rates.certainty
        counts = _censored(draft, window, np.rint(weights / group.unit), means, excess, rare=RARE)
        surge = surge.learn(window, counts, means, rates.certainty, past)
        means = np.where(told, flows.mean * span, 0.0)
        excess = stream.factors[window] - 1.0 + means / flows.certainty
        counts = _censored(draft, window, stories, means, excess, rare=RARE)
        stream = stream.learn(window, counts, means, flows.certainty, past)
    gain = hours.gain
    stories_, of_day = float(gain.stories[rows].sum()), float(gain.daily_stories[rows].sum())
    return replace(
        learned_hour(group, exposed, hour, stories_, holidays, of_day=of_day),
        surge=surge,
        stream=stream,
        weight=group.weight * fade(1.0) + float((gain.weight[rows] + gain.daily_weight[rows]).sum()),
        negative=group.negative * fade(1.0) + float(gain.negative[rows].sum()),
    )


def _censored(draft: Draft, window: int, counts: Floats, means: Floats, excess: Floats, *, rare: float = 0.0) -> Floats:
    """Take counts beyond what alarms, or is as rare as that (a chance per hour), for such as have just reached it."""
    level = max(draft.pulse.surge or FIRST_LEVEL, rare)
    places = np.flatnonzero((counts >= draft.rules.stories) & (means > 0.0))
    mean, hours = means[places], WINDOWS[window] / BUCKETS
    chances = cluster_rates(counts[places], mean, excess[places], mean / hours)
    censored = counts.copy()
    for place in places[chances <= level * _NEARLY].tolist():
        mean_ = float(means[place])
        censored[place] = threshold(float(counts[place]), mean_, float(excess[place]), mean_ / hours, level)
    return censored


def _learn_keys(
    draft: Draft,
    before: Mapping[str, Group],
    members: Mapping[str, Ints],
    exposed: Mapping[str, float],
    gain: _Gain,
) -> None:
    """Add one hour to the keys: their stories, less what a surge has in excess; no exposure while they are blind.

    A key that had no news, and is not blind, is left alone.
    """
    hour, keys = draft.pulse.hour, draft.keys
    first, last = hour * BUCKETS, hour * BUCKETS + BUCKETS - 1
    blind = keys.blind()
    lasting = np.zeros(len(keys), dtype=np.bool_)
    lasting[[row for row, firing in keys.firing.items() if first - firing.since >= LASTING]] = True
    heard = np.zeros(len(keys), dtype=np.bool_)
    for log in draft.windows.logs.values():
        heard[log.span(first, last).rows] = True
    touched = np.flatnonzero(heard | blind | lasting)
    stories = gain.stories + gain.daily_stories
    weight = _normal_weights(draft, before, members, lasting, gain)
    keys.age(touched, hour + 1)
    _expose(draft, members, blind, exposed)
    if draft.pulse.model is not None:
        keys.own("weight")[touched] += weight[touched]
        keys.own("stories")[touched] += stories[touched]
        if draft.windows.logs:
            _feed(draft, first, last)
    _quicken(draft, members, lasting)
    draft.touch(touched)


def _expose(draft: Draft, members: Mapping[str, Ints], blind: Flags, exposed: Mapping[str, float]) -> None:
    if blind.any():
        for name, rows in members.items():
            draft.keys.own("debt")[rows[blind[rows]]] += exposed[name]


def _quicken(draft: Draft, members: Mapping[str, Ints], lasting: Flags) -> None:
    """Forget faster what was before a surge that has lasted a day: that is the key's new level."""
    if lasting.any():
        for name, rows in members.items():
            for row in rows[lasting[rows]].tolist():
                level = draft.keys.level(row).quickened(draft.groups[name])
                draft.keys.own("weight")[row], draft.keys.own("stories")[row] = level.weight, level.stories
                draft.keys.own("debt")[row] = level.debt


def _feed(draft: Draft, first: int, last: int) -> None:
    """Note which sources brought the keys their stories, whatever the model."""
    brought = [log.brought(first, last) for log in draft.windows.logs.values()]
    rows, voices, stories = (np.concatenate(columns) for columns in zip(*brought, strict=True))
    if rows.size:
        every, which = np.unique(voices, return_inverse=True)
        sources = [draft.windows.voices.names[voice][1] for voice in every.tolist()]
        draft.keys.ties = draft.keys.ties.gained(rows, which, stories, sources)


def _normal_weights(
    draft: Draft, before: Mapping[str, Group], members: Mapping[str, Ints], lasting: Flags, gain: _Gain
) -> Floats:
    """Return how much of the weight of the hour, and of a day that ends with it, each key learns.

    That is all of it, less what is beyond what alarms; of a surge that has not lasted a day, what was expected.
    """
    keys, end = len(draft.keys), (draft.pulse.hour + 1) * BUCKETS
    firing = np.zeros(keys, dtype=np.bool_)
    firing[list(draft.keys.firing)] = True
    learned = np.zeros(keys)
    for window, weights in ((1, gain.weight), (WINDOWS.index(DAY), gain.daily_weight)):
        for name, every in members.items():
            rows, group = every[weights[every] > 0.0], before[name]
            if not rows.size:
                continue
            weight, rates = weights[rows], surge_rates(draft, group, rows)
            expected = rates.mean * group.season.span(end - WINDOWS[window], end)
            counts, means = weight / group.unit, expected / group.unit
            excess = group.surge.factors[window] - 1.0 + means / rates.certainty
            calm = weight * _censored(draft, window, counts, means, excess) / counts
            new = np.where(lasting[rows], weight, np.minimum(weight, expected))
            learned[rows] += np.where(firing[rows], new, calm)
    return learned


def _typical(draft: Draft, group: Group, rows: Ints) -> Group:
    """Return the group with the rates of its typical key: what all keys brought over the time they were watched."""
    weight, stories, debt = draft.keys.aged(rows, draft.pulse.hour)
    exposure = float(np.maximum(0.0, group.exposure - debt).sum())
    return replace(
        group,
        rate=(0.05 * _YOUNG + float(weight.sum())) / (_YOUNG + exposure),
        flow=(0.2 * _YOUNG + float(stories.sum())) / (_YOUNG + exposure),
    )


def _set_levels(draft: Draft, members: Mapping[str, Ints]) -> None:
    """Solve the levels for the keys as they are now: one for counts, one for shares, one for silence."""
    rules = draft.rules
    ladders = []
    shares = 0
    for name, rows in members.items():
        group = draft.groups[name]
        rates, flow = surge_rates(draft, group, rows), stream_rates(draft, group, rows).mean
        shares += sum(int((flow * window / BUCKETS >= SHARE_STORIES).sum()) for window in WINDOWS)
        places = np.rint(np.log(rates.mean / group.unit) * 10.0), np.rint(np.log(rates.certainty) * 2.0)
        alike, numbers = np.unique(places[0] * _CERTAINTIES + places[1], return_counts=True)
        for place, number in zip(alike.tolist(), numbers.tolist(), strict=True):
            rate, certainty = divmod(place, _CERTAINTIES)
            ladders += [
                (
                    number,
                    ladder(
                        math.exp(rate / 10.0),
                        math.exp(certainty / 2.0),
                        clustering=group.surge.factors[window],
                        hours=WINDOWS[window] / BUCKETS,
                        least=rules.stories,
                        doubt=group.doubt,
                    ),
                )
                for window in range(len(WINDOWS))
            ]
    spending, budget = Spending(ladders), rules.surges / WEEK_HOURS
    draft.set_record(replace(draft.record, nominal=tuple(spending.at(level) for level in LEVELS.tolist())))
    draft.set_pulse(
        replace(
            draft.pulse,
            solved=len(draft.keys),
            asked=rules.asked,
            surge=solve(draft.record, spending.at, (1.0 - SHARE) * budget, draft.pulse.surge),
            share=SHARE * budget / CAUTION / max(1, shares),
            blind=rules.blinds / WEEK_HOURS / CAUTION / max(1, len(draft.keys.ears)),
        )
    )
