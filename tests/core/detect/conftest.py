"""A desk that watches: it hands stories and ticks to the detector and keeps what it says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from monitor.core.counting import exact
from monitor.core.detect.detector import Rules, State, decide, fresh
from monitor.types import BUCKET, Key, ModelId, Origin, Rollup, Signal, SignalKind, SourceId, Timeliness

MONDAY = datetime(2024, 3, 4, tzinfo=UTC)


def rollup(
    key: str,
    at: datetime,
    negative: int = 1,
    *,
    other: int = 0,
    publisher: str | None = "one.example",
    source: str = "wire",
    model: str = "m1",
    timeliness: Timeliness = Timeliness.LIVE,
    weight: float | None = None,
) -> Rollup:
    stories = negative + other
    total = exact(0.9) * negative if weight is None else weight
    origins: tuple[Origin, ...] = ()
    if publisher is not None:
        origins = (Origin(publisher=publisher, source=SourceId(source), stories=stories, negative=negative),)
    return Rollup(
        key=Key(key),
        bucket=datetime.fromtimestamp(at.timestamp() // 300 * 300, UTC),
        model=ModelId(model),
        timeliness=timeliness,
        stories=stories,
        negative=negative,
        weight=total,
        sum_negative=total,
        sum_neutral=float(other),
        sum_positive=0.0,
        origins=origins,
    )


class Desk:
    def __init__(self, rules: Rules) -> None:
        self.state: State = fresh(rules)
        self.now = MONDAY
        self.signals: list[Signal] = []
        self.rows: set[str] = set()
        self.random = random.Random(7)

    def tell(self, rollups: Sequence[Rollup]) -> list[Signal]:
        """Hand something over now (nothing at all is a tick)."""
        decision = decide(rollups, self.state, self.now)
        self.state = decision.state
        self.signals += decision.signals
        self.rows |= decision.changed
        return list(decision.signals)

    def wait(self, span: timedelta) -> list[Signal]:
        """Let time pass, with a tick every five minutes."""
        said: list[Signal] = []
        end = self.now + span
        while self.now < end:
            self.now = min(self.now + BUCKET, end)
            said += self.tell(())
        return said

    def story(self, key: str = "entity:acme", **details: object) -> list[Signal]:
        """One story about the key, published now."""
        return self.tell([rollup(key, self.now, **details)])  # type: ignore[arg-type]  # details are rollup's own

    def calm(self, days: float, keys: Sequence[str] = ("entity:acme", "entity:bolt", "entity:cove")) -> None:
        """Some days of ordinary news: about three negative and three other stories a day for each key."""
        for _ in range(int(days * 24)):
            self.wait(timedelta(hours=1))
            for key in keys:
                publisher = self.random.choice(["one.example", "two.example", "three.example"])
                if self.random.random() < 1 / 8:
                    self.story(key, publisher=publisher)
                if self.random.random() < 1 / 8:
                    self.story(key, negative=0, other=1, publisher=publisher)

    def surge(self, stories: int, key: str = "entity:acme", **details: object) -> list[Signal]:
        """So many different stories within half an hour, by three publishers in turn."""
        said: list[Signal] = []
        for number in range(stories):
            self.now += timedelta(minutes=30) / stories
            publisher = ["one.example", "two.example", "three.example"][number % 3]
            said += self.story(key, **({"publisher": publisher} | details))
        return said

    def kinds(self) -> list[SignalKind]:
        return [signal.kind for signal in self.signals]


@pytest.fixture
def desk() -> Desk:
    return Desk(Rules())
