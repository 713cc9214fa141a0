"""The program that reads feed documents, run as a process of its own so that it can be killed.

A document may hang the parser, eat the memory or crash the interpreter: none of that may reach the daemon. The program
imports nothing of newsquake. It takes frames on standard input and answers each document on standard output, until its
input ends. A frame is a length (4 bytes, big-endian) and as many bytes; a document is two frames, its circumstances as
JSON and its bytes; an answer is one frame of JSON: what `read_feed` returns, or `{"error": …}`.
"""

from __future__ import annotations

import calendar
import contextlib
import io
import json
import re
import resource
import signal
import struct
import sys
from datetime import UTC, datetime
from typing import Any, BinaryIO
from urllib.parse import urljoin

import feedparser  # type: ignore[import-untyped]  # it ships no types

LENGTH = struct.Struct(">I")
# References to halves of a character, as some programs write an emoji. They may hold others from 55000 to 57999, too.
HALVES = re.compile(rb"(?:&#(?:[xX][dD][89a-fA-F][0-9a-fA-F]{2}|5[5-7][0-9]{3});)+")


def read_feed(document: bytes, content_type: str | None, location: str) -> dict[str, Any]:
    """Read one document as RSS, RDF or Atom, however malformed.

    Returns `format` (`rss20`, `atom10`, …; empty where it is no feed), `ttl` (minutes, as the feed writes it) and
    `entries` in the document's order. Each entry has those of `guid`, `title`, `link` (absolute), `body` (the longest
    of contents and summary, may hold HTML), `published` (ISO 8601, UTC), `publisher` (URL or name of the entry's own
    source) and `language` that the document gives.
    """
    # Bytes go in through a file: feedparser would take bare bytes for the name of one. No base address goes in:
    # feedparser would resolve a guid against it, and a feed that moves would change the identity of its items.
    parsed = feedparser.parse(
        io.BytesIO(HALVES.sub(_mend, document)),
        response_headers={"content-type": content_type} if content_type else {},
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    feed = dict(parsed["feed"])  # a plain dict: feedparser's own answers `updated` with `published`
    language = _text(feed.get("language"))
    return {
        "format": _text(dict(parsed).get("version")) or ("unknown" if parsed["entries"] else ""),
        "ttl": _text(feed.get("ttl")),
        "entries": [_entry(dict(entry), language, location) for entry in parsed["entries"]],
    }


def _mend(halves: re.Match[bytes]) -> bytes:
    """Join halves to characters: no XML allows them, and one of them would break the parser for the whole document."""
    numbers = (each.lstrip(b"&#") for each in halves[0].rstrip(b";").split(b";"))
    text = "".join(chr(int(each[1:], 16) if each[:1] in b"xX" else int(each)) for each in numbers)
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return b"".join(b"&#%d;" % ord(character) for character in whole)


def _entry(entry: dict[str, Any], language: str, location: str) -> dict[str, str]:
    values = {
        "guid": _text(entry.get("id")),
        "title": _text(entry.get("title")),
        "link": _link(entry, location),
        "body": _body(entry),
        "published": _moment(entry, "published") or _moment(entry, "updated"),
        "publisher": _publisher(entry.get("source")),
        "language": _text(dict(entry.get("title_detail") or {}).get("language")) or language,
    }
    return {name: value for name, value in values.items() if value}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _link(entry: dict[str, Any], location: str) -> str:
    """Return the entry's address. A guid that is no address stays a guid, whatever its `isPermaLink` says."""
    link = _text(entry.get("link"))
    if not link or (link == _text(entry.get("id")) and not link.startswith(("http://", "https://"))):
        return ""
    with contextlib.suppress(ValueError):  # an address with a broken host stays as it is
        return urljoin(location, link)
    return link


def _body(entry: dict[str, Any]) -> str:
    contents = [_text(dict(each).get("value")) for each in entry.get("content") or ()]
    return max((_text(entry.get("summary")), *contents), key=len)


def _publisher(source: Any) -> str:
    """Return where an entry that was taken over from another feed came from: its address, else its name."""
    plain = dict(source or {})
    return _text(plain.get("href")) or _text(plain.get("link")) or _text(plain.get("title"))


def _moment(entry: dict[str, Any], name: str) -> str:
    """Return a time as ISO 8601; nothing where it is none that the calendar knows. A bare day becomes its end: its
    midnight would make the day's news look old."""
    try:
        seconds = calendar.timegm(entry[f"{name}_parsed"])
        if ":" not in _text(entry.get(name)):
            seconds += 24 * 3600 - 1
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return ""


def main(seconds: int, memory: int) -> None:
    """Answer documents until the input ends. One that takes longer than `seconds` ends the process, as does SIGKILL;
    `memory` is the most it may map, in bytes."""
    # The daemon's process group gets the signals of a terminal or a service manager too. The daemon alone decides
    # when its parser ends: by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who answers a daemon that was killed ends without a word
    with contextlib.suppress(ValueError, OSError):  # a system may not know this limit, or set a lower one
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever prints must not fall between the frames
    while (circumstances := _receive(source)) is not None and (document := _receive(source)) is not None:
        # Should the daemon be gone, nobody else would end a document that hangs: the alarm's default kills.
        signal.alarm(seconds)
        answer = _answer(json.loads(circumstances), document)
        signal.alarm(0)
        sink.write(LENGTH.pack(len(answer)) + answer)
        sink.flush()


def _answer(circumstances: dict[str, Any], document: bytes) -> bytes:
    try:
        feed = read_feed(document, circumstances["content_type"], circumstances["location"])
    except Exception as error:  # noqa: BLE001 the parser may fail in any way: that is what is answered
        feed = {"error": f"{type(error).__name__}: {error}"[:500]}
    return json.dumps(feed, separators=(",", ":")).encode()


def _receive(source: BinaryIO) -> bytes | None:
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    length: int = LENGTH.unpack(head)[0]
    frame = source.read(length)
    return frame if len(frame) == length else None


if __name__ == "__main__":
    main(seconds=int(sys.argv[1]), memory=int(sys.argv[2]))
