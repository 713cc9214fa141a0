"""Strings for laws: what a hostile or careless feed might hold, and the naughty strings where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import strategies as st

NAUGHTY = Path(__file__).parents[3] / "shared" / "corpora" / "naughty-strings" / "blns.json"

PIECES = [
    "<", ">", "&", ";", "amp;", "lt;", "&lt;", "&gt;", "&amp;", "&#38;", "&#x3c;", "&nbsp;", "&bogus;", "<b>", "</b>",
    "<p ", '<a title="', "'", '"', "<script>", "</script>", "<style x>", "</STYLE >", "<!--", "-->", "<![CDATA[", "]]>",
    "<?xml ", "<br/>", "<o:p>", "b", "\u0301", "\u0323", "\u0338", "\u200b", "\u202e", "\ufe0f", "\ud800", "\U000e0041",
    "\x00", "\x85", "\u3000", "\n", " ", "＜", "＞", "＆", "；", "ﬁ", "㌖", "\u1100", "\u1161", "\u3164", "İ", "ß", "Σ",
    "银行", "カ", "ﾞ", "한", "😀", "Acme", "3%", ".", "…",
]  # fmt: skip

texts = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=25).map("".join))


@pytest.fixture(scope="session")
def naughty() -> list[str]:
    if not NAUGHTY.exists():
        pytest.skip(f"{NAUGHTY} is not at hand")
    strings: list[str] = json.loads(NAUGHTY.read_text(encoding="utf-8"))
    return strings
