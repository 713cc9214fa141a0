"""Newsquake's detector on an invented stream: several budgets side by side, and when each raised an incident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from time import process_time

import numpy as np
import streams
from streams import DAILY, Stream

from monitor.core.detect.detector import Rules, State, decide, fresh
from monitor.types import BUCKET, Key, Rollup, Signal, SignalKind

BUDGETS = {"1 a day": 7.0, "1 a week": 1.0, "1 a month": 7.0 / 30.0}  # false incidents a week
RAISED = (SignalKind.SURGE, SignalKind.SHARE)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One incident: when it opened, in hours since the start, and by which window's count or share."""

    key: Key
    at: float
    window: float = 1.0  # hours
    share: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """What one stream brought under each budget, the rollups it held, and the processor seconds of one budget."""

    alarms: Mapping[str, tuple[Alarm, ...]]
    rollups: int
    seconds: float


class Desk:
    """One detector with one budget. A key's signals from its first until it is calm again are one incident."""

    def __init__(self, per_week: float) -> None:
        self._state: State = fresh(Rules(surges=per_week))
        self.alarms: list[Alarm] = []

    def live(self, bucket: int, rollups: list[Rollup]) -> None:
        """Take a bucket's rollups half a minute before its end, then the tick at its end."""
        now = streams.START + (bucket + 1) * BUCKET
        firing = self._state.firing
        decision = decide(rollups, self._state, now - timedelta(seconds=30)) if rollups else None
        told = decision.signals if decision else ()
        self._state = decide((), decision.state if decision else self._state, now).state
        opened: dict[Key, Signal] = {}
        for signal in told:
            if signal.kind in RAISED and signal.key not in firing:
                opened.setdefault(signal.key, signal)
        self.alarms += [
            Alarm(
                key, streams.hours_since_start(each.at), each.window / timedelta(hours=1), each.kind is SignalKind.SHARE
            )
            for key, each in opened.items()
        ]


def run(negative: Stream, other: Stream, days: int, seed: int) -> Run:
    """Live through a stream with every budget at once."""
    desks = {name: Desk(per_week) for name, per_week in BUDGETS.items()}
    fed = streams.timeline(negative, other, np.random.default_rng(seed))
    upcoming = chain(fed, [(days * DAILY, [])])
    next_bucket, rollups = next(upcoming)
    total, spent = 0, 0.0
    for bucket in range(days * DAILY):
        due: list[Rollup] = []
        if bucket == next_bucket:
            due = rollups
            next_bucket, rollups = next(upcoming)
        total += len(due)
        began = process_time()
        for desk in desks.values():
            desk.live(bucket, due)
        spent += process_time() - began
    return Run({name: tuple(desk.alarms) for name, desk in desks.items()}, total, spent / len(desks))
