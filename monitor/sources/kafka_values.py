"""One record of a Kafka topic becomes an item, whatever its bytes are. Pure: values in, values out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, cast

from monitor.sources.records import KEPT, LONGEST, Fields, Unreadable, read_record
from monitor.types import EPOCH, DeadLetter, Json, RawItem, SourceId

KEY = "@key"
HEADER = "@header."


class TopicRecord(Protocol):
    """What Kafka hands over, as aiokafka gives it. `timestamp` is in milliseconds; below 0 there is none."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def read_value(
    source: SourceId, record: TopicRecord, fields: Fields, received: datetime, *, history: bool
) -> RawItem | DeadLetter:
    """Read one record: a JSON object whose fields stand where `fields` says.

    A place is the name of a field, or a path with dots into nested objects and lists (`article.title`,
    `authors.0.name`); `@key` is the record's key and `@header.NAME` a header, both as UTF-8. A record without a
    publication time was published when it was handed over: at Kafka's timestamp, or when it was received where there
    is none or it lies later. What cannot be read becomes a dead letter.
    """
    try:
        value = _parsed(record.value)
        places = dict.fromkeys(place for names in fields.values() for place in names)
        found = read_record({place: _reach(record, value, place) for place in places}, fields)
    except Unreadable as error:
        where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        return DeadLetter(source=source, raw=enveloped(record), error=f"{where}: {error}", received=received)
    handed_over = _handed_over(record.timestamp, received)
    return RawItem(
        source=source,
        raw=enveloped(record),
        handed_over=handed_over,
        received=received,
        title=found.title,
        body=found.text,
        guid=found.id,
        link=found.url,
        publisher=found.publisher,
        published=found.published or handed_over,
        language=found.language,
        # A topic keeps what came while nobody read: Kafka's timestamp tells when it was handed over, so that no gap
        # has to be allowed for.
        gap=timedelta(0),
        history=history,
    )


def enveloped(record: TopicRecord) -> bytes:
    """Return what is kept of a record: a line of JSON with its place, key and headers, then its value's own bytes.

    Key and headers are in base64: they are bytes. Of a value that is too long the beginning is kept.
    """
    head = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": _text(record.key),
        "headers": [[name, _text(value)] for name, value in record.headers],
        "bytes": None if record.value is None else len(record.value),  # null: a tombstone
    }
    value = record.value or b""
    kept = value if len(value) <= LONGEST else value[:KEPT]
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + kept


def _parsed(value: bytes | None) -> dict[str, Json]:
    if value is None:
        raise Unreadable("the value is null, a tombstone; expected a JSON object")
    if len(value) > LONGEST:
        raise Unreadable(f"the value has {len(value):,} bytes; expected at most {LONGEST:,}")
    try:
        parsed = json.loads(value.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the value is no JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise Unreadable("the value is no JSON object")
    return cast("dict[str, Json]", parsed)


def _reach(record: TopicRecord, value: Mapping[str, Json], place: str) -> Json:
    """Return what stands at a place; None where nothing does."""
    if place == KEY:
        return _decoded(record.key)
    if place.startswith(HEADER):
        name = place.removeprefix(HEADER)
        return next((_decoded(given) for known, given in reversed(record.headers) if known == name), None)
    if place in value or "." not in place:
        return value.get(place)
    found: Json = cast("dict[str, Json]", value)
    for step in place.split("."):
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def _handed_over(milliseconds: int, received: datetime) -> datetime:
    if milliseconds < 0:
        return received
    try:
        return min(EPOCH + timedelta(milliseconds=milliseconds), received)
    except OverflowError:
        return received


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()
