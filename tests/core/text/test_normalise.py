import unicodedata

import pytest
from hypothesis import example, given, settings

from monitor.core.text.normalise import clean
from tests.core.strings import naughty, texts

__all__ = ["naughty"]


@given(texts)
@settings(max_examples=500)
@example("&amp;amp;amp;amp;amp;amp;lt;b>")
@example("<b <b <b <b <b <b <b >>>>>>>")
@example("e<b>\u0301</b>")
@example("\u3164\u3164")
def test_cleaning_twice_is_cleaning_once(raw: str) -> None:
    assert clean(clean(raw)) == clean(raw)


@given(texts)
def test_a_clean_text_is_one_line_that_any_store_takes(raw: str) -> None:
    text = clean(raw)
    text.encode("utf-8")
    assert text == " ".join(text.split())
    assert unicodedata.is_normalized("NFKC", text)
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Co") for char in text)


def test_every_character_is_cleaned_once_and_for_all() -> None:
    for start in range(0, 0x110000, 16):
        raw = " ".join(f"a{chr(point)}b" for point in range(start, start + 16))
        assert clean(clean(raw)) == clean(raw)


def test_naughty_strings_hold(naughty: list[str]) -> None:
    for raw in naughty:
        assert clean(clean(raw)) == clean(raw)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<p>Acme Bank</p><p>falls <b>3%</b></p>", "Acme Bank falls 3%"),
        ("Line<br>break<br/>here", "Line break here"),
        ("<ul><li>one<li>two</ul>", "one two"),
        ("<table><tr><td>profit</td><td>5</td></tr></table>", "profit 5"),
        ("Ac<b>me</b>", "Acme"),
        ("<script>steal()</script>Acme<STYLE type=a>p{}</STYLE > falls", "Acme falls"),
        ("<script>if (a<b && c>d) '<a href=\"'</script>Acme", "Acme"),
        ("<a title='x > y'>Acme</a>", "Acme"),
        ('<a title="<b>x</b>">Acme</a>', "Acme"),
        ("a<!-- <p> not this > -->b", "a b"),
        ("<!DOCTYPE html><?xml version='1.0'?>Acme", "Acme"),
        ("<![CDATA[Acme falls]]>", "Acme falls"),
        ("<o:p>Acme</o:p><amp-img src='x'>", "Acme"),
    ],
)
def test_markup_goes_and_words_do_not_glue(raw: str, text: str) -> None:
    assert clean(raw) == text


@pytest.mark.parametrize(
    "text",
    [
        "EPS < 0.5 & rising",
        "<Apple> rises",
        "mail <desk@bank.example> now",
        "a<b",
        "profit <p 5",
        "https://a.example/?a=1&copy=2",
        "AT&T, R&D",
        "x <!-- never closed",
        "1 < 2 > 1",
    ],
)
def test_what_only_looks_like_markup_stays(text: str) -> None:
    assert clean(text) == text


def test_a_script_that_is_never_closed_does_not_swallow_the_article() -> None:
    assert clean("How to use <script> tags safely") == "How to use tags safely"
    assert clean('<a href="https://a.example>Acme</a> falls') == "Acme falls"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("AT&amp;T", "AT&T"),
        ("AT&amp;amp;T", "AT&T"),
        ("&lt;p&gt;Acme&lt;/p&gt;falls", "Acme falls"),
        ("&amp;lt;b&amp;gt;Acme&amp;lt;/b&amp;gt;", "Acme"),
        ("5&nbsp;%&#x20AC;&#8364;", "5 %€€"),
        ("&bogus; &notit;", "&bogus; &notit;"),
        ("&#0;&#xD800;&#x110000;", "\ufffd\ufffd\ufffd"),
    ],
)
def test_entities_are_resolved_also_doubly_encoded_ones(raw: str, text: str) -> None:
    assert clean(raw) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("艾克米银行（６００５１９）下跌３％", "艾克米银行(600519)下跌3%"),
        ("Ac\u200bme \u202eBank\u202c", "Acme Bank"),
        ("Ac\xadme\ufeff", "Acme"),
        ("Acme\ufe0f\U000e0041\U000e0100", "Acme"),
        ("Apple™ and ℠", "Apple and"),
        ("a\x00b\x07c", "abc"),
        ("a\tb\r\n\x0bc\u3000d\u2028e", "a b c d e"),
        ("bad \ud800surrogate", "bad surrogate"),
        ("ﬁnance Ｂａｎｋ", "finance Bank"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_one_form_for_what_looks_the_same(raw: str, text: str) -> None:
    assert clean(raw) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Аcmе Ваnk fаlls", "Acme Bank falls"),
        ("nаi\u0308vе", "na\u00efve"),
        ("Совет директоров", "Совет директоров"),
        ("Cовет", "Cовет"),
        ("5 \u00b5m, IFN\u03b3", "5 \u03bcm, IFN\u03b3"),
    ],
)
def test_a_latin_word_is_written_in_latin_letters(raw: str, text: str) -> None:
    assert clean(raw) == text


def test_a_name_broken_over_two_lines_is_one_name() -> None:
    assert clean("Acme\n   Bank falls") == "Acme Bank falls"


@pytest.mark.parametrize(
    "bomb",
    [
        "<div>" * 50_000 + "end",
        "<a " + " ".join(f"a{at}" for at in range(50_000)) + ">end",
        "".join(f"<b id={at}><p>" for at in range(20_000)) + "end",
        "<!--" * 50_000 + "-->end",
        "<script>" * 50_000 + "</script>end",
        "a" + "\u0301\u0323" * 100_000 + " end",
        "&" + "amp;" * 100_000 + "lt; end",
        '<a "' * 50_000 + '">" end',
    ],
)
def test_bombs_come_out_clean(bomb: str) -> None:
    # each of these takes a tree builder, or a naive pattern, minutes: the suite would hang
    text = clean(bomb)
    assert text.endswith("end")
    assert clean(text) == text
