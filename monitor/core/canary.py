"""The canary: articles of our own, planted to measure the whole way that news takes.

They are cleaned, judged and counted like any others, in the transaction of what comes with them, but under a key of
their own, and nothing of them is kept: they stand in no baseline, no budget and no total.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from monitor.core.counting import judgements_of, rollups_of
from monitor.core.keys import source_key
from monitor.ports import Settled
from monitor.types import (
    Article,
    Language,
    ModelId,
    Outcome,
    RawItem,
    Score,
    Signal,
    SignalKind,
    SourceId,
    StoryId,
)

SOURCE = SourceId("canary")
KEY = source_key(SOURCE)
PUBLISHER = "canary"
# News as bad as can be, about companies that do not exist: title and text.
NEWS = {
    Language("en"): (
        "Vantorel Freight files for bankruptcy after accounting fraud",
        "Prosecutors charged its managers with fraud, it defaulted on its bonds, and its shares lost nearly all value.",
    ),
    Language("zh"): (
        "梵托瑞货运因财务造假申请破产",
        "公司高管因财务造假被起诉，债券违约，股价暴跌，投资者损失惨重。",
    ),
}


def articles_at(at: datetime, languages: Sequence[Language]) -> tuple[RawItem, ...]:
    """Return one article in each of these languages, published at this moment."""
    return tuple(
        RawItem(
            source=SOURCE,
            raw=NEWS[language][0].encode(),
            handed_over=at,
            received=at,
            title=NEWS[language][0],
            body=NEWS[language][1],
            guid=f"{at.isoformat()} {language}",
            publisher=PUBLISHER,
            published=at,
            language=language,
        )
        for language in languages
    )


def counted(article: Article, scores: Sequence[Score]) -> Settled:
    """Count a canary as any story is counted. It ends dropped, with an error where it does not count as negative."""
    sentiment = scores[0].sentiment
    judgements = judgements_of(article, scores, {KEY: (None, sentiment)}, {KEY: (StoryId(article.id), True)})
    (rollup,) = rollups_of(judgements, {article.id: article.timeliness})
    error = None
    if rollup.negative != 1:
        error = f"{article.title!r} was judged {sentiment.label}, with p(negative) = {sentiment.negative:.2f}"
    return Settled(outcome=Outcome.DROPPED, error=error)


def signal(kind: SignalKind, at: datetime, window: timedelta, model: ModelId) -> Signal:
    """Return the signal that the canary has not come through within `window`, or (`SEEING`) that it has."""
    return Signal(
        key=KEY,
        kind=kind,
        at=at,
        window=window,
        observed=0.0,
        expected=1.0,
        chance=0.0,
        stories=0,
        negative=0,
        publishers=0,
        model=model,
    )
