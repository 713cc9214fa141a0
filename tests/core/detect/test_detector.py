from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from monitor.core.detect.detector import Rules, is_blind
from monitor.types import Key, SignalKind, SourceId, Timeliness

from .conftest import Desk, rollup

ACME = Key("entity:acme")


def test_ten_bad_stories_in_half_an_hour_raise_one_surge_that_says_what_it_rests_on(desk: Desk) -> None:
    desk.calm(5)
    assert desk.signals == []
    said = desk.surge(10)
    first = said[0]
    assert (first.key, first.kind, first.late) == (ACME, SignalKind.SURGE, False)
    assert 3 <= first.negative <= 8
    assert first.publishers >= 2
    assert first.observed > 5 * first.expected > 0
    assert 0 < first.chance <= desk.state.pulse.surge
    assert desk.now - timedelta(minutes=30) <= first.at <= desk.now
    assert first.first is not None
    assert first.end is not None
    assert first.end - first.first == first.window
    assert first.first < first.at <= first.end
    assert first.stories > first.flow > first.expected  # half of the calm stories are negative


def test_a_growing_surge_is_told_again_only_when_it_is_much_less_likely_or_doubled(desk: Desk) -> None:
    desk.calm(5)
    said = desk.surge(30)
    assert 2 <= len(said) <= 8
    for earlier, later in pairwise(said):
        assert later.chance < earlier.chance or later.negative >= 2 * earlier.negative


def test_a_surge_that_is_over_is_told_once_as_calm_and_its_stories_are_never_told_again(desk: Desk) -> None:
    desk.calm(5)
    desk.surge(10)
    told = desk.wait(timedelta(hours=30))
    assert [signal.kind for signal in told] == [SignalKind.CALM]
    assert not desk.state.keys[ACME].firing


def test_one_more_story_after_the_calm_does_not_bring_the_old_surge_back(desk: Desk) -> None:
    desk.calm(5)
    desk.surge(10)
    while desk.kinds()[-1] is not SignalKind.CALM:
        desk.wait(timedelta(minutes=5))
    desk.wait(timedelta(minutes=30))
    assert desk.story() == []


def test_a_second_surge_after_the_calm_is_told(desk: Desk) -> None:
    desk.calm(5)
    desk.surge(10)
    over = desk.now
    desk.wait(timedelta(hours=12))
    surges = [signal for signal in desk.surge(10) if signal.kind is SignalKind.SURGE]
    assert surges
    assert all(signal.first is not None and signal.first > over for signal in surges)


def test_nothing_fires_while_the_first_day_is_being_learned(desk: Desk) -> None:
    desk.calm(0.5)
    assert desk.surge(30) == []


def test_one_publisher_alone_raises_nothing(desk: Desk) -> None:
    desk.calm(5)
    assert desk.surge(30, publisher="one.example") == []


def test_a_trusted_publisher_alone_raises_a_surge() -> None:
    desk = Desk(Rules(trusted_publishers=frozenset({"one.example"})))
    desk.calm(5)
    assert desk.surge(10, publisher="one.example")


def test_a_second_publisher_releases_what_one_alone_could_not(desk: Desk) -> None:
    desk.calm(5)
    assert desk.surge(10, publisher="one.example") == []
    said = (
        desk.story(publisher="two.example") + desk.story(publisher="two.example") + desk.story(publisher="two.example")
    )
    assert said
    assert said[0].publishers >= 2


def test_one_loud_publisher_is_not_made_credible_by_the_days_ordinary_news(desk: Desk) -> None:
    desk.calm(5)
    for publisher in ("two.example", "three.example"):
        desk.story(publisher=publisher)
        desk.wait(timedelta(hours=4))
    assert desk.surge(40, publisher="one.example") == []


def test_two_bad_stories_are_never_a_surge_however_quiet_the_company(desk: Desk) -> None:
    desk.calm(10)
    desk.story("entity:quiet")
    desk.wait(timedelta(days=3))
    assert desk.surge(2, "entity:quiet") == []


def test_where_publishers_are_unknown_none_are_asked_for(desk: Desk) -> None:
    for _ in range(200):
        desk.wait(timedelta(hours=1))
        if desk.random.random() < 1 / 8:
            desk.story("series:x", publisher=None)
    assert desk.surge(10, "series:x", publisher=None)


def test_good_and_neutral_news_raise_nothing(desk: Desk) -> None:
    desk.calm(5)
    assert desk.surge(60, negative=0, other=1) == []


def test_history_teaches_and_raises_nothing(desk: Desk) -> None:
    desk.calm(5)
    before = desk.state.keys[ACME].level.aged(desk.state.pulse.hour).weight
    old = [rollup("entity:acme", desk.now - timedelta(hours=n), 3, timeliness=Timeliness.HISTORY) for n in range(30)]
    assert desk.tell(old) == []
    assert desk.state.keys[ACME].level.weight > before
    assert desk.story() == []


def test_a_first_poll_of_old_news_makes_the_present_less_surprising(desk: Desk) -> None:
    other = Desk(Rules())
    for one in (desk, other):
        one.calm(3, keys=("entity:bolt", "entity:cove"))
    old = [
        rollup("entity:acme", other.now - timedelta(hours=n), 2, timeliness=Timeliness.HISTORY) for n in range(1, 40)
    ]
    other.tell(old)
    (first, *_) = desk.surge(12)
    after = other.surge(12)
    assert not after or after[0].expected > first.expected


def test_the_backlog_of_an_outage_is_decided_at_its_own_time_and_marked_late(desk: Desk) -> None:
    desk.calm(5)
    happened = desk.now
    desk.wait(timedelta(hours=10))
    backlog = [
        rollup(
            "entity:acme", happened + timedelta(minutes=3 * n), publisher=f"{n % 3}.example", timeliness=Timeliness.LATE
        )
        for n in range(10)
    ]
    said = desk.tell(backlog)
    assert said[0].kind is SignalKind.SURGE
    assert said[0].late
    assert happened < said[0].at <= happened + timedelta(hours=1)
    assert [signal.kind for signal in desk.wait(timedelta(hours=2))] == [SignalKind.CALM]


def days_of_news(desk: Desk, days: int) -> None:
    """News of which only the day is known: at the end of each, what about three negative stories a day came to."""
    for _ in range(days):
        desk.wait(timedelta(days=1))
        night = desk.now - timedelta(seconds=1)
        for key in ("entity:acme", "entity:bolt", "entity:cove", "all"):
            for name in ("one.example", "two.example"):
                told = desk.random.randrange(4) * (8 if key == "all" else 1)
                desk.tell([rollup(key, night, told, other=told, publisher=name, timeliness=Timeliness.DAY)])


def test_days_of_ordinary_news_that_come_at_once_are_no_surge(desk: Desk) -> None:
    days_of_news(desk, 30)
    assert desk.signals == []


def test_a_bad_day_is_told_at_its_end_by_the_window_of_a_day(desk: Desk) -> None:
    days_of_news(desk, 21)
    desk.wait(timedelta(days=1))
    night = desk.now - timedelta(seconds=1)
    brought = [rollup("entity:acme", night, 10, publisher=f"{n}.example", timeliness=Timeliness.DAY) for n in range(3)]
    said = desk.tell(brought)
    assert said
    assert {(signal.key, signal.at, signal.window) for signal in said} == {(ACME, desk.now, timedelta(days=1))}
    assert [signal.kind for signal in desk.wait(timedelta(days=2))] == [SignalKind.CALM]


def test_a_share_of_bad_news_that_jumps_is_told_though_the_volume_is_the_same(desk: Desk) -> None:
    for hour in range(24 * 12):
        desk.wait(timedelta(hours=1))
        desk.story("topic:rates", negative=int(hour % 2 == 0), other=3 + int(hour % 2), publisher=f"{hour % 3}.example")
    assert desk.signals == []
    said = []
    for hour in range(24):
        desk.wait(timedelta(hours=1))
        said += desk.story("topic:rates", negative=2 + hour % 2, other=1 + hour % 2, publisher=f"{hour % 3}.example")
    shares = [signal for signal in said if signal.kind is SignalKind.SHARE]
    assert shares
    assert [signal.flow for signal in shares] == [signal.stories for signal in shares]


def feed(desk: Desk, hours: int, sources: tuple[str, ...]) -> None:
    for _ in range(hours):
        for source in sources:
            desk.wait(timedelta(minutes=60 // len(sources)))
            desk.tell(
                [
                    rollup(f"source:{source}", desk.now, 0, other=1, source=source),
                    rollup("entity:acme", desk.now, int(desk.random.random() < 0.1), other=1, source=source),
                ]
            )


def test_a_source_that_falls_silent_is_told_once_and_heard_again(desk: Desk) -> None:
    feed(desk, 72, ("wire", "blog"))
    assert desk.signals == []
    feed(desk, 30, ("blog",))
    assert [(signal.key, signal.kind) for signal in desk.signals] == [("source:wire", SignalKind.BLIND)]
    assert desk.signals[0].window > timedelta(hours=4)
    feed(desk, 1, ("wire", "blog"))
    assert [(signal.key, signal.kind) for signal in desk.signals[1:]] == [("source:wire", SignalKind.SEEING)]


def test_the_silence_of_a_source_that_nobody_waits_for_means_nothing() -> None:
    desk = Desk(Rules(awaited=frozenset({SourceId("blog")})))
    feed(desk, 72, ("wire", "blog"))
    feed(desk, 48, ("blog",))
    assert desk.signals == []


def test_a_blind_source_that_is_given_up_is_blind_no_more(desk: Desk) -> None:
    feed(desk, 72, ("wire", "blog"))
    feed(desk, 48, ("blog",))
    desk.state = replace(desk.state, rules=replace(desk.state.rules, awaited=frozenset({SourceId("blog")})))
    feed(desk, 24, ("blog",))
    assert [(signal.key, signal.kind) for signal in desk.signals] == [
        ("source:wire", SignalKind.BLIND),
        ("source:wire", SignalKind.SEEING),
    ]


def test_a_blind_key_never_calms(desk: Desk) -> None:
    feed(desk, 120, ("wire",))
    assert desk.surge(14, source="wire")
    desk.wait(timedelta(hours=60))
    kinds = desk.kinds()
    assert SignalKind.BLIND in kinds
    assert is_blind(desk.state, ACME)
    assert desk.state.keys[ACME].firing or kinds.index(SignalKind.CALM) < kinds.index(SignalKind.BLIND)


def test_our_own_downtime_is_not_the_sources_silence(desk: Desk) -> None:
    feed(desk, 72, ("wire",))
    desk.now += timedelta(days=4)
    assert desk.wait(timedelta(hours=1)) == []
    feed(desk, 2, ("wire",))
    assert desk.signals == []


def test_downtime_does_not_make_ordinary_news_look_like_a_surge(desk: Desk) -> None:
    desk.calm(6)
    rate = desk.state.keys[ACME].level.surge(desk.state.groups["entity"], desk.state.pulse.hour).mean
    desk.now += timedelta(days=10)
    desk.tell(())
    after = desk.state.keys[ACME].level.surge(desk.state.groups["entity"], desk.state.pulse.hour).mean
    assert after == pytest.approx(rate, rel=0.3)
    desk.calm(3)
    assert desk.signals == []


def test_a_model_that_sees_twice_as_much_evil_fires_nothing_by_itself(desk: Desk) -> None:
    desk.calm(6)
    for _ in range(24 * 6):
        desk.wait(timedelta(hours=1))
        for key in ("entity:acme", "entity:bolt", "entity:cove"):
            if desk.random.random() < 1 / 4:
                desk.story(key, model="m2", publisher=desk.random.choice(["one.example", "two.example"]))
    assert desk.signals == []


def test_a_model_change_leaves_a_surge_firing_until_the_new_model_has_filled_the_window(desk: Desk) -> None:
    desk.calm(5)
    assert desk.surge(10)
    desk.story("entity:bolt", model="m2")
    assert desk.state.firing == {ACME}
    length = timedelta(minutes=(15, 60, 360, 1440)[desk.state.keys[ACME].firing.window])  # type: ignore[union-attr]  # it fires
    assert desk.wait(length - timedelta(minutes=5)) == []
    assert [signal.kind for signal in desk.wait(timedelta(hours=3))] == [SignalKind.CALM]


def test_a_new_level_of_news_is_told_and_then_learned_within_days(desk: Desk) -> None:
    desk.calm(8)
    for _ in range(24 * 12):
        desk.wait(timedelta(hours=1))
        desk.story(publisher=desk.random.choice(["one.example", "two.example"]))
    assert desk.kinds()[0] is SignalKind.SURGE
    assert desk.kinds()[-1] is SignalKind.CALM
    rate = desk.state.keys[ACME].level.surge(desk.state.groups["entity"], desk.state.pulse.hour).mean
    assert rate > 0.5


def test_a_surge_is_not_learned_as_normal(desk: Desk) -> None:
    desk.calm(8)
    before = desk.state.keys[ACME].level.surge(desk.state.groups["entity"], desk.state.pulse.hour).mean
    desk.surge(60)
    desk.wait(timedelta(hours=3))
    after = desk.state.keys[ACME].level.surge(desk.state.groups["entity"], desk.state.pulse.hour).mean
    assert after < 1.2 * before


def test_a_story_writes_few_rows(desk: Desk) -> None:
    desk.calm(3)
    desk.rows.clear()
    desk.story()
    assert desk.rows == set()


def test_budgets_and_guards_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="expected more than 0"):
        Rules(surges=0.0)
    with pytest.raises(ValueError, match="expected at least"):
        Rules(stories=0)
