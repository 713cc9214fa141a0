"""What a window means: how unlikely its count or its share is, and who vouches for it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from monitor.core.detect.baseline import Group, Level, Rate, moments
from monitor.core.detect.budget import WINDOWS, cluster_rate, share_rate
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.calibration import REACH
from monitor.core.detect.learning import SHARE_STORIES
from monitor.core.detect.state import Draft
from monitor.core.detect.windows import DAY, Tally, Track, origins, tally
from monitor.core.keys import group_of
from monitor.types import Key, Origin, SignalKind

NEAR = 10.0**REACH  # how many times likelier than what alarms a near miss is
CONCENTRATION = 50.0  # the share of negative stories sways from hour to hour as a beta of this many stories would


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one key: which length, its last bucket, what it holds."""

    index: int
    last: int
    total: Tally


@dataclass(frozen=True, slots=True)
class Finding:
    """One window, judged by count or by share."""

    kind: SignalKind
    window: Window
    expected: float
    chance: float
    publishers: int = 0


@dataclass(frozen=True, slots=True)
class Normal:
    """What is normal for one key at this hour."""

    group: Group
    level: Level
    rate: Rate
    hour: int


def normal_of(draft: Draft, key: Key) -> Normal:
    """Return what is normal for a key now."""
    group, level = draft.groups[group_of(key)], draft.keys.level(draft.keys.roster.rows[key])
    return Normal(group, level, level.surge(group, draft.pulse.hour), draft.pulse.hour)


def beside(draft: Draft, key: Key, track: Track, normal: Normal, window: Window) -> Normal:
    """Return what is normal by all that was learned but the window itself: it must not speak for itself.

    Of a surge that has been told no more was learned than had been expected.
    """
    pulse, first = draft.pulse, window.last + 1 - WINDOWS[window.index]
    end = min(window.last + 1, pulse.hour * BUCKETS)
    if pulse.model is None or end <= first:
        return normal
    group, span = normal.group, normal.group.season.span(first, end)
    own = tally(track, pulse.model, first, end - 1, daily=True)
    told = normal.rate.mean * span if draft.keys.roster.rows[key] in draft.keys.firing else math.inf
    level = normal.level.aged(normal.hour)
    level = replace(
        level,
        weight=max(0.0, level.weight - min(own.weight, told)),
        stories=max(0.0, level.stories - own.stories),
        debt=level.debt + span,
    )
    return Normal(group, level, level.surge(group, normal.hour), normal.hour)


def findings_of(draft: Draft, key: Key, track: Track, normal: Normal, window: Window) -> list[Finding]:
    """Return what alarms in this window of a key's track, or comes near: its count, its share, both or neither."""
    pulse, rules = draft.pulse, draft.rules
    levels = {SignalKind.SURGE: pulse.surge * NEAR}
    if window.total.stories >= SHARE_STORIES:
        levels[SignalKind.SHARE] = pulse.share
    normal = beside(draft, key, track, normal, window)
    found = [kind for kind, level in levels.items() if judge(normal, window, kind).chance <= level]
    if not found or pulse.model is None:
        return []
    first = max(window.last - WINDOWS[window.index] + 1, draft.keys[key].told + 1)
    daily = WINDOWS[window.index] >= DAY
    brought = origins(track, pulse.model, first, window.last, daily=daily)
    ordinary = judge(normal, window, SignalKind.SURGE).expected / normal.group.unit
    counted = (
        _vouched(draft, key, track, brought, ordinary) if brought else window.total.negative
    )  # bare counts: unknown
    if counted < rules.stories:
        return []
    weight = window.total.weight * counted / window.total.negative
    sound = replace(window, total=replace(window.total, negative=counted, weight=weight))
    findings = [judge(normal, sound, kind) for kind in found]
    publishers = len({origin.publisher for origin in brought})
    return [
        replace(finding, window=window, publishers=publishers)
        for finding in findings
        if finding.chance <= levels[finding.kind]
    ]


def _vouched(draft: Draft, key: Key, track: Track, brought: Sequence[Origin], ordinary: float) -> int:
    """Return how many of the negative stories count, by who stands behind them.

    None where too few independent publishers do. The loudest counts for at most twice what the others bring beyond the
    `ordinary` count of the window, and for what they leave of that: stories that the others bring on any day vouch for
    nothing. A trusted publisher, or one that comes through a trusted source, is believed alone. Where publishers cannot
    be known (a source that is one publisher's own, only one publisher anywhere) all count.
    """
    rules, total = draft.rules, sum(origin.negative for origin in brought)
    alone = draft.pulse.publishers < 2 or (key.startswith("source:") and _one_voice(track))
    trusted = any(
        origin.publisher in rules.trusted_publishers or origin.source in rules.trusted_sources for origin in brought
    )
    voices = Counter[str]()
    for origin in brought:
        voices[origin.publisher] += origin.negative
    if alone or trusted or rules.publishers < 2:
        return total
    if len(voices) < rules.publishers:
        return 0
    others = total - max(voices.values())
    return min(total, round(max(others, ordinary) + 2.0 * max(0.0, others - ordinary)))


def _one_voice(track: Track) -> bool:
    """Tell whether all of a day's stories came from one publisher."""
    return len({origin.publisher for cell in track for origin in cell.origins}) < 2


def judge(normal: Normal, window: Window, kind: SignalKind) -> Finding:
    """Return how unlikely a window is, by its count or by its share of negative stories."""
    group, rate, total = normal.group, normal.rate, window.total
    count = float(round(total.weight / group.unit))
    pace = rate.mean * group.season.factor(window.last) / group.unit
    if kind is SignalKind.SHARE:
        share, evidence = normal.level.share(group, normal.hour)
        share = min(max(share / group.unit, 1e-6), 1.0 - 1e-6)
        certainty = 1.0 / (1.0 / evidence + group.doubt + 1.0 / CONCENTRATION)
        chance = share_rate(min(count, float(total.stories)), total.stories, share, certainty, pace)
        return Finding(kind, window, total.stories * share * group.unit, chance)
    end = window.last + 1
    mean, excess = moments(group, window.index, end - WINDOWS[window.index], end, rate)
    return Finding(kind, window, mean * group.unit, cluster_rate(count, mean, excess, pace))


def flow_of(normal: Normal, finding: Finding) -> float:
    """Return how many stories, whatever their mood, are normal in the window: at least the negative ones.

    Where a share is judged these are the stories that there are.
    """
    if finding.kind is SignalKind.SHARE:
        return float(finding.window.total.stories)
    end = finding.window.last + 1
    rate = normal.level.stream(normal.group, normal.hour)
    return max(rate.mean * normal.group.season.span(end - WINDOWS[finding.window.index], end), finding.expected)
