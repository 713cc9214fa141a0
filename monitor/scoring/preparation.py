"""How a text becomes tokens: the same for training and for serving, and versioned, for a model knows only what it saw.

The text is tokenised with the base model's own vocabulary between [CLS] and [SEP]; in version 2, that of models which
bring a glossary, after its Chinese words became English ones. Where a company is judged, each place that names it is
enclosed by a pair of marker tokens, and those places are its *focus*. Where the whole text is judged nothing is marked
and the focus is [CLS]. A text beyond the token limit is cut around the company, not at its beginning: the stretch kept
is the one that names it most often, with as much context before as behind.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from monitor.scoring.glossary import Glossary, Span

PLAIN, GLOSSED = 1, 2  # versions
MARKERS = ("[unused1]", "[unused2]")  # of BERT's vocabularies: entries that no text can produce
MARKED = 8  # places marked in one text; more say nothing new
CHARACTERS_PER_TOKEN = 8  # more than any language needs: what lies beyond is cut before it costs tokenising

ADDRESS = re.compile(r"https?://[!-~]+")  # Chinese goes on behind an address without a space


@dataclass(frozen=True, slots=True)
class Prepared:
    """One text as the model takes it: token ids, and the token ranges of what is judged."""

    ids: list[int]
    focus: list[Span]


def window(length: int, spans: Sequence[Span], room: int) -> Span:
    """Return the stretch of `room` units, of `length` in all, that holds most of the ascending `spans` whole.

    The earliest of equals; what room is left is split evenly before and behind. Without spans: the beginning.
    """
    if length <= room or not spans:
        return 0, min(length, room)
    ends = [end for _, end in spans]
    held = [bisect_right(ends, start + room) - i for i, (start, _) in enumerate(spans)]
    best = max(range(len(spans)), key=lambda i: (held[i], -i))
    first = spans[best][0]
    last = spans[best + max(held[best], 1) - 1][1]
    start = first - max(0, room - (last - first)) // 2
    start = min(max(start, 0), length - room)
    return start, start + room


def within(spans: Sequence[Span], start: int, stop: int) -> list[Span]:
    """Return the spans that begin in [start, stop), cut at `stop` and counted from `start`."""
    return [(a - start, min(b, stop) - start) for a, b in spans if start <= a < stop]


class Preparer:
    """Turns texts into tokens for one vocabulary and token limit. Not for several threads at once."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        limit: int,
        markers: tuple[str, str] | None = MARKERS,
        ends: tuple[str, str] = ("[CLS]", "[SEP]"),
        glossary: Glossary | None = None,
    ) -> None:
        """Raise ValueError where the vocabulary lacks an end or a marker. Without markers nothing is marked."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # a text that spells "[SEP]" does not end there
        self._tokenizer = tokenizer
        self.limit = limit
        self._glossary = glossary
        self._ends = self._id(ends[0]), self._id(ends[1])
        self._markers = None if markers is None else (self._id(markers[0]), self._id(markers[1]))

    def _id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"the vocabulary has no token {token}")
        return int(found)

    def prepare(self, texts: Sequence[tuple[str, Sequence[Span]]]) -> list[Prepared]:
        """Prepare (text, ascending character spans of the company) pairs, in order; no spans: the whole text."""
        pieces: list[tuple[str, list[Span]]] = []
        room = self.limit * CHARACTERS_PER_TOKEN
        for text, spans in texts:
            start, stop = window(len(text), spans, room)
            piece = ADDRESS.sub(_blank, text[start:stop]), within(spans, start, stop)
            pieces.append(self._glossary.gloss(*piece) if self._glossary else piece)
        unique = list(dict.fromkeys(piece for piece, _ in pieces))
        encoded = dict(zip(unique, self._tokenizer.encode_batch(unique, add_special_tokens=False), strict=True))
        return [
            self._assemble(encoded[piece].ids, _token_spans(encoded[piece].offsets, spans) if spans else [])
            for piece, spans in pieces
        ]

    def _assemble(self, ids: list[int], spans: list[Span]) -> Prepared:
        marks = 2 * min(len(spans), MARKED) if self._markers else 0
        start, stop = window(len(ids), spans, self.limit - 2 - marks)
        tokens, focus, at = [self._ends[0]], list[Span](), start
        for a, b in within(spans, start, stop)[:MARKED]:
            tokens += ids[at : start + a]
            if self._markers:
                tokens.append(self._markers[0])
            focus.append((len(tokens), len(tokens) + b - a))
            tokens += ids[start + a : start + b]
            if self._markers:
                tokens.append(self._markers[1])
            at = start + b
        tokens += ids[at:stop]
        tokens.append(self._ends[1])
        return Prepared(tokens, focus or [(0, 1)])


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])  # of the same length: spans stay where they are


def _token_spans(offsets: Sequence[Span], spans: Sequence[Span]) -> list[Span]:
    """Translate ascending character spans into token ranges, leaving out what covers no token or one already taken."""
    starts, ends = [a for a, _ in offsets], [b for _, b in offsets]
    found: list[Span] = []
    for a, b in spans:
        first, last = bisect_right(ends, a), bisect_left(starts, b)
        if first < last and (not found or first >= found[-1][1]):
            found.append((first, last))
    return found
