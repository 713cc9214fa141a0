"""A message in words for people, and as the JSON document that webhooks carry (docs/webhook.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from monitor.core.codec import to_json
from monitor.core.severity import years_between
from monitor.core.wording import (
    ENGLISH,
    Words,
    causes,
    key_name,
    link_or_none,
    moment,
    number,
    plain,
    rarity,
    severity_name,
    span,
    title_of,
    words_for,
)
from monitor.types import Change, Evidence, Incident, IncidentKind, IncidentState, Json, Language, Message

PAYLOAD_VERSION = 1
TITLE, PUBLISHER, LINK = 200, 80, 1000  # characters shown of each
OTHER_KEYS = 8


def render(message: Message, *, language: Language | None = None, repeat: bool = False) -> str:
    """Return the message as plain text of a few lines: what, how far above normal, why, since when, and the headlines.

    language  `zh` or `en`; None takes that of the leading headline, and English where that is neither
    repeat    say that this may have been told before

    Text from feeds is shown without control characters and cut to length; nothing is escaped.
    """
    return "\n".join(lines_of(message.incident, message.change, language=language, repeat=repeat))


def lines_of(
    incident: Incident, change: Change, *, language: Language | None = None, repeat: bool = False
) -> tuple[str, ...]:
    """Return the lines of `render`: what has happened stands in the first one."""
    return tuple(_lines(incident, change, words_for(language or _language(incident)), repeat=repeat))


def payload(message: Message) -> dict[str, Json]:
    """Return the message as JSON, the same for every attempt. Titles and links are as the feed gave them."""
    incident = message.incident
    years = years_between(incident.chance)
    written = to_json(incident)
    return {
        "version": PAYLOAD_VERSION,
        "type": f"incident.{message.change}",
        "timestamp": message.created.isoformat(),
        "data": {
            "id": incident.id,
            "kind": incident.kind.value,
            "state": incident.state.value,
            "severity": incident.severity.value,
            "key": incident.keys[0],
            "keys": written["keys"],
            "active": written["active"],
            "opened": written["opened"],
            "resolved": written["resolved"],
            "late": incident.late,
            "window_seconds": written["window"],
            "observed": incident.observed,
            "expected": incident.expected,
            "chance_per_hour": incident.chance,
            "years_between": years if math.isfinite(years) else None,
            "stories": incident.stories,
            "publishers": incident.publishers,
            "explanation": written["explanation"],
            "model": incident.model,
            "evidence": written["evidence"],
            "text": render(message),
        },
    }


def _language(incident: Incident) -> Language:
    return incident.evidence[0].language if incident.evidence else ENGLISH


def _lines(incident: Incident, change: Change, words: Words, *, repeat: bool) -> Iterator[str]:
    yield title_of(change, incident.kind, words).format(
        severity=severity_name(incident.severity, words), name=key_name(incident.keys[0], words)
    )
    yield _figures(incident, words)
    if incident.explanation is not None:
        yield causes(incident.explanation, words)
    yield _time(incident, change, words)
    if len(incident.keys) > 1:
        names = [key_name(key, words) for key in incident.keys[1:]]
        more = ["…"] if len(names) > OTHER_KEYS else []
        yield words["also"].format(names=words["join"].join(names[:OTHER_KEYS] + more))
    if incident.kind is IncidentKind.BLIND and incident.state is not IncidentState.RESOLVED:
        yield words["blindness"]
    if incident.late:
        yield words["late"]
    if repeat:
        yield words["repeat"]
    for piece in incident.evidence:
        yield from _headline(piece, words)
    yield words["incident"].format(id=incident.id)


def _figures(incident: Incident, words: Words) -> str:
    figures = words[f"figures {incident.kind.value}"].format(
        observed=number(incident.observed, words),
        expected=number(incident.expected, words),
        window=span(incident.window, words),
        rarity=rarity(incident.chance, words),
    )
    if incident.publishers < 2:
        return figures
    return f"{figures}{words['gap']}{words['publishers'].format(publishers=incident.publishers)}"


def _time(incident: Incident, change: Change, words: Words) -> str:
    if incident.resolved is None:
        return words["since"].format(opened=moment(incident.opened))
    lasted = words["lasted"].format(opened=moment(incident.opened), resolved=moment(incident.resolved))
    return lasted if change is Change.RESOLVED else f"{lasted}{words['gap']}{words['already']}"


def _headline(piece: Evidence, words: Words) -> Iterator[str]:
    spread = ""
    if piece.copies > 1:
        pattern = words["spread" if piece.publishers > 1 else "copies"]
        spread = pattern.format(copies=piece.copies, publishers=piece.publishers)
    yield words["headline"].format(
        title=plain(piece.title, TITLE),
        publisher=plain(piece.publisher, PUBLISHER),
        published=moment(piece.published),
        spread=spread,
    )
    link = link_or_none(piece.link, LINK)
    if link is not None:
        yield f"  {link}"
