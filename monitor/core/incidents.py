"""Signals whose evidence overlaps, told as one incident, over its whole life.

When are two keys about the same thing? A key is *narrow* or *wide*: a company within a topic, a company, a topic, a
source, everything. An incident is about its narrowest key, and the negative stories of that key are its stories.

- A key as narrow as the incident joins it if they share at least half of the smaller set of stories: a bank and its
  parent.
- A wider key joins if its surge is explained: open incidents about narrower keys hold, together, at least half of its
  stories above normal. It joins the one that holds most. So `all` and `source:…`, which share stories with nearly
  everything, raise no second alert, and never bring two companies together: what is wide does not make an incident
  wider.
- A narrower key joins if it makes up more than half of the incident's stories above normal: the topic was first, but
  it was this bank's news.

Otherwise a key opens an incident of its own. Two incidents that are open are never merged: each has been told. A key
that fires again after its incident was resolved opens a new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import log
from types import MappingProxyType
from typing import Any

from monitor.core.keys import group_of
from monitor.core.severity import severity_of
from monitor.types import (
    BUCKET,
    Acknowledgement,
    Change,
    Evidence,
    Explanation,
    Incident,
    IncidentId,
    IncidentKind,
    IncidentState,
    Key,
    ModelId,
    Severity,
    Signal,
    SignalKind,
    StoryId,
)

HEADLINES = 10  # an incident keeps and shows
STORIES = 200  # of a key are compared, the most negative of them
SURGING = (SignalKind.SURGE, SignalKind.SHARE)

WIDTH = {"entity×topic": 0, "entity": 1, "topic": 2, "source": 3, "all": 4}

# At one moment, what sees again may calm, what is blind may not, and what surges has the last word.
TURN = {
    SignalKind.SEEING: 0,
    SignalKind.BLIND: 1,
    SignalKind.CALM: 2,
    SignalKind.SHARE: 3,
    SignalKind.SURGE: 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What signals made of the incidents.

    `incidents` are those that changed in anything, as they are to be saved. `changes` are what a desk may be told of
    them: of an incident that is new only that it opened, even if it is over already.
    """

    incidents: tuple[Incident, ...]
    changes: tuple[tuple[Change, Incident], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Evidence that `fold` needs: the negative stories of a key in (since, until], at most STORIES."""

    key: Key
    model: ModelId
    since: datetime
    until: datetime


def evidence_wanted(signals: Iterable[Signal], open_incidents: Iterable[Incident]) -> tuple[Wanted, ...]:
    """Return what to look up before folding, one entry for a key.

    Of each key that surges, its window; and where one of them may join an open incident, the stories of those.
    Windows count whole buckets, so each span is wider by a bucket at either end.
    """
    surging = sorted((signal for signal in signals if signal.kind in SURGING), key=_order)
    incidents = [incident for incident in open_incidents if incident.kind is IncidentKind.SURGE]
    spans = [
        Wanted(key=each.key, model=each.model, since=each.at - each.window - BUCKET, until=each.at + BUCKET)
        for each in surging
    ]
    if {each.key for each in surging} - {key for incident in incidents for key in incident.active}:
        newest = surging[-1]
        spans += [
            Wanted(
                key=_subject(incident),
                model=newest.model,
                since=incident.opened - incident.window - BUCKET,
                until=newest.at + BUCKET,
            )
            for incident in incidents
        ]
    wanted: dict[Key, Wanted] = {}
    for span in spans:
        known = wanted.setdefault(span.key, span)
        wanted[span.key] = replace(
            known, model=span.model, since=min(known.since, span.since), until=max(known.until, span.until)
        )
    return tuple(wanted.values())


def decisive(signals: Iterable[Signal]) -> tuple[Signal, ...]:
    """Return the signals that may give an incident its figures: of each key that surges, the least likely."""
    found: dict[Key, Signal] = {}
    for signal in sorted(signals, key=_order):
        if signal.kind in SURGING and (signal.key not in found or signal.chance <= found[signal.key].chance):
            found[signal.key] = signal
    return tuple(found.values())


def fold(
    signals: Iterable[Signal],
    open_incidents: Iterable[Incident],
    evidence: Mapping[Key, Sequence[Evidence]],
    now: datetime,
    explained: Mapping[Signal, Explanation] = MappingProxyType({}),
) -> Folded:
    """Return what signals make of the incidents that are open.

    Signals are taken in the order of their times; those of one moment come narrow before wide, unlikely before
    likely, so the order in which they are given does not matter, and the first of an incident leads it for good. Its
    id follows from kind, leading key and opening time: folding the same again gives the same ids.

    An incident shows the numbers of the least likely signal of its leading key, and what explains them, which
    `explained` holds for the `decisive` ones. Its severity only rises. A key leaves it when it calms; with the last one
    it is resolved. A key that is blind stays: silence is not calm.
    """
    book = _Book(open_incidents, evidence, explained)
    for signal in sorted(signals, key=_order):
        book.take(signal)
    return book.folded(now)


def acknowledge(incident: Incident, acknowledgement: Acknowledgement) -> Incident:
    """Return an open incident as somebody's who looks into it. The first to say so stays.

    It goes on as before: it may be joined, raised (which is told again) and resolved.
    """
    if incident.acknowledged is not None:
        return incident
    return replace(
        incident,
        state=IncidentState.ACKNOWLEDGED,
        acknowledged=acknowledgement,
        updated=acknowledgement.at,
        revision=incident.revision + 1,
    )


class _Book:
    """The incidents while signals are folded into them."""

    def __init__(
        self,
        incidents: Iterable[Incident],
        evidence: Mapping[Key, Sequence[Evidence]],
        explained: Mapping[Signal, Explanation],
    ) -> None:
        self._explained = explained
        self._before = {incident.id: incident for incident in incidents}
        self._incidents = dict(self._before)
        self._evidence = evidence

    def take(self, signal: Signal) -> None:
        """Let one signal change the incidents."""
        if signal.kind is SignalKind.BLIND:
            self._join(signal, self._holding(signal.key, IncidentKind.BLIND) or self._silence(signal.key))
        elif signal.kind is SignalKind.SEEING:
            self._leave(signal, self._holding(signal.key, IncidentKind.BLIND))
        elif signal.kind is not SignalKind.CALM:
            self._join(signal, self._holding(signal.key, IncidentKind.SURGE) or self._same(signal))
        elif self._holding(signal.key, IncidentKind.BLIND) is None:
            self._leave(signal, self._holding(signal.key, IncidentKind.SURGE))

    def folded(self, now: datetime) -> Folded:
        """Return what changed, the oldest incident first."""
        incidents: list[Incident] = []
        changes: list[tuple[Change, Incident]] = []
        for after in sorted(self._incidents.values(), key=lambda each: (each.opened, each.id)):
            before = self._before.get(after.id)
            if after == before:
                continue
            incident = replace(after, updated=now, revision=1 if before is None else before.revision + 1)
            incidents.append(incident)
            changes += [(change, incident) for change in _changes(before, incident)]
        return Folded(incidents=tuple(incidents), changes=tuple(changes))

    def _open(self, kind: IncidentKind) -> list[Incident]:
        return [
            each for each in self._incidents.values() if each.kind is kind and each.state is not IncidentState.RESOLVED
        ]

    def _holding(self, key: Key, kind: IncidentKind) -> Incident | None:
        return next((each for each in self._open(kind) if key in each.active), None)

    def _silence(self, key: Key) -> Incident | None:
        """Return the silence a key belongs to: of the source that fell silent last, for until then the key was fed."""
        if group_of(key) == "source":
            return None
        silent = [each for each in self._open(IncidentKind.BLIND) if group_of(each.keys[0]) == "source"]
        return max(silent, key=lambda each: (each.opened, each.id), default=None)

    def _same(self, signal: Signal) -> Incident | None:
        """Return the open incident that a surge on another key belongs to."""
        stories = _stories(self._evidence.get(signal.key, ()))
        width = _width(signal.key)
        joined: list[tuple[int, Incident]] = []
        explaining: list[tuple[int, Incident]] = []
        explained: set[StoryId] = set()
        for incident in self._open(IncidentKind.SURGE):
            subject = _subject(incident)
            theirs = _stories(self._evidence.get(subject, incident.evidence))
            shared = stories & theirs
            if not shared:
                continue
            if _width(subject) < width:
                explaining.append((len(shared), incident))
                explained |= shared
            elif (
                2 * len(shared) >= min(len(stories), len(theirs))
                if _width(subject) == width
                else 2 * len(shared) > incident.observed - incident.expected
            ):
                joined.append((len(shared), incident))
        if explained and 2 * len(explained) >= signal.observed - signal.expected:
            joined += explaining
        joined.sort(key=lambda each: (-each[0], each[1].opened, each[1].id))
        return joined[0][1] if joined else None

    def _join(self, signal: Signal, incident: Incident | None) -> None:
        found = self._evidence.get(signal.key, ())
        if incident is None:
            incident = self._new(signal)
        elif signal.key == incident.keys[0] and signal.chance <= incident.chance:
            incident = replace(incident, **_figures(signal), explanation=self._explanation(signal))
        if _width(signal.key) > _width(incident.keys[0]):
            found = ()  # a wider key brings headlines of other things
        self._incidents[incident.id] = replace(
            incident,
            keys=incident.keys if signal.key in incident.keys else (*incident.keys, signal.key),
            active=incident.active | {signal.key},
            severity=max(incident.severity, severity_of(signal), key=_rank),
            evidence=headlines((*incident.evidence, *found)),
            late=incident.late and signal.late,
        )

    def _new(self, signal: Signal) -> Incident:
        again = 0
        while (incident := _opened(signal, again)).id in self._incidents:
            again += 1  # one that began at the same moment has ended meanwhile
        return replace(incident, explanation=self._explanation(signal))

    def _explanation(self, signal: Signal) -> Explanation | None:
        """Return what makes the surge, with a headline of the loudest event: the one most worth showing."""
        explanation = self._explained.get(signal)
        if explanation is None or explanation.loudest_event is None:
            return explanation
        about = [each for each in self._evidence.get(signal.key, ()) if each.event == explanation.loudest_event]
        return replace(explanation, headline=headlines(about)[0].title) if about else explanation

    def _leave(self, signal: Signal, incident: Incident | None) -> None:
        if incident is None:
            return
        active = incident.active - {signal.key}
        if active:
            self._incidents[incident.id] = replace(incident, active=active)
        else:
            self._incidents[incident.id] = replace(
                incident,
                active=active,
                state=IncidentState.RESOLVED,
                resolved=max(signal.at, incident.opened),
            )


def headlines(pieces: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return the stories worth showing, at most HEADLINES, each once, as it was last seen.

    The most negative and most spread come first, by p(negative) · (1 + ln publishers); of equals, the earliest.
    """
    stories = {piece.story: piece for piece in pieces}
    return tuple(sorted(stories.values(), key=_worth)[:HEADLINES])


def _worth(piece: Evidence) -> tuple[float, datetime, StoryId]:
    return -piece.negative * (1.0 + log(max(piece.publishers, 1))), piece.published, piece.story


def _opened(signal: Signal, again: int) -> Incident:
    kind = IncidentKind.BLIND if signal.kind is SignalKind.BLIND else IncidentKind.SURGE
    return Incident(
        id=_id(kind, signal.key, signal.at, again),
        kind=kind,
        state=IncidentState.FIRING,
        severity=severity_of(signal),
        keys=(signal.key,),
        active=frozenset({signal.key}),
        opened=signal.at,
        updated=signal.at,
        resolved=None,
        evidence=(),
        late=signal.late,
        revision=1,
        **_figures(signal),
    )


def _figures(signal: Signal) -> dict[str, Any]:
    return {
        "window": signal.window,
        "observed": signal.observed,
        "expected": signal.expected,
        "chance": signal.chance,
        "stories": signal.negative,
        "publishers": signal.publishers,
        "model": signal.model,
    }


def _id(kind: IncidentKind, lead: Key, opened: datetime, again: int) -> IncidentId:
    told = f"{kind}\0{lead}\0{opened.isoformat()}" + "\0" * again
    return IncidentId(hashlib.sha256(told.encode()).hexdigest()[:32])


def _changes(before: Incident | None, after: Incident) -> Iterable[Change]:
    if before is None:
        yield Change.OPENED
        return
    if after.severity.rank > before.severity.rank:
        yield Change.RAISED
    if after.state is IncidentState.RESOLVED:
        yield Change.RESOLVED


def _order(signal: Signal) -> tuple[datetime, int, int, float, Key, float, str]:
    width = _width(signal.key)
    if signal.kind is SignalKind.BLIND and group_of(signal.key) == "source":
        width = -1  # the silence itself, before the keys it makes blind
    return signal.at, TURN[signal.kind], width, signal.chance, signal.key, -signal.observed, signal.kind


def _width(key: Key) -> int:
    return WIDTH.get(group_of(key), WIDTH["topic"])


def _subject(incident: Incident) -> Key:
    """Return the narrowest key, of equals the one that came first: what the incident is about."""
    return min(incident.keys, key=_width)


def _stories(pieces: Iterable[Evidence]) -> frozenset[StoryId]:
    return frozenset(piece.story for piece in pieces)


def _rank(severity: Severity) -> int:
    return severity.rank
