"""How an hour becomes experience: it is learned once, as a whole, half an hour after its end.

What came of it by then is added to the rates, the season and the clustering of the groups; then the levels at which
windows alarm are solved anew. Peaks beyond those levels count as if they had just reached them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from monitor.core.detect.baseline import Group, Level, fade, learned_hour
from monitor.core.detect.budget import CAUTION, SHARE, WEEK_HOURS, WINDOWS, ladder, solve_level, threshold
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.state import KEPT, Draft, KeyState
from monitor.core.detect.windows import DAY, Tally, Track, feeders, tally, trimmed, within
from monitor.core.keys import group_of, source_key
from monitor.types import Key, ModelId, SourceId

LAG = 6  # buckets that an hour's stragglers have before it is learned
LASTING = 288  # buckets after which a surge is taken for the key's new level
SHARE_STORIES = 20  # stories a window must hold for its share to be tested
SOLVING = 6  # hours after which the levels are solved again though no key has come
_FEEDERS = 8
FIRST_LEVEL = 1e-6  # chance per hour beyond which a count is a peak, before the levels are solved
_YOUNG = 20.0  # key-hours that the first guess of a group's typical rates counts for


def learn_until(draft: Draft, bucket: int) -> None:
    """Learn every hour that ended at least LAG buckets before this one."""
    while bucket >= (draft.pulse.hour + 1) * BUCKETS + LAG:
        _learn_hour(draft)


def _learn_hour(draft: Draft) -> None:
    hour = draft.pulse.hour
    members = _members(draft)
    exposed = {}
    before = dict(draft.groups)
    for name, keys in members.items():
        exposed[name] = before[name].season.factor(hour * BUCKETS)
        draft.set_group(name, _learned_group(draft, before[name], keys, exposed[name]))
    for name, keys in members.items():
        for key in keys:
            _learn_key(draft, key, before[name], draft.groups[name], exposed[name])
    draft.set_pulse(replace(draft.pulse, hour=hour + 1))
    for name, keys in members.items():
        draft.set_group(name, _typical(draft, draft.groups[name], keys))
    if draft.pulse.solved != len(draft.keys) or draft.pulse.hour % SOLVING == 0:
        _set_levels(draft, members)


def take_stock(draft: Draft) -> None:
    """Take up what has changed since the last call: what an archive has taught, and what the operator asks for."""
    if draft.pulse.solved == 0 or (draft.pulse.solved > 0 and draft.pulse.asked == draft.rules.asked):
        return
    relevel(draft)


def relevel(draft: Draft) -> None:
    """Set the typical rates, and the levels at which windows alarm, by what the keys are like now."""
    members = _members(draft)
    for name, keys in members.items():
        draft.set_group(name, _typical(draft, draft.groups[name], keys))
    _set_levels(draft, members)


def _members(draft: Draft) -> dict[str, list[Key]]:
    """Return the keys of each group, in order."""
    members: dict[str, list[Key]] = {}
    for key in sorted(draft.keys):
        members.setdefault(group_of(key), []).append(key)
    return members


def trim(draft: Draft) -> None:
    """Let go of what no window needs any more."""
    first = draft.pulse.hour * BUCKETS - KEPT
    for key, track in list(draft.tracks.items()):
        if track[0].bucket < first:
            kept = trimmed(track, first)
            if kept:
                draft.tracks[key] = kept
            else:
                del draft.tracks[key]


def closing_windows(hour: int) -> list[tuple[int, int, int]]:
    """Return (index, first bucket, end) of the aligned windows that end with or within this hour."""
    end = (hour + 1) * BUCKETS
    windows = [(0, first, first + WINDOWS[0]) for first in range(end - BUCKETS, end, WINDOWS[0])]
    windows += [(i, end - WINDOWS[i], end) for i in (1, 2, 3) if end % WINDOWS[i] == 0]
    return windows


def _learned_group(draft: Draft, group: Group, keys: Sequence[Key], exposed: float) -> Group:
    hour, model = draft.pulse.hour, draft.pulse.model
    if model is None:
        return learned_hour(group, exposed, hour, 0.0, draft.rules.holidays)
    surge, stream = group.surge, group.stream
    levels = [draft.keys[key].level for key in keys]
    known = [group.exposure - level.debt * fade(hour - level.at) > 0.0 for level in levels]
    rates = [level.surge(group, hour) for level in levels]
    flows = [level.stream(group, hour) for level in levels]
    active = [(place, key) for place, key in enumerate(keys) if key in draft.tracks]
    for window, first, end in closing_windows(hour):
        span, past = group.season.span(first, end), fade((end - first) / BUCKETS)
        whole = WINDOWS[window] >= DAY
        mute = [] if whole else [place for place, key in active if any(cell.daily for cell in draft.tracks[key])]
        sums = [(place, tally(draft.tracks[key], model, first, end - 1, daily=whole)) for place, key in active]
        for which, seen in (("surge", rates), ("stream", flows)):
            unit = group.unit if which == "surge" else 1.0
            clustering = (surge if which == "surge" else stream).factors[window]
            means = np.array([rate.mean * span / unit if old else 0.0 for rate, old in zip(seen, known, strict=True)])
            means[mute] = 0.0  # when its stories came is unknown
            counts = np.zeros(len(keys))
            for place, total in sums:
                count = round(total.weight / unit) if which == "surge" else total.stories
                mean = float(means[place])
                excess = clustering - 1.0 + mean / seen[place].certainty
                counts[place] = _censored(draft, window, float(count), mean, excess)
            certainties = np.array([rate.certainty for rate in seen])
            if which == "surge":
                surge = surge.learn(window, counts, means, certainties, past)
            else:
                stream = stream.learn(window, counts, means, certainties, past)
    first, last = hour * BUCKETS, hour * BUCKETS + BUCKETS - 1
    total = _sum(draft, model, [key for _, key in active], first, last)
    of_day = sum(_daily(draft.tracks[key], model, first, last).stories for _, key in active)
    return replace(
        learned_hour(group, exposed, hour, float(total.stories - of_day), draft.rules.holidays, of_day=float(of_day)),
        surge=surge,
        stream=stream,
        weight=group.weight * fade(1.0) + total.weight,
        negative=group.negative * fade(1.0) + total.negative,
    )


def _sum(draft: Draft, model: ModelId, keys: Sequence[Key], first: int, last: int) -> Tally:
    sums = [tally(draft.tracks[key], model, first, last) for key in keys]
    return Tally(sum(s.stories for s in sums), sum(s.negative for s in sums), math.fsum(s.weight for s in sums))


def _daily(track: Track, model: ModelId, first: int, last: int) -> Tally:
    """Return what the stories of whole days come to in buckets first..last."""
    daily = Tally()
    for cell in within(track, model, first, last):
        daily = daily.plus(cell) if cell.daily else daily
    return daily


def _censored(draft: Draft, window: int, count: float, mean: float, excess: float) -> float:
    """Take a count beyond what alarms for one that has just reached it."""
    if count < draft.rules.stories or mean <= 0.0:
        return count
    return threshold(count, mean, excess, mean / WINDOWS[window] * BUCKETS, draft.pulse.surge or FIRST_LEVEL)


def _learn_key(draft: Draft, key: Key, before: Group, group: Group, exposed: float) -> None:
    """Add one hour to a key: its stories, less what a surge has in excess; no exposure while it is blind."""
    record, hour = draft.keys[key], draft.pulse.hour
    blind = blinded(draft.keys, record)
    track = draft.tracks.get(key, ())
    first, last = hour * BUCKETS, hour * BUCKETS + BUCKETS - 1
    heard = bool(track) and any(first <= cell.bucket <= last for cell in track)
    lasting = record.firing is not None and first - record.firing.since >= LASTING
    if not (heard or blind or lasting):
        return
    level = record.level.aged(hour + 1)
    if blind:
        level = replace(level, debt=level.debt + exposed)
    fed = record.fed
    if heard and draft.pulse.model is not None:
        total = tally(track, draft.pulse.model, first, last)
        timed = tally(track, draft.pulse.model, first, last, daily=False)
        daily = _daily(track, draft.pulse.model, first, last)
        weight = _normal_weight(draft, record, before, timed.weight, 1)
        weight += _normal_weight(draft, record, before, daily.weight, WINDOWS.index(DAY))
        level = replace(level, weight=level.weight + weight, stories=level.stories + total.stories)
        fed = _fed(record, hour + 1, feeders(track, first, last))
    elif fed:
        fed = _fed(record, hour + 1, {})
    if lasting:
        level = level.quickened(group)
    draft.set_key(key, replace(record, level=level, fed=fed))


def _normal_weight(draft: Draft, record: KeyState, group: Group, weight: float, window: int) -> float:
    """Return how much of the weight of a window that ends with this hour is learned: all of it, unless it is a surge
    that has not lasted a day."""
    hour = draft.pulse.hour
    rate, end = record.level.surge(group, hour), (hour + 1) * BUCKETS
    expected = rate.mean * group.season.span(end - WINDOWS[window], end)
    if record.firing is None:
        count, mean = weight / group.unit, expected / group.unit
        excess = group.surge.factors[window] - 1.0 + mean / rate.certainty
        return weight * _censored(draft, window, count, mean, excess) / count if count else weight
    if hour * BUCKETS - record.firing.since >= LASTING:
        return weight
    return min(weight, expected)


def _fed(record: KeyState, hour: int, brought: dict[SourceId, int]) -> tuple[tuple[SourceId, float], ...]:
    """Return the stories that each source brought a key, up to this hour; the faintest are forgotten."""
    kept = fade(hour - record.level.at)
    amounts = {source: amount * kept for source, amount in record.fed}
    for source, stories in brought.items():
        amounts[source] = amounts.get(source, 0.0) + stories
    strongest = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))[:_FEEDERS]
    return tuple(sorted(strongest))


def blinded(keys: Mapping[Key, KeyState], record: KeyState) -> bool:
    """Tell whether the sources that brought at least half of a key's stories are blind (or it is such a source)."""
    if record.blind:
        return True
    total = dark = 0.0
    for source, amount in record.fed:
        total += amount
        feeder = keys.get(source_key(source))
        if feeder is not None and feeder.blind:
            dark += amount
    return 0.0 < total <= 2.0 * dark


def _typical(draft: Draft, group: Group, keys: Sequence[Key]) -> Group:
    """Return the group with the rates of its typical key: what all keys brought over the time they were watched."""
    hour = draft.pulse.hour
    levels: list[Level] = [draft.keys[key].level.aged(hour) for key in keys]
    exposure = math.fsum(max(0.0, group.exposure - level.debt) for level in levels)
    weight = math.fsum(level.weight for level in levels)
    stories = math.fsum(level.stories for level in levels)
    return replace(
        group,
        rate=(0.05 * _YOUNG + weight) / (_YOUNG + exposure),
        flow=(0.2 * _YOUNG + stories) / (_YOUNG + exposure),
    )


def _set_levels(draft: Draft, members: dict[str, list[Key]]) -> None:
    """Solve the levels for the keys as they are now: one for counts, one for shares, one for silence."""
    hour, rules = draft.pulse.hour, draft.rules
    alike: Counter[tuple[str, int, int]] = Counter()
    shares = 0
    for name, keys in members.items():
        group = draft.groups[name]
        for key in keys:
            level = draft.keys[key].level
            rate = level.surge(group, hour)
            place = round(math.log(rate.mean / group.unit) * 10.0), round(math.log(rate.certainty) * 2.0)
            alike[name, *place] += 1
            flow = level.stream(group, hour).mean
            shares += sum(flow * window / BUCKETS >= SHARE_STORIES for window in WINDOWS)
    ladders = [
        (
            count,
            ladder(
                math.exp(rate / 10.0),
                math.exp(certainty / 2.0),
                clustering=draft.groups[name].surge.factors[window],
                hours=WINDOWS[window] / BUCKETS,
                least=rules.stories,
                doubt=draft.groups[name].doubt,
            ),
        )
        for (name, rate, certainty), count in alike.items()
        for window in range(len(WINDOWS))
    ]
    budget = rules.surges / WEEK_HOURS / CAUTION
    draft.set_pulse(
        replace(
            draft.pulse,
            solved=len(draft.keys),
            asked=rules.asked,
            surge=solve_level(ladders, (1.0 - SHARE) * budget),
            share=SHARE * budget / max(1, shares),
            blind=rules.blinds / WEEK_HOURS / CAUTION / max(1, len(draft.sources)),
        )
    )
