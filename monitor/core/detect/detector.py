"""The detector: a pure function from what was told and what time it is to what the desk must know.

    decide(rollups, state, now) -> Decision(state, signals, changed)

With rollups it counts and may raise a surge; without, it lets time pass: hours are learned, surges end, silence turns
into blindness. It is called for every batch of mentions and at each stored tick, and nowhere else, so the same calls
give the same state; how the rollups of one moment are split over calls makes no difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain

from monitor.core.detect.baseline import (
    CAUTIOUS,
    RECALLED,
    SETTLED,
    Group,
    fade,
    newcomer,
    past_exposure,
)
from monitor.core.detect.budget import WINDOWS, silence_rate
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.judging import Finding, Window, alarms_of, flow_of, judge, normal_of
from monitor.core.detect.learning import blinded, learn_until, take_stock, trim
from monitor.core.detect.state import (
    KEPT,
    STATE_VERSION,
    Draft,
    Firing,
    KeyState,
    Pulse,
    Rules,
    State,
    dump,
    fresh,
    load,
)
from monitor.core.detect.windows import (
    DAY,
    added,
    bucket_of,
    moment_of,
    tallies,
    tally,
    within,
)
from monitor.core.keys import group_of, source_key
from monitor.types import BUCKET, EPOCH, Key, ModelId, Origin, Rollup, Signal, SignalKind, Timeliness

__all__ = ["STATE_VERSION", "Decision", "Rules", "State", "decide", "dump", "fresh", "is_blind", "load"]

GAP = 900  # seconds without a tick after which nobody was watching
LOST = 7200  # seconds of that after which the hours in it teach nothing
LINGERING = 144  # buckets of calm that end any surge; a shorter one ends when it has been calm for as long as it lasted
HISTORY_WEIGHT = 0.5  # a feed's old items may be cut short, so they count half


@dataclass(frozen=True, slots=True)
class Decision:
    """The state to adopt once the transaction has committed, what to tell, and the checkpoint rows to write in it."""

    state: State
    signals: tuple[Signal, ...]
    changed: frozenset[str]


def decide(rollups: Sequence[Rollup], state: State, now: datetime) -> Decision:
    """Count what is new, or, where nothing is, let time pass up to `now`.

    `rollups` are the increments since the last call; `now` is the present in UTC: the transaction's moment or the
    tick. Times never run backwards: a `now` before the last tick counts as that tick.
    """
    draft = Draft.of(state)
    second = max((now - EPOCH) // timedelta(seconds=1), draft.pulse.now)
    present = EPOCH + timedelta(seconds=second) if second == draft.pulse.now else now
    if draft.pulse.now < 0:
        hour = second // 3600
        draft.set_pulse(replace(draft.pulse, now=second, hour=hour, unlearned=(0, hour), awake=bucket_of(now)))
    if rollups:
        signals = tuple(chain.from_iterable(_count(draft, rollup, present) for rollup in rollups))
    else:
        signals = tuple(_pass_time(draft, second, present))
    return Decision(draft.frozen(), signals, frozenset(draft.changed))


def is_blind(state: State, key: Key) -> bool:
    """Tell whether a key sees nothing: it is a silent source, or such sources brought at least half of its stories."""
    record = state.keys.get(key)
    return record is not None and blinded(state.keys, record)


# --- time passes ---


def _pass_time(draft: Draft, second: int, now: datetime) -> list[Signal]:
    pulse, bucket = draft.pulse, bucket_of(now)
    if second - pulse.now > GAP:
        _wake(draft, second, bucket)
    draft.set_pulse(replace(draft.pulse, now=second))
    learn_until(draft, bucket)
    if draft.pulse.hour != pulse.hour:
        trim(draft)
    take_stock(draft)
    named = draft.rules.awaited
    awaited = draft.sources if named is None else draft.sources & {source_key(source) for source in named}
    signals = [_forgo(draft, key, now) for key in sorted(draft.sources - awaited) if draft.keys[key].blind]
    signals += [signal for key in sorted(awaited) if (signal := _silence(draft, key, now)) is not None]
    return signals + [signal for key in sorted(draft.firing) if (signal := _relax(draft, key, now)) is not None]


def _wake(draft: Draft, second: int, bucket: int) -> None:
    """Begin again after a gap: its silence is ours, not the sources', and hours nobody watched teach nothing."""
    pulse: Pulse = replace(draft.pulse, awake=bucket)
    hour = second // 3600
    if second - pulse.now > LOST and hour > pulse.hour:
        for name, group in list(draft.groups.items()):
            draft.set_group(name, replace(group, exposure=group.exposure * fade(hour - pulse.hour)))
        pulse = replace(pulse, unlearned=(pulse.hour, hour), hour=hour)
    draft.set_pulse(pulse)
    for key in sorted(draft.firing):
        record = draft.keys[key]
        if record.firing is not None:
            draft.set_key(key, replace(record, firing=replace(record.firing, calm=None)))


def _silence(draft: Draft, key: Key, now: datetime) -> Signal | None:
    """Raise blind where a source has been silent for too long."""
    record, group, bucket = draft.keys[key], draft.groups[group_of(key)], bucket_of(now)
    if record.blind or group.watched < CAUTIOUS:
        return None
    start = max(record.heard, draft.pulse.awake)
    rate = record.level.stream(group, draft.pulse.hour)
    mean = rate.mean * group.season.span(start, bucket)
    hours = max(1.0, (bucket - start) / BUCKETS)
    window = 1 if hours < 6.0 else 2
    doubt = 1.0 / rate.certainty + group.season.doubt(bucket) / hours
    excess = group.stream.factors[window] - 1.0 + mean * doubt
    chance = silence_rate(mean, excess, rate.mean * group.season.factor(start))
    if chance > draft.pulse.blind:
        return None
    draft.set_key(key, replace(record, blind=True))
    blind = _sight(draft, key, record, now)
    return replace(blind, kind=SignalKind.BLIND, expected=mean, chance=chance)


def _forgo(draft: Draft, key: Key, now: datetime) -> Signal:
    """End the blindness of a source that nobody waits for any more."""
    record = draft.keys[key]
    draft.set_key(key, replace(record, blind=False))
    return _sight(draft, key, record, now)


def _sight(draft: Draft, key: Key, record: KeyState, now: datetime) -> Signal:
    """Return the signal that a source is blind no more, after the silence that its window tells of."""
    return Signal(
        key=key,
        kind=SignalKind.SEEING,
        at=now,
        window=max(now - moment_of(record.heard), BUCKET),
        observed=0.0,
        expected=0.0,
        chance=0.0,
        stories=0,
        negative=0,
        publishers=0,
        model=draft.pulse.model or ModelId(""),
    )


def _relax(draft: Draft, key: Key, now: datetime) -> Signal | None:
    """End a surge whose window has been back to normal for long enough; never where its key is blind."""
    record, bucket, pulse = draft.keys[key], bucket_of(now), draft.pulse
    firing = record.firing
    if firing is None or pulse.model is None:
        return None
    length = WINDOWS[firing.window]
    first = max(bucket - length, record.told) + 1
    total = tally(draft.tracks.get(key, ()), pulse.model, first, bucket, daily=length >= DAY)
    kind = SignalKind.SHARE if firing.share else SignalKind.SURGE
    found = judge(normal_of(draft, key), Window(firing.window, bucket, total), kind)
    level = pulse.share if firing.share else pulse.surge
    young = pulse.changed >= 0 and bucket - pulse.changed < length  # the new model has not filled the window yet
    young = young or bucket < firing.held
    if found.chance <= level * draft.rules.release or young or blinded(draft.keys, record):
        draft.set_key(key, replace(record, firing=replace(firing, calm=None)))
        return None
    since = bucket if firing.calm is None else firing.calm
    lasted = since - firing.since  # news at a new level has its calm hours, too: they are not the end of it
    if bucket - since < max(draft.rules.hold, min(lasted, LINGERING)):
        draft.set_key(key, replace(record, firing=replace(firing, calm=since)))
        return None
    draft.set_key(key, replace(record, firing=None, told=bucket))
    return _signal(draft, key, replace(found, kind=SignalKind.CALM), now, late=False)


# --- stories come ---


def _count(draft: Draft, rollup: Rollup, now: datetime) -> list[Signal]:
    key, bucket, present = rollup.key, bucket_of(rollup.bucket), bucket_of(now)
    name = group_of(key)
    if name not in draft.groups:
        draft.set_group(name, Group())
    if key not in draft.keys:
        level = newcomer(draft.groups[name], draft.pulse.hour)
        draft.set_key(key, KeyState(since=max(bucket, draft.pulse.hour * BUCKETS), level=level, heard=present))
    _note_publishers(draft, rollup.origins)
    signals = _hear(draft, key, now) if key in draft.sources else []
    if rollup.timeliness is Timeliness.HISTORY:
        _recall(draft, rollup, bucket)
        return signals
    if rollup.timeliness is not Timeliness.LATE and rollup.model != draft.pulse.model:
        _serve(draft, rollup.model, present)
    _learn_straggler(draft, rollup, bucket)
    if bucket >= draft.pulse.hour * BUCKETS - KEPT:
        draft.tracks[key] = added(draft.tracks.get(key, ()), rollup)
        if rollup.negative and rollup.model == draft.pulse.model and draft.groups[name].experienced:
            signals += _test(draft, rollup, bucket, now)
    return signals


def _note_publishers(draft: Draft, brought: Sequence[Origin]) -> None:
    """Remember whether more than one publisher exists at all: else their number is no evidence."""
    pulse = draft.pulse
    if pulse.publishers >= 2 or not brought:
        return
    seen = {origin.publisher for origin in brought} | ({pulse.publisher} if pulse.publisher is not None else set())
    several = len(seen) > 1
    draft.set_pulse(replace(pulse, publisher=None if several else next(iter(seen)), publishers=min(2, len(seen))))


def _hear(draft: Draft, key: Key, now: datetime) -> list[Signal]:
    record, present = draft.keys[key], bucket_of(now)
    draft.set_key(key, replace(record, heard=max(record.heard, present), blind=False))
    return [_sight(draft, key, record, now)] if record.blind else []


def _recall(draft: Draft, rollup: Rollup, bucket: int) -> None:
    """Learn from history: its stories, and the time since it began."""
    record, hour = draft.keys[rollup.key], draft.pulse.hour
    group = draft.groups[group_of(rollup.key)]
    if len(group.recalled) < RECALLED and bucket // BUCKETS not in group.recalled:
        draft.set_group(group_of(rollup.key), replace(group, recalled=group.recalled | {bucket // BUCKETS}))
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
    draft.set_key(rollup.key, replace(record, since=min(record.since, bucket), level=level, fed=fed))


def _learn_straggler(draft: Draft, rollup: Rollup, bucket: int) -> None:
    """Learn a story of an hour that is learned already, unless nobody watched that hour."""
    hour, (lost, found) = bucket // BUCKETS, draft.pulse.unlearned
    if hour >= draft.pulse.hour or lost <= hour < found:
        return
    record = draft.keys[rollup.key]
    part = fade(draft.pulse.hour - hour)
    level = record.level.aged(draft.pulse.hour)
    level = replace(level, weight=level.weight + part * rollup.weight, stories=level.stories + part * rollup.stories)
    fed = tuple((source, amount * fade(draft.pulse.hour - record.level.at)) for source, amount in record.fed)
    draft.set_key(rollup.key, replace(record, level=level, fed=fed))


def _serve(draft: Draft, model: ModelId, present: int) -> None:
    """Change over to another model: what the old one showed is doubted, and soon replaced."""
    former = draft.pulse.model
    draft.set_pulse(replace(draft.pulse, model=model, changed=-1 if former is None else present))
    if former is None:
        return
    for name, group in list(draft.groups.items()):
        draft.set_group(name, replace(group, settled=0))
    for key, record in list(draft.keys.items()):
        group = draft.groups[group_of(key)]
        level = record.level.aged(draft.pulse.hour)
        exposure = group.exposure - level.debt
        part = min(1.0, SETTLED / exposure) if exposure > 0 else 1.0
        fed = tuple((source, amount * fade(draft.pulse.hour - record.level.at)) for source, amount in record.fed)
        draft.set_key(key, replace(record, level=level.kept(group, part), fed=fed))


# --- what is told ---


def _test(draft: Draft, rollup: Rollup, bucket: int, now: datetime) -> list[Signal]:
    """Judge every window that holds the new stories, and tell what alarms or has become much less likely."""
    key = rollup.key
    record, track = draft.keys[key], draft.tracks[key]
    if bucket <= record.told:
        return []
    normal = normal_of(draft, key)
    latest = min(bucket_of(now), bucket + WINDOWS[-1] - 1)
    ends = [cell.bucket for cell in within(track, rollup.model, bucket, latest) if cell.negative]
    alarms: list[Finding] = []
    for last in ends:
        totals = tallies(track, rollup.model, last, record.told + 1, WINDOWS)
        for index, total in enumerate(totals):
            gained = last < bucket + WINDOWS[index] and (
                WINDOWS[index] >= DAY or rollup.timeliness is not Timeliness.DAY
            )
            if gained and total.negative >= draft.rules.stories:
                alarms += alarms_of(draft, key, normal, Window(index, last, total))
    if not alarms:
        return []
    best = min(alarms, key=lambda finding: finding.chance)
    firing = record.firing
    share = best.kind is SignalKind.SHARE
    if firing is None:
        after = Firing(bucket_of(now), best.window.index, best.chance, best.window.total.negative, share)
    else:
        worse = best.chance < firing.chance
        after = replace(
            firing,
            window=best.window.index if worse else firing.window,
            share=share if worse else firing.share,
            chance=min(best.chance, firing.chance),
            stories=max(best.window.total.negative, firing.stories),
            calm=None,
        )
    draft.set_key(key, replace(record, firing=after))
    if firing is not None and _step(after, draft.rules) == _step(firing, draft.rules):
        return []
    return [_signal(draft, key, best, now, late=rollup.timeliness is Timeliness.LATE)]


def _step(firing: Firing, rules: Rules) -> tuple[int, int]:
    """How far a surge has grown: thousandfold steps in chance, as far as that matters, and doublings of its stories."""
    return math.floor(-math.log10(max(firing.chance, 1e-12)) / 3.0), int(
        math.log2(max(1.0, firing.stories / rules.stories))
    )


def _signal(draft: Draft, key: Key, finding: Finding, now: datetime, *, late: bool) -> Signal:
    end, length = finding.window.last + 1, WINDOWS[finding.window.index]
    return Signal(
        key=key,
        kind=finding.kind,
        at=min(now, moment_of(end)),
        window=length * BUCKET,
        observed=finding.window.total.weight,
        expected=finding.expected,
        chance=min(finding.chance, float(BUCKETS)),  # "all the time" is once a bucket
        stories=finding.window.total.stories,
        negative=finding.window.total.negative,
        publishers=finding.publishers,
        model=draft.pulse.model or ModelId(""),
        late=late,
        flow=flow_of(normal_of(draft, key), finding),
        first=moment_of(min(max(end - length, draft.keys[key].told + 1), end)),
        end=moment_of(end),
        taught=draft.pulse.taught,
    )
