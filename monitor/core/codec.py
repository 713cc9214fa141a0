"""Values of `monitor.types` as JSON and back, exactly: what the store keeps of signals, incidents and messages.

Datetimes become ISO 8601 in UTC, time spans become seconds, sets become sorted lists. A field that an older version
did not write takes its default; a field that a newer version wrote is left aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from monitor.types import Evidence, Incident, Json, Message, Signal

Record = TypeVar("Record", Signal, Evidence, Incident, Message)


def to_json(value: Signal | Evidence | Incident | Message) -> dict[str, Json]:
    """Return the value as JSON. Numbers must be finite."""
    return {field.name: _encode(getattr(value, field.name)) for field in fields(value)}


def from_json(kind: type[Record], row: Mapping[str, Json]) -> Record:
    """Return what `to_json` was given. Raise TypeError, ValueError or KeyError where the row is not of this kind."""
    return kind(**_members(kind, row))


def _encode(value: Any) -> Json:
    if is_dataclass(value):
        return {field.name: _encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_encode(one) for one in value]
    return value  # type: ignore[no-any-return]  # text, numbers, truth values and None are JSON already


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _members(kind: Any, row: Mapping[str, Json]) -> dict[str, Any]:
    return {name: _decode(hint, row[name]) for name, hint in _hints(kind).items() if name in row}


def _decode(hint: Any, value: Any) -> Any:
    if isinstance(hint, NewType):
        return _decode(hint.__supertype__, value)
    origin = get_origin(hint)
    if origin in (Union, UnionType):  # of one type and None
        return None if value is None else _decode(next(one for one in get_args(hint) if one is not NoneType), value)
    if origin in (tuple, frozenset):
        return origin(_decode(get_args(hint)[0], one) for one in value)
    return _decode_one(hint, value)


def _decode_one(hint: type[Any], value: Any) -> Any:
    if is_dataclass(hint):
        return hint(**_members(hint, value))
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is timedelta:
        return timedelta(seconds=value)
    if hint is float or issubclass(hint, Enum):
        return hint(value)
    return value
