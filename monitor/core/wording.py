"""The words of a message, English and Chinese, and how numbers, spans and names are said to people."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta

from monitor.core.explain import percents
from monitor.core.keys import name_of
from monitor.core.severity import HOURS_IN_YEAR, years_between
from monitor.types import Cause, Explanation, IncidentKind, Key, Language, Severity

ENGLISH = Language("en")
CHINESE = Language("zh")

NAME = 80  # characters shown of what an event or a publisher is called

Words = Mapping[str, str]

WORDS: Mapping[Language, Words] = {
    ENGLISH: {
        "opened surge": "[{severity}] Bad news is surging: {name}",
        "raised surge": "[{severity}] Raised, bad news is surging: {name}",
        "resolved surge": "[OVER] Bad news has calmed: {name}",
        "opened blind": "[{severity}] No news is coming in: {name}",
        "raised blind": "[{severity}] Raised, no news is coming in: {name}",
        "resolved blind": "[OVER] News is coming in again: {name}",
        "figures surge": "{observed} negative stories in {window} where {expected} is normal; by chance {rarity}.",
        "figures blind": "{observed} stories in {window} where {expected} is normal; by chance {rarity}.",
        "publishers": "From {publishers} publishers.",
        "causes": "Why: {causes}.",
        "cause volume": "{share} % volume",
        "cause mood": "{share} % mood",
        "cause event": "{share} % one event ({name})",
        "cause publisher": "{share} % one publisher ({name})",
        "cause model": "{share} % a change of model",
        "since": "Since {opened}.",
        "lasted": "From {opened} to {resolved}.",
        "already": "It is over already.",
        "also": "Also: {names}.",
        "blindness": "What these keys are silent about cannot be seen meanwhile; their incidents stay open.",
        "late": "Late: told after the fact, from news that reached us after a gap.",
        "repeat": "This may repeat an earlier message.",
        "headline": "- {title} ({publisher}, {published}{spread})",
        "copies": ", {copies} copies",
        "spread": ", {copies} copies at {publishers} publishers",
        "incident": "Incident {id}",
        "never": "practically never",
        "millions": "less than once in a million years",
        "less": "less than {number}",
        "one year": "once in a year",
        "years": "once in {number} years",
        "one day": "once in a day",
        "days": "once in {number} days",
        "one hour": "once in an hour",
        "hours": "once in {number} hours",
        "h": "{number} h",
        "min": "{number} min",
        "all": "all news",
        "source": "source {name}",
        "join": ", ",
        "gap": " ",
        "low": "LOW",
        "medium": "MEDIUM",
        "high": "HIGH",
        "critical": "CRITICAL",
    },
    CHINESE: {
        "opened surge": "【{severity}】负面新闻激增：{name}",
        "raised surge": "【{severity}】级别上调，负面新闻激增：{name}",
        "resolved surge": "【已平息】负面新闻已回落：{name}",
        "opened blind": "【{severity}】新闻中断：{name}",
        "raised blind": "【{severity}】级别上调，新闻中断：{name}",
        "resolved blind": "【已恢复】新闻已恢复：{name}",
        "figures surge": "{window}内负面报道 {observed} 篇，正常水平为 {expected} 篇；纯属偶然的频率：{rarity}。",
        "figures blind": "{window}内报道 {observed} 篇，正常水平为 {expected} 篇；纯属偶然的频率：{rarity}。",
        "publishers": "来自 {publishers} 家媒体。",
        "causes": "成因：{causes}。",
        "cause volume": "报道量 {share}%",
        "cause mood": "负面占比 {share}%",
        "cause event": "同一新闻事件（{name}）{share}%",
        "cause publisher": "同一媒体（{name}）{share}%",
        "cause model": "模型更换 {share}%",
        "since": "开始于 {opened}。",
        "lasted": "自 {opened} 至 {resolved}。",
        "already": "目前已结束。",
        "also": "同时涉及：{names}。",
        "blindness": "在此期间无法看到以上对象的新闻，其事件将保持未结束状态。",
        "late": "迟到提醒：相关新闻在中断之后才送达，本条为事后告知。",
        "repeat": "本条可能与此前的消息重复。",
        "headline": "- {title}（{publisher}，{published}{spread}）",
        "copies": "，共 {copies} 篇",
        "spread": "，{publishers} 家媒体共 {copies} 篇",
        "incident": "事件编号 {id}",
        "never": "几乎不可能",
        "millions": "百万年不到一次",
        "less": "不足 {number}",
        "one year": "一年一次",
        "years": "{number} 年一次",
        "one day": "一天一次",
        "days": "{number} 天一次",
        "one hour": "一小时一次",
        "hours": "{number} 小时一次",
        "h": "{number} 小时",
        "min": "{number} 分钟",
        "all": "全部新闻",
        "source": "来源 {name}",
        "join": "、",
        "gap": "",
        "low": "低",
        "medium": "中",
        "high": "高",
        "critical": "严重",
    },
}


def words_for(language: Language) -> Words:
    """Return the words of a language: Chinese for `zh`, English for all others."""
    return WORDS[CHINESE if language == CHINESE else ENGLISH]


def plain(text: str, limit: int) -> str:
    """Return foreign text as one line of at most `limit` characters, without anything that is not seen.

    Control and format characters (also those that turn the direction of writing), lone surrogates, and code points
    for private use are taken out; line breaks and runs of spaces become one space. A cut is marked by `…`.
    """
    seen = "".join(
        " " if each.isspace() else each
        for each in text
        if each.isspace() or unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Co")
    )
    line = re.sub(r"\s+", " ", seen).strip()
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def link_or_none(link: str | None, limit: int) -> str | None:
    """Return a web link that is safe to show whole, or None where it is not one."""
    if link is None or len(link) > limit or plain(link, limit) != link or " " in link:
        return None
    return link if re.match(r"https?://[^/]", link, re.IGNORECASE) else None


def key_name(key: Key, words: Words) -> str:
    """Return what a key is called: `acme`, `Energy`, `source wire`, `all news`."""
    if key == "all":
        return words["all"]
    name = plain(name_of(key), 100)
    return words["source"].format(name=name) if key.startswith("source:") else name


def severity_name(severity: Severity, words: Words) -> str:
    """Return the word for a severity."""
    return words[severity.value]


def title_of(change: str, kind: IncidentKind, words: Words) -> str:
    """Return the pattern of a message's first line."""
    return words[f"{change} {kind.value}"]


def number(value: float, words: Words) -> str:
    """Return a number as people say it: two figures below 10, whole above."""
    if 0.0 < value < 0.01:
        return words["less"].format(number="0.01")
    if value >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 1.0 else f"{value:.2g}"


def span(window: timedelta, words: Words) -> str:
    """Return a window's length: `15 min`, `6 h`, and for a silence that has lasted a while `2.5 h`, `37 h`."""
    minutes = round(window.total_seconds() / 60)
    if minutes < 60:
        return words["min"].format(number=minutes)
    return words["h"].format(number=number(minutes / 60, words))


def rarity(chance: float, words: Words) -> str:
    """Return how often something comes that has this many chances in an hour: `once in 3 years`."""
    years = years_between(chance)
    if years == float("inf"):
        return words["never"]
    if years > 1e6:
        return words["millions"]
    for count, unit in ((years, "year"), (years * 365.25, "day")):
        if count >= 1.0:
            return _once_in(count, unit, words)
    return _once_in(max(years * HOURS_IN_YEAR, 1.0), "hour", words)


def causes(explanation: Explanation, words: Words) -> str:
    """Return what makes a surge, the largest share first: `Why: 62 % volume, 38 % mood.` The shares sum to 100 %."""
    named = {
        Cause.EVENT: plain(explanation.headline or "…", NAME),
        Cause.PUBLISHER: plain(explanation.loudest_publisher or "…", NAME),
    }
    shares = sorted(percents(explanation).items(), key=lambda each: -each[1])
    told = [
        words[f"cause {cause.value}"].format(share=f"{share}".replace("-", "−"), name=named.get(cause, ""))
        for cause, share in shares
        if share
    ]
    return words["causes"].format(causes=words["join"].join(told))


def moment(at: datetime) -> str:
    """Return a moment to the minute, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _once_in(count: float, unit: str, words: Words) -> str:
    whole = round(count)
    figure = round(whole, -max(len(str(whole)) - 2, 0))  # two figures say enough
    return words[f"one {unit}"] if figure == 1 else words[f"{unit}s"].format(number=f"{figure:,}")
