"""Judging loose texts, outside the way of the data: what `newsquake score` and `POST /api/v1/score` answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.core.entities.tagger import Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.identity import digest
from monitor.core.text.language import detect_language
from monitor.core.text.normalise import clean
from monitor.core.text.signature import sign
from monitor.ports import Scorer, Unscorable
from monitor.types import Article, ArticleId, EntityId, Json, Mention, ModelId, Score, Sentiment, SourceId, Timeliness

NAMED = EntityId("")  # the company a question names itself; it need not be on the watchlist


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A text to be judged; with `entity`, for that company as the text names it."""

    text: str
    entity: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A line that is no question, and why."""

    error: str


def read_line(line: bytes, number: int) -> Question | Unreadable:
    """Read one line of input: JSON where it begins with a brace (`text`, optional `entity`), else plain text."""
    try:
        text = line.decode("utf-8").strip().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        return Unreadable(error=f"line {number}: byte {error.start} is not UTF-8")
    if not text:
        return Unreadable(error=f"line {number}: empty; expected a text or a JSON object with `text`")
    if not text.startswith("{"):
        return Question(text=text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Unreadable(error=f"line {number}: not valid JSON: {error}")
    if not isinstance(value.get("text"), str):
        return Unreadable(error=f"line {number}: `text` is {value.get('text')!r:.40}; expected a string")
    entity = value.get("entity")
    if entity is not None and not (isinstance(entity, str) and entity.strip()):
        return Unreadable(error=f"line {number}: `entity` is {entity!r:.40}; expected a name, or nothing")
    return Question(text=value["text"], entity=entity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What a text means for one watched company it names."""

    id: EntityId
    name: str
    sentiment: Sentiment


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model makes of a text. `sentiment` is for the company asked about, else for the whole text."""

    sentiment: Sentiment
    topics: Mapping[str, float]
    companies: tuple[Company, ...]
    model: ModelId

    def to_json(self) -> dict[str, Json]:
        """Return the answer as `newsquake score` prints it."""
        return {
            "label": self.sentiment.label,
            "probabilities": dict(probabilities(self.sentiment)),
            "topics": {name: round(p, 6) for name, p in self.topics.items()},
            "entities": [
                {
                    "id": each.id,
                    "name": each.name,
                    "label": each.sentiment.label,
                    "probabilities": dict(probabilities(each.sentiment)),
                }
                for each in self.companies
            ],
            "model": self.model,
        }


async def judge(
    questions: Sequence[Question | Unreadable], *, scorer: Scorer, tagger: Tagger, watchlist: Watchlist, now: datetime
) -> list[Answer | Unreadable]:
    """Answer each question, in order."""
    # Cleaning and tagging are work for the processor: a long text must not hold up everybody else.
    asked = await asyncio.to_thread(lambda: [_mentions(question, tagger, now) for question in questions])
    results = iter(await scorer.score([mention for mentions in asked for mention in mentions]))
    answers: list[Answer | Unreadable] = []
    for question, mentions in zip(questions, asked, strict=True):
        if isinstance(question, Unreadable):
            answers.append(question)
        elif not mentions:
            answers.append(Unreadable(error="nothing is left of the text once markup and control characters are out"))
        else:
            answers.append(_answer([next(results) for _ in mentions], watchlist))
    return answers


def _mentions(question: Question | Unreadable, tagger: Tagger, now: datetime) -> tuple[Mention, ...]:
    if isinstance(question, Unreadable) or not (text := clean(question.text)):
        return ()
    article = Article(
        id=ArticleId("0" * 32),
        source=SourceId("score"),
        publisher="score",
        title=text,
        text="",
        link=None,
        language=detect_language(text),
        published=now,
        received=now,
        timeliness=Timeliness.LIVE,
        signature=sign(""),
        digest=digest(text, ""),
        raw=b"",
    )
    mentions = tagger.tag(article).mentions
    if question.entity is not None:
        spans = occurrences(clean(question.entity), text)
        mentions = (*mentions, Mention(article=article, entity=NAMED, spans=spans))
    return mentions


def occurrences(name: str, text: str) -> tuple[tuple[int, int], ...]:
    """Return where a name stands in a text, whatever its case; empty where it does not."""
    folded, wanted = text.lower(), name.lower()
    if len(folded) != len(text):  # a few letters grow when lowered, and offsets would shift
        folded, wanted = text, name
    spans: list[tuple[int, int]] = []
    start = folded.find(wanted) if wanted else -1
    while start >= 0:
        spans.append((start, start + len(wanted)))
        start = folded.find(wanted, start + len(wanted))
    return tuple(spans)


def _answer(results: Sequence[Score | Unscorable], watchlist: Watchlist) -> Answer | Unreadable:
    scores: dict[EntityId | None, Score] = {}
    for result in results:
        if isinstance(result, Unscorable):
            return Unreadable(error=f"scoring failed: {result.error}")
        scores[result.mention.entity] = result
    whole, named = scores[None], scores.get(NAMED)
    return Answer(
        sentiment=(named or whole).sentiment,
        topics=whole.topics,
        companies=tuple(
            Company(id=entity, name=watchlist.company(entity).names[0], sentiment=score.sentiment)
            for entity, score in scores.items()
            if entity
        ),
        model=whole.model,
    )


def probabilities(sentiment: Sentiment) -> dict[str, float]:
    """Return label and probability, rounded for reading."""
    return {
        "negative": round(sentiment.negative, 6),
        "neutral": round(sentiment.neutral, 6),
        "positive": round(sentiment.positive, 6),
    }
