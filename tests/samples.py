"""Articles and judgements for the tests of the store: all that is not named is of no matter there."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.ports import Gathered, Judgement
from monitor.types import (
    Article,
    ArticleId,
    Change,
    EntityId,
    EventId,
    Gist,
    Incident,
    Key,
    Language,
    Message,
    ModelId,
    Origin,
    Rollup,
    Sentiment,
    Signature,
    SourceId,
    StoryId,
    TargetId,
    Timeliness,
)

T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WIRE = SourceId("wire")
DESK = TargetId("desk")
ACME = Key("entity:acme")
MODEL = ModelId("0123456789abcdef")
OTHER = ModelId("fedcba9876543210")


def hex_id(name: str) -> ArticleId:
    """Return an article's id made of a name."""
    return ArticleId(hashlib.sha256(name.encode()).hexdigest()[:32])


def gathered(article: Article, event: EventId, companies: Collection[str] = (), gist: bytes = b"\x01\xff") -> Gathered:
    return Gathered(
        article=article.id,
        received=article.received,
        gist=Gist(gist),
        companies=frozenset(map(EntityId, companies)),
        event=event,
    )


def article(name: str, **other: Any) -> Article:
    published = other.get("published", T0)
    given: dict[str, Any] = {
        "id": hex_id(name),
        "source": WIRE,
        "publisher": "news.example",
        "title": f"Title of {name}",
        "text": "艾克米银行 falls — \u2028 and \U0001f4c9",
        "link": f"https://news.example/{name}",
        "language": Language("en"),
        "published": published,
        "received": published,
        "timeliness": Timeliness.LIVE,
        "signature": Signature(name.encode()),
        "digest": hashlib.sha256(name.encode()).hexdigest(),
        "raw": b"",
    }
    return Article(**(given | other))


def judgement(of: Article, key: Key = ACME, *, negative: float = 0.9, leads: bool = True, **other: Any) -> Judgement:
    given: dict[str, Any] = {
        "model": MODEL,
        "entity": EntityId("acme"),
        "sentiment": Sentiment(negative=negative, neutral=1 - negative, positive=0.0),
        "story": StoryId(of.id),
        "publisher": of.publisher,
        "source": of.source,
        "published": of.published,
        "scored": of.received,
    }
    return Judgement(article=of.id, key=key, leads=leads, **(given | other))


def rollup(
    key: Key = ACME, bucket: datetime = T0, *, stories: int = 1, publisher: str = "news.example", **other: Any
) -> Rollup:
    given: dict[str, Any] = {
        "model": MODEL,
        "timeliness": Timeliness.LIVE,
        "negative": stories,
        "weight": 0.75 * stories,
        "sum_negative": 0.75 * stories,
        "sum_neutral": 0.25 * stories,
        "sum_positive": 0.0,
        "origins": (Origin(publisher=publisher, source=WIRE, stories=stories, negative=stories),),
    }
    return Rollup(key=key, bucket=bucket, stories=stories, **(given | other))


def message(
    of: Incident, change: Change = Change.OPENED, *, target: TargetId = DESK, created: datetime = T0
) -> Message:
    return Message(
        key=f"{of.id}.{change}",
        target=target,
        change=change,
        incident=of,
        created=created,
        expires=created + timedelta(days=1),
    )
