from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isclose, log, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.explain import Window, explain, percents, shapley, weight_ratio
from monitor.ports import Part
from monitor.types import Cause, EventId, Explanation

PUBLISHERS = st.sampled_from(["one.example", "two.example", "three.example", "four.example"])
EVENTS = st.none() | st.sampled_from(["strike", "raid"]).map(EventId)


def part(publisher: str, stories: int = 1, *, event: str | None = None, weight: float = 0.9) -> Part:
    return Part(publisher=publisher, event=EventId(event) if event else None, stories=stories, weight=weight * stories)


def alone(stories: int, event: str | None = None) -> list[Part]:
    """So many negative stories, each by a publisher of its own."""
    return [part(f"{number}.example", event=event) for number in range(stories)]


def explained(
    parts: Sequence[Part], stories: int | None = None, *, expected: float = 0.5, flow: float = 2.0, ratio: float = 1.0
) -> Explanation:
    held = sum(each.stories for each in parts) if stories is None else stories
    found = explain(Window(parts=parts, stories=held, expected=expected, flow=flow, ratio=ratio))
    assert found is not None
    return found


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Any window with more weight than is normal."""
    parts = [
        part(draw(PUBLISHERS), draw(st.integers(1, 30)), event=draw(EVENTS), weight=draw(st.floats(0.5, 1.0)))
        for _ in range(draw(st.integers(1, 8)))
    ]
    expected = sum(each.weight for each in parts) * draw(st.floats(0.01, 0.9))
    return Window(
        parts=parts,
        stories=sum(each.stories for each in parts) + draw(st.integers(0, 100)),
        expected=expected,
        flow=expected * draw(st.floats(1.0, 20.0)),
        ratio=draw(st.floats(0.5, 2.0)),
    )


# --- Shapley's axioms ---

games = st.lists(st.floats(-10, 10), min_size=32, max_size=32)


def game(worths: Sequence[float]) -> Callable[[frozenset[int]], float]:
    """The game of five players in which the empty coalition is worth nothing."""
    return lambda players: worths[sum(1 << player for player in players)] if players else 0.0


@given(games)
def test_the_shares_of_any_game_sum_to_what_all_are_worth(worths: Sequence[float]) -> None:
    assert isclose(sum(shapley(range(5), game(worths)).values()), worths[31], abs_tol=1e-9)


@given(games)
def test_players_who_do_the_same_get_the_same(worths: Sequence[float]) -> None:
    def worth(players: frozenset[int]) -> float:
        swapped = frozenset({0: 1, 1: 0}.get(player, player) for player in players)
        return game(worths)(players) + game(worths)(swapped)

    values = shapley(range(5), worth)
    assert isclose(values[0], values[1], abs_tol=1e-9)


@given(games)
def test_a_player_who_changes_nothing_gets_nothing(worths: Sequence[float]) -> None:
    values = shapley(range(5), lambda players: game(worths)(players - {3}))
    assert isclose(values[3], 0.0, abs_tol=1e-9)


@given(games, games)
def test_the_shares_of_two_games_add_up(ones: Sequence[float], others: Sequence[float]) -> None:
    both = shapley(range(5), lambda players: game(ones)(players) + game(others)(players))
    apart = shapley(range(5), game(ones)), shapley(range(5), game(others))
    assert all(isclose(both[player], apart[0][player] + apart[1][player], abs_tol=1e-9) for player in range(5))


def test_the_glove_game_has_its_known_value() -> None:
    # One left glove, two right ones; only a pair is worth anything.
    values = shapley("Lrs", lambda players: float("L" in players and len(players) > 1))
    assert values == pytest.approx({"L": 2 / 3, "r": 1 / 6, "s": 1 / 6})


# --- laws of an explanation ---


@given(windows())
def test_the_shares_sum_to_a_hundred_percent(window: Window) -> None:
    found = explain(window)
    assert found is not None
    assert isclose(sum(found.shares.values()), 1.0, abs_tol=1e-9)
    assert sum(percents(found).values()) == 100
    assert all(abs(whole / 100 - found.shares[cause]) < 0.01 for cause, whole in percents(found).items())


@given(windows())
def test_only_an_event_or_publisher_that_is_named_has_a_share(window: Window) -> None:
    found = explain(window)
    assert found is not None
    assert found.loudest_event is not None or isclose(found.event, 0.0, abs_tol=1e-9)
    assert found.loudest_publisher is not None or isclose(found.publisher, 0.0, abs_tol=1e-9)


@given(windows())
def test_an_event_and_the_publisher_who_alone_told_it_share_alike(window: Window) -> None:
    parts = [replace(each, event=EventId(each.publisher)) for each in window.parts]
    found = explain(replace(window, parts=parts))
    assert found is not None
    if found.loudest_publisher is not None:
        assert found.loudest_publisher == found.loudest_event
        assert isclose(found.publisher, found.event, rel_tol=1e-6, abs_tol=1e-9)


@given(windows())
def test_how_the_stories_are_listed_is_of_no_matter(window: Window) -> None:
    split = [
        Part(publisher=each.publisher, event=each.event, stories=1, weight=each.weight / each.stories)
        for each in window.parts
        for _ in range(each.stories)
    ]
    one, other = explain(window), explain(replace(window, parts=split[::-1]))
    assert one is not None
    assert other is not None
    assert one.shares == pytest.approx(other.shares, abs=1e-6)


@given(windows())
def test_a_new_model_has_the_logarithm_of_its_ratio(window: Window) -> None:
    found = explain(window)
    assert found is not None
    total = log(sum(each.weight for each in window.parts) / window.expected)
    assert isclose(found.model * total, log(window.ratio), abs_tol=1e-9)


# --- what it says ---


def test_volume_and_mood_split_the_logarithm_exactly() -> None:
    # 16 stories where 2 are normal, 8 of weight 1 where 0.5 is: eight times the stories, twice the share.
    found = explained([part(f"{number}.example", weight=1.0) for number in range(8)], 16)
    assert found.volume == pytest.approx(log2(8) / log2(16))
    assert found.mood == pytest.approx(log2(2) / log2(16))
    assert (found.event, found.publisher, found.model) == (0.0, 0.0, 0.0)


def test_one_event_that_everybody_tells_is_told_as_the_event() -> None:
    found = explained([*alone(9, "raid"), part("late.example")], 13)
    assert (found.loudest_event, found.loudest_publisher) == ("raid", None)
    assert max(found.shares, key=found.shares.__getitem__) is Cause.EVENT


def test_a_loud_publisher_is_told_as_the_publisher() -> None:
    found = explained([part("loud.example", 12), *alone(2)], 16)
    assert (found.loudest_event, found.loudest_publisher) == (None, "loud.example")
    assert max(found.shares, key=found.shares.__getitem__) is Cause.PUBLISHER


def test_two_publishers_of_the_same_loudness_are_no_cause() -> None:
    found = explained([part("one.example", 6), part("two.example", 6)])
    assert found.loudest_publisher is None


def test_a_single_voice_is_not_told_apart_from_the_volume() -> None:
    found = explained([part("one.example", 12)])
    assert found.loudest_publisher is None
    assert found.publisher == 0.0


def test_fewer_stories_than_normal_work_against_a_surge() -> None:
    found = explained(alone(6), 6, expected=1.0, flow=20.0)
    assert found.volume < 0.0
    assert found.mood > 1.0


def test_the_stories_and_events_of_a_window_are_counted() -> None:
    told = explained([*alone(2, "raid"), *alone(3, "storm"), *alone(4)])
    assert (told.stories, told.events) == (9, 6)


def test_a_window_within_what_is_normal_needs_no_explanation() -> None:
    assert explain(Window(parts=alone(2), stories=2, expected=4.0, flow=8.0)) is None
    assert explain(Window(parts=[], stories=0, expected=4.0, flow=8.0)) is None


def test_what_a_share_is_judged_by_leaves_nothing_to_the_volume() -> None:
    found = explained(alone(20), 40, expected=8.0, flow=40.0)
    assert percents(found) == {
        Cause.VOLUME: 0,
        Cause.MOOD: 100,
        Cause.EVENT: 0,
        Cause.PUBLISHER: 0,
        Cause.MODEL: 0,
    }


def test_models_that_find_the_same_differ_by_nothing_and_few_stories_tell_little() -> None:
    assert weight_ratio(7.3, 7.3) == 1.0
    assert 1.0 < weight_ratio(0.9, 0.0) < 2.0 < weight_ratio(90.0, 30.0)
