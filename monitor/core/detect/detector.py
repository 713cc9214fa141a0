"""The detector: a pure function from what was told and what time it is to what the desk must know.

    decide(rollups, state, now) -> Decision(state, signals, changed)

With rollups it counts and may raise a surge; without, it lets time pass: hours are learned, surges end, silence turns
into blindness. It is called for every batch of mentions and at each stored tick, and nowhere else, so the same calls
give the same state; how the rollups of one moment are split over calls makes no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.core.detect.arrivals import count
from monitor.core.detect.baseline import CAUTIOUS, fade
from monitor.core.detect.budget import WINDOWS, silence_rate
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.judging import Window, beside, judge, normal_of
from monitor.core.detect.learning import learn_until, take_stock, trim
from monitor.core.detect.state import STATE_VERSION, Draft, Pulse, Rules, State, dump, fresh, load
from monitor.core.detect.telling import sighted, signal_of
from monitor.core.detect.windows import DAY, bucket_of, tally
from monitor.core.keys import group_of, source_key
from monitor.types import EPOCH, Key, Rollup, Signal, SignalKind

__all__ = ["STATE_VERSION", "Decision", "Rules", "State", "decide", "dump", "fresh", "is_blind", "load"]

GAP = 900  # seconds without a tick after which nobody was watching
LOST = 7200  # seconds of that after which the hours in it teach nothing
LINGERING = 144  # buckets of calm that end any surge; a shorter one ends when it has been calm for as long as it lasted


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
    signals = count(draft, rollups, present) if rollups else _pass_time(draft, second, present)
    return Decision(draft.frozen(), tuple(signals), frozenset(draft.changed))


def is_blind(state: State, key: Key) -> bool:
    """Tell whether a key sees nothing: it is a silent source, or such sources brought at least half of its stories."""
    row = state.keys.roster.rows.get(key)
    return row is not None and state.keys.blinded(row)


def _pass_time(draft: Draft, second: int, now: datetime) -> list[Signal]:
    pulse, bucket = draft.pulse, bucket_of(now)
    if second - pulse.now > GAP:
        _wake(draft, second, bucket)
    draft.set_pulse(replace(draft.pulse, now=second))
    learn_until(draft, bucket)
    if draft.pulse.hour != pulse.hour:
        trim(draft)
    take_stock(draft)
    signals = _listen(draft, now)
    firing = sorted(draft.keys.named(draft.keys.firing))
    return signals + [signal for key in firing if (signal := _relax(draft, key, now)) is not None]


def _listen(draft: Draft, now: datetime) -> list[Signal]:
    """Tell which of the sources that are waited for have been silent for too long."""
    named, keys = draft.rules.awaited, draft.keys
    awaited = None if named is None else {source_key(source) for source in named}
    given_up, silent = [], []
    for key in sorted(keys.named(keys.ears)):
        blind = keys.ears[keys.roster.rows[key]].blind
        if awaited is not None and key not in awaited:
            given_up += [_forgo(draft, key, now)] if blind else []
        elif not blind and (signal := _silence(draft, key, now)) is not None:
            silent.append(signal)
    return given_up + silent


def _wake(draft: Draft, second: int, bucket: int) -> None:
    """Begin again after a gap: its silence is ours, not the sources', and hours nobody watched teach nothing."""
    pulse: Pulse = replace(draft.pulse, awake=bucket)
    hour = second // 3600
    if second - pulse.now > LOST and hour > pulse.hour:
        for name, group in list(draft.groups.items()):
            draft.set_group(name, replace(group, exposure=group.exposure * fade(hour - pulse.hour)))
        pulse = replace(pulse, unlearned=(pulse.hour, hour), hour=hour)
    draft.set_pulse(pulse)
    for key in sorted(draft.keys.named(draft.keys.firing)):
        record = draft.keys[key]
        if record.firing is not None:
            draft.set_key(key, replace(record, firing=replace(record.firing, calm=None)))


def _silence(draft: Draft, key: Key, now: datetime) -> Signal | None:
    """Raise blind where a source has been silent for too long."""
    row, group, bucket = draft.keys.roster.rows[key], draft.groups[group_of(key)], bucket_of(now)
    if group.watched < CAUTIOUS:
        return None
    start = max(draft.keys.ears[row].heard, draft.pulse.awake)
    rate = draft.keys.level(row).stream(group, draft.pulse.hour)
    mean = rate.mean * group.season.span(start, bucket)
    hours = max(1.0, (bucket - start) / BUCKETS)
    window = 1 if hours < 6.0 else 2
    doubt = 1.0 / rate.certainty + group.season.doubt(bucket) / hours
    excess = group.stream.factors[window] - 1.0 + mean * doubt
    chance = silence_rate(mean, excess, rate.mean * group.season.factor(start))
    if chance > draft.pulse.blind:
        return None
    record = draft.keys[key]
    draft.set_key(key, replace(record, blind=True))
    blind = sighted(draft, key, record, now)
    return replace(blind, kind=SignalKind.BLIND, expected=mean, chance=chance)


def _forgo(draft: Draft, key: Key, now: datetime) -> Signal:
    """End the blindness of a source that nobody waits for any more."""
    record = draft.keys[key]
    draft.set_key(key, replace(record, blind=False))
    return sighted(draft, key, record, now)


def _relax(draft: Draft, key: Key, now: datetime) -> Signal | None:
    """End a surge whose window has been back to normal for long enough; never where its key is blind."""
    record, bucket, pulse = draft.keys[key], bucket_of(now), draft.pulse
    firing = record.firing
    if firing is None or pulse.model is None:
        return None
    length = WINDOWS[firing.window]
    first = max(bucket - length, record.told) + 1
    track = draft.track(key)
    total = tally(track, pulse.model, first, bucket, daily=length >= DAY)
    kind = SignalKind.SHARE if firing.share else SignalKind.SURGE
    window = Window(firing.window, bucket, total)
    found = judge(beside(draft, key, track, normal_of(draft, key), window), window, kind)
    level = pulse.share if firing.share else pulse.surge
    young = pulse.changed >= 0 and bucket - pulse.changed < length  # the new model has not filled the window yet
    young = young or bucket < firing.held
    if found.chance <= level * draft.rules.release or young or draft.keys.blinded(draft.keys.roster.rows[key]):
        draft.set_key(key, replace(record, firing=replace(firing, calm=None)))
        return None
    since = bucket if firing.calm is None else firing.calm
    lasted = since - firing.since  # news at a new level has its calm hours, too: they are not the end of it
    if bucket - since < max(draft.rules.hold, min(lasted, LINGERING)):
        draft.set_key(key, replace(record, firing=replace(firing, calm=since)))
        return None
    draft.set_key(key, replace(record, firing=None, told=bucket))
    return signal_of(draft, key, replace(found, kind=SignalKind.CALM), now, late=False)
