"""Which keys of a batch could come near an alarm: all windows of all of them at once, before any is judged by itself.

What is worked out here is never told. It leaves out the guards, and takes of each key the batch as a whole; so it finds
at least the windows that are unlikely, at any moment within the batch, and leaves the exact judgement, by all
that is known beside the window (`judging.beside`), to `judging`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.core.detect.baseline import Floats, Group, posteriors
from monitor.core.detect.budget import WINDOWS, cluster_rates, share_rates
from monitor.core.detect.calendar import BUCKETS
from monitor.core.detect.cells import BUCKETS_OF, SHIFT
from monitor.core.detect.columns import Flags
from monitor.core.detect.judging import CONCENTRATION, NEAR
from monitor.core.detect.learning import SHARE_STORIES
from monitor.core.detect.state import Draft
from monitor.core.detect.ties import Ints
from monitor.core.detect.windows import DAY

SLACK = 4.0  # how many times likelier than a near miss a window may seem here and still be judged
_LENGTHS = np.array(WINDOWS)[:, None]


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of keys of one group: which length, where they end, and what they hold."""

    rows: Ints
    index: Ints
    last: Ints
    stories: Ints
    count: Floats  # negative stories, by weight
    known: Floats  # what of its weight, and of its stories, is learned already
    known_stories: Ints


def promising(draft: Draft, codes: Ints, others: Ints, present: int) -> Ints:
    """Return the rows of which a window alarms or nearly does.

    codes   the cells that gained negative stories of the serving model
    others  for each, how many other stories the whole batch brought its key
    """
    codes, places = np.unique(codes, return_index=True)
    rows, buckets = codes >> SHIFT, codes & BUCKETS_OF
    latest = np.minimum(present, buckets + WINDOWS[-1] - 1)
    timed, daily = draft.windows.log(draft.pulse.model), draft.windows.log(draft.pulse.model, daily=True)
    ends = np.union1d(*(log.bad_ends(codes, (rows << SHIFT) | latest) for log in (timed, daily)))
    gained = np.searchsorted(codes, ends, side="right") - 1  # the last gain before each end
    rows, last = rows[gained], ends & BUCKETS_OF
    first = np.maximum(last - _LENGTHS + 1, draft.keys.told[rows] + 1)
    low, high = (rows << SHIFT) | first, np.broadcast_to(ends, first.shape)
    stories, negative, weight = timed.sums(low, high)
    whole = [place for place, length in enumerate(WINDOWS) if length >= DAY]
    days = daily.sums(low[whole], high[whole])
    stories[whole] += days[0]
    negative[whole] += days[1]
    weight[whole] += days[2]
    index, end = np.nonzero((negative >= draft.rules.stories) & (last - buckets[gained] < _LENGTHS))
    kind, near = draft.keys.roster.kind[rows[end]], []
    for place in np.unique(kind).tolist():
        mine = kind == place
        which, at = index[mine], end[mine]
        group = draft.groups[draft.keys.roster.kinds[place]]
        count = np.rint(weight[which, at] / group.unit)
        of = rows[at]
        windows = _Windows(of, which, last[at], stories[which, at], count, *_known(draft, of, which, last[at]))
        near.append(of[_near(draft, group, windows, others[places][gained[at]])])
    return np.unique(np.concatenate([np.zeros(0, np.int64), *near]))


def _known(draft: Draft, rows: Ints, index: Ints, last: Ints) -> tuple[Floats, Ints]:
    """Return the weight and the stories of these windows that belong to hours that are learned already."""
    low = (rows << SHIFT) | (last + 1 - np.array(WINDOWS)[index])
    high = np.maximum((rows << SHIFT) | np.minimum(last, draft.pulse.hour * BUCKETS - 1), low - 1)
    timed, daily = (draft.windows.log(draft.pulse.model, daily=daily).sums(low, high) for daily in (False, True))
    return timed[2] + daily[2], timed[0] + daily[0]


def _near(draft: Draft, group: Group, windows: _Windows, others: Ints) -> Flags:
    """Tell of each window whether its count, or its share, comes near what alarms."""
    pulse, keys, season, unit = draft.pulse, draft.keys, group.season, group.unit
    places, inverse = np.unique(windows.last * len(WINDOWS) + windows.index, return_inverse=True)
    hours = []
    for last, index in (divmod(place, len(WINDOWS)) for place in places.tolist()):
        doubt = group.doubt + season.doubt(last) / max(1.0, WINDOWS[index] / BUCKETS)
        first, learned = last + 1 - WINDOWS[index], min(last + 1, pulse.hour * BUCKETS)
        span, own = season.span(first, last + 1), season.span(first, max(first, learned))
        hours.append((span, own, season.factor(last), group.surge.factors[index] - 1.0, doubt))
    span, own, factor, clustered, doubt = np.array(hours).reshape(-1, 5).T[:, inverse]
    weight, stories, debt = keys.aged(windows.rows, pulse.hour)
    weight, stories = np.maximum(0.0, weight - windows.known), np.maximum(0.0, stories - windows.known_stories)
    rates = posteriors(weight, group.exposure - debt - own, group.rate, group.surge.factors[3])
    mean, pace = rates.mean * span / unit, rates.mean * factor / unit
    excess = clustered + mean * (1.0 / rates.certainty + doubt)
    near: Flags = cluster_rates(windows.count, mean, excess, pace) <= NEAR * SLACK * pulse.surge
    many = np.flatnonzero(windows.stories >= SHARE_STORIES)
    if many.size:
        weight, stories = weight[many], stories[many]
        share = np.clip((2.0 * group.rate / group.flow + weight) / (2.0 + stories) / unit, 1e-6, 1.0 - 1e-6)
        certainty = 1.0 / (1.0 / (2.0 + stories) + group.doubt + 1.0 / CONCENTRATION)
        all_ = windows.stories[many].astype(np.float64)
        count = np.minimum(windows.count[many], all_)
        fewest = np.maximum(count, all_ - others[many])  # as if the batch's negative stories had come first
        near[many] |= share_rates(count, fewest, share, certainty, pace[many]) <= NEAR * SLACK * pulse.share
    return near
