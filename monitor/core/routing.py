"""Who is told what: one message for each change of an incident and each target that has to hear of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from monitor.core.incidents import Folded
from monitor.types import (
    Change,
    Incident,
    IncidentKind,
    IncidentState,
    Language,
    Message,
    Severity,
    TargetId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which incidents go to which targets. What is left empty takes all; what is given must all agree.

    keys      patterns (`entity:*`, `topic:Energy*`), capitals matter; one of them takes one of the incident's keys
    severity  of the incident now: a route for `critical` takes it from the moment it is raised
    language  of the leading headline; an incident without headlines, a silence, is taken in every language
    """

    targets: tuple[TargetId, ...]
    keys: tuple[str, ...] = ()
    severity: frozenset[Severity] = frozenset()
    language: frozenset[Language] = frozenset()
    kind: frozenset[IncidentKind] = frozenset()

    def takes(self, incident: Incident) -> bool:
        """Tell whether the incident, as it is now, goes this way."""
        return (
            (not self.keys or any(fnmatchcase(key, pattern) for key in incident.keys for pattern in self.keys))
            and (not self.severity or incident.severity in self.severity)
            and (not self.language or not incident.evidence or incident.evidence[0].language in self.language)
            and (not self.kind or incident.kind in self.kind)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """The changed incidents, with their targets noted in `told`, and the messages that go out with them."""

    incidents: tuple[Incident, ...]
    messages: tuple[Message, ...]


def messages_for(folded: Folded, routes: Sequence[Route], *, now: datetime, ttl: timedelta) -> Telling:
    """Return what is to be saved and posted, in one transaction.

    A target hears that an incident opened when a route first takes it: at once, or later, when it is raised to the
    route's severity or joined by the route's key. From then on it hears of every change, as long as any route names
    it. Whoever did not hear of the beginning does not hear of the end; whoever hears of both in one fold is told once,
    that it is over already. However many routes name a target, it is one message, with one key for one change.
    """
    named = frozenset(target for route in routes for target in route.targets)
    incidents: list[Incident] = []
    messages: list[Message] = []
    for incident in folded.incidents:
        changes = [change for change, each in folded.changes if each.id == incident.id]
        matching = dict.fromkeys(target for route in routes if route.takes(incident) for target in route.targets)
        ended = incident.state is IncidentState.RESOLVED and not {Change.OPENED, Change.RAISED} & set(changes)
        fresh = [] if ended else [target for target in matching if target not in incident.told]
        after = replace(incident, told=incident.told.union(fresh))
        tellings = [(Change.OPENED, target) for target in fresh]
        tellings += [(change, target) for change in changes[-1:] for target in sorted(incident.told & named)]
        incidents.append(after)
        messages += [
            Message(
                key=message_key(after, change),
                target=target,
                change=change,
                incident=after,
                created=now,
                expires=now + ttl,
            )
            for change, target in tellings
        ]
    return Telling(incidents=tuple(incidents), messages=tuple(messages))


def message_key(incident: Incident, change: Change) -> str:
    """Return the stable key of one change: an incident opens once, is raised once to each severity, resolves once."""
    word = f"{change}-{incident.severity}" if change is Change.RAISED else change
    return f"{incident.id}.{word}"
