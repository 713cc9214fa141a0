"""The benchmark's rules on invented files, worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import nab_published
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nab_scoring import PROFILES, Outcome, Profile, final_score, outcome, penalty, probation, raw_score, reward, sigmoid

STANDARD, FEW_FALSE, FEW_MISSED = PROFILES
ROWS = 2000  # the first 300 of them are not scored
WINDOWS = [(500, 599), (1000, 1009)]


def test_the_first_rows_are_not_scored_fifteen_percent_but_at_most_750() -> None:
    assert [probation(rows) for rows in (100, 2000, 5000, 15902)] == [15, 300, 750, 750]
    assert outcome([0, 299], WINDOWS, ROWS) == Outcome((), 2, ())
    assert outcome([300], WINDOWS, ROWS) == Outcome((), 2, (1.0,))


def test_a_window_within_the_first_rows_does_not_exist_and_one_that_reaches_out_of_them_does() -> None:
    assert outcome([], [(10, 299)], ROWS).windows == 0
    result = outcome([290, 305], [(280, 379)], ROWS)
    assert result.rewards == (reward(305, (280, 379)),)


def test_the_first_row_of_a_window_earns_1_and_the_last_still_something() -> None:
    assert reward(500, WINDOWS[0]) == pytest.approx(1.0)
    assert reward(599, WINDOWS[0]) == pytest.approx((2 / (1 + math.exp(-0.05)) - 1) / (2 / (1 + math.exp(-5.0)) - 1))
    assert reward(1005, WINDOWS[1]) == pytest.approx(sigmoid(-0.5) / sigmoid(-1.0))


def test_only_the_first_alert_in_a_window_counts() -> None:
    assert outcome([530, 510, 590], WINDOWS, ROWS) == Outcome((reward(510, WINDOWS[0]),), 1, ())


def test_a_false_alert_costs_more_the_farther_it_is_from_the_window_before_and_all_before_the_first() -> None:
    assert penalty(400, WINDOWS) == 1.0
    assert penalty(600, WINDOWS) == pytest.approx(-sigmoid(1 / 99))
    assert penalty(698, WINDOWS) == pytest.approx(0.98661, abs=1e-5), "one width behind"
    assert penalty(599 + 3 * 99, WINDOWS) == 1.0
    assert penalty(1010, WINDOWS) == pytest.approx(-sigmoid(1 / 9)), "the nearest window counts"


def test_each_row_of_a_run_of_false_alerts_costs() -> None:
    assert outcome([400, 401, 402], WINDOWS, ROWS).penalties == (1.0, 1.0, 1.0)


def test_the_profiles_weigh_the_same_outcome() -> None:
    result = outcome([400, 500], WINDOWS, ROWS)
    assert raw_score(result, STANDARD) == pytest.approx(1.0 - 1.0 - 0.11)
    assert raw_score(result, FEW_FALSE) == pytest.approx(1.0 - 1.0 - 0.22)
    assert raw_score(result, FEW_MISSED) == pytest.approx(1.0 - 2.0 - 0.11)


@pytest.mark.parametrize("profile", PROFILES)
def test_silence_is_0_and_perfection_100(profile: Profile) -> None:
    silent, perfect = outcome([], WINDOWS, ROWS), outcome([500, 1000], WINDOWS, ROWS)
    assert final_score(raw_score(silent, profile), 2, profile) == 0.0
    assert final_score(raw_score(perfect, profile), 2, profile) == pytest.approx(100.0)


@given(st.sets(st.integers(0, ROWS - 1)), st.integers(0, ROWS - 1))
def test_one_more_alert_outside_the_windows_never_pays(alerts: set[int], more: int) -> None:
    if any(first <= more <= last for first, last in WINDOWS):
        return
    before, after = (raw_score(outcome(rows, WINDOWS, ROWS), STANDARD) for rows in (alerts, alerts | {more}))
    assert after <= before


def test_earlier_is_better() -> None:
    earned = [reward(row, WINDOWS[0]) for row in range(500, 600)]
    assert all(one > other for one, other in pairwise(earned))


def published(tmp_path: Path, alerts: list[int]) -> nab_published.Published:
    """Publish what these alerts score, as the benchmark would."""
    result = outcome(alerts, WINDOWS, ROWS)
    inside = sum(any(first <= row <= last for first, last in WINDOWS) for row in alerts)
    lines = ["Detector,Profile,File,Threshold,Score,TP,TN,FP,FN,Total_Count"]
    for profile in PROFILES:
        score = f"{raw_score(result, profile):.12g}"
        lines.append(f"invented,{profile.name},a.csv,0.5,{score},{inside},0,{len(alerts) - inside},0,{ROWS}")
    path = tmp_path / "published.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    (found,) = nab_published.read(path)
    return found


def test_a_published_score_comes_apart_into_what_it_was_made_of(tmp_path: Path) -> None:
    parts = nab_published.parts(published(tmp_path, [400, 555, 700]))
    assert parts is not None
    assert parts.missed == pytest.approx(1.0)
    assert parts.penalties == pytest.approx(1.0 + penalty(700, WINDOWS))
    assert nab_published.rewards_off(parts.rewards, WINDOWS, 1) < 1e-10
    assert nab_published.penalties_off(parts.penalties, 2, WINDOWS, ROWS) < 1e-10


def test_a_score_by_another_rule_is_told(tmp_path: Path) -> None:
    found = published(tmp_path, [555, 1003])
    plain = found.scores[STANDARD.name]
    assert nab_published.check([found], {"a.csv": WINDOWS}, {"a.csv": ROWS})[0].endswith("contradictions: 0")
    found.scores.update({name: (score[0] + 1e-5, *score[1:]) for name, score in found.scores.items()})
    lines = nab_published.check([found], {"a.csv": WINDOWS}, {"a.csv": ROWS})
    assert lines[0].endswith("contradictions: 1")
    assert lines[-1].startswith(f"invented a.csv: no rows of 2 windows earn {plain[0] + 1e-5:.4f}"[:45])


def test_alerts_that_differ_between_the_profiles_are_left_alone(tmp_path: Path) -> None:
    found = published(tmp_path, [555])
    found.scores[FEW_FALSE.name] = (0.0, 0, 0)
    assert nab_published.parts(found) is None
