from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ConfigurationError
from monitor.scoring.glossary import CHINESE, Glossary, read
from monitor.scoring.preparation import Preparer
from tests.tiny import tokenizer

GLOSSARY = Glossary(
    {"亏损": "loss", "亏损收窄": "losses narrow", "净利润": "net profit", "克": "overcome", "大": "big"}
)


def glossed(text: str, *spans: tuple[int, int]) -> tuple[str, list[str]]:
    found, moved = GLOSSARY.gloss(text, spans)
    return " ".join(found.split()), [" ".join(found[a:b].split()) for a, b in moved]


def test_the_longest_word_is_glossed_in_its_place() -> None:
    assert glossed("艾米公司亏损收窄") == ("艾米公司 losses narrow", [])
    assert glossed("艾米公司亏损2.1亿") == ("艾米公司 loss 2.1亿", [])


def test_a_company_stands_where_its_name_is_glossed_and_shares_no_word_with_its_neighbours() -> None:
    assert glossed("艾克米大亏损", (0, 3)) == ("艾 overcome 米 big loss", ["艾 overcome 米"])
    assert glossed("净利润大增", (2, 4)) == ("净利润 big 增", ["润 big"])
    assert glossed("亏损收窄", (0, 2), (2, 4)) == ("loss 收窄", ["loss", "收窄"])


def test_traditional_characters_are_read_as_simplified_ones() -> None:
    assert glossed("艾克米淨利潤大增，虧損收窄", (0, 3)) == (
        "艾 overcome 米 net profit big 增， losses narrow",
        ["艾 overcome 米"],
    )


def test_a_text_without_chinese_stays_as_it_is() -> None:
    assert GLOSSARY.gloss("Acme  falls – 3%", [(0, 4)]) == ("Acme  falls – 3%", [(0, 4)])


def test_the_model_reads_glosses_between_marks() -> None:
    preparer = Preparer(tokenizer(), limit=32, glossary=Glossary({"公司": "bank", "下跌": "falls"}))
    (prepared,) = preparer.prepare([("公司下跌", [(0, 2)])])
    tokens = [str(tokenizer().id_to_token(i)) for i in prepared.ids]
    assert tokens == ["[CLS]", "[unused1]", "bank", "[unused2]", "falls", "[SEP]"]


def test_chinese_behind_an_address_is_read() -> None:
    preparer = Preparer(tokenizer(), limit=32, glossary=Glossary({"下跌": "falls"}))
    (prepared,) = preparer.prepare([("https://t.co/x下跌", [])])
    assert [str(tokenizer().id_to_token(i)) for i in prepared.ids] == ["[CLS]", "falls", "[SEP]"]


def test_an_empty_glossary_is_refused() -> None:
    with pytest.raises(ValueError, match="no words"):
        Glossary({})


@given(
    text=st.text(alphabet="亏损收窄净利润克大艾 a1，", max_size=30),
    edges=st.lists(st.integers(0, 30), max_size=6),
)
def test_spans_hold_what_their_text_alone_would_become(text: str, edges: list[int]) -> None:
    cut = sorted({min(edge, len(text)) for edge in edges})
    spans = list(zip(cut[::2], cut[1::2], strict=False))
    found, moved = GLOSSARY.gloss(text, spans)
    if not CHINESE.search(text):
        assert found == text
    assert [found[a:b] for a, b in moved] == [GLOSSARY.gloss(text[a:b], [])[0] for a, b in spans]
    outside = [0, *(edge for span in moved for edge in span), len(found)]
    assert outside == sorted(outside)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("zh,en\n", ":1", "expected the header"),
        ("zh\ten\n涨 rises\n", ":2", "a tab"),
        ("zh\ten\n涨\trises\n涨\tjumps\n", ":3", "every word once"),
        ("zh\ten\n跌\tfalls\n涨\trises\n", ":3", "by code point"),
        ("zh\ten\n\uff21股\tshares\n", ":2", "NFKC"),
        ("zh\ten\n涨\trises  fast\n", ":2", "one space"),
        ("zh\ten\n涨\t上涨\n", ":2", "ASCII"),
        ("zh\ten\n涨\t\n", ":2", "ASCII"),
        ("zh\ten\n涨\trises\n\n", ":3", "a tab"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, text: str, place: str, said: str) -> None:
    path = tmp_path / "words.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(f"{path}{place}: ")) as told:
        read(path)
    assert said in str(told.value)


def test_a_glossary_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.tsv"):
        read(tmp_path / "absent.tsv")
