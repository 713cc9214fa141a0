"""The rows that a retraining shows: what the desk said, and what the serving model says of recent news."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.pipeline import Desk
from monitor.scoring.model import Model
from monitor.scoring.worker import judge_all
from monitor.types import Article, EntityId
from trainer.labels import NOT_NEGATIVE, Example, Span


def taught_rows(taught: Sequence[Example], model: Model) -> list[dict[str, Any]]:
    """Return examples as rows; of what is not negative the model says what else it is."""
    judged = iter(_judged(model, [(each.text, each.spans) for each in taught if each.sentiment == NOT_NEGATIVE]))
    rows = []
    for each in taught:
        label: Any = each.sentiment
        if label == NOT_NEGATIVE:
            rest = {name: p for name, p in next(judged)["sentiment"].items() if name != "negative"}
            label = {"negative": 0.0, **{name: p / sum(rest.values()) for name, p in rest.items()}}
        rows.append(_row(each.text, each.entity, each.spans, {"sentiment": label}))
    return rows


def replayed_rows(model: Model, desk: Desk, articles: Sequence[Article]) -> list[dict[str, Any]]:
    """Return the model's own answers about articles: each as a whole, and for each company found in it."""
    mentions = [mention for article in articles for mention in desk.tagger.tag(article).mentions]
    judged = _judged(model, [(each.article.document, each.spans) for each in mentions])
    return [
        _row(each.article.document, each.entity, each.spans, {head: dict(given) for head, given in answer.items()})
        for each, answer in zip(mentions, judged, strict=True)
    ]


def _row(text: str, entity: EntityId | None, spans: Sequence[Span], labels: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": text, **({"entity": entity, "spans": spans} if entity else {}), **labels}


def _judged(model: Model, texts: Sequence[tuple[str, Sequence[Span]]]) -> list[Mapping[str, Mapping[str, float]]]:
    results, _ = judge_all(model, texts, model.budget)
    found = []
    for result in results:
        if isinstance(result, Exception):
            raise result
        found.append(result)
    return found


def where(desk: Desk, text: str, entity: EntityId) -> tuple[Span, ...]:
    """Return where a company stands in a text: itself, else a subsidiary that counts for it."""
    found = {each.company.id: each.spans for each in desk.tagger.find(text)}
    if entity in found:
        return found[entity]
    return next((spans for id_, spans in found.items() if entity in desk.watchlist.ancestors(id_)), ())
