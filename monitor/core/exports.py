"""Scored articles and dead letters as the JSON that is exported (docs/kafka.md)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import sha256

from monitor.ports import Export
from monitor.types import Article, DeadLetter, Json, Score

RAW = 256 * 1024  # bytes of a dead letter that are exported; the store has them all

SCORED, DEAD_LETTERS = "scored", "dead_letters"


def scored_export(article: Article, scores: Sequence[Score]) -> Export:
    """Return an article with what was made of it, the whole first; its text stays in the store."""
    whole = scores[0]
    value: dict[str, Json] = {
        "version": 1,
        "id": article.id,
        "source": article.source,
        "publisher": article.publisher,
        "title": article.title,
        "link": article.link,
        "language": article.language,
        "published": article.published.isoformat(),
        "received": article.received.isoformat(),
        "timeliness": article.timeliness.value,
        "model": whole.model,
        "sentiment": _sentiment(whole),
        "topics": dict(whole.topics),
        "entities": [{"id": each.mention.entity, "sentiment": _sentiment(each)} for each in scores[1:]],
    }
    return Export(kind=SCORED, key=article.id, value=value)


def dead_letter_export(letter: DeadLetter) -> Export:
    """Return a dead letter under a key that is made of what it is."""
    received = letter.received.isoformat()
    key = sha256(b"\0".join((letter.source.encode(), received.encode(), letter.error.encode(), letter.raw)))
    value: dict[str, Json] = {
        "version": 1,
        "source": letter.source,
        "received": received,
        "error": letter.error,
        "bytes": len(letter.raw),
        "raw": base64.b64encode(letter.raw[:RAW]).decode(),
    }
    return Export(kind=DEAD_LETTERS, key=key.hexdigest()[:32], value=value)


def _sentiment(score: Score) -> Json:
    sentiment = score.sentiment
    return {
        "label": sentiment.label,
        "negative": sentiment.negative,
        "neutral": sentiment.neutral,
        "positive": sentiment.positive,
    }
