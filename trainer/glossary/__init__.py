"""The project's own Chinese-English glossary of financial news, and reading it.

A model that was trained on English alone learns Chinese words from here: each entry can become a token of its own whose
embedding begins as the mean of its gloss's. README.md beside this file says how a gloss is worded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from monitor.errors import ConfigurationError

GLOSSARY = Path(__file__).resolve().parent / "zh_en.tsv"
HEADER = "zh\ten"


def read(path: Path = GLOSSARY) -> Mapping[str, str]:
    """Return gloss by Chinese word, in the file's order: by code point, every word once and in NFKC.

    Raises ConfigurationError with file and line for the first line that is not so.
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
