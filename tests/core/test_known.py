from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.known import Alarm, KnownEvent, compare, read_events
from monitor.errors import ConfigurationError
from monitor.types import Json

CRASH: dict[str, Json] = {
    "id": "crash",
    "what": "an aircraft is grounded",
    "start": "2019-03-10",
    "peak": "2019-03-13",
    "end": "2019-03-20",
    "keywords": ["Aero", "SEC", "航空"],
    "busiest_day": ["2019-03-12", 36],
}
BEGAN, ENDED = datetime(2019, 1, 1, tzinfo=UTC), datetime(2019, 6, 30, tzinfo=UTC)


def crash(**changed: Json) -> KnownEvent:
    (event,) = read_events([{**CRASH, **changed}], "events.json")
    return event


def alarm(opened: datetime, *headlines: str) -> Alarm:
    return Alarm(id=f"{opened:%m-%d %H:%M}", opened=opened, headlines=headlines or ("Aero grounds its fleet",))


def on(day: int, hour: int = 0) -> datetime:
    return datetime(2019, 3, day, hour, tzinfo=UTC)


def test_an_event_is_told_within_its_days_by_an_alarm_about_it() -> None:
    assert crash().is_told_by(alarm(on(10, 1)))
    assert crash().is_told_by(alarm(on(21)))  # what is known at a day's end is told at the next midnight
    assert not crash().is_told_by(alarm(on(10)))
    assert not crash().is_told_by(alarm(on(21, 1)))
    assert not crash().is_told_by(alarm(on(11), "Rates rise again"))
    assert not crash().is_told_by(Alarm(id="bare", opened=on(11), headlines=()))


@pytest.mark.parametrize(
    ("headline", "about"),
    [
        ("Aero's fleet stands still", True),
        ("AEROS cut", True),  # a plural, in capitals
        ("Panaero profits", False),  # within a word
        ("The SEC asks questions", True),
        ("Bond security is second to none", False),
        ("sec", False),  # written in capitals, it is meant in capitals
        ("某航空公司停飞", True),
    ],
)
def test_keywords_are_found_as_words(headline: str, about: bool) -> None:
    assert crash().is_told_by(alarm(on(11), headline)) is about


def test_a_third_of_the_headlines_must_be_about_the_event() -> None:
    assert crash().is_told_by(alarm(on(11), "Aero falls", "Oil falls", "Gold falls"))
    assert not crash().is_told_by(alarm(on(11), "Aero falls", "Oil falls", "Gold falls", "Tin falls"))


def test_the_lead_is_counted_to_the_end_of_the_busiest_day() -> None:
    found = compare([alarm(on(14)), alarm(on(11, 6)), alarm(on(11, 7))], [crash()], BEGAN, ENDED)
    (told,) = found.told
    assert (told.alarm, told.lead) == ("03-11 06:00", timedelta(hours=42))
    assert (found.recall, found.in_time, found.lead, found.others) == (1.0, 1, timedelta(hours=42), 0)
    late = compare([alarm(on(14))], [crash()], BEGAN, ENDED)
    assert (late.recall, late.in_time, late.lead) == (1.0, 0, timedelta(days=-1))


def test_where_the_busiest_day_is_unknown_the_peak_stands_for_it() -> None:
    assert crash(busiest_day=None).busiest == on(14)
    assert crash(busiest_day="2019-03-11").busiest == on(12)


def test_what_is_at_no_event_is_counted_by_the_month() -> None:
    alarms = [alarm(on(11)), alarm(on(25)), alarm(on(26), "Oil falls")]
    found = compare(alarms, [crash()], on(1), on(31))
    assert (found.alarms, found.others, found.others_a_month) == (3, 2, 2.0)
    nothing = compare([], [], on(1), on(1))
    assert (nothing.recall, nothing.lead, nothing.others_a_month) == (None, None, 0.0)


def test_events_outside_what_was_lived_through_are_not_asked_for() -> None:
    assert [told.event.id for told in compare([], [crash()], on(10, 9), on(20, 1)).told] == ["crash"]
    assert compare([], [crash()], on(11), ENDED).told == ()
    assert compare([], [crash()], BEGAN, on(19)).told == ()


@given(st.lists(st.integers(-40, 60).map(lambda days: on(1) + timedelta(days=days)), max_size=20))
def test_more_alarms_never_find_less_nor_later(moments: list[datetime]) -> None:
    fewer = compare([alarm(at) for at in moments[1:]], [crash()], BEGAN, ENDED)
    more = compare([alarm(at) for at in moments], [crash()], BEGAN, ENDED)
    assert (more.recall or 0.0) >= (fewer.recall or 0.0)
    assert (more.lead or timedelta.min) >= (fewer.lead or timedelta.min)
    assert more.others + sum(crash().is_told_by(alarm(at)) for at in moments) == len(moments)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ({}, "events.json: found no list; expected a list of events"),
        (["crash"], "events.json: event 1: found 'crash'; expected an object"),
        ([{**CRASH, "id": 7}], "event 1: id: found 7; expected a name"),
        ([CRASH, {**CRASH, "start": "10 March"}], "event 2 (crash): start: found '10 March'; expected a day"),
        ([{**CRASH, "busiest_day": [], "peak": None}], "(crash): peak: found None; expected a day"),
        ([{**CRASH, "keywords": []}], "(crash): keywords: found []; expected a list of words"),
        ([{**CRASH, "keywords": [737]}], "keywords: found [737]; expected a list of words"),
        ([{**CRASH, "end": "2019-03-11"}], "found 2019-03-10 to 2019-03-11, busiest 2019-03-12"),
    ],
)
def test_what_is_wrong_with_a_list_of_events_is_named(events: Json, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_events(events, "events.json")
    assert said in str(refused.value)
