"""Why a window holds more negative stories than is normal: shares of the surge that sum to 100 %.

Five causes share log(observed / expected), where *observed* and *expected* are weights of negative stories:

    volume     more stories than normal, whatever their mood
    mood       a larger share of them negative than normal
    event      the one event that most of the negative ones are about
    publisher  the one publisher who brought most of them
    model      another model judges than the one that taught what is normal

What a set S of them makes of the window, while all others are set back to normal, is its worth:

    v(S) = log((V·m + X) / (r·E)) + [model in S] · log r

    V   the stories beside the loud event and publisher, if volume is in S; else M, the stories that are normal
    m   the share of V that is negative, by weight, if mood is in S; else r·E / M, the normal share
    X   what event and publisher, those that are in S, bring beyond that, by weight
    E   the expected weight; r: how much more the model that judges finds in the same stories than the one that taught E

An event or a publisher that is set back keeps what is ordinary for one: as much as the next loudest brings, and one
story at least. Of a story that belongs to both, the stricter of the two decides. A publisher without another beside it
is not told apart: one voice alone is no evidence of loudness.

The share of a cause is its Shapley value: what it adds to the worth of those before it, averaged over all orders in
which the five may come. These are the only shares that sum to v(all) = log(observed / expected), are equal for causes
that do the same, are 0 for one that changes nothing, and add up where two games do. Without a loud event or publisher
and with one model, observed = V·m and expected = M·(E / M); the logarithm makes the product a sum, so volume is exactly
log(V / M) and mood log(m / (E / M)). A share may be negative: fewer stories than normal, and nearly all of them bad.

L. S. Shapley (1953), *A Value for n-Person Games*, in: Contributions to the Theory of Games II, Princeton.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from math import factorial, fsum, log
from typing import TypeVar

from monitor.ports import Part
from monitor.types import Cause, EventId, Explanation, Timeliness

COMPARED = timedelta(days=7)  # before a window: the stories by which two models are compared

Player = TypeVar("Player", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a window holds, and what is normal for it.

    parts     its negative stories, by publisher and event
    stories   all its stories, whatever their mood
    expected  the weight of negative stories that is normal
    flow      the stories that are normal
    ratio     how much more weight the model that judges finds in the same stories than the one that taught what is
              normal; 1 where it is the same one
    """

    parts: Sequence[Part]
    stories: int
    expected: float
    flow: float
    ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Loud:
    """The loudest of its kind. Set back, it keeps this part of what it brought."""

    name: str
    kept: float


def explain(window: Window) -> Explanation | None:
    """Return the causes' shares of log(observed / expected). None where no more was observed than is normal."""
    if not 0.0 < window.expected < fsum(part.weight for part in window.parts):
        return None
    event = loudest(window.parts, Cause.EVENT)
    publisher = loudest(window.parts, Cause.PUBLISHER)
    loud = {cause: one for cause, one in ((Cause.EVENT, event), (Cause.PUBLISHER, publisher)) if one is not None}
    values = shapley(tuple(Cause), worth_of(window, loud))
    total = fsum(values.values())
    return Explanation(
        volume=values[Cause.VOLUME] / total,
        mood=values[Cause.MOOD] / total,
        event=values[Cause.EVENT] / total,
        publisher=values[Cause.PUBLISHER] / total,
        model=values[Cause.MODEL] / total,
        loudest_event=EventId(event.name) if event else None,
        loudest_publisher=publisher.name if publisher else None,
        stories=sum(part.stories for part in window.parts),
        events=events_of(window.parts),
    )


def shapley(players: Sequence[Player], worth: Callable[[frozenset[Player]], float]) -> dict[Player, float]:
    """Return the Shapley value of each of n players, from the worth of all 2ⁿ coalitions.

    φ(i) = Σ over S without i of |S|! · (n − |S| − 1)! / n! · (v(S and i) − v(S))
    """
    n = len(players)
    worths = {frozenset(some): worth(frozenset(some)) for size in range(n + 1) for some in combinations(players, size)}
    chances = [factorial(size) * factorial(n - size - 1) / factorial(n) for size in range(n)]
    return {
        player: fsum(
            chances[len(others)] * (worths[others | {player}] - worth_)
            for others, worth_ in worths.items()
            if player not in others
        )
        for player in players
    }


def loudest(parts: Sequence[Part], kind: Cause) -> Loud | None:
    """Return the event or publisher of most weight, where it brought more than is ordinary for one.

    Stories of no known event are each of their own.
    """
    weights: dict[str, float] = defaultdict(float)
    stories: dict[str, int] = defaultdict(int)
    for part in parts:
        name = _name(part, kind)
        if name is not None:
            weights[name] += part.weight
            stories[name] += part.stories
    ranked = sorted(weights, key=lambda name: (-weights[name], name))
    if not ranked or (kind is Cause.PUBLISHER and len(ranked) < 2):
        return None
    first = ranked[0]
    following = weights[ranked[1]] if len(ranked) > 1 else 0.0
    kept = max(following / weights[first], 1.0 / stories[first])
    return Loud(first, kept) if kept < 1.0 else None


def events_of(parts: Sequence[Part]) -> int:
    """Return how many events the stories are about; one of no known event is about its own."""
    known = {part.event for part in parts if part.event is not None}
    return len(known) + sum(part.stories for part in parts if part.event is None)


def worth_of(window: Window, loud: Mapping[Cause, Loud]) -> Callable[[frozenset[Cause]], float]:
    """Return v: what a set of causes makes of the window, in terms of log(observed / expected)."""
    left = {some: _left(window.parts, loud, some) for some in _subsets(frozenset(loud))}
    stories, weight = left[frozenset()]
    others = max(window.stories - sum(part.stories for part in window.parts), 0) + stories
    normal = window.expected * window.ratio
    flow = max(window.flow, normal)

    def worth(present: frozenset[Cause]) -> float:
        volume = others if Cause.VOLUME in present else flow
        mood = weight / others if Cause.MOOD in present else normal / flow
        excess = left[present.intersection(loud)][1] - weight
        changed = log(window.ratio) if Cause.MODEL in present else 0.0
        return log((volume * mood + excess) / normal) + changed

    return worth


def counted_in(span: timedelta) -> tuple[Timeliness, ...]:
    """Return what a window of this length counts: of stories that name only their day, none where it is shorter."""
    timed = (Timeliness.LIVE, Timeliness.LATE)
    return (*timed, Timeliness.DAY) if span >= timedelta(days=1) else timed


def weight_ratio(ours: float, theirs: float) -> float:
    """Return how much more weight one model finds in the same stories than another.

    A story on either side keeps small numbers from telling much.
    """
    return (1.0 + ours) / (1.0 + theirs)


def percents(explanation: Explanation) -> dict[Cause, int]:
    """Return the shares in whole percent, which sum to 100: the largest remainders are rounded up."""
    exact = {cause: 100.0 * share for cause, share in explanation.shares.items()}
    whole = {cause: int(value // 1) for cause, value in exact.items()}
    lacking = 100 - sum(whole.values())
    for cause in sorted(exact, key=lambda each: whole[each] - exact[each])[:lacking]:
        whole[cause] += 1
    return whole


def _subsets(causes: frozenset[Cause]) -> list[frozenset[Cause]]:
    return [frozenset(some) for size in range(len(causes) + 1) for some in combinations(sorted(causes), size)]


def _left(parts: Sequence[Part], loud: Mapping[Cause, Loud], present: Collection[Cause]) -> tuple[float, float]:
    """Return stories and weight with the loud ones that are not present set back."""
    out = {cause: one for cause, one in loud.items() if cause not in present}
    kept = [
        min((one.kept for cause, one in out.items() if _name(part, cause) == one.name), default=1.0) for part in parts
    ]
    return (
        fsum(part.stories * rest for part, rest in zip(parts, kept, strict=True)),
        fsum(part.weight * rest for part, rest in zip(parts, kept, strict=True)),
    )


def _name(part: Part, kind: Cause) -> str | None:
    return part.event if kind is Cause.EVENT else part.publisher
