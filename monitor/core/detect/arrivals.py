"""Stories come: a batch of rollups is counted at once, and those of its keys are judged that could come near an alarm.

How the rollups of one moment are split over calls makes no difference. So whatever changes how the rest is counted (a
first publisher, another model, history) stands alone, and a key that is judged is told its rollups one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from monitor.core.detect.baseline import RECALLED, SETTLED, Group, fade, fades, newcomer, past_exposure
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.cells import Batch, batch_of
from monitor.core.detect.columns import Ear, Flags
from monitor.core.detect.screening import promising
from monitor.core.detect.state import KEPT, Draft
from monitor.core.detect.telling import judged, sighted
from monitor.core.detect.ties import Ints
from monitor.core.detect.windows import added, bucket_of
from monitor.core.keys import group_of
from monitor.types import Key, ModelId, Origin, Rollup, Signal, Timeliness

HISTORY_WEIGHT = 0.5  # a feed's old items may be cut short, so they count half


def count(draft: Draft, rollups: Sequence[Rollup], now: datetime) -> list[Signal]:
    """Count what rollups bring, and return what is to be told of it, in their order."""
    signals: list[Signal] = []
    batch: list[Rollup] = []
    model = draft.pulse.model if draft.pulse.publishers > 1 else None
    if all(each.model == model and each.timeliness is Timeliness.LIVE for each in rollups):
        return _count(draft, rollups, now)
    for rollup in rollups:
        if not _ordinary(draft, rollup):
            signals += _count(draft, batch, now)
            batch = []
            _note_publishers(draft, rollup.origins)
            if rollup.timeliness is Timeliness.HISTORY:
                signals += _recall(draft, rollup, now)
                continue
            if rollup.timeliness is not Timeliness.LATE and rollup.model != draft.pulse.model:
                _serve(draft, rollup.model, bucket_of(now))
        batch.append(rollup)
    return signals + _count(draft, batch, now)


def _ordinary(draft: Draft, rollup: Rollup) -> bool:
    """Tell whether a rollup changes nothing but what its own key has."""
    pulse = draft.pulse
    if rollup.timeliness is not Timeliness.LATE and rollup.model != pulse.model:
        return False
    if pulse.publishers < 2 and any(origin.publisher != pulse.publisher for origin in rollup.origins):
        return False
    return rollup.timeliness is not Timeliness.HISTORY


def welcome(draft: Draft, keys: Sequence[Key], since: Sequence[int]) -> None:
    """Give a place to keys that are new; one may be named more than once. `since` are the buckets of their news."""
    new = dict[Key, int]()
    for key, bucket in zip(keys, since, strict=True):
        if key not in draft.keys:
            new.setdefault(key, max(bucket, draft.pulse.hour * BUCKETS))
    if not new:
        return
    for name in sorted({group_of(key) for key in new} - draft.groups.keys()):
        draft.set_group(name, Group())
    levels = [newcomer(draft.groups[group_of(key)], draft.pulse.hour) for key in new]
    draft.keys.add(list(new), list(new.values()), levels)
    draft.changed.update(f"key:{key}" for key in new)


def _count(draft: Draft, rollups: Sequence[Rollup], now: datetime) -> list[Signal]:
    """Count rollups of which none changes how the others are counted."""
    if not rollups:
        return []
    if not all(each.key in draft.keys.roster.rows for each in rollups):
        welcome(draft, [each.key for each in rollups], [bucket_of(each.bucket) for each in rollups])
    batch = batch_of(rollups, draft.keys.roster.rows)
    told = _heard(draft, batch.rows, now)
    recent = batch.buckets >= draft.pulse.hour * BUCKETS - KEPT
    before = draft.windows
    draft.windows = before.laid(batch.layers(recent, before.voices))
    testable = recent & _testable(draft, batch)
    near = _promising(draft, batch, testable, bucket_of(now))
    late = _late(draft, batch)
    _learn_stragglers(draft, batch, np.flatnonzero(late & ~np.isin(batch.rows, near)))
    for row in near.tolist():
        track = before.track(row)
        for place in np.flatnonzero(batch.rows == row).tolist():
            if late[place]:
                _learn_stragglers(draft, batch, np.array([place]))
            if recent[place]:
                track = added(track, rollups[place])
            if testable[place]:
                told += [(place, signal) for signal in judged(draft, rollups[place], track, now)]
    return [signal for _, signal in sorted(told, key=lambda each: each[0])]


def _testable(draft: Draft, batch: Batch) -> Flags:
    """Tell which rollups bring the serving model's negative stories to a key that may fire for them."""
    pulse, roster = draft.pulse, draft.keys.roster
    experienced = np.array([draft.groups[kind].experienced for kind in roster.kinds])[roster.kind[batch.rows]]
    serving = np.array([each.model == pulse.model for each in batch.rollups])
    new = batch.buckets > draft.keys.told[batch.rows]
    testable: Flags = experienced & serving & new & (batch.negative > 0)
    return testable


def _promising(draft: Draft, batch: Batch, testable: Flags, present: int) -> Ints:
    """Return the rows that must be judged."""
    if not testable.any():
        return np.zeros(0, dtype=np.int64)
    others = np.bincount(batch.rows, weights=batch.stories - batch.negative)
    return promising(draft, batch.codes[testable], others[batch.rows[testable]], present)


def _heard(draft: Draft, rows: Ints, now: datetime) -> list[tuple[int, Signal]]:
    """Note which sources are heard; return, with the place of the rollup that says so, which are blind no more."""
    told = []
    present = bucket_of(now)
    heard = [(row, place) for place, row in enumerate(rows.tolist()) if row in draft.keys.ears]
    for row, place in heard:
        ear, key = draft.keys.ears[row], draft.keys.roster.names[row]
        if ear.blind:
            told.append((place, sighted(draft, key, draft.keys[key], now)))
        if ear.blind or ear.heard < present:
            draft.keys.own("ears")[row] = Ear(max(ear.heard, present))
            draft.changed.add(f"key:{key}")
    return told


def _note_publishers(draft: Draft, brought: Sequence[Origin]) -> None:
    """Remember whether more than one publisher exists at all: else their number is no evidence."""
    pulse = draft.pulse
    if pulse.publishers >= 2 or not brought:
        return
    seen = {origin.publisher for origin in brought} | ({pulse.publisher} if pulse.publisher is not None else set())
    several = len(seen) > 1
    draft.set_pulse(replace(pulse, publisher=None if several else next(iter(seen)), publishers=min(2, len(seen))))


def _recall(draft: Draft, rollup: Rollup, now: datetime) -> list[Signal]:
    """Learn from history: its stories, and the time since it began."""
    key, bucket, hour = rollup.key, bucket_of(rollup.bucket), draft.pulse.hour
    welcome(draft, [key], [bucket])
    told = _heard(draft, np.array([draft.keys.roster.rows[key]]), now)
    record, group = draft.keys[key], draft.groups[group_of(key)]
    if len(group.recalled) < RECALLED and bucket // BUCKETS not in group.recalled:
        draft.set_group(group_of(key), replace(group, recalled=group.recalled | {bucket // BUCKETS}))
        draft.set_pulse(replace(draft.pulse, solved=-1))  # what was read shall count from the next tick on
    level = record.level.aged(hour)
    part = HISTORY_WEIGHT * fade(max(0, hour - bucket // BUCKETS))
    exposure = HISTORY_WEIGHT * past_exposure(bucket, record.since, hour)
    level = replace(
        level,
        weight=level.weight + part * rollup.weight,
        stories=level.stories + part * rollup.stories,
        debt=level.debt - exposure,
    )
    fed = tuple((source, amount * fade(hour - record.level.at)) for source, amount in record.fed)
    draft.set_key(key, replace(record, since=min(record.since, bucket), level=level, fed=fed))
    return [signal for _, signal in told]


def _late(draft: Draft, batch: Batch) -> Flags:
    """Tell which rollups belong to an hour that is learned already, unless nobody watched that hour."""
    hours, (lost, found) = batch.buckets // BUCKETS, draft.pulse.unlearned
    late: Flags = (hours < draft.pulse.hour) & ~((lost <= hours) & (hours < found))
    return late


def _learn_stragglers(draft: Draft, batch: Batch, places: Ints) -> None:
    """Learn stories of hours that are learned already."""
    if not places.size:
        return
    keys, hour, rows = draft.keys, draft.pulse.hour, batch.rows[places]
    parts = fades(hour - batch.buckets[places] // BUCKETS)
    keys.age(np.unique(rows), hour)
    np.add.at(keys.own("weight"), rows, parts * batch.weight[places])
    np.add.at(keys.own("stories"), rows, parts * batch.stories[places])
    draft.touch(np.unique(rows))


def _serve(draft: Draft, model: ModelId, present: int) -> None:
    """Change over to another model: what the old one showed is doubted, and soon replaced."""
    former = draft.pulse.model
    draft.set_pulse(replace(draft.pulse, model=model, changed=-1 if former is None else present))
    if former is None:
        return
    keys, hour = draft.keys, draft.pulse.hour
    keys.age(np.arange(len(keys)), hour)
    for name, rows in keys.roster.members().items():
        group = draft.groups[name]
        draft.set_group(name, replace(group, settled=0))
        exposure = group.exposure - keys.debt[rows]
        part = np.where(exposure > 0.0, np.minimum(1.0, SETTLED / np.maximum(exposure, SETTLED)), 1.0)
        keys.own("weight")[rows] *= part
        keys.own("stories")[rows] *= part
        keys.own("debt")[rows] = group.exposure - exposure * part
    draft.touch(np.arange(len(keys)))
