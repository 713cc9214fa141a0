from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.counting import bucket_of, exact, judgements_of, keyed, rollups_of, topic_of
from monitor.core.keys import ALL, combined, entity_key, group_of, name_of, source_key, topic_key
from monitor.ports import Judgement
from monitor.types import (
    Article,
    ArticleId,
    EntityId,
    Key,
    Language,
    Mention,
    ModelId,
    Score,
    Sentiment,
    Signature,
    SourceId,
    StoryId,
    Timeliness,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BAD = Sentiment(negative=0.9, neutral=0.07, positive=0.03)
MEH = Sentiment(negative=0.2, neutral=0.7, positive=0.1)
GOOD = Sentiment(negative=0.05, neutral=0.15, positive=0.8)
ACME, BOLT, GROUP = EntityId("acme"), EntityId("bolt"), EntityId("group")


def article(number: int = 1) -> Article:
    return Article(
        id=ArticleId(f"{number:032x}"),
        source=SourceId("wire"),
        publisher="ledger.example",
        title="Acme gains as Bolt slumps",
        text="",
        link=None,
        language=Language("en"),
        published=NOON,
        received=NOON,
        timeliness=Timeliness.LIVE,
        signature=Signature(b""),
        digest="",
        raw=b"",
    )


def score(sentiment: Sentiment, entity: EntityId | None = None, topics: dict[str, float] | None = None) -> Score:
    mention = Mention(article=article(), entity=entity)
    return Score(mention=mention, sentiment=sentiment, topics=topics or {}, model=ModelId("m"), scored=NOON)


def orphan(_: EntityId) -> tuple[EntityId, ...]:
    return ()


def test_the_whole_feeds_all_source_and_topic_and_each_company_its_own_key() -> None:
    keys = keyed(
        [score(MEH, topics={"Markets": 0.8, "IPO": 0.2}), score(GOOD, ACME), score(BAD, BOLT)], ancestors=orphan
    )
    assert keys == {
        ALL: (None, MEH),
        source_key(SourceId("wire")): (None, MEH),
        topic_key("Markets"): (None, MEH),
        entity_key(ACME): (ACME, GOOD),
        entity_key(BOLT): (BOLT, BAD),
    }


def test_an_uncertain_topic_feeds_no_topic_key() -> None:
    assert topic_of({"Markets": 0.4, "IPO": 0.35}) is None
    assert topic_of({}) is None
    assert topic_of({"Markets": 0.6, "IPO": 0.4}) == "Markets"


def test_news_about_subsidiaries_counts_for_the_parent_by_the_worst_of_them() -> None:
    keys = keyed([score(MEH), score(GOOD, ACME), score(BAD, BOLT)], ancestors=lambda _: (GROUP,))
    assert keys[entity_key(GROUP)] == (GROUP, BAD)


def test_a_parent_named_in_the_text_speaks_for_itself() -> None:
    parents = {ACME: (GROUP,)}
    keys = keyed([score(MEH), score(BAD, ACME), score(GOOD, GROUP)], ancestors=lambda each: parents.get(each, ()))
    assert keys[entity_key(GROUP)] == (GROUP, GOOD)


def test_a_company_within_a_topic_is_watched_where_the_operator_asks_for_it() -> None:
    keys = keyed([score(MEH, topics={"Markets": 0.9}), score(BAD, ACME)], ancestors=orphan, combine=True)
    key = combined(ACME, "Markets")
    assert keys[key] == (ACME, BAD)
    assert group_of(key) == "entity×topic"
    assert name_of(key) == "acme×Markets"


def judgement(
    number: int, sentiment: Sentiment, *, leads: bool = True, publisher: str = "a", at: datetime = NOON
) -> Judgement:
    return Judgement(
        article=ArticleId(f"{number:032x}"),
        key=Key("entity:acme"),
        model=ModelId("m"),
        entity=ACME,
        sentiment=sentiment,
        story=StoryId(f"{number:032x}"),
        leads=leads,
        publisher=publisher,
        source=SourceId("wire"),
        published=at,
        scored=NOON,
    )


def live(*judgements: Judgement) -> dict[ArticleId, Timeliness]:
    return {each.article: Timeliness.LIVE for each in judgements}


def test_only_first_members_count_and_only_negative_stories_weigh() -> None:
    rows = (judgement(1, BAD), judgement(2, MEH, publisher="b"), judgement(3, BAD, leads=False))
    (rollup,) = rollups_of(rows, live(*rows))
    assert (rollup.stories, rollup.negative, rollup.weight) == (2, 1, exact(0.9))
    assert rollup.sum_negative == 0.9 + 0.2
    assert [(origin.publisher, origin.stories, origin.negative) for origin in rollup.origins] == [
        ("a", 1, 1),
        ("b", 1, 0),
    ]


def test_history_is_kept_apart_from_live_news() -> None:
    rows = (judgement(1, BAD), judgement(2, BAD))
    rollups = rollups_of(rows, {rows[0].article: Timeliness.LIVE, rows[1].article: Timeliness.HISTORY})
    assert [(rollup.timeliness, rollup.stories) for rollup in rollups] == [
        (Timeliness.HISTORY, 1),
        (Timeliness.LIVE, 1),
    ]


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5000), st.sampled_from("abc")), max_size=30))
def test_origins_and_buckets_add_up_to_what_was_judged(spec: list[tuple[float, int, str]]) -> None:
    rows = [
        judgement(
            number,
            Sentiment(negative=p, neutral=1 - p, positive=0),
            publisher=publisher,
            at=NOON + timedelta(seconds=seconds),
        )
        for number, (p, seconds, publisher) in enumerate(spec)
    ]
    rollups = rollups_of(rows, live(*rows))
    assert sum(rollup.stories for rollup in rollups) == len(rows)
    for rollup in rollups:
        assert sum(origin.stories for origin in rollup.origins) == rollup.stories
        assert sum(origin.negative for origin in rollup.origins) == rollup.negative
        assert rollup.negative / 2 <= rollup.weight <= rollup.negative
        assert rollup.bucket == bucket_of(rollup.bucket)


def test_judgements_carry_model_story_and_company() -> None:
    keys = keyed([score(MEH), score(BAD, BOLT)], ancestors=orphan)
    places = {key: (StoryId("s"), key == ALL) for key in keys}
    rows = judgements_of(article(7), [score(MEH), score(BAD, BOLT)], keys, places)
    assert {(row.key, row.entity, row.leads) for row in rows} == {
        (ALL, None, True),
        (source_key(SourceId("wire")), None, False),
        (entity_key(BOLT), BOLT, False),
    }
    assert {(row.article, row.model, row.story) for row in rows} == {(article(7).id, "m", "s")}


@given(st.lists(st.floats(0.5, 1.0), max_size=200), st.randoms(use_true_random=False))
def test_weights_add_up_to_the_same_in_any_order(probabilities: list[float], random: Random) -> None:
    weights = [exact(each) for each in probabilities]
    assert weights == pytest.approx(probabilities, abs=1e-7)
    mixed = random.sample(weights, len(weights))
    half = len(mixed) // 2
    assert sum(weights) == sum(mixed) == sum(mixed[:half]) + sum(mixed[half:])
