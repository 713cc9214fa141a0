"""What the desk's verdicts teach: from a verdict to labelled texts.

A sentiment that the desk gives is taught, whatever the ruling. Without one,

    right                    the news is negative, as the incident said
    false, wrong_sentiment   it is not negative: what else it is, the serving model is asked
    old_news                 nothing: it was bad news once, and its age is no matter of the text
    wrong_company            nothing: the text is about another one, which the watchlist has to tell apart

A verdict on an incident as a whole is one on each story that it was told with. Where several speak of one text and
company, one on the article itself goes before one on the whole incident, then the later before the earlier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from monitor.store.verdicts import JudgedText, Lesson
from monitor.types import ArticleId, EntityId, Ruling, Verdict

Span: TypeAlias = tuple[int, int]
Finder: TypeAlias = Callable[[str, EntityId], tuple[Span, ...]]  # where a company stands in a text; nowhere: empty

NOT_NEGATIVE = "not negative"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One text as the desk wants it judged: for a company, or as a whole (`entity` is None)."""

    article: ArticleId
    text: str
    entity: EntityId | None
    spans: tuple[Span, ...]
    sentiment: str  # a label of the head `sentiment`, or NOT_NEGATIVE


def examples(lessons: Sequence[Lesson], find: Finder) -> tuple[list[Example], Counter[str]]:
    """Return what verdicts (oldest first) teach, and why how many of their texts teach nothing."""
    chosen: dict[tuple[ArticleId, EntityId | None], tuple[bool, Example]] = {}
    unused: Counter[str] = Counter()
    for lesson in lessons:
        taught = _taught(lesson.verdict)
        if taught is None:
            unused[f"{lesson.verdict.ruling.value} says nothing about the text's sentiment"] += 1
            continue
        if not lesson.texts:
            unused["the texts are past their retention"] += 1
        for text in lesson.texts:
            example = _example(text, lesson.entity, taught, find)
            if example is None:
                unused["the company is not found in the text by today's watchlist"] += 1
                continue
            own = lesson.verdict.article is not None
            before = chosen.get((text.id, lesson.entity))
            if before is None or own >= before[0]:
                chosen[text.id, lesson.entity] = (own, example)
    return [example for _, example in chosen.values()], unused


def _taught(verdict: Verdict) -> str | None:
    if verdict.sentiment is not None:
        return verdict.sentiment
    if verdict.ruling is Ruling.RIGHT:
        return "negative"
    return NOT_NEGATIVE if verdict.ruling in (Ruling.FALSE, Ruling.WRONG_SENTIMENT) else None


def _example(text: JudgedText, entity: EntityId | None, taught: str, find: Finder) -> Example | None:
    spans = find(text.document, entity) if entity is not None else ()
    if entity is not None and not spans:
        return None
    return Example(article=text.id, text=text.document, entity=entity, spans=spans, sentiment=taught)
