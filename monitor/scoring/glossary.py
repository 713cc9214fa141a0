"""Chinese words become English ones before the model reads them, so that what it learned from English holds for both.

The base model's vocabulary covers few Chinese characters, and its encoder was never trained on them. So each word of
the glossary, the longest first, is replaced by its gloss in place: 净利润下滑 becomes "net profit slides". Word order
stays Chinese; what the glossary lacks stays as it is. Traditional characters are read as the simplified ones that the
glossary is written in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind
from opencc import OpenCC

from monitor.errors import ConfigurationError

Span: TypeAlias = tuple[int, int]  # half-open, of characters or tokens

HEADER = "zh\ten"
CHINESE = re.compile("[\u3400-\u9fff]")


class Glossary:
    """Words and their glosses, found all at once in time that grows with the text alone."""

    def __init__(self, words: Mapping[str, str]) -> None:
        """Raise ValueError for an empty glossary."""
        if not words:
            raise ValueError("the glossary has no words")
        self._simplified = OpenCC("t2s").convert
        self._glosses = [f" {gloss} " for gloss in words.values()]
        self._finder = AhoCorasick(
            list(words), matchkind=MatchKind.LeftmostLongest, implementation=Implementation.ContiguousNFA
        )

    def gloss(self, text: str, spans: Sequence[Span]) -> tuple[str, list[Span]]:
        """Return the text in glosses, and where its ascending spans stand there.

        No word reaches over the edge of a span: a company's name is glossed for itself.
        """
        if not CHINESE.search(text):
            return text, list(spans)
        parts: list[str] = []
        moved: list[Span] = []
        length, at = 0, 0
        for start, stop in spans:
            before, inside = self._glossed(text[at:start]), self._glossed(text[start:stop])
            parts += [before, inside]
            moved.append((length + len(before), length + len(before) + len(inside)))
            length, at = moved[-1][1], stop
        return "".join([*parts, self._glossed(text[at:])]), moved

    def _glossed(self, text: str) -> str:
        text = self._simplified(text)
        parts: list[str] = []
        at = 0
        for word, start, stop in self._finder.find_matches_as_indexes(text):
            parts += [text[at:start], self._glosses[word]]
            at = stop
        return "".join([*parts, text[at:]])


def read(path: Path) -> Mapping[str, str]:
    """Return gloss by Chinese word, in the file's order: by code point, every word once and in NFKC.

    Raise ConfigurationError with file and line for the first line that is not so.
    """
    try:
        header, *lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot read it as UTF-8 text: {error}") from error
    if header != HEADER:
        raise ConfigurationError(f"{path}:1: found {header!r}, expected the header {HEADER!r}")
    words: dict[str, str] = {}
    before = ""
    for number, line in enumerate(lines, 2):
        word, tab, gloss = line.partition("\t")
        problem = _problem(word, gloss, before) if tab else "expected a word, a tab and its gloss"
        if problem:
            raise ConfigurationError(f"{path}:{number}: {problem}, found {line!r}")
        words[word] = gloss
        before = word
    return MappingProxyType(words)


def _problem(word: str, gloss: str, before: str) -> str | None:
    """Say what is wrong with an entry that stands behind the word `before`; None if nothing is."""
    if not word or word != unicodedata.normalize("NFKC", word).strip():
        return "expected a word in NFKC without spaces around it"
    if not gloss.isascii() or gloss.split(" ") != gloss.split():
        return "expected a gloss of ASCII words with one space between them"
    if word == before:
        return "expected every word once"
    return None if word > before else f"expected the words by code point, this one before {before!r}"
