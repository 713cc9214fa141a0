"""From scores to what is counted: under which keys an article is judged, and what a key gains from new stories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from monitor.core.keys import ALL, combined, entity_key, source_key, topic_key
from monitor.ports import Judgement
from monitor.types import (
    BUCKET,
    Article,
    ArticleId,
    EntityId,
    Key,
    Origin,
    Rollup,
    Score,
    Sentiment,
    SourceId,
    StoryId,
    Timeliness,
)

NEGATIVE = 0.5  # a story counts as negative from this calibrated probability on
_EXACT = float(1 << 24)
TOPIC_CERTAIN = 0.5  # an article feeds a topic's key only where the model is this sure of the topic


def keyed(
    scores: Sequence[Score], *, ancestors: Callable[[EntityId], Iterable[EntityId]], combine: bool = False
) -> dict[Key, tuple[EntityId | None, Sentiment]]:
    """Return every key one article counts under, with the sentiment that counts there.

    The article as a whole feeds `all`, its source and its topic; each company feeds its own key and those of its
    parents. A parent named in the text itself is judged by its own mention; else the most negative subsidiary speaks
    for it. With `combine`, each company is also watched within the article's topic.
    """
    keys: dict[Key, tuple[EntityId | None, Sentiment]] = {}
    companies: dict[EntityId, Sentiment] = {}
    topic: str | None = None
    for score in scores:
        entity = score.mention.entity
        if entity is None:
            topic = topic_of(score.topics)
            keys[ALL] = keys[source_key(score.mention.article.source)] = (None, score.sentiment)
            if topic is not None:
                keys[topic_key(topic)] = (None, score.sentiment)
        else:
            companies[entity] = score.sentiment
    for entity, sentiment in _with_parents(companies, ancestors).items():
        keys[entity_key(entity)] = (entity, sentiment)
        if combine and topic is not None:
            keys[combined(entity, topic)] = (entity, sentiment)
    return keys


def topic_of(topics: Mapping[str, float]) -> str | None:
    """Return the likeliest topic where the model is sure enough of it."""
    if not topics:
        return None
    name = max(topics, key=lambda each: topics[each])
    return name if topics[name] >= TOPIC_CERTAIN else None


def judgements_of(
    article: Article,
    scores: Sequence[Score],
    keys: Mapping[Key, tuple[EntityId | None, Sentiment]],
    places: Mapping[Key, tuple[StoryId, bool]],
) -> list[Judgement]:
    """Return one row for each key, with the story it was placed in and whether it leads that story."""
    model, scored = scores[0].model, scores[0].scored
    return [
        Judgement(
            article=article.id,
            key=key,
            model=model,
            entity=entity,
            sentiment=sentiment,
            story=places[key][0],
            leads=places[key][1],
            publisher=article.publisher,
            source=article.source,
            published=article.published,
            scored=scored,
        )
        for key, (entity, sentiment) in keys.items()
    ]


def bucket_of(moment: datetime) -> datetime:
    """Return the start of the 5-minute UTC bucket a moment lies in."""
    seconds = int(BUCKET.total_seconds())
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, tz=UTC)


def exact(probability: float) -> float:
    """Return a probability as a multiple of 2**-24, so that sums of millions come out the same in any order."""
    return round(probability * _EXACT) / _EXACT


def rollups_of(judgements: Iterable[Judgement], timeliness: Mapping[ArticleId, Timeliness]) -> list[Rollup]:
    """Sum what each (key, bucket, model, timeliness) gained. Only the first member of a story is counted."""
    gains: dict[tuple[datetime, Key, str, Timeliness], list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        if judgement.leads:
            bucket = bucket_of(judgement.published)
            gains[bucket, judgement.key, judgement.model, timeliness[judgement.article]].append(judgement)
    return [_sum(bucket, time, members) for (bucket, _, _, time), members in sorted(gains.items())]


def _sum(bucket: datetime, timeliness: Timeliness, members: Sequence[Judgement]) -> Rollup:
    negative = [each for each in members if each.sentiment.negative >= NEGATIVE]
    return Rollup(
        key=members[0].key,
        bucket=bucket,
        model=members[0].model,
        timeliness=timeliness,
        stories=len(members),
        negative=len(negative),
        weight=sum(exact(each.sentiment.negative) for each in negative),
        sum_negative=sum(each.sentiment.negative for each in members),
        sum_neutral=sum(each.sentiment.neutral for each in members),
        sum_positive=sum(each.sentiment.positive for each in members),
        origins=_origins(members),
    )


def _origins(members: Sequence[Judgement]) -> tuple[Origin, ...]:
    counts: dict[tuple[str, SourceId], list[int]] = defaultdict(lambda: [0, 0])
    for each in members:
        count = counts[each.publisher, each.source]
        count[0] += 1
        count[1] += each.sentiment.negative >= NEGATIVE
    return tuple(
        Origin(publisher=publisher, source=source, stories=stories, negative=negative)
        for (publisher, source), (stories, negative) in sorted(counts.items())
    )


def _with_parents(
    companies: Mapping[EntityId, Sentiment], ancestors: Callable[[EntityId], Iterable[EntityId]]
) -> dict[EntityId, Sentiment]:
    result = dict(companies)
    for entity, sentiment in companies.items():
        for parent in ancestors(entity):
            if parent not in companies and (parent not in result or sentiment.negative > result[parent].negative):
                result[parent] = sentiment
    return result
