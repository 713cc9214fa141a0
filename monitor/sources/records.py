"""One JSON object or one row of a table becomes an item: what push door, archives and topics share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from monitor.core.moments import end_of_day, is_day, read_moment
from monitor.errors import ConfigurationError, NewsquakeError
from monitor.types import Json, RawItem, SourceId

FIELDS = ("title", "text", "url", "id", "publisher", "published", "language")
Fields: TypeAlias = Mapping[str, Sequence[str]]  # for each of FIELDS, the names it may have, best first
COMMON: Fields = {
    "title": ("title", "headline", "text"),
    "text": ("text", "body", "summary"),
    "url": ("url", "link"),
    "id": ("id", "guid"),
    "publisher": ("publisher", "source"),
    "published": ("published", "date", "timestamp"),
    "language": ("language", "lang"),
}
KINDS = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}
LONGEST = 10 * 1024 * 1024  # bytes of a line or a value
KEPT = 64 * 1024  # bytes of a longer one that are kept to show
BROKEN = re.compile("[\x00\ud800-\udfff]")  # NUL and halves of a character: no database keeps them


class Unreadable(NewsquakeError):
    """An object that is no article: the message names the field, what was found and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What an object says of one article. `title` or `text` may be empty, not both."""

    title: str
    text: str
    url: str | None
    id: str | None
    publisher: str | None
    published: datetime | None  # where only the day is known: its last second
    language: str | None
    daily: bool  # only the day is known

    def item(
        self, source: SourceId, raw: bytes, received: datetime, *, history: bool = False, daily: bool = False
    ) -> RawItem:
        """Return the item that a source hands over with this record, at the moment it is received."""
        return RawItem(
            source=source,
            raw=raw,
            handed_over=received,
            received=received,
            title=self.title,
            body=self.text,
            guid=self.id,
            link=self.url,
            publisher=self.publisher,
            published=self.published,
            language=self.language,
            history=history,
            daily=daily,
        )


def field_names(mapping: Mapping[str, str] | None = None) -> Fields:
    """Return where a record keeps what: the common names, but for the fields that `mapping` names a place for.

    Raises ConfigurationError for a field that there is not.
    """
    unknown = sorted(set(mapping or ()) - set(FIELDS))
    if unknown:
        raise ConfigurationError(f"fields: found {', '.join(unknown)}; expected some of {', '.join(FIELDS)}")
    return {**COMMON, **{field: (place,) for field, place in (mapping or {}).items()}}


def whole(text: str) -> str:
    """Return the text with U+FFFD in the place of what cannot be stored."""
    return BROKEN.sub("\ufffd", text)


def read_record(record: Mapping[str, Json], fields: Fields) -> Record:
    """Read an object by the names in `fields`; what else it holds is nobody's business here.

    null and the empty text count as absent. Only the day is known where the time is a bare day, or where the record
    says so by `resolution: day`. Raises Unreadable.
    """
    found: dict[str, tuple[str, Json]] = {}
    taken: set[str] = set()
    for field in FIELDS:
        for name in fields[field]:
            # `text` may be one archive's headline and another's body, but never both.
            if name not in taken and record.get(name) not in (None, ""):
                found[field] = (name, record[name])
                taken.add(name)
                break
    if "title" not in found and "text" not in found:
        names = ", ".join(dict.fromkeys((*fields["title"], *fields["text"])))
        raise Unreadable(f"there is no text; expected at least one of {names}")
    published, daily = _moment(found.get("published"), record.get("resolution"))
    return Record(
        title=_text(found.get("title")) or "",
        text=_text(found.get("text")) or "",
        url=_text(found.get("url")),
        id=_text(found.get("id"), or_number=True),
        publisher=_text(found.get("publisher")),
        published=published,
        language=_text(found.get("language")),
        daily=daily,
    )


def _text(found: tuple[str, Json] | None, *, or_number: bool = False) -> str | None:
    if found is None:
        return None
    name, value = found
    if or_number and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise Unreadable(f"{name} is {KINDS[type(value)]}; expected text")
    return whole(value)


def _moment(found: tuple[str, Json] | None, resolution: Json) -> tuple[datetime | None, bool]:
    """Return the time, and whether no more than its day is known."""
    if found is None:
        return None, False
    name, value = found
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unreadable(f"{name} is {KINDS[type(value)]}; expected a time such as 2024-05-17T09:30:00Z")
    try:
        moment = read_moment(value)
    except ValueError as error:
        raise Unreadable(f"{name}: {error}") from error
    daily = resolution == "day" or is_day(value)
    return end_of_day(moment) if daily else moment, daily
