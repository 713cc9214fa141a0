"""Which texts are near-copies: they share a group, whatever joins them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.copies import merged

LONG = "Shares of Acme Bank fell on Tuesday after the lender cut its outlook for the year and named a new chief"


def test_copies_by_signature_by_name_and_by_a_third_are_one_group() -> None:
    texts = [LONG, f"{LONG} - Reuters", "Bolt rises", "Bolt soars", "Cog sinks"]
    assert merged(texts, ["d", "c", "b", "b", "a"]) == ["c", "c", "b", "b", "a"]
    assert merged(texts, ["d", "b", "b", "c", "a"]) == ["b", "b", "b", "c", "a"]


def test_addresses_make_no_copy_and_part_none() -> None:
    assert merged([f"{LONG} https://t.co/abcdefgh", f"https://t.co/ijklmnop {LONG}"], ["b", "a"]) == ["a", "a"]
    assert merged(["Acme: https://example.com/long/1", "Bolt: https://example.com/long/1"], ["a", "b"]) == ["a", "b"]


def test_one_template_filled_twice_is_two_texts() -> None:
    assert merged(["Acme shares fall 3% in early trade", "Apex shares fall 3% in early trade"], ["a", "b"]) == [
        "a",
        "b",
    ]


def test_a_text_without_letters_is_like_nothing() -> None:
    assert merged(["...", "!!!"], ["a", "b"]) == ["a", "b"]


@given(st.lists(st.tuples(st.sampled_from([LONG, f"{LONG}!", "Acme", "Bolt", "?"]), st.sampled_from("abc"))))
def test_equal_texts_and_equal_groups_never_part(rows: list[tuple[str, str]]) -> None:
    found = merged([text for text, _ in rows], [group for _, group in rows])
    for column in (0, 1):
        parts = {(row[column], group) for row, group in zip(rows, found, strict=True)}
        assert len(parts) == len({row[column] for row in rows})
