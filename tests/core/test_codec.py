from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.codec import from_json, to_json
from monitor.types import (
    Change,
    EventId,
    Evidence,
    Explanation,
    Incident,
    IncidentId,
    IncidentKind,
    IncidentState,
    Json,
    Key,
    Language,
    Message,
    ModelId,
    Severity,
    Signal,
    SignalKind,
    StoryId,
    TargetId,
)

# JSON in a database is UTF-8: lone surrogates never reach it, the normaliser takes them out.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = texts.map(Key)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001 - UTC follows
spans = st.timedeltas(timedelta(0), timedelta(days=400))
floats = st.floats(0, 1e9)
counts = st.integers(0, 10**6)

signals = st.builds(
    Signal,
    key=keys,
    kind=st.sampled_from(SignalKind),
    at=moments,
    window=spans,
    observed=floats,
    expected=floats,
    chance=floats,
    stories=counts,
    negative=counts,
    publishers=counts,
    model=texts.map(ModelId),
    late=st.booleans(),
    flow=floats,
    first=st.none() | moments,
    end=st.none() | moments,
    taught=st.none() | texts.map(ModelId),
)
pieces = st.builds(
    Evidence,
    story=texts.map(StoryId),
    title=texts,
    link=st.none() | texts,
    publisher=texts,
    language=texts.map(Language),
    published=moments,
    negative=floats,
    copies=counts,
    publishers=counts,
)
shares = st.floats(-100, 100)
explanations = st.builds(
    Explanation,
    volume=shares,
    mood=shares,
    event=shares,
    publisher=shares,
    model=shares,
    loudest_event=st.none() | texts.map(EventId),
    loudest_publisher=st.none() | texts,
    headline=st.none() | texts,
)
incidents = st.builds(
    Incident,
    id=texts.map(IncidentId),
    kind=st.sampled_from(IncidentKind),
    state=st.sampled_from(IncidentState),
    severity=st.sampled_from(Severity),
    keys=st.lists(keys, max_size=3).map(tuple),
    active=st.frozensets(keys, max_size=3),
    opened=moments,
    updated=moments,
    resolved=st.none() | moments,
    window=spans,
    observed=floats,
    expected=floats,
    chance=floats,
    stories=counts,
    publishers=counts,
    evidence=st.lists(pieces, max_size=3).map(tuple),
    late=st.booleans(),
    model=texts.map(ModelId),
    revision=counts,
    explanation=st.none() | explanations,
)
messages = st.builds(
    Message,
    key=texts,
    target=texts.map(TargetId),
    change=st.sampled_from(Change),
    incident=incidents,
    created=moments,
    expires=moments,
)


def through_text(value: Signal | Evidence | Incident | Message) -> dict[str, Json]:
    row: dict[str, Json] = json.loads(json.dumps(to_json(value), allow_nan=False))
    return row


@given(signals)
def test_a_signal_comes_back_from_the_database_as_it_was(signal: Signal) -> None:
    assert from_json(Signal, through_text(signal)) == signal


@given(pieces)
def test_a_headline_comes_back_as_it_was(piece: Evidence) -> None:
    assert from_json(Evidence, through_text(piece)) == piece


@given(incidents)
def test_an_incident_comes_back_as_it_was(incident: Incident) -> None:
    back = from_json(Incident, through_text(incident))
    assert back == incident
    assert isinstance(back.active, frozenset)
    assert isinstance(back.keys, tuple)


@given(messages)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert from_json(Message, through_text(message)) == message


@given(signals)
def test_a_row_of_an_older_version_takes_the_default(signal: Signal) -> None:
    row = to_json(signal)
    del row["late"]
    assert from_json(Signal, row) == replace(signal, late=False)


@given(signals)
def test_a_row_that_lacks_what_it_needs_is_refused(signal: Signal) -> None:
    row = to_json(signal)
    del row["key"]
    with pytest.raises(TypeError, match="key"):
        from_json(Signal, row)


@given(signals)
def test_a_field_of_a_newer_version_is_left_aside(signal: Signal) -> None:
    assert from_json(Signal, to_json(signal) | {"since_then": 1}) == signal
