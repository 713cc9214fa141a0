"""The shipped glossary: its form, its breadth, and that phrases that turn a meaning round are glossed rightly."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from monitor.scoring.glossary import read
from trainer.config import glossary_file

GLOSS = re.compile(r"[A-Za-z0-9&][A-Za-z0-9&'.+\-]*( [A-Za-z0-9&][A-Za-z0-9&'.+\-]*){0,4}")
WORD = re.compile(r"[*A-Z0-9]*[\u4e00-\u9fff][\u4e00-\u9fffA-Z0-9]*|\*?ST")
NAMES = re.compile(  # what may be written in capitals beside words with one capital
    r"AI|B|BMW|BYD|CATL|CICC|CITIC|CNOOC|COVID|HNA|HSBC|I|ICBC|JD\.com|JPMorgan|LONGi|LeEco|NetEase|ByteDance|NIO|OPEC|PDD"
    r"|PetroChina|S&P|SMIC|STAR|TSMC|UAE|UBS|US|US-listed|China-US|ZTE|[A-Z][a-z]+(-[A-Z][a-z]+)*('[a-z]+)?"
)
# Each phrase's parts alone would mislead; the gloss has to hold the word that turns it.
TURNED = {
    "扭亏为盈": "profit",
    "由盈转亏": "loss",
    "亏损收窄": "narrow",
    "亏损扩大": "widen",
    "降幅收窄": "narrows",
    "涨幅收窄": "narrow",
    "增收不增利": "down",
    "不及预期": "misses",
    "好于预期": "better",
    "未能兑付": "failed",
    "按期兑付": "on time",
    "解除质押": "released",
    "解除冻结": "unfrozen",
    "终止重组": "terminated",
    "终止减持": "ended",
    "摘帽": "restored",
    "戴帽": "imposed",
    "撤销退市风险警示": "restored",
    "恢复上市": "resumed",
    "复牌": "resumes",
    "否认": "denies",
    "不实": "untrue",
    "辟谣": "refutes",
    "不起诉": "not",
    "驳回上诉": "dismissed",
    "止跌回升": "rebounds",
    "冲高回落": "gives up",
    "高开低走": "slides",
    "低开高走": "climbs",
    "不增反降": "falls",
    "不降反升": "rises",
    "不跌反涨": "rises",
    "利好出尽": "exhausted",
    "由负转正": "positive",
    "由正转负": "negative",
    "逆势上涨": "rises",
    "被否": "rejected",
    "解禁": "expires",
    "断供": "cut off",
    "暂停加息": "pauses",
    "移出实体清单": "removed",
    "列入实体清单": "added",
}


@pytest.fixture(scope="module")
def words() -> Mapping[str, str]:
    return read(glossary_file("zh_en"))


def test_every_word_is_chinese_and_every_gloss_is_one_to_five_plain_words(words: Mapping[str, str]) -> None:
    odd = {word: gloss for word, gloss in words.items() if not WORD.fullmatch(word) or not GLOSS.fullmatch(gloss)}
    assert not odd


def test_only_names_are_written_with_capitals(words: Mapping[str, str]) -> None:
    capitals = {part for gloss in words.values() for part in gloss.split() if part != part.lower()}
    assert not {part for part in capitals if not NAMES.fullmatch(part)}


def test_it_covers_words_and_the_characters_behind_them(words: Mapping[str, str]) -> None:
    assert sum(len(word) > 1 for word in words) >= 6000
    assert sum(len(word) == 1 for word in words) >= 2500
    alone = {character for word in words for character in word if character >= "\u4e00"} - set(words)
    assert len(alone) < 100, alone


@pytest.mark.parametrize(("word", "turn"), TURNED.items())
def test_what_turns_a_meaning_is_in_the_gloss(words: Mapping[str, str], word: str, turn: str) -> None:
    assert turn in words[word]


def test_an_entry_stays_a_reader_can_not_write_into(words: Mapping[str, str]) -> None:
    with pytest.raises(TypeError):
        words["涨"] = "falls"  # type: ignore[index]  # the point of the test
