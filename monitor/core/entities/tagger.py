"""Find the watched companies in a text, all at once and in time that grows with the text alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from ahocorasick_rs import AhoCorasick, Implementation

from monitor.core.entities.watchlist import Company, Watchlist
from monitor.types import Article, EntityId, Mention

Span: TypeAlias = tuple[int, int]

MAX_COMPANIES = 8  # judged in one article; the rest are counted
_MAX_SPANS = 100  # kept for one company: a mention far down a text of a megabyte is beyond any model
_NEARBY = 100  # characters between a name and the words that must, or must not, stand nearby
_ACRONYM = 4  # letters up to which a name in capitals is found in capitals only

# Scripts that are written without spaces: a name in them needs no word's edge, and is one for Latin letters beside it.
_UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[^\W_{_UNSPACED}]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One company in a text, and where: half-open character ranges, ascending."""

    company: Company
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """What an article is judged for: the whole first, then at most eight companies. `unjudged` counts the rest."""

    mentions: tuple[Mention, ...]
    unjudged: int


class _Capitals(Enum):
    """How far what is found must agree in capitals with what is looked for."""

    EXACT = auto()
    FIRST = auto()  # begins with a capital
    ANY = auto()


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One name or ticker form, which the automaton finds without regard to capitals."""

    company: Company
    text: str
    capitals: _Capitals
    trimmed: int = 0  # characters at the beginning that are no part of the mention
    free: bool = False  # a ticker: needs no word nearby


class Tagger:
    """Finds a watchlist's companies.

    - The longest name wins where names overlap ("Acme Bank" over "Acme"), the leftmost first.
    - A name in Latin letters (or any script with spaces) must be whole words: "Acme's", "Acme-owned", "苹果Apple公司"
      match, "Acmeville" does not. Chinese, Japanese and Korean names need no edges.
    - Capitals: a name that begins with one is found with one ("Ally", "ALLY", not "ally"); a name of up to four letters
      all in capitals only so ("GE", "IBM", not "Ge"); a name that begins small ("eBay") in any case.
    - `near` and `not_near` are looked for, as whole words and without regard to capitals, up to 100 characters before
      and after each name. A name that is refused for them leaves its place to a shorter one within it.
    """

    def __init__(self, watchlist: Watchlist) -> None:
        self._watchlist = watchlist
        patterns = [pattern for company in watchlist.companies for pattern in _patterns(company)]
        self._by_text: dict[str, list[_Pattern]] = defaultdict(list)
        for pattern in patterns:
            self._by_text[_fold(pattern.text)].append(pattern)
        self._texts = list(self._by_text)
        self._automaton = AhoCorasick(self._texts, implementation=Implementation.ContiguousNFA)
        self._words = {
            company.id: (_any_of(company.near), _any_of(company.not_near))
            for company in watchlist.companies
            if company.near or company.not_near
        }

    def tag(self, article: Article) -> Tagged:
        """Return what the article is judged for. Companies named most often come first, of equals the earliest."""
        found = self.find(article.document)
        judged = found[:MAX_COMPANIES]
        companies = (Mention(article=article, entity=one.company.id, spans=one.spans) for one in judged)
        return Tagged(mentions=(Mention(article=article), *companies), unjudged=len(found) - len(judged))

    def find(self, text: str) -> list[Found]:
        """Return all companies found in a cleaned text, those named most often first, of equals the earliest."""
        spans: dict[EntityId, list[Span]] = defaultdict(list)
        for pattern, start, end in self._longest(text):
            spans[pattern.company.id].append((start + pattern.trimmed, end))
        order = sorted(spans.items(), key=lambda found: (-len(found[1]), found[1][0]))
        return [Found(company=self._watchlist.company(entity), spans=tuple(at[:_MAX_SPANS])) for entity, at in order]

    def _longest(self, text: str) -> Iterator[tuple[_Pattern, int, int]]:
        """Yield the matches that hold, leftmost and longest first, none overlapping."""
        matches = self._automaton.find_matches_as_indexes(_fold(text), overlapping=True)
        matches.sort(key=lambda match: (match[1], -match[2]))
        done = 0
        for index, start, end in matches:
            if start < done or not _whole(text, start, end):
                continue
            for pattern in self._by_text[self._texts[index]]:
                if _capitals_agree(pattern, text[start:end]) and self._in_company(pattern, text, start, end):
                    yield pattern, start, end
                    done = end
                    break

    def _in_company(self, pattern: _Pattern, text: str, start: int, end: int) -> bool:
        words = self._words.get(pattern.company.id)
        if words is None or pattern.free:
            return True
        near, not_near = words
        around = (text[max(0, start - _NEARBY) : start], text[end : end + _NEARBY])
        if not_near and any(not_near.search(side) for side in around):
            return False
        return not near or any(near.search(side) for side in around)


def _patterns(company: Company) -> Iterator[_Pattern]:
    for name in company.names:
        if name.isupper() and sum(map(str.isalpha, name)) <= _ACRONYM:
            capitals = _Capitals.EXACT
        else:
            capitals = _Capitals.FIRST if name[0].isupper() else _Capitals.ANY
        yield _Pattern(company, name, capitals)
    for ticker in company.tickers:
        for form in ticker.forms:
            capitals = _Capitals.EXACT if form.exact else _Capitals.ANY
            yield _Pattern(company, form.text, capitals, form.trimmed, free=True)


def _fold(text: str) -> str:
    """Return the text in small letters, as many characters as before, and fit for UTF-8."""
    folded = text.lower()
    if len(folded) != len(text):
        folded = "".join(small if len(small := char.lower()) == 1 else char for char in text)
    return _SURROGATE.sub("\ufffd", folded)


def _whole(text: str, start: int, end: int) -> bool:
    """Say whether a match that begins or ends in a spaced script does so at a word's edge."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (
        (before and _WORD.match(before) and _WORD.match(text[start]))
        or (after and _WORD.match(after) and _WORD.match(text[end - 1]))
    )


def _capitals_agree(pattern: _Pattern, found: str) -> bool:
    if pattern.capitals is _Capitals.EXACT:
        return found == pattern.text
    return pattern.capitals is _Capitals.ANY or found[0].isupper()


def _any_of(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return what finds any of the words: whole ones where they are of a spaced script."""
    if not words:
        return None
    letter = _WORD.pattern
    alternatives = [
        (f"(?<!{letter})" if _WORD.match(word[0]) else "")
        + re.escape(word)
        + (f"(?!{letter})" if _WORD.match(word[-1]) else "")
        for word in words
    ]
    return re.compile("|".join(alternatives), re.IGNORECASE)
