"""Weeks of invented news: what a desk is told when news changes slowly, for good, again, or about somebody new."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from monitor.core.detect.calendar import Holidays, holidays_from
from monitor.core.detect.detector import Rules, State, decide, dump, fresh, load
from monitor.core.detect.levels import levels
from monitor.types import BUCKET, EPOCH, Key, Rollup, Signal, SignalKind

from .conftest import MONDAY, rollup

DAY = timedelta(days=1)
STEP = timedelta(minutes=15)  # as seldom as ticks may come
PUBLISHERS = ("one.example", "two.example", "three.example")
ACME = "entity:acme"
OTHERS = ("entity:bolt", "entity:cove", "entity:dorn", "entity:elm")

# Negative stories an hour of a key, by time since the beginning; there are as many others.
Rate = Callable[[timedelta], float]


def steady(rate: float) -> Rate:
    return lambda _: rate


class News:
    """Invented news, lived through story by story."""

    def __init__(self, seed: int, rules: Rules | None = None) -> None:
        self.now = MONDAY
        self.state: State = fresh(rules or Rules())
        self.signals: list[Signal] = []
        self._random = np.random.default_rng(seed)

    def live(self, until: timedelta, rates: Mapping[str, Rate]) -> list[Signal]:
        """Live on until so long after the beginning; return what was said meanwhile."""
        before = len(self.signals)
        while self.now < MONDAY + until:
            self.now += STEP
            self._tell([each for key, rate in rates.items() for each in self._stories(key, rate)])
            self._tell(())
        return self.signals[before:]

    def surge(self, key: str, stories: int) -> list[Signal]:
        """So many more negative stories within half an hour."""
        before = len(self.signals)
        for number in range(stories):
            self.now += timedelta(minutes=30) / stories
            self._tell([rollup(key, self.now, publisher=PUBLISHERS[number % 3])])
        self.now = MONDAY + -((MONDAY - self.now) // STEP) * STEP
        return self.signals[before:]

    def normal(self, key: str, window: int = -1) -> float:
        """Return the negative stories that are normal in a window, of a day by default."""
        (level,) = [each for each in levels(self.state, self.now) if each.key == key]
        return level.windows[window].expected

    def _stories(self, key: str, rate: Rate) -> list[Rollup]:
        mean = rate(self.now - MONDAY) * (STEP / timedelta(hours=1))
        kinds = [1] * self._random.poisson(mean) + [0] * self._random.poisson(mean)
        at = self.now - BUCKET
        return [
            rollup(key, at, negative, other=1 - negative, publisher=str(self._random.choice(PUBLISHERS)))
            for negative in kinds
        ]

    def _tell(self, rollups: Sequence[Rollup]) -> None:
        decision = decide(rollups, self.state, self.now)
        self.state = decision.state
        self.signals += decision.signals


def opened(signals: Sequence[Signal]) -> list[datetime]:
    """Return when surges were told that were not under way already."""
    moments: list[datetime] = []
    firing: set[Key] = set()
    for signal in signals:
        if signal.kind in (SignalKind.SURGE, SignalKind.SHARE):
            moments += [] if signal.key in firing else [signal.at]
            firing.add(signal.key)
        elif signal.kind is SignalKind.CALM:
            firing.discard(signal.key)
    return moments


def test_news_that_doubles_within_a_month_is_no_surge() -> None:
    news = News(seed=1)

    def doubling(since: timedelta) -> float:
        return 0.5 * (1.0 + min(max((since - 7 * DAY) / (30 * DAY), 0.0), 1.0))

    signals = news.live(37 * DAY, dict.fromkeys((ACME, *OTHERS[:2]), doubling))
    assert len(opened(signals)) <= 5, "the budget of five weeks"
    assert news.normal(ACME) > 1.3 * 12.0


def test_news_that_is_three_times_as_much_for_good_is_told_once_and_normal_within_days() -> None:
    told = []
    for seed in range(1, 9):
        news = News(seed)
        before = {key: steady(2.0) for key in (ACME, *OTHERS[:2])}
        news.live(8 * DAY, before)
        signals = news.live(15 * DAY, {**before, ACME: steady(6.0)})
        told.append(len(opened(signals)))
        assert opened(signals)[0] < MONDAY + 9 * DAY
        assert signals[-1].kind is SignalKind.CALM
        assert signals[-1].at < MONDAY + 13 * DAY
        assert news.normal(ACME) > 1.5 * 48.0
    assert max(told) <= 3, "now and then the first clutches of stories are told apart"
    assert sum(told) <= 12


def test_a_second_surge_a_week_later_is_seen_as_well_as_the_first() -> None:
    news = News(seed=3)
    rates = {key: steady(0.25) for key in (ACME, *OTHERS)}
    news.live(14 * DAY, rates)
    chances, normal = [], []
    for week in (3, 4):
        normal.append(news.normal(ACME))
        said = news.surge(ACME, 20)
        assert len(opened(said)) == 1
        chances.append(min(each.chance for each in said))
        news.live(7 * week * DAY, rates)
        assert news.signals[-1].kind is SignalKind.CALM
    assert normal[1] < 1.5 * normal[0]
    assert chances[1] < 1e3 * chances[0], "within one step of severity"


def test_a_new_company_is_expected_to_be_as_its_peers_until_it_has_shown_itself() -> None:
    news = News(seed=4)
    rates = {key: steady(1.0) for key in OTHERS}
    news.live(10 * DAY, rates)
    signals = news.live(10.25 * DAY, {**rates, ACME: steady(1.0)})
    assert news.normal(ACME) == pytest.approx(24.0, rel=0.4)
    signals += news.live(14 * DAY, {**rates, ACME: steady(1.0)})
    assert opened(signals) == []


def test_a_new_company_among_quiet_ones_that_is_loud_from_its_first_day_is_told() -> None:
    news = News(seed=5)
    rates = {key: steady(0.02) for key in OTHERS}
    news.live(10 * DAY, rates)
    signals = news.live(11 * DAY, {**rates, ACME: steady(2.0)})
    assert {each.key for each in signals if each.kind is SignalKind.SURGE} == {ACME}


# --- holidays: the working days of the fourth week ---

FESTIVAL = (21, 26)  # days since the beginning, the second not included


def festival() -> Holidays:
    first = (MONDAY - EPOCH) // timedelta(hours=1)
    return holidays_from([[(first + 24 * FESTIVAL[0], first + 24 * FESTIVAL[1])]])


def working(rate: float) -> Rate:
    """Return a rate on working days, of which a twentieth is left at the weekend and at the festival."""

    def at(since: timedelta) -> float:
        day = since // DAY
        return rate / 20.0 if day % 7 >= 5 or FESTIVAL[0] <= day < FESTIVAL[1] else rate

    return at


@pytest.mark.parametrize(("holidays", "told"), [(Holidays(), [SignalKind.BLIND]), (festival(), [])])
def test_a_source_that_keeps_a_holiday_is_not_blind(holidays: Holidays, told: list[SignalKind]) -> None:
    news = News(6, Rules(holidays=holidays))
    rates = {"source:wire": working(2.0)}
    news.live(FESTIVAL[0] * DAY, rates)
    said = news.live((FESTIVAL[0] + 2) * DAY, rates)
    assert [each.kind for each in said][:1] == told


def test_the_working_days_after_a_holiday_are_expected_to_be_what_those_before_it_were() -> None:
    known, unknown = News(7, Rules(holidays=festival())), News(7)
    rates = {key: working(1.0) for key in (ACME, *OTHERS[:2])}
    before, after = [], []
    for news in (known, unknown):
        news.live((FESTIVAL[0] - 2) * DAY, rates)
        before.append(news.normal(ACME))
        news.live((FESTIVAL[1] + 3) * DAY, rates)
        after.append(news.normal(ACME))
    assert after[0] == pytest.approx(before[0], rel=0.15)
    assert after[1] < 0.85 * before[1]


def test_what_is_known_of_holidays_survives_a_restart_and_a_change_of_calendar_is_taken_up() -> None:
    rules = Rules(holidays=festival())
    news = News(8, rules)
    rates = {ACME: working(1.0)}
    news.live((FESTIVAL[0] + 1) * DAY, rates)
    rows = json.loads(json.dumps(dump(news.state, news.state.names())))
    assert sum(news.state.groups["entity"].season.rest.counts) > 0.0
    assert load(rules, rows, ()).groups == news.state.groups
    noon = (FESTIVAL[0] + 1) * 288 + 144
    first = (MONDAY - EPOCH) // BUCKET
    was = news.state.groups["entity"].season.factor(first + noon)
    news.state = replace(news.state, rules=Rules())
    news.live(news.now - MONDAY + timedelta(hours=2), rates)
    assert news.state.groups["entity"].season.factor(first + noon) > 2.0 * was
