"""What is told of a key: a surge when it begins, and again when it has become much graver."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from monitor.core.detect.budget import WINDOWS
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.calibration import step_of
from monitor.core.detect.columns import Firing, KeyState
from monitor.core.detect.judging import Finding, Window, findings_of, flow_of, normal_of
from monitor.core.detect.state import Draft, Rules
from monitor.core.detect.windows import DAY, Track, bucket_of, moment_of, tallies, within
from monitor.types import BUCKET, Key, ModelId, Rollup, Signal, SignalKind, Timeliness


def judged(draft: Draft, rollup: Rollup, track: Track, now: datetime) -> list[Signal]:
    """Judge every window that holds the new stories, and tell what alarms or has become much less likely.

    `track` is what the key's windows hold, the rollup's stories among it.
    """
    key, bucket = rollup.key, bucket_of(rollup.bucket)
    record = draft.keys[key]
    if bucket <= record.told:
        return []
    normal = normal_of(draft, key)
    latest = min(bucket_of(now), bucket + WINDOWS[-1] - 1)
    ends = [cell.bucket for cell in within(track, rollup.model, bucket, latest) if cell.negative]
    found: list[Finding] = []
    for last in ends:
        totals = tallies(track, rollup.model, last, record.told + 1, WINDOWS)
        for index, total in enumerate(totals):
            gained = last < bucket + WINDOWS[index] and (
                WINDOWS[index] >= DAY or rollup.timeliness is not Timeliness.DAY
            )
            if gained and total.negative >= draft.rules.stories:
                found += findings_of(draft, key, track, normal, Window(index, last, total))
    _note_near_miss(draft, key, [each for each in found if each.kind is SignalKind.SURGE])
    levels = {SignalKind.SURGE: draft.pulse.surge, SignalKind.SHARE: draft.pulse.share}
    alarms = [each for each in found if each.chance <= levels[each.kind]]
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
    return [signal_of(draft, key, best, now, late=rollup.timeliness is Timeliness.LATE)]


def _note_near_miss(draft: Draft, key: Key, counts: Sequence[Finding]) -> None:
    """Count how near a key has come to an alarm by its counts, unless it has one already."""
    if not counts or draft.keys.roster.rows[key] in draft.keys.firing:
        return
    best = min(counts, key=lambda finding: finding.chance)
    last, length = best.window.last, WINDOWS[best.window.index]
    draft.set_record(
        draft.record.missed(key, step_of(best.chance), bucket=last, until=last + length, level=draft.pulse.surge)
    )


def _step(firing: Firing, rules: Rules) -> tuple[int, int]:
    """How far a surge has grown: thousandfold steps in chance, as far as that matters, and doublings of its stories."""
    return math.floor(-math.log10(max(firing.chance, 1e-12)) / 3.0), int(
        math.log2(max(1.0, firing.stories / rules.stories))
    )


def signal_of(draft: Draft, key: Key, finding: Finding, now: datetime, *, late: bool) -> Signal:
    """Return what is to be told of a window."""
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


def sighted(draft: Draft, key: Key, record: KeyState, now: datetime) -> Signal:
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
