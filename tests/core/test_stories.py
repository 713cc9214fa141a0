from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.stories import Place, StoryBook
from monitor.core.text.signature import sign
from monitor.ports import Told
from monitor.types import Article, ArticleId, Key, Language, SourceId, StoryId, Timeliness

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
ALL, ACME, LEGAL = Key("all"), Key("entity:acme"), Key("topic:Legal")


def article(number: int, text: str = "Acme Bank under investigation for fraud") -> Article:
    return Article(
        id=ArticleId(f"01{number:030x}"),
        source=SourceId("wire"),
        publisher="wire.example",
        title=text,
        text="",
        link=None,
        language=Language("en"),
        published=NOON,
        received=NOON,
        timeliness=Timeliness.LIVE,
        signature=sign(text),
        digest="",
        raw=b"",
    )


def told(number: int, text: str, stories: dict[Key, int]) -> Told:
    return Told(
        article=ArticleId(f"01{number:030x}"),
        signature=sign(text),
        published=NOON - timedelta(days=30) + timedelta(minutes=number),
        stories={key: story(of) for key, of in stories.items()},
    )


def story(number: int) -> StoryId:
    return StoryId(f"01{number:030x}")


def place_all(book: StoryBook, articles: Iterable[Article], keys: Sequence[Key] = (ALL,)) -> list[Place]:
    return [book.place(each, keys)[keys[0]] for each in articles]


def test_two_hundred_copies_are_one_story_led_by_the_first() -> None:
    places = place_all(StoryBook([]), [article(number) for number in range(200)])
    assert {place.story for place in places} == {story(0)}
    assert [place.leads for place in places] == [True] + [False] * 199


def test_different_news_begin_different_stories() -> None:
    book = StoryBook([])
    fraud = book.place(article(1), [ALL])[ALL]
    profit = book.place(article(2, "Acme Bank reports record profit for the quarter"), [ALL])[ALL]
    assert (fraud, profit) == (Place(story(1), leads=True), Place(story(2), leads=True))


def test_a_story_is_assigned_for_each_key_apart() -> None:
    book = StoryBook([told(1, article(0).title, {ALL: 1})])
    places = book.place(article(5), [ALL, ACME])
    assert places == {ALL: Place(story(1), leads=False), ACME: Place(story(5), leads=True)}
    assert book.place(article(6), [ALL, ACME, LEGAL]) == {
        ALL: Place(story(1), leads=False),
        ACME: Place(story(5), leads=False),
        LEGAL: Place(story(6), leads=True),
    }


def test_a_resurfaced_copy_joins_the_story_of_the_one_most_like_it() -> None:
    long = " ".join(f"word{number} of the story" for number in range(100))
    near, nearer = long[:1500], long[:1900]
    book = StoryBook([told(1, near, {ALL: 1}), told(2, nearer, {ALL: 2})])
    assert book.place(article(9, long), [ALL])[ALL] == Place(story(2), leads=False)


def test_of_equal_copies_the_oldest_is_joined() -> None:
    text = article(0).title
    book = StoryBook([told(1, text, {ALL: 1}), told(2, text, {ALL: 2, ACME: 2})])
    assert book.place(article(9), [ALL, ACME]) == {
        ALL: Place(story(1), leads=False),
        ACME: Place(story(2), leads=False),
    }


def test_a_member_hands_on_its_story_not_itself() -> None:
    book = StoryBook([told(3, article(0).title, {ALL: 1})])
    assert book.place(article(9), [ALL])[ALL].story == story(1)


def test_a_template_with_another_company_is_another_story() -> None:
    book = StoryBook([told(1, "Apex shares fall 3% in early trade", {ALL: 1})])
    assert book.place(article(9, "Acme shares fall 3% in early trade"), [ALL])[ALL].leads


def test_texts_without_letters_are_stories_of_their_own() -> None:
    book = StoryBook([told(1, "!!!", {ALL: 1})])
    assert [place.leads for place in place_all(book, [article(8, "!!!"), article(9, "!!!")])] == [True, True]


def test_placing_an_article_again_changes_nothing() -> None:
    book = StoryBook([told(1, article(0).title, {ALL: 1})])
    first = book.place(article(5), [ALL, ACME])
    assert book.place(article(5), [ALL, ACME]) == first
    assert book.place(article(6), [ACME])[ACME] == Place(story(5), leads=False)


def test_an_article_without_keys_has_no_story() -> None:
    assert StoryBook([]).place(article(1), []) == {}


@given(st.lists(st.integers(0, 4), max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_a_batch_does_not_change_how_many_stories_it_tells(kinds: list[int], draw: Random) -> None:
    texts = [f"{name} under investigation for fraud" for name in ("Acme", "Apex", "Beta Bank", "艾克米银行", "Ally")]
    batch = [article(number, texts[kind]) for number, kind in enumerate(kinds)]
    shuffled = draw.sample(batch, len(batch))
    for order in (batch, shuffled):
        places = place_all(StoryBook([]), order)
        assert sum(place.leads for place in places) == len(set(kinds))
        assert {place.story for place in places if place.leads} == {place.story for place in places}


def test_thousands_of_candidates_are_searched() -> None:
    many = [told(number, f"Company {number} files report {number}", {ALL: number}) for number in range(3000)]
    book = StoryBook(many)
    assert book.place(article(5000, "Company 2718 files report 2718"), [ALL])[ALL] == Place(story(2718), leads=False)
