"""Signals, headlines and incidents for the tests of what is told: all that is not named is of no matter there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.types import (
    EventId,
    Evidence,
    Explanation,
    Incident,
    IncidentId,
    IncidentKind,
    IncidentState,
    Key,
    Language,
    ModelId,
    Severity,
    Signal,
    SignalKind,
    StoryId,
)

T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MODEL = ModelId("0123456789abcdef")


def signal(key: str, kind: SignalKind = SignalKind.SURGE, at: datetime = T0, **other: Any) -> Signal:
    given: dict[str, Any] = {
        "window": timedelta(hours=1),
        "observed": 5.4,
        "expected": 0.4,
        "chance": 1e-6,
        "stories": 8,
        "negative": 6,
        "publishers": 4,
        "model": MODEL,
    }
    return Signal(key=Key(key), kind=kind, at=at, **(given | other))


def headline(story: str, *, negative: float = 0.9, publishers: int = 1, **other: Any) -> Evidence:
    given: dict[str, Any] = {
        "title": f"Headline of {story}",
        "link": f"https://news.example/{story}",
        "publisher": "news.example",
        "language": Language("en"),
        "published": T0,
        "copies": publishers,
    }
    return Evidence(story=StoryId(story), negative=negative, publishers=publishers, **(given | other))


def headlines(stories: Iterable[str]) -> tuple[Evidence, ...]:
    return tuple(headline(story) for story in stories)


EXPLAINED = Explanation(
    volume=0.62,
    mood=-0.092,
    event=0.2,
    publisher=0.272,
    model=0.0,
    loudest_event=EventId("raid"),
    loudest_publisher="loud.example",
    headline="Police raid Acme Bank",
)


def incident(*keys: str, **other: Any) -> Incident:
    given: dict[str, Any] = {
        "id": IncidentId("00112233445566778899aabbccddeeff"),
        "kind": IncidentKind.SURGE,
        "state": IncidentState.FIRING,
        "severity": Severity.HIGH,
        "active": frozenset(Key(key) for key in keys),
        "opened": T0,
        "updated": T0,
        "resolved": None,
        "window": timedelta(hours=1),
        "observed": 7.9,
        "expected": 0.4,
        "chance": 1.0 / (3 * 8766),
        "stories": 9,
        "publishers": 5,
        "evidence": headlines(["one"]),
        "late": False,
        "model": MODEL,
        "revision": 1,
    }
    return Incident(keys=tuple(Key(key) for key in keys), **(given | other))
