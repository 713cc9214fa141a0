from __future__ import annotations

import asyncio

import manipulation
import pytest
from manipulation import ATTACKS, Attack

from monitor.core.detect.detector import State

STORIES = {"200 signed copies by 60 publishers": 1, "one text under 40 titles": 1, "one article revised 40 times": 1}


@pytest.fixture(scope="module")
def calm() -> State:
    return asyncio.run(manipulation.calm_state())


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_what_somebody_who_wants_the_needle_to_move_can_do(attack: Attack, calm: State) -> None:
    outcome = asyncio.run(manipulation.attempt(attack, calm))
    assert bool(outcome.incidents) is attack.fires
    assert len(outcome.incidents) <= 1, "one attack is one incident"
    assert outcome.counted == STORIES.get(attack.name, outcome.counted)


def test_a_surge_that_was_made_to_look_normal_is_told_as_likelier(calm: State) -> None:
    named = {attack.name: attack for attack in ATTACKS}
    clean = asyncio.run(manipulation.attempt(named["a true surge, to compare"], calm))
    poisoned = asyncio.run(manipulation.attempt(named["400 such stories, then a surge"], calm))
    assert poisoned.incidents[0].chance > 100.0 * clean.incidents[0].chance
