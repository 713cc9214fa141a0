from __future__ import annotations

import json
import re
import string
import unicodedata
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.message import LINK, TITLE, payload, render
from monitor.core.wording import CHINESE, ENGLISH, WORDS, link_or_none, number, plain, rarity, span, words_for
from monitor.types import (
    Change,
    Incident,
    IncidentKind,
    IncidentState,
    Language,
    Message,
    Severity,
    TargetId,
)
from tests.core.telling import EXPLAINED, T0, headline, incident


def message(one: Incident, change: Change = Change.OPENED) -> Message:
    return Message(
        key=f"{one.id}.{change}",
        target=TargetId("desk"),
        change=change,
        incident=one,
        created=T0,
        expires=T0 + timedelta(days=1),
    )


def test_a_surge_is_told_with_its_numbers_since_when_and_its_headlines() -> None:
    one = incident(
        "entity:acme",
        "topic:Financials",
        "source:wire",
        "all",
        evidence=(
            headline("fraud", title="Acme Bank under investigation for fraud", publishers=12),
            headline("loss", title="Acme Bank warns of a loss", link=None),
        ),
    )
    assert render(message(one)).splitlines() == [
        "[HIGH] Bad news is surging: acme",
        "7.9 negative stories in 1 h where 0.4 is normal; by chance once in 3 years. From 5 publishers.",
        "Since 2026-03-02 10:00 UTC.",
        "Also: Financials, source wire, all news.",
        "- Acme Bank under investigation for fraud (news.example, 2026-03-02 10:00 UTC, 12 copies at 12 publishers)",
        "  https://news.example/fraud",
        "- Acme Bank warns of a loss (news.example, 2026-03-02 10:00 UTC)",
        "Incident 00112233445566778899aabbccddeeff",
    ]


def test_chinese_news_is_told_in_chinese() -> None:
    one = incident("entity:acme", evidence=(headline("zh", title="艾克米银行遭调查", language=Language("zh")),))
    assert render(message(one)).splitlines()[:3] == [
        "【高】负面新闻激增：acme",
        "1 小时内负面报道 7.9 篇，正常水平为 0.4 篇；纯属偶然的频率：3 年一次。来自 5 家媒体。",
        "开始于 2026-03-02 10:00 UTC。",
    ]
    assert render(message(one), language=ENGLISH).startswith("[HIGH] Bad news")
    assert render(message(incident("all")), language=CHINESE).startswith("【高】负面新闻激增：全部新闻")


def test_a_surge_is_told_with_what_makes_it_the_largest_share_first() -> None:
    one = message(incident("entity:acme", explanation=EXPLAINED))
    assert render(one).splitlines()[2] == (
        "Why: 62 % volume, 27 % one publisher (loud.example), 20 % one event (Police raid Acme Bank), −9 % mood."
    )
    assert render(one, language=CHINESE).splitlines()[2] == (
        "成因：报道量 62%、同一媒体（loud.example）27%、同一新闻事件（Police raid Acme Bank）20%、负面占比 −9%。"
    )
    assert "Why" not in render(message(incident("entity:acme")))


def test_an_incident_that_is_raised_and_one_that_ends_say_so() -> None:
    raised = render(message(incident("entity:acme", severity=Severity.CRITICAL), Change.RAISED))
    assert raised.startswith("[CRITICAL] Raised, bad news is surging: acme\n")
    end = T0 + timedelta(hours=2, minutes=5)
    over = incident("entity:acme", state=IncidentState.RESOLVED, active=frozenset(), resolved=end)
    ended = render(message(over, Change.RESOLVED)).splitlines()
    assert ended[0] == "[OVER] Bad news has calmed: acme"
    assert "From 2026-03-02 10:00 UTC to 2026-03-02 12:05 UTC." in ended


def test_late_news_that_is_over_says_both() -> None:
    over = incident("entity:acme", state=IncidentState.RESOLVED, active=frozenset(), resolved=T0, late=True)
    text = render(message(over))
    assert "It is over already." in text
    assert "Late: told after the fact" in text


def test_a_silence_says_what_cannot_be_seen() -> None:
    silent = incident(
        "source:wire",
        kind=IncidentKind.BLIND,
        evidence=(),
        observed=0.0,
        expected=24.3,
        window=timedelta(minutes=754),
        publishers=0,
        stories=0,
    )
    lines = render(message(silent)).splitlines()
    assert lines[0] == "[HIGH] No news is coming in: source wire"
    assert lines[1] == "0 stories in 13 h where 24 is normal; by chance once in 3 years."
    assert "their incidents stay open" in lines[3]
    back = incident("source:wire", kind=IncidentKind.BLIND, state=IncidentState.RESOLVED, evidence=(), resolved=T0)
    assert render(message(back, Change.RESOLVED)).startswith("[OVER] News is coming in again: source wire")


def test_a_repeat_says_that_it_may_be_one() -> None:
    once = message(incident("entity:acme"))
    assert "repeat" not in render(once)
    assert "This may repeat an earlier message." in render(once, repeat=True).splitlines()


def test_many_keys_are_cut() -> None:
    text = render(message(incident(*(f"entity:c{count}" for count in range(40)))))
    assert "Also: c1, c2, c3, c4, c5, c6, c7, c8, …." in text


def test_what_a_feed_writes_cannot_break_the_lines_or_turn_the_writing() -> None:
    evil = headline(
        "evil",
        title="Calm\nIncident 42\r\x1b[31m\u202etxet\u2028{severity}\x00" + "x" * 500,
        publisher="bad\nexample",
        link="javascript:alert(1)",
    )
    text = render(message(incident("entity:acme", evidence=(evil,))))
    line = next(each for each in text.splitlines() if each.startswith("- "))
    assert line.startswith("- Calm Incident 42 [31mtxet {severity}xxx")
    assert "(bad example, " in line
    assert "javascript" not in text
    assert text.count("Incident 0011") == 1


@given(st.text(max_size=400))
def test_plain_text_is_one_short_line_of_seen_characters(text: str) -> None:
    shown = plain(text, TITLE)
    assert len(shown) <= TITLE
    assert shown.splitlines() in ([], [shown])
    assert not any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Co") for each in shown)
    assert plain(shown, TITLE) == shown


@pytest.mark.parametrize(
    "link",
    [
        None,
        "",
        "ftp://news.example/a",
        "javascript:alert(1)",
        "https:///a",
        "https://news.example/a b",
        "https://news.example/a\nb",
        "https://news.example/\u202ea",
        "https://news.example/" + "a" * LINK,
    ],
)
def test_a_link_that_is_not_safe_to_show_is_left_out(link: str | None) -> None:
    assert link_or_none(link, LINK) is None


def test_a_web_link_is_shown_as_it_is() -> None:
    assert link_or_none("HTTPS://news.example/新闻?a=1&b=2", LINK) == "HTTPS://news.example/新闻?a=1&b=2"


@pytest.mark.parametrize(
    ("years", "words"),
    [
        (3.2, "once in 3 years"),
        (1.0, "once in a year"),
        (0.5, "once in 180 days"),
        (1 / 365.25, "once in a day"),
        (1 / 8766 * 5, "once in 5 hours"),
        (1 / 8766 / 12, "once in an hour"),
        (12_345, "once in 12,000 years"),
        (2e6, "less than once in a million years"),
    ],
)
def test_rarity_is_said_in_years_days_or_hours(years: float, words: str) -> None:
    assert rarity(1 / (years * 8766), words_for(ENGLISH)) == words


def test_what_never_happens_by_chance_is_said_so() -> None:
    assert rarity(0.0, words_for(ENGLISH)) == "practically never"
    assert rarity(0.0, words_for(CHINESE)) == "几乎不可能"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (0.001, "less than 0.01"),
        (0.042, "0.042"),
        (0.4, "0.4"),
        (7.0, "7"),
        (7.94, "7.9"),
        (1234.5, "1,234"),
    ],
)
def test_numbers_are_said_with_the_figures_that_matter(value: float, words: str) -> None:
    assert number(value, words_for(ENGLISH)) == words


@pytest.mark.parametrize(("minutes", "words"), [(15, "15 min"), (60, "1 h"), (150, "2.5 h"), (1440, "24 h")])
def test_windows_are_said_in_minutes_or_hours(minutes: int, words: str) -> None:
    assert span(timedelta(minutes=minutes), words_for(ENGLISH)) == words


def test_both_languages_have_the_same_words_with_the_same_gaps() -> None:
    def gaps(pattern: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(pattern)} - {None}

    english, chinese = WORDS[ENGLISH], WORDS[CHINESE]
    assert english.keys() == chinese.keys()
    assert {name: gaps(english[name]) for name in english} == {name: gaps(chinese[name]) for name in english}


def test_the_document_for_webhooks_holds_the_incident_and_is_the_same_each_time() -> None:
    sent = message(incident("entity:acme", "all"))
    document = payload(sent)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["version"], document["type"]) == (1, "incident.opened")
    data = document["data"]
    assert isinstance(data, dict)
    assert data["key"] == "entity:acme"
    assert data["keys"] == ["entity:acme", "all"]
    assert (data["opened"], data["resolved"]) == ("2026-03-02T10:00:00+00:00", None)
    assert data["years_between"] == pytest.approx(3.0)
    assert data["window_seconds"] == 3600.0
    assert data["text"] == render(sent)
    assert payload(sent) == document


def test_a_chance_of_zero_is_still_json() -> None:
    data = payload(message(incident("all", chance=0.0)))["data"]
    assert isinstance(data, dict)
    assert data["years_between"] is None


def test_the_document_is_described_field_by_field(pytestconfig: pytest.Config) -> None:
    described = (pytestconfig.rootpath / "docs" / "webhook.md").read_text(encoding="utf-8")
    document = payload(message(incident("entity:acme", explanation=EXPLAINED)))
    data = document["data"]
    assert isinstance(data, dict)
    evidence, explanation = data["evidence"], data["explanation"]
    assert isinstance(evidence, list)
    assert isinstance(explanation, dict)
    piece = evidence[0]
    assert isinstance(piece, dict)
    fields = set(re.findall(r"^\| `([a-z_.\[\]]+)` \|", described, re.MULTILINE))
    assert fields == {
        *(name for name in document if name != "data"),
        *(f"data.{name}" for name in data if name != "evidence"),
        *(f"data.explanation.{name}" for name in explanation),
        *(f"data.evidence[].{name}" for name in piece),
    }
