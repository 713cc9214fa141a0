"""Change of the instrument: another model takes the needle over, and nothing moves by that alone.

    relive(state, rollups, until) -> State                 what one model's judgements of the past would have taught
    change_over(state, tracks, model, now, taught) -> Decision
    absorb(state, rollups, now) -> Decision                old stories, judged afterwards, fill the windows

A decision of these two tells nothing; it has a state to adopt after the commit, and the checkpoint rows that changed.

What does not depend on a model (the time watched, the seasons, who was heard when, what was told) is kept. What does is
exchanged for what the new model says of the same past:

- The baseline. The past is lived through again twice, once with the judgements of either model; of each sum that the
  running state holds, the one's part is taken out and the other's put in. What is older than that past is scaled as the
  sums of the group were. Where both say the same, nothing changes, to the last bit.
- The windows, which count the new model's stories only.

The news has not changed at that moment, so whatever looks different then is the model's doing:

- A key that would alarm with one more negative story, and would not have done so before, begins anew: the stories up to
  now are known, and a surge needs stories that come after them.
- A surge whose window the new model calls calm is not over before that window has passed by.
- A surge that the new model finds graver is told to have grown only where it grows from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from math import isclose

from monitor.core.detect.arrivals import welcome
from monitor.core.detect.baseline import SETTLED, Dispersion, Group, Level, dispersion_from
from monitor.core.detect.budget import WINDOWS
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.cells import batch_of, windows_of
from monitor.core.detect.columns import Firing
from monitor.core.detect.detector import GAP, Decision, decide
from monitor.core.detect.judging import Window, judge, normal_of
from monitor.core.detect.learning import SHARE_STORIES, relevel
from monitor.core.detect.state import KEPT, Draft, State
from monitor.core.detect.windows import DAY, Cell, Tally, Track, bucket_of, moment_of, tallies, tally, trimmed
from monitor.core.keys import group_of
from monitor.types import Key, ModelId, Rollup, SignalKind, Timeliness

TICKS = timedelta(seconds=GAP)  # as seldom as can be without a gap


@dataclass(frozen=True, slots=True)
class Taught:
    """What two models teach of the same past: the one that has taught the running state, and the one to go on with."""

    before: State
    after: State


def relive(state: State, rollups: Iterable[Rollup], until: datetime) -> State:
    """Return what the state becomes by living through one model's stored rollups, and then on to `until`.

    `rollups` are in order of bucket, none older than the state's present; at first, `state` is `fresh`.
    """
    for bucket, together in groupby(rollups, key=lambda rollup: rollup.bucket):
        state = _pass_time(state, bucket)
        state = decide(tuple(together), state, bucket).state
    return decide((), _pass_time(state, until), until).state


def _pass_time(state: State, until: datetime) -> State:
    if state.pulse.now >= 0:
        at = moment_of(0) + timedelta(seconds=state.pulse.now) + TICKS
        while at < until:
            state = decide((), state, at).state
            at += TICKS
    return state


def change_over(
    state: State, tracks: Mapping[Key, Track], model: ModelId, now: datetime, taught: Taught | None = None
) -> Decision:
    """Return the state with which `model` goes on from `now`.

    tracks  the windows' cells, by this model
    taught  the same past by both models, each lived through up to the state's present; None: what is normal stays for
            now as the other model taught it, and is doubted as in a young group
    """
    former, draft = Draft.of(state), Draft.of(state)
    serving = state.pulse.model
    first = state.pulse.hour * BUCKETS - KEPT
    kept = {key: cells for key, track in tracks.items() if (cells := trimmed(track, first))}
    if taught is not None:
        draft.set_pulse(replace(draft.pulse, model=model, taught=None))
        _exchange(draft, taught)
    elif model != serving:
        teacher = state.pulse.taught or serving
        draft.set_pulse(replace(draft.pulse, model=model, taught=None if teacher == model else teacher))
        for name, group in state.groups.items():
            draft.set_group(name, replace(group, settled=0))
    welcome(draft, [*kept], [track[0].bucket for track in kept.values()])
    rows = draft.keys.roster.rows
    draft.windows = windows_of(
        (rows[key], _renamed(former.track(key), track, serving, model)) for key, track in kept.items()
    )
    _know(former, draft, sorted(draft.keys), bucket_of(now))
    return Decision(draft.frozen(), (), frozenset(draft.changed))


def absorb(state: State, rollups: Sequence[Rollup], now: datetime) -> Decision:
    """Return the state with old stories, judged only now by the serving model, in its windows.

    They teach nothing: what was normal then is taught by the model that judged them at their time, until
    `change_over` is given both.
    """
    former, draft = Draft.of(state), Draft.of(state)
    first = state.pulse.hour * BUCKETS - KEPT
    late = [one for one in rollups if one.timeliness is not Timeliness.HISTORY and bucket_of(one.bucket) >= first]
    if late:
        welcome(draft, [one.key for one in late], [bucket_of(one.bucket) for one in late])
        batch = batch_of(late, draft.keys.roster.rows)
        draft.windows = draft.windows.laid(batch.layers(batch.buckets >= first, draft.windows.voices))
    _know(former, draft, sorted({one.key for one in late}), bucket_of(now))
    return Decision(draft.frozen(), (), frozenset(draft.changed))


def _renamed(before: Track, after: Track, serving: ModelId | None, model: ModelId) -> Track:
    """Return the new track; where it tells what the old one did, that one under the new name."""
    own = tuple(cell for cell in before if cell.model == serving)
    same = len(own) == len(after) and all(map(_alike, own, after))
    return tuple(replace(cell, model=model) for cell in own) if same else after


def _alike(one: Cell, other: Cell) -> bool:
    exact = one.bucket == other.bucket and one.stories == other.stories and one.negative == other.negative
    return exact and isclose(one.weight, other.weight, rel_tol=1e-9, abs_tol=1e-9) and one.origins == other.origins


# --- what is normal ---


def _exchange(draft: Draft, taught: Taught) -> None:
    """Put into the baseline what the new model teaches in the place of what the old one did."""
    before, after, hour = taught.before, taught.after, draft.pulse.hour
    changed = False
    for name, group in after.groups.items():
        if name not in draft.groups:
            draft.set_group(name, group)
            changed = True
            continue
        exchanged = _group(draft.groups[name], before.groups.get(name, Group()), group)
        changed = changed or exchanged != draft.groups[name]
        draft.set_group(name, exchanged)
    scales = {name: _scales(before, after, name, hour) for name in draft.groups}
    for key in sorted({*draft.keys, *after.keys}):
        name = group_of(key)
        old, new = _evidence(before, key, hour), _evidence(after, key, hour)
        record = draft.keys.get(key)
        if record is None:
            exposure = after.groups[name].exposure - after.keys[key].level.aged(hour).debt
            level = Level(hour, *new, draft.groups[name].exposure - exposure)
            draft.set_key(key, replace(after.keys[key], level=level, firing=None, told=-1, blind=False))
            changed = True
        elif not _close(old, new):
            aged = record.level.aged(hour)
            weight = _instead(aged.weight, old[0], new[0], scales[name][0])
            stories = _instead(aged.stories, old[1], new[1], scales[name][1])
            draft.set_key(key, replace(record, level=Level(hour, weight, stories, aged.debt)))
            changed = True
    if changed:
        relevel(draft)


def _group(running: Group, before: Group, after: Group) -> Group:
    """Return a group with the new model's clustering and weights; its seasons and its time are what they were."""
    settled = running.settled
    if settled < min(running.watched, SETTLED):  # doubted since the last change: what is lived through again counts
        settled = min(running.watched, max(settled, after.watched))
    return replace(
        running,
        settled=settled,
        weight=_instead(running.weight, before.weight, after.weight, after.weight / before.weight),
        negative=_instead(running.negative, before.negative, after.negative, after.negative / before.negative),
        surge=_dispersion(running.surge, before.surge, after.surge),
        stream=_dispersion(running.stream, before.stream, after.stream),
    )


def _dispersion(running: Dispersion, before: Dispersion, after: Dispersion) -> Dispersion:
    if _close((*before.squares, *before.weights), (*after.squares, *after.weights)):
        return running
    places = range(len(WINDOWS))
    return dispersion_from(
        [_instead(running.squares[i], before.squares[i], after.squares[i]) for i in places],
        [_instead(running.weights[i], before.weights[i], after.weights[i]) for i in places],
    )


def _instead(running: float, before: float, after: float, scale: float = 1.0) -> float:
    """Return a sum with one part in the place of another; what is left of it beside that part is scaled."""
    return running if _close((before,), (after,)) else after + max(0.0, running - before) * scale


def _evidence(state: State, key: Key, hour: int) -> tuple[float, float]:
    """Return weight and stories of a key, as they count at this hour."""
    record = state.keys.get(key)
    if record is None:
        return 0.0, 0.0
    level = record.level.aged(hour)
    return level.weight, level.stories


def _scales(before: State, after: State, name: str, hour: int) -> tuple[float, float]:
    """Return how a group's sums changed; a story on either side keeps small numbers from telling much."""
    keys = [key for key in {*before.keys, *after.keys} if group_of(key) == name]
    olds = [sum(each) for each in zip(*(_evidence(before, key, hour) for key in keys), strict=True)] or [0.0, 0.0]
    news = [sum(each) for each in zip(*(_evidence(after, key, hour) for key in keys), strict=True)] or [0.0, 0.0]
    return (1.0 + news[0]) / (1.0 + olds[0]), (1.0 + news[1]) / (1.0 + olds[1])


def _close(ones: Sequence[float], others: Sequence[float]) -> bool:
    return all(isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in zip(ones, others, strict=True))


# --- what is known ---


def _know(former: Draft, draft: Draft, keys: Iterable[Key], present: int) -> None:
    """Take what looks different now, and did not a moment ago, for known."""
    for key in keys:
        record = draft.keys[key]
        if record.firing is not None:
            draft.set_key(key, replace(record, firing=_carried(former, draft, key, record.firing, present)))
        elif _near(draft, key, present) and not _near(former, key, present):
            known = max(cell.bucket for cell in draft.track(key) if cell.negative)
            draft.set_key(key, replace(record, told=max(record.told, known)))


def _near(draft: Draft, key: Key, present: int) -> bool:
    """Tell whether one more negative story would make a key alarm, in any window of the last day."""
    track, model, record = draft.track(key), draft.pulse.model, draft.keys.get(key)
    if record is None or model is None:
        return False
    return any(
        total.negative and total.negative + 1 >= draft.rules.stories and _alarming(draft, key, index, last, total)
        for last in sorted({present, *(cell.bucket for cell in track if cell.negative)})
        for index, total in enumerate(tallies(track, model, last, record.told + 1, WINDOWS))
    )


def _alarming(draft: Draft, key: Key, index: int, last: int, total: Tally) -> bool:
    normal, pulse = normal_of(draft, key), draft.pulse
    more = Tally(total.stories + 1, total.negative + 1, total.weight + normal.group.unit)
    window = Window(index, last, more)
    if judge(normal, window, SignalKind.SURGE).chance <= pulse.surge:
        return True
    return more.stories >= SHARE_STORIES and judge(normal, window, SignalKind.SHARE).chance <= pulse.share


def _carried(former: Draft, draft: Draft, key: Key, firing: Firing, present: int) -> Firing:
    """Return a surge as it goes on: not over because a model says so, and as grave as it is known to be."""
    before, after = _chance(former, key, firing, present), _chance(draft, key, firing, present)
    if _calm(draft, firing, after) and not _calm(former, firing, before):
        firing = replace(firing, held=max(firing.held, present + WINDOWS[firing.window]))
    if after < before:
        totals = tallies(draft.track(key), _model(draft), present, draft.keys[key].told + 1, WINDOWS)
        most = max(total.negative for total in totals)
        firing = replace(firing, chance=min(firing.chance, after), stories=max(firing.stories, most))
    return firing


def _chance(draft: Draft, key: Key, firing: Firing, present: int) -> float:
    """Return how unlikely the window of a surge is now."""
    first = max(present - WINDOWS[firing.window], draft.keys[key].told) + 1
    daily = WINDOWS[firing.window] >= DAY
    total = tally(draft.track(key), _model(draft), first, present, daily=daily)
    kind = SignalKind.SHARE if firing.share else SignalKind.SURGE
    return judge(normal_of(draft, key), Window(firing.window, present, total), kind).chance


def _calm(draft: Draft, firing: Firing, chance: float) -> bool:
    level = draft.pulse.share if firing.share else draft.pulse.surge
    return chance > level * draft.rules.release


def _model(draft: Draft) -> ModelId:
    return draft.pulse.model or ModelId("")
