from __future__ import annotations

from dataclasses import replace
from typing import Any

from monitor.store.verdicts import JudgedText, Lesson
from monitor.types import EntityId, IncidentId, Language, Ruling, Verdict
from tests.core.telling import T0, incident
from tests.samples import hex_id
from trainer.labels import NOT_NEGATIVE, Example, Span, examples

ACME = EntityId("acme")


def text(name: str = "one", title: str = "Acme falls", body: str = "") -> JudgedText:
    return JudgedText(
        id=hex_id(name), title=title, text=body, language=Language("en"), publisher="news.example", published=T0
    )


def lesson(ruling: Ruling, *texts: JudgedText, own: bool = False, **other: Any) -> Lesson:
    told = texts or (text(),)
    verdict = Verdict(
        incident=IncidentId("0" * 32),
        ruling=ruling,
        article=told[0].id if own else None,
        sentiment=other.pop("sentiment", None),
        by="desk",
        at=T0,
    )
    return replace(Lesson(verdict=verdict, entity=ACME, incident=incident("entity:acme"), texts=told), **other)


def find(text: str, entity: EntityId) -> tuple[Span, ...]:
    start = text.lower().find(entity)
    return ((start, start + len(entity)),) if start >= 0 else ()


def taught(*lessons: Lesson) -> list[str]:
    return [example.sentiment for example in examples(lessons, find)[0]]


def test_a_verdict_teaches_what_it_says_about_the_sentiment() -> None:
    assert taught(lesson(Ruling.RIGHT)) == ["negative"]
    assert taught(lesson(Ruling.FALSE)) == [NOT_NEGATIVE]
    assert taught(lesson(Ruling.WRONG_SENTIMENT)) == [NOT_NEGATIVE]
    for ruling in Ruling:
        assert taught(lesson(ruling, sentiment="positive")) == ["positive"]


def test_a_verdict_that_says_nothing_about_the_text_is_counted() -> None:
    found, unused = examples([lesson(Ruling.OLD_NEWS), lesson(Ruling.WRONG_COMPANY), lesson(Ruling.OLD_NEWS)], find)
    assert found == []
    assert unused == {
        "old_news says nothing about the text's sentiment": 2,
        "wrong_company says nothing about the text's sentiment": 1,
    }


def test_a_verdict_on_an_incident_is_one_on_each_of_its_stories() -> None:
    found, _ = examples([lesson(Ruling.RIGHT, text("one"), text("two", "Fraud", "at Acme"))], find)
    assert found[1] == Example(
        article=hex_id("two"), text="Fraud\nat Acme", entity=ACME, spans=((9, 13),), sentiment="negative"
    )
    assert len(found) == 2


def test_the_article_s_own_verdict_goes_before_and_the_later_after() -> None:
    own, whole = lesson(Ruling.FALSE, own=True, sentiment="neutral"), lesson(Ruling.RIGHT)
    assert taught(own, whole) == taught(whole, own) == ["neutral"]
    assert taught(own, lesson(Ruling.RIGHT, own=True)) == ["negative"]
    assert taught(whole, lesson(Ruling.FALSE)) == [NOT_NEGATIVE]


def test_each_company_of_a_text_is_taught_apart() -> None:
    both = text(title="Acme gains as Bolt slumps")
    first, second = lesson(Ruling.FALSE, both), lesson(Ruling.RIGHT, both, entity=EntityId("bolt"))
    assert taught(first, second, lesson(Ruling.RIGHT, both, entity=None)) == [NOT_NEGATIVE, "negative", "negative"]


def test_what_cannot_be_shown_is_counted() -> None:
    gone, elsewhere = replace(lesson(Ruling.RIGHT), texts=()), lesson(Ruling.RIGHT, text(title="Bolt falls"))
    found, unused = examples([gone, elsewhere], find)
    assert found == []
    assert unused == {
        "the texts are past their retention": 1,
        "the company is not found in the text by today's watchlist": 1,
    }
