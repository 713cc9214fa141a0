"""What a reader overlooks: each change keeps the company where it is, and is the same for the same seed."""

from __future__ import annotations

import re
import unicodedata
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.perturb import ALIKE, INVISIBLE, PERTURBATIONS, Perturbation, Spans, swap_all

NAMES = ("Acme", "Acme Bank", "$ACME", "艾克米银行", "艾克米", "O'Hare Foods", "IBM")
WORDS = (
    "shares",
    "fall",
    "3%",
    "after",
    "don't",
    "rise...",
    "净利润",
    "不及预期，",
    "的",
    "https://t.co/Ab1",
    '"sold"',
    "-",
)
ORIGINAL = {alike: letter for letter, alike in ALIKE.items()}
named = pytest.mark.parametrize("perturbation", [pytest.param(each, id=name) for name, each in PERTURBATIONS.items()])


@st.composite
def stories(draw: st.DrawFn) -> tuple[str, Spans]:
    """A text that names one company, perhaps several times, perhaps with nothing between it and its neighbours."""
    name = draw(st.sampled_from(NAMES))
    text, spans = "", list[tuple[int, int]]()
    for part in draw(st.lists(st.sampled_from((*WORDS, name)), min_size=1, max_size=12)):
        text += draw(st.sampled_from(["", " "])) if not part.startswith(("http", "$")) else " "
        if part == name:
            spans.append((len(text), len(text) + len(part)))
        text += part + (" " if part.startswith("http") else "")
    return text, tuple(spans)


def plain(text: str) -> str:
    """What is left of a text for a reader: letters and digits, whatever their case and make."""
    seen = "".join(ORIGINAL.get(letter, letter) for letter in text if letter not in INVISIBLE)
    return "".join(re.findall(r"\w", unicodedata.normalize("NFKC", seen))).casefold()


def perturbed(name: str, text: str, *spans: tuple[int, int], seed: int = 1) -> tuple[str, list[str]]:
    written, moved = PERTURBATIONS[name](text, spans, Random(seed))
    return written, [written[start:stop] for start, stop in moved]


@named
@given(stories(), st.integers())
def test_the_company_s_places_still_cover_its_name(
    perturbation: Perturbation, story: tuple[str, Spans], seed: int
) -> None:
    text, spans = story
    written, moved = perturbation(text, spans, Random(seed))
    found = [written[start:stop] for start, stop in moved]
    assert len(found) == len(spans)
    if perturbation is PERTURBATIONS["swap"]:
        assert len(set(found)) <= 1
        assert not set(found) & set(NAMES)
    else:
        assert [plain(name) for name in found] == [plain(text[start:stop]) for start, stop in spans]


@named
@given(stories(), st.integers())
def test_a_seed_says_all(perturbation: Perturbation, story: tuple[str, Spans], seed: int) -> None:
    assert perturbation(*story, Random(seed)) == perturbation(*story, Random(seed))


@named
@given(stories(), st.integers())
def test_what_stands_around_a_name_stays_around_it(
    perturbation: Perturbation, story: tuple[str, Spans], seed: int
) -> None:
    text, spans = story
    if not spans or perturbation is PERTURBATIONS["typos"]:
        return
    written, moved = perturbation(text, spans, Random(seed))
    before, behind = written[: moved[0][0]], written[moved[-1][1] :]
    assert plain(before) == plain(text[: spans[0][0]])
    assert plain(behind).startswith(plain(text[spans[-1][1] :]))


@given(stories(), st.integers())
def test_a_slip_of_the_hand_spares_companies_tags_and_addresses(story: tuple[str, Spans], seed: int) -> None:
    text, spans = story
    written, moved = PERTURBATIONS["typos"](text, spans, Random(seed))
    assert [written[a:b] for a, b in moved] == [text[a:b] for a, b in spans]
    assert written.count("https://t.co/Ab1") == text.count("https://t.co/Ab1")


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("text", ["Acme Bank loses half of its value", "艾克米银行第三季度净利润大幅下滑"])
def test_each_change_is_one_in_the_language_that_has_it(name: str, text: str) -> None:
    company = "Acme Bank" if text.isascii() else "艾克米银行"
    written, _ = perturbed(name, text, (0, len(company)))
    assert (written != text) == (text.isascii() or name not in ("upper", "lower", "title"))


@pytest.mark.parametrize("name", [name for name in PERTURBATIONS if name != "noise"])
def test_where_nothing_can_be_changed_nothing_is(name: str) -> None:
    assert perturbed(name, "…") == ("…", [])


def test_a_word_that_turns_the_sentence_around_is_not_mistyped() -> None:
    text = "不涨 no up"
    assert all(perturbed("typos", text, seed=seed)[0] == text for seed in range(50))


def test_case_leaves_addresses_as_they_are() -> None:
    assert perturbed("upper", "Acme's fall: https://t.co/aB", (0, 4)) == ("ACME'S FALL: https://t.co/aB", ["ACME"])
    assert perturbed("title", "acme's IBM deal", (0, 4)) == ("Acme's IBM Deal", ["Acme"])


def test_the_other_name_is_of_the_same_language_trade_and_form() -> None:
    text = "Acme Bank ($ACME, 艾克米银行) falls"
    written, names = perturbed("swap", text, (0, 9), (11, 16), (18, 23))
    english, cashtag, chinese = names
    assert english.endswith(" Bank")
    assert chinese.endswith("银行")
    assert re.fullmatch(r"\$[A-Z]{4}", cashtag)
    assert written == f"{english} ({cashtag}, {chinese}) falls"


def test_two_companies_of_a_text_get_two_names() -> None:
    written, (first, second) = swap_all("Acme up, Bolt down, Acme cheers", [[(0, 4), (20, 24)], [(9, 13)]], Random(1))
    one, other = ({written[start:stop] for start, stop in spans} for spans in (first, second))
    assert len(one) == len(other) == 1
    assert one != other
    assert written == f"{min(one)} up, {min(other)} down, {min(one)} cheers"
