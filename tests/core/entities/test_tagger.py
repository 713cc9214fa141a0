from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.entities.tagger import MAX_COMPANIES, Tagger
from monitor.core.entities.watchlist import Watchlist
from monitor.core.text.normalise import clean
from monitor.types import Article, ArticleId, Language, Signature, SourceId, Timeliness
from tests.core.strings import naughty, texts

__all__ = ["naughty"]

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
WATCHLIST = Watchlist.parse_csv(
    """id,names,tickers,near,not_near
acme,Acme Bank|艾克米银行|艾克米,$ACME|600519.SH
acme-group,Acme
apple,Apple|苹果,,,pie|树
ally,Ally,ALLY,bank|auto|银行
ge,GE
ebay,eBay
tencent,腾讯,0700.HK
bp,BP,BP.L
att,AT&T
tcl,TCL科技
3m,3M
""",
    "watch.csv",
)
TAGGER = Tagger(WATCHLIST)


def found(text: str) -> dict[str, list[str]]:
    return {one.company.id: [text[start:end] for start, end in one.spans] for one in TAGGER.find(text)}


def article(title: str, text: str = "") -> Article:
    return Article(
        id=ArticleId("01" * 16),
        source=SourceId("wire"),
        publisher="wire.example",
        title=title,
        text=text,
        link=None,
        language=Language("en"),
        published=NOON,
        received=NOON,
        timeliness=Timeliness.LIVE,
        signature=Signature(b""),
        digest="",
        raw=b"",
    )


@pytest.mark.parametrize(
    ("text", "companies"),
    [
        ("Acme Bank falls", {"acme": ["Acme Bank"]}),
        ("Acme falls as ACME BANK slumps", {"acme-group": ["Acme"], "acme": ["ACME BANK"]}),
        ("Acme Bankers meet", {"acme-group": ["Acme"]}),
        ("Acme's chief, Acme-owned, (Acme), “Acme”, #Acme @Acme Acme.", {"acme-group": ["Acme"] * 7}),
        ("Acmeville, MacAcme, Acme2, 2Acme, ÉAcme", {}),
        ("艾克米银行下跌,艾克米集团回应", {"acme": ["艾克米银行", "艾克米"]}),
        ("苹果Apple公司", {"apple": ["苹果", "Apple"]}),
        ("收购TCL科技股份", {"tcl": ["TCL科技"]}),
        ("XTCL科技", {}),
        ("AT&T's network", {"att": ["AT&T"]}),
    ],
)
def test_names_are_found_as_a_desk_reads_them(text: str, companies: dict[str, list[str]]) -> None:
    assert found(text) == companies


@pytest.mark.parametrize(
    ("text", "companies"),
    [
        ("acme bank and acme", {}),
        ("ACME", {"acme-group": ["ACME"]}),
        ("GE beats, Ge and ge do not", {"ge": ["GE"]}),
        ("eBay, Ebay, EBAY, ebay", {"ebay": ["eBay", "Ebay", "EBAY", "ebay"]}),
        ("3M settles over 3m claims", {"3m": ["3M"]}),
        ("BP spills, bp not", {"bp": ["BP"]}),
    ],
)
def test_capitals_tell_a_name_from_a_word(text: str, companies: dict[str, list[str]]) -> None:
    assert found(text) == companies


@pytest.mark.parametrize(
    ("text", "companies"),
    [
        ("$ACME up 3%, $acme and $ACMEX not", {"acme": ["$ACME"]}),
        ("Acme Bank (NYSE: ACME) and (NASDAQ:ALLY)", {"acme": ["Acme Bank", "NYSE: ACME"], "ally": ["NASDAQ:ALLY"]}),
        ("600519.SH 600519.ss SH600519 sh600519", {"acme": ["600519.SH", "600519.ss", "SH600519", "sh600519"]}),
        ("茅台(600519)与茅台(600519,股吧)", {"acme": ["600519", "600519"]}),
        ("600519 shares, 1600519.SH, (6005191)", {}),
        ("腾讯(00700)涨", {"tencent": ["腾讯", "00700"]}),
        ("0700.HK 700.HK 00700.HK HK00700", {"tencent": ["0700.HK", "700.HK", "00700.HK", "HK00700"]}),
        ("BP.L", {"bp": ["BP.L"]}),
        ("ALLY without a mark", {}),
    ],
)  # fmt: skip
def test_tickers_are_found_in_the_ways_they_are_written(text: str, companies: dict[str, list[str]]) -> None:
    assert found(text) == companies


def test_a_word_that_must_stand_nearby() -> None:
    assert found("Ally cuts its Auto loans") == {"ally": ["Ally"]}
    assert found("银行Ally裁员") == {"ally": ["Ally"]}
    assert found("Ally of the president, bankrupt") == {}
    assert found("Ally " + "x " * 60 + "bank") == {}
    assert found("$ALLY needs no such word") == {"ally": ["$ALLY"]}


def test_a_word_that_must_not_stand_nearby() -> None:
    assert found("Apple Pie recipe") == {}
    assert found("苹果树下") == {}
    assert found("Apple's pieces") == {"apple": ["Apple"]}
    assert found("Apple pie. " + "x " * 60 + "Apple sues") == {"apple": ["Apple"]}


def test_a_refused_name_leaves_its_place_to_a_shorter_one() -> None:
    tagger = Tagger(Watchlist.parse_csv("id,names,near\nbank,Acme Bank,Ohio\ngroup,Acme,\n", "watch.csv"))
    assert [one.company.id for one in tagger.find("Acme Bank falls")] == ["group"]
    assert [one.company.id for one in tagger.find("Acme Bank of Ohio falls")] == ["bank"]


def test_an_article_is_judged_whole_and_for_each_company() -> None:
    made = article("GE and Acme Bank in talks", "Acme Bank declined to comment.")
    tagged = TAGGER.tag(made)
    whole, acme, ge = tagged.mentions
    assert (whole.entity, whole.spans, tagged.unjudged) == (None, (), 0)
    assert acme.entity == "acme"
    assert [made.document[start:end] for start, end in acme.spans] == ["Acme Bank", "Acme Bank"]
    assert (ge.entity, ge.spans) == ("ge", ((0, 2),))


def test_at_most_eight_companies_are_judged_and_the_rest_counted() -> None:
    names = [f"Firm {letter}" for letter in "ABCDEFGHIJ"]
    rows = "\n".join(f"c{at},{name}" for at, name in enumerate(names))
    tagger = Tagger(Watchlist.parse_csv(f"id,names\n{rows}", "watch.csv"))
    tagged = tagger.tag(article(" ".join([*names, "Firm J"])))
    assert len(tagged.mentions) == 1 + MAX_COMPANIES
    assert tagged.unjudged == 2
    assert [mention.entity for mention in tagged.mentions[1:]] == ["c9", "c0", "c1", "c2", "c3", "c4", "c5", "c6"]


def test_a_text_that_says_one_name_for_ever_is_bounded() -> None:
    (acme,) = TAGGER.find("Acme Bank " * 50_000)
    assert len(acme.spans) == 100


def test_an_empty_watchlist_finds_nothing() -> None:
    assert Tagger(Watchlist()).tag(article("Acme Bank falls")).mentions[0].entity is None
    assert Tagger(Watchlist()).find("Acme Bank falls") == []


@given(
    st.lists(st.sampled_from(["Acme", "Bank", "艾克米银行", "苹果", "GE", "$ACME", "İ", "ß", "\ud800", " "]) | texts)
)
def test_spans_lie_in_the_text_in_order_and_never_overlap(pieces: list[str]) -> None:
    for text in ("".join(pieces), clean(" ".join(pieces))):
        spans = sorted(span for one in TAGGER.find(text) for span in one.spans)
        for start, end in spans:
            assert 0 <= start < end <= len(text)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))


@given(texts, texts)
def test_a_company_named_between_other_texts_is_found(before: str, after: str) -> None:
    text = f"{before} 艾克米银行 {after}"
    assert "acme" in found(text)


def test_naughty_strings_hold(naughty: list[str]) -> None:
    for text in naughty:
        assert "acme" in found(f"{text} Acme Bank {text}")
