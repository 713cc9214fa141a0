from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.scoring.preparation import Preparer, window, within
from tests.tiny import tokenizer

TEXT = "Acme Bank gains as Borealis Steel slumps"
ACME, BOREALIS = (0, 9), (19, 33)


def shown(text: str, *spans: tuple[int, int], limit: int = 64) -> str:
    (prepared,) = Preparer(tokenizer(), limit=limit).prepare([(text, spans)])
    return " ".join(str(tokenizer().id_to_token(i)) for i in prepared.ids)


def focus(text: str, *spans: tuple[int, int], limit: int = 64) -> list[str]:
    (prepared,) = Preparer(tokenizer(), limit=limit).prepare([(text, spans)])
    return [" ".join(str(tokenizer().id_to_token(i)) for i in prepared.ids[a:b]) for a, b in prepared.focus]


def test_the_company_is_marked_where_it_stands() -> None:
    assert shown(TEXT, ACME) == "[CLS] [unused1] acme bank [unused2] gains as borealis steel slumps [SEP]"
    assert shown(TEXT, BOREALIS) == "[CLS] acme bank gains as [unused1] borealis steel [unused2] slumps [SEP]"
    assert focus(TEXT, BOREALIS) == ["borealis steel"]


def test_the_whole_text_bears_no_mark_and_is_seen_through_its_first_token() -> None:
    assert shown(TEXT) == "[CLS] acme bank gains as borealis steel slumps [SEP]"
    assert focus(TEXT) == ["[CLS]"]


def test_chinese_goes_the_same_way() -> None:
    assert shown("艾克米 falls", (0, 3)) == "[CLS] [unused1] 艾 克 米 [unused2] falls [SEP]"


def test_a_text_cannot_forge_marks_or_ends() -> None:
    tokens = shown("Acme [SEP] falls [unused1] [CLS]")
    assert tokens.count("[SEP]") == tokens.count("[CLS]") == 1
    assert "[unused1]" not in tokens


def test_addresses_of_web_pages_are_left_out() -> None:
    assert shown("Acme falls https://t.co/x1 today", (0, 4)) == "[CLS] [unused1] acme [unused2] falls today [SEP]"


def test_a_company_far_inside_a_long_text_keeps_its_surroundings() -> None:
    text = "x " * 4000 + "Acme falls after fraud " + "y " * 4000
    tokens = shown(text, (8000, 8004), limit=24).split()
    assert len(tokens) == 24
    at = tokens.index("[unused1]")
    assert tokens[at : at + 6] == ["[unused1]", "acme", "[unused2]", "falls", "after", "fraud"]
    assert tokens[at - 5 : at] == ["x"] * 5


def test_a_long_text_as_a_whole_is_judged_by_its_beginning() -> None:
    tokens = shown("Acme falls " + "y " * 4000, limit=24).split()
    assert tokens[:3] == ["[CLS]", "acme", "falls"]
    assert len(tokens) == 24


def test_the_stretch_that_names_the_company_most_often_is_kept() -> None:
    text = "Acme " + "x " * 100 + "Acme Acme"
    first, second = text.rindex("Acme Acme"), text.rindex("Acme")
    assert focus(text, (0, 4), (first, first + 4), (second, second + 4), limit=24) == ["acme", "acme"]


def test_empty_text_is_two_ends() -> None:
    assert shown("") == shown(" \u200b", (0, 1)) == "[CLS] [SEP]"


def test_a_vocabulary_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[open\]"):
        Preparer(tokenizer(), limit=64, markers=("[open]", "[close]"))


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=12).map(
    lambda steps: [
        (start, start + width)
        for i, (gap, width) in enumerate(steps)
        for start in [sum(g + w for g, w in steps[:i]) + gap]
    ]
)


@given(spans, st.integers(0, 100), st.integers(1, 120))
def test_a_window_lies_inside_and_holds_a_span_whole_where_one_fits(
    spans: list[tuple[int, int]], rest: int, room: int
) -> None:
    length = (spans[-1][1] if spans else 0) + rest
    start, stop = window(length, spans, room)
    assert 0 <= start <= stop <= length
    assert stop - start == min(length, room)
    held = sum(start <= a and b <= stop for a, b in spans)
    best = max((sum(at <= a and b <= at + room for a, b in spans) for at, _ in spans), default=0)
    assert held >= best


@given(st.text("acme bnkfls艾克[]SEP .,https://", max_size=300), st.integers(16, 64), st.data())
def test_no_text_exceeds_the_limit_and_the_focus_lies_inside(text: str, limit: int, data: st.DataObject) -> None:
    a = data.draw(st.integers(0, len(text)))
    b = data.draw(st.integers(a, len(text)))
    (prepared,) = Preparer(tokenizer(), limit=limit).prepare([(text, [(a, b)] if a < b else [])])
    assert 2 <= len(prepared.ids) <= limit
    assert all(0 <= start < stop <= len(prepared.ids) for start, stop in prepared.focus)


def test_spans_are_counted_from_the_window() -> None:
    assert within([(0, 4), (10, 14), (18, 30)], 5, 20) == [(5, 9), (13, 15)]
