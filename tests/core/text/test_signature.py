import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.text.normalise import clean
from monitor.core.text.signature import alike, bands, sign, similarity, size
from tests.core.strings import naughty, texts

__all__ = ["naughty"]

WORDS = ["bank", "regulator", "probe", "fine", "profit", "loss", "quarter", "board", "merger", "court", "trade", "deal"]


def prose(seed: int, words: int) -> list[str]:
    draw = random.Random(seed)
    return [draw.choice(WORDS) + draw.choice(["", "s", "ed", "ing"]) + draw.choice("abcdefgh") for _ in range(words)]


def same(one: str, other: str) -> bool:
    """Whether a story book would find these two to be copies: a common band, and alike."""
    a, b = sign(clean(one)), sign(clean(other))
    return bool(set(bands(a)) & set(bands(b))) and alike(similarity(a, b), size(a), size(b))


@given(texts)
def test_a_text_is_its_own_copy(text: str) -> None:
    signature = sign(text)
    assert similarity(signature, signature) == (1.0 if signature else 0.0)


@given(st.lists(st.sampled_from(["Acme", "Bank", "fraud", "probe", "银行", "立案"]), min_size=1))
def test_case_space_and_punctuation_do_not_count(words: list[str]) -> None:
    assert sign(" ".join(words)) == sign("".join(words).upper()) == sign(" - ".join(words) + "!")


@given(texts, texts)
def test_similarity_is_symmetric_and_between_0_and_1(one: str, other: str) -> None:
    a, b = sign(one), sign(other)
    assert 0.0 <= similarity(a, b) == similarity(b, a) <= 1.0


@given(texts)
def test_bands_are_sixteen_signed_64_bit_numbers_or_none(text: str) -> None:
    found = bands(sign(text))
    assert len(found) in (0, 16)
    assert all(-(2**63) <= band < 2**63 for band in found)


def test_signatures_stay_the_same_over_versions() -> None:
    signature = sign("Acme Bank under investigation for fraud: 艾克米银行涉嫌欺诈")
    assert len(signature) == 516
    assert bands(signature)[:2] == (4808961184119113900, 7476339358194684999)


@pytest.mark.parametrize("text", ["", "!!!", "。。。", " - "])
def test_a_text_without_letters_is_like_nothing(text: str) -> None:
    assert sign(text) == b""
    assert bands(sign(text)) == ()
    assert similarity(sign(text), sign("Acme")) == 0.0
    assert similarity(sign(text), sign(text)) == 0.0


def test_very_short_texts_are_only_like_themselves() -> None:
    shorts = ["a", "b", "GE", "BP", "银行", "3", "5", "Ok", "Acme", "Ally"]
    assert all(same(one, other) == (one == other) for one in shorts for other in shorts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Acme shares fall 3% in early trade", "Acme shares fall 3% in early trade - Reuters"),
        ("Acme Bank under investigation for fraud", "BREAKING: ACME BANK UNDER INVESTIGATION FOR FRAUD"),
        ("艾克米银行涉嫌欺诈被立案调查", "艾克米银行涉嫌欺诈被立案调查_新浪财经"),
        ("艾克米银行：涉嫌欺诈，被立案调查", "艾克米银行 涉嫌欺诈 被立案调查"),
    ],
)
def test_a_headline_with_something_added_is_the_same_story(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Acme shares fall 3% in early trade", "Acme shares fall 5% in early trade"),
        ("Acme shares fall 3% in early trade", "Apex shares fall 3% in early trade"),
        ("Broker cuts Acme to neutral from buy, lowers target", "Broker cuts Apex to neutral from buy, lowers target"),
        ("Stocks fall for second day as banks slump", "Stocks fall for third day as banks slump"),
        ("艾克米银行涉嫌欺诈被立案调查", "平安银行涉嫌欺诈被立案调查"),
        ("早盘播报：沪指涨0.5%", "早盘播报：沪指涨0.7%"),
        ("Acme Bank sued", "Acme Bank sued again"),
    ],
)
def test_a_template_filled_anew_is_another_story(one: str, other: str) -> None:
    assert not same(one, other)


def test_a_long_story_retitled_cut_and_edited_is_the_same_story() -> None:
    story = prose(1, 250)
    edited = [*story[:90], "Corrected", *story[92:240]]
    assert same(" ".join(story), "Another title altogether " + " ".join(edited))
    assert same(" ".join([*story, "3.1%"]), " ".join([*story, "3.2%"]))


def test_two_long_stories_on_one_subject_are_two() -> None:
    assert not same(" ".join(prose(2, 250)), " ".join(prose(3, 250)))


def test_near_copies_share_a_band() -> None:
    found = 0
    for seed in range(200):
        words = prose(seed, 120)
        changed = [*words[:98], *prose(seed + 1000, 22)]
        a, b = sign(" ".join(words)), sign(" ".join(changed))
        assert similarity(a, b) == pytest.approx(0.7, abs=0.2)
        found += bool(set(bands(a)) & set(bands(b)))
    assert found >= 180


def test_only_the_beginning_of_a_book_is_read() -> None:
    book = " ".join(prose(5, 5000))
    assert sign(book[:20_000]) == sign(book + "x" * 1_000_000)


def test_naughty_strings_hold(naughty: list[str]) -> None:
    assert all(len(sign(text)) in (0, 516) for text in naughty)
