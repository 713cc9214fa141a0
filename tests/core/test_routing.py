from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.core.incidents import Folded
from monitor.core.routing import Route, Telling, messages_for
from monitor.types import (
    Change,
    Incident,
    IncidentId,
    IncidentKind,
    IncidentState,
    Key,
    Language,
    Message,
    Severity,
    TargetId,
)
from tests.core.telling import T0, headline, incident

DESK = TargetId("desk")
PAGER = TargetId("pager")
TTL = timedelta(hours=24)
EVERYTHING = Route(targets=(DESK,))
CRITICAL = Route(targets=(PAGER,), severity=frozenset({Severity.CRITICAL}))


def told(routes: Sequence[Route], *changes: tuple[Change, Incident], silently: Sequence[Incident] = ()) -> Telling:
    incidents = tuple({each.id: each for each in (*silently, *(each for _, each in changes))}.values())
    return messages_for(Folded(incidents=incidents, changes=changes), routes, now=T0, ttl=TTL)


def brief(messages: Sequence[Message]) -> list[tuple[TargetId, Change]]:
    return [(message.target, message.change) for message in messages]


def over(one: Incident) -> Incident:
    return replace(one, state=IncidentState.RESOLVED, active=frozenset(), resolved=T0)


def test_an_incident_is_told_to_the_targets_of_its_routes_and_they_are_noted() -> None:
    telling = told([EVERYTHING, CRITICAL], (Change.OPENED, incident("entity:acme")))
    [message] = telling.messages
    assert (message.target, message.change) == (DESK, Change.OPENED)
    assert (message.created, message.expires) == (T0, T0 + TTL)
    assert telling.incidents == (message.incident,)
    assert message.incident.told == {DESK}


def test_a_target_named_by_two_routes_is_told_once() -> None:
    twice = Route(targets=(DESK, PAGER, DESK))
    assert brief(told([EVERYTHING, twice], (Change.OPENED, incident("all"))).messages) == [
        (DESK, Change.OPENED),
        (PAGER, Change.OPENED),
    ]


def test_a_route_for_critical_incidents_hears_of_one_when_it_is_raised_to_that() -> None:
    opened = told([EVERYTHING, CRITICAL], (Change.OPENED, incident("all", severity=Severity.HIGH)))
    raised = replace(opened.incidents[0], severity=Severity.CRITICAL)
    telling = told([EVERYTHING, CRITICAL], (Change.RAISED, raised))
    assert brief(telling.messages) == [(PAGER, Change.OPENED), (DESK, Change.RAISED)]
    assert telling.incidents[0].told == {DESK, PAGER}


def test_the_end_is_told_to_those_who_were_told_the_beginning_and_to_nobody_else() -> None:
    newcomer = Route(targets=(TargetId("new"),))
    ended = over(incident("all", told=frozenset({DESK})))
    assert brief(told([EVERYTHING, newcomer, CRITICAL], (Change.RESOLVED, ended)).messages) == [(DESK, Change.RESOLVED)]


def test_who_was_told_hears_how_it_goes_on_although_its_route_would_not_take_it_any_more() -> None:
    low = Route(targets=(DESK,), severity=frozenset({Severity.LOW}))
    raised = incident("all", severity=Severity.HIGH, told=frozenset({DESK}))
    assert brief(told([low], (Change.RAISED, raised)).messages) == [(DESK, Change.RAISED)]


def test_a_target_that_no_route_names_any_more_is_left_alone() -> None:
    ended = over(incident("all", told=frozenset({DESK, PAGER})))
    assert brief(told([CRITICAL], (Change.RESOLVED, ended)).messages) == [(PAGER, Change.RESOLVED)]


def test_a_desk_that_watches_a_company_hears_when_the_company_joins_an_open_incident() -> None:
    acme = Route(targets=(PAGER,), keys=("entity:acme",))
    joined = incident("topic:Energy", "entity:acme", told=frozenset({DESK}))
    assert brief(told([EVERYTHING, acme], silently=[joined]).messages) == [(PAGER, Change.OPENED)]


def test_an_update_that_changes_no_state_is_not_told_again() -> None:
    telling = told([EVERYTHING], silently=[incident("all", told=frozenset({DESK}))])
    assert telling.messages == ()
    assert len(telling.incidents) == 1


def test_what_is_over_already_when_it_is_told_is_told_once() -> None:
    [message] = told([EVERYTHING], (Change.OPENED, over(incident("all")))).messages
    assert (message.change, message.incident.state) == (Change.OPENED, IncidentState.RESOLVED)


def test_what_was_raised_and_ended_at_once_is_told_as_ended_and_to_newcomers_as_over_already() -> None:
    ended = over(incident("all", severity=Severity.CRITICAL, told=frozenset({DESK})))
    telling = told([EVERYTHING, CRITICAL], (Change.RAISED, ended), (Change.RESOLVED, ended))
    assert brief(telling.messages) == [(PAGER, Change.OPENED), (DESK, Change.RESOLVED)]


def test_each_change_has_one_key_that_is_safe_in_a_header_and_stays_the_same() -> None:
    high = incident("all", severity=Severity.HIGH, told=frozenset({DESK}))
    critical = replace(high, severity=Severity.CRITICAL, revision=7)
    keys = [
        told([EVERYTHING], (change, one)).messages[0].key
        for change, one in (
            (Change.OPENED, replace(high, told=frozenset())),
            (Change.RAISED, high),
            (Change.RAISED, critical),
            (Change.RESOLVED, over(critical)),
        )
    ]
    number = "00112233445566778899aabbccddeeff"
    assert keys == [f"{number}.opened", f"{number}.raised-high", f"{number}.raised-critical", f"{number}.resolved"]
    assert all(len(key) <= 64 for key in keys)
    assert told([EVERYTHING], (Change.RAISED, high)).messages == told([EVERYTHING], (Change.RAISED, high)).messages


def test_two_incidents_of_one_fold_are_two_messages() -> None:
    other = incident("entity:other", id=IncidentId("ff" * 16))
    telling = told([EVERYTHING], (Change.OPENED, incident("all")), (Change.OPENED, other))
    assert [message.incident.keys for message in telling.messages] == [(Key("all"),), (Key("entity:other"),)]


CHINESE = headline("zh", language=Language("zh"))


@pytest.mark.parametrize(
    ("route", "one", "taken"),
    [
        (Route(targets=(DESK,)), incident("all"), True),
        (Route(targets=(DESK,), keys=("entity:*",)), incident("topic:Energy", "entity:acme"), True),
        (Route(targets=(DESK,), keys=("entity:*", "all")), incident("topic:Energy"), False),
        (Route(targets=(DESK,), keys=("entity:ACME",)), incident("entity:acme"), False),
        (Route(targets=(DESK,), keys=("entity:a*×topic:*",)), incident("entity:acme×topic:Legal"), True),
        (Route(targets=(DESK,), severity=frozenset({Severity.HIGH})), incident("all"), True),
        (Route(targets=(DESK,), severity=frozenset({Severity.LOW})), incident("all"), False),
        (Route(targets=(DESK,), language=frozenset({Language("zh")})), incident("all"), False),
        (Route(targets=(DESK,), language=frozenset({Language("zh")})), incident("all", evidence=(CHINESE,)), True),
        (Route(targets=(DESK,), language=frozenset({Language("zh")})), incident("all", evidence=()), True),
        (Route(targets=(DESK,), kind=frozenset({IncidentKind.BLIND})), incident("all"), False),
        (Route(targets=(DESK,), kind=frozenset({IncidentKind.SURGE})), incident("all"), True),
        (Route(targets=(DESK,), keys=("all",), severity=frozenset({Severity.LOW})), incident("all"), False),
    ],
)
def test_a_route_takes_what_agrees_with_all_it_asks_for(route: Route, one: Incident, taken: bool) -> None:
    assert route.takes(one) is taken
