"""What a record becomes and where reading goes on, without a broker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.kafka_marks import Bounds, Marks
from monitor.sources.kafka_values import enveloped, read_value
from monitor.sources.records import field_names
from monitor.types import EPOCH, DeadLetter, Json, Position, RawItem, SourceId

WIRE = SourceId("wire")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Given:
    value: bytes | None
    timestamp: int = 1_700_000_000_000
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    topic: str = "news"
    partition: int = 0
    offset: int = 7


def read(value: object, fields: dict[str, str] | None = None, **more: object) -> RawItem | DeadLetter:
    raw = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return read_value(WIRE, Given(raw, **more), field_names(fields), NOW, history=False)  # type: ignore[arg-type]


def item(value: object, fields: dict[str, str] | None = None, **more: object) -> RawItem:
    found = read(value, fields, **more)
    assert isinstance(found, RawItem), found
    return found


jsons: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields_of_records = st.sampled_from(["title", "text", "url", "id", "publisher", "published", "language", "a.b"])


@given(st.none() | st.binary(max_size=200), st.integers(-(2**63), 2**63 - 1))
def test_whatever_bytes_come_something_is_made_of_them(value: bytes | None, timestamp: int) -> None:
    made = read(value, timestamp=timestamp)
    assert made.raw.partition(b"\n")[2] == (value or b"")


@given(st.dictionaries(fields_of_records, jsons, max_size=6), st.binary(max_size=8))
def test_whatever_object_comes_it_is_an_item_or_a_dead_letter(value: dict[str, Json], key: bytes) -> None:
    made = read(value, {"publisher": "a.b.0.c", "id": "@key", "language": "@header.x"}, key=key, headers=[("x", None)])
    assert isinstance(made, RawItem | DeadLetter)
    if isinstance(made, RawItem):
        assert made.handed_over <= made.received
        assert made.title or made.body


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("source.name", "Wire"),
        ("authors.1.name", "B"),
        ("dotted.name", "D"),  # a name that holds a dot comes before a path
        ("@key", "k"),
        ("@header.desk", "last"),  # of several, the last
        ("authors.9.name", None),
        ("source.name.more", None),
        ("@header.absent", None),
    ],
)
def test_a_place_is_a_name_a_path_the_key_or_a_header(place: str, expected: str | None) -> None:
    value = {
        "title": "T",
        "source": {"name": "Wire"},
        "authors": [{"name": "A"}, {"name": "B"}],
        "dotted.name": "D",
        "dotted": {"name": "no"},
    }
    headers = [("desk", b"first"), ("desk", b"last")]
    assert item(value, {"publisher": place}, key=b"k", headers=headers).publisher == expected


def test_without_a_publication_time_it_was_published_when_it_was_handed_over() -> None:
    at = NOW - timedelta(days=3)
    milliseconds = (at - EPOCH) // timedelta(milliseconds=1)
    assert item({"title": "T"}, timestamp=milliseconds).published == at
    assert item({"title": "T", "published": "2026-03-01T00:00:00Z"}, timestamp=milliseconds).published == datetime(
        2026, 3, 1, tzinfo=UTC
    )
    for nonsense in (-1, -(2**63), 2**62):
        assert item({"title": "T"}, timestamp=nonsense).handed_over == NOW


def test_an_envelope_keeps_key_and_headers() -> None:
    head, _, value = enveloped(Given(b'{"a"\n', key=b"\xff", headers=[("h", b"\x00"), ("n", None)])).partition(b"\n")
    kept = json.loads(head)
    assert (kept["topic"], kept["partition"], kept["offset"]) == ("news", 0, 7)
    assert (kept["key"], kept["headers"]) == ("/w==", [["h", "AA=="], ["n", None]])
    assert value == b'{"a"\n'


# --- marks ---


def stored(marks: Marks, *positions: Position) -> Marks:
    """Return what a restart takes up."""
    return Marks.read(marks.source, marks.topic, positions)


def test_the_first_look_parts_history_from_news_over_a_restart() -> None:
    marks = Marks(source=WIRE, topic="news")
    look = marks.meet({0: Bounds(3, 10), 1: Bounds(0, 0)}, latest=False)
    assert marks.begin({0: Bounds(3, 10), 1: Bounds(0, 0)}).offsets == {0: 3, 1: 0}
    again = stored(marks, look, marks.advance(0, 8))
    assert again.begin({0: Bounds(3, 12), 1: Bounds(0, 5)}).offsets == {0: 8, 1: 0}
    assert [again.is_history(0, offset) for offset in (8, 9, 10)] == [True, True, False]
    assert not again.is_history(1, 0)


def test_a_partition_that_was_not_there_is_news_from_its_first_record() -> None:
    marks = Marks(source=WIRE, topic="news")
    marks.meet({0: Bounds(0, 10)}, latest=True)
    start = marks.begin({0: Bounds(0, 12), 1: Bounds(4, 9)})
    assert (start.offsets, start.missing, start.remade) == ({0: 10, 1: 4}, (), ())
    assert not marks.is_history(1, 4)


def test_missing_records_are_named() -> None:
    marks = Marks(source=WIRE, topic="news")
    look = marks.meet({0: Bounds(0, 10)}, latest=False)
    start = stored(marks, look, marks.advance(0, 5)).begin({0: Bounds(8, 20)})
    assert start.offsets == {0: 8}
    assert start.missing == ("partition 0: records 5 to 7 were deleted before they were read",)


def test_a_partition_that_ends_before_our_position_is_another_one() -> None:
    marks = Marks(source=WIRE, topic="news")
    look = marks.meet({0: Bounds(0, 10)}, latest=False)
    marks = stored(marks, look, marks.advance(0, 10))
    start = marks.begin({0: Bounds(0, 4)})
    assert (start.offsets, start.remade) == ({0: 0}, (0,))
    assert not marks.is_history(0, 0)
    assert marks.look().value == {"topic": "news", "met": {}}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5), st.booleans())
def test_reading_never_begins_outside_of_what_is_kept(kept: list[tuple[int, int]], latest: bool) -> None:
    marks = Marks(source=WIRE, topic="news")
    bounds = {number: Bounds(first, first + more) for number, (first, more) in enumerate(kept)}
    marks.meet(bounds, latest=latest)
    for partition, offset in marks.begin(bounds).offsets.items():
        assert bounds[partition].first <= offset <= bounds[partition].end
