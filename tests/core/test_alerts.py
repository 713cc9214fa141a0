from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.alerts import AFTERGLOW, LASTING, SHOWN, alerts_of
from monitor.ports import Case, Notice
from monitor.types import Change, IncidentId, IncidentKind, IncidentState, Key, Severity
from tests.core.telling import EXPLAINED, MINUTE, T0, headline, incident

LOW, MEDIUM, HIGH, CRITICAL = Severity
SOON = timedelta(seconds=2)  # a message is accepted


def notice(change: Change, severity: Severity, created: datetime = T0, *, accepted: timedelta | None = SOON) -> Notice:
    ended = None if accepted is None else created + accepted
    return Notice(change=change, severity=severity, created=created, ended=ended)


def shown(case: Case, now: datetime, address: str | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(json.dumps(alerts_of(case, now, labels={"team": "risk"}, address=address)))
    return found


def spans(case: Case, now: datetime) -> list[tuple[str, datetime, datetime]]:
    return [
        (each["labels"]["severity"], *(datetime.fromisoformat(each[name]) for name in ("startsAt", "endsAt")))
        for each in shown(case, now)
    ]


OPENED = notice(Change.OPENED, LOW)
OPEN = Case(incident=incident("entity:acme", "all", severity=LOW), notices=(OPENED,))


def test_an_open_incident_is_one_alert_that_lasts_an_hour_from_now() -> None:
    later = T0 + 90 * MINUTE
    assert spans(OPEN, T0) == [("low", T0, T0 + LASTING)]
    assert spans(OPEN, later) == [("low", T0, later + LASTING)]


def test_an_alert_is_known_by_what_never_changes_about_the_incident() -> None:
    [alert] = shown(OPEN, T0)
    assert alert["labels"] == {
        "alertname": "NewsquakeSurge",
        "kind": "surge",
        "key": "entity:acme",
        "incident": OPEN.incident.id,
        "severity": "low",
        "team": "risk",
    }
    grown = replace(OPEN.incident, keys=(*OPEN.incident.keys, Key("topic:Energy")), observed=30.0, revision=9)
    assert shown(replace(OPEN, incident=grown), T0 + MINUTE)[0]["labels"] == alert["labels"]
    silence = replace(OPEN, incident=replace(OPEN.incident, kind=IncidentKind.BLIND))
    assert shown(silence, T0)[0]["labels"]["alertname"] == "NewsquakeBlind"


def test_a_second_incident_of_the_same_key_is_another_alert() -> None:
    second = replace(OPEN, incident=replace(OPEN.incident, id=IncidentId("f" * 32)))
    assert shown(second, T0)[0]["labels"] != shown(OPEN, T0)[0]["labels"]


def test_a_rise_ends_the_old_alert_where_the_new_one_begins() -> None:
    raised = replace(OPEN, notices=(OPENED, notice(Change.RAISED, HIGH, T0 + 10 * MINUTE)))
    now = T0 + 11 * MINUTE
    assert spans(raised, now) == [("low", T0, T0 + 10 * MINUTE), ("high", T0 + 10 * MINUTE, now + LASTING)]


def test_the_old_alert_is_shown_ended_until_the_receiver_has_heard_of_the_rise_for_a_while() -> None:
    rise = notice(Change.RAISED, HIGH, T0 + 10 * MINUTE, accepted=None)
    assert len(spans(replace(OPEN, notices=(OPENED, rise)), T0 + timedelta(days=1))) == 2
    heard = replace(rise, ended=T0 + timedelta(days=1))
    later = T0 + timedelta(days=1) + AFTERGLOW
    assert len(spans(replace(OPEN, notices=(OPENED, heard)), later - SOON)) == 2
    assert [name for name, _, _ in spans(replace(OPEN, notices=(OPENED, heard)), later)] == ["high"]


def over(*notices: Notice, resolved: datetime) -> Case:
    done = replace(OPEN.incident, state=IncidentState.RESOLVED, resolved=resolved, active=frozenset())
    return Case(incident=done, notices=notices)


def test_what_is_over_ends_when_it_was_over_and_is_shown_for_a_quarter_of_an_hour() -> None:
    end = T0 + 60 * MINUTE
    case = over(OPENED, notice(Change.RESOLVED, LOW, end), resolved=end)
    assert spans(case, end) == spans(case, end + 14 * MINUTE) == [("low", T0, end)]
    assert spans(case, end + SOON + AFTERGLOW) == []


def test_what_was_over_before_it_could_be_told_is_active_until_it_can_have_been_told() -> None:
    case = over(notice(Change.OPENED, LOW, T0 + 60 * MINUTE, accepted=None), resolved=T0 + MINUTE)
    now = T0 + 90 * MINUTE
    assert spans(case, now) == [("low", T0, now + SHOWN)]
    told = over(notice(Change.OPENED, LOW, T0 + 60 * MINUTE), resolved=T0 + MINUTE)
    assert spans(told, T0 + 62 * MINUTE) == [("low", T0, T0 + 60 * MINUTE + SOON + SHOWN)]


def test_people_read_what_how_much_and_where() -> None:
    case = replace(OPEN, incident=replace(OPEN.incident, severity=HIGH))
    [alert] = shown(case, T0, "https://newsquake.example/")
    page = f"https://newsquake.example/#incident={OPEN.incident.id}"
    assert alert["generatorURL"] == alert["annotations"]["link"] == page
    read = alert["annotations"]
    assert read["summary"] == "[HIGH] Bad news is surging: acme"
    assert (read["observed"], read["expected"], read["window"]) == ("7.9", "0.4", "1 h")
    assert read["headline"] == "Headline of one"
    assert "causes" not in read
    assert "- Headline of one (news.example, 2026-03-02 10:00 UTC)" in read["description"].splitlines()
    assert "generatorURL" not in shown(case, T0)[0]


def test_an_alert_says_what_makes_the_surge() -> None:
    loud = replace(EXPLAINED, headline="<!channel> raid")
    read = shown(replace(OPEN, incident=replace(OPEN.incident, explanation=loud)), T0)[0]["annotations"]
    assert read["causes"].startswith("Why: 62 % volume, 27 % one publisher (loud.example), 20 % one event (‹!channel›")
    assert read["causes"] in read["description"].splitlines()


def test_a_headline_can_neither_call_a_channel_nor_hide_a_link_nor_break_a_line() -> None:
    title = "<!channel> <https://evil.example|our bank>\n\x1b[31m\u202e{{ .Labels }}"
    case = replace(OPEN, incident=replace(OPEN.incident, evidence=(headline("one", title=title),)))
    [alert] = shown(case, T0)
    harmless = "‹!channel› ‹https://evil.example|our bank› [31m{{ .Labels }}"
    assert alert["annotations"]["headline"] == harmless
    assert f"- {harmless} (news.example, 2026-03-02 10:00 UTC)" in alert["annotations"]["description"].splitlines()


def test_however_long_the_news_the_alert_is_bounded() -> None:
    long = tuple(
        headline(f"{number}", title="长" * 9999, link="https://a.example/" + "x" * 900, publisher="p" * 999)
        for number in range(10)
    )
    case = replace(OPEN, incident=replace(OPEN.incident, evidence=long))
    assert sum(len(text) for text in shown(case, T0)[0]["annotations"].values()) < 15_000


# --- the law ---


@dataclass
class Known:
    starts: datetime
    ends: datetime


class Receiver:
    """What Alertmanager makes of posts whose beginnings stay the same: the last one of each alert counts."""

    def __init__(self) -> None:
        self.alerts: dict[str, Known] = {}
        self.begun: dict[str, set[datetime]] = {}

    def take(self, alerts: Sequence[dict[str, Any]]) -> None:
        for alert in alerts:
            name = json.dumps(alert["labels"], sort_keys=True)
            new = Known(*(datetime.fromisoformat(alert[key]) for key in ("startsAt", "endsAt")))
            assert new.starts <= new.ends
            self.begun.setdefault(name, set()).add(new.starts)
            self.alerts[name] = new

    def active(self, now: datetime) -> list[str]:
        return sorted(json.loads(name)["severity"] for name, each in self.alerts.items() if each.ends > now)


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Notice], datetime, datetime | None]:
    """Notices in order, the opening in event time, and the end if there is one; acceptance comes in order too."""
    steps = draw(st.lists(st.sampled_from(list(Severity)), min_size=1, max_size=4, unique=True).map(sorted_by_rank))
    at = accepted = T0
    notices: list[Notice] = []
    changes = [Change.OPENED, *(Change.RAISED for _ in steps[1:])]
    resolved = None
    if draw(st.booleans()):
        steps, changes = [*steps, steps[-1]], [*changes, Change.RESOLVED]
    for severity, change in zip(steps, changes, strict=True):
        at += draw(st.integers(1, 90)) * MINUTE
        accepted = max(accepted, at) + draw(st.sampled_from((SOON, 7 * MINUTE, 50 * MINUTE)))
        notices.append(Notice(change=change, severity=severity, created=at, ended=accepted))
    if changes[-1] is Change.RESOLVED:
        resolved = at - draw(st.integers(0, 1)) * MINUTE
    return notices, T0 - draw(st.integers(0, 300)) * MINUTE, resolved


def sorted_by_rank(severities: list[Severity]) -> list[Severity]:
    return sorted(severities, key=lambda each: each.rank)


@given(lives())
def test_an_incident_is_one_active_alert_at_a_time_and_each_alert_ends_once(
    life: tuple[list[Notice], datetime, datetime | None],
) -> None:
    notices, opened, resolved = life
    receiver = Receiver()
    ended: set[str] = set()
    last = notices[-1].ended
    assert last is not None
    now = notices[0].created
    while now < last + SHOWN + AFTERGLOW + 2 * MINUTE:
        so_far = [
            each if each.ended is not None and each.ended <= now else replace(each, ended=None)
            for each in notices
            if each.created <= now
        ]
        done = so_far[-1].change is Change.RESOLVED
        one = incident(
            "entity:acme",
            opened=opened,
            resolved=max(resolved, opened) if done and resolved else None,
            state=IncidentState.RESOLVED if done else IncidentState.FIRING,
        )
        receiver.take(shown(Case(incident=one, notices=tuple(so_far)), now))
        active = receiver.active(now)
        if not done:
            assert active == [so_far[-1].severity.value]
        assert len(active) <= 1
        assert not ended & set(active)
        ended |= {each for each in (step.severity.value for step in so_far) if each not in active}
        now += MINUTE
    assert all(len(starts) == 1 for starts in receiver.begun.values())
    assert receiver.active(now) == ([] if notices[-1].change is Change.RESOLVED else [notices[-1].severity.value])
