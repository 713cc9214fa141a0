"""Changes that a reader overlooks: typing errors, case, look-alike and invisible characters, typography, another name.

A label stays what it was under each of them: that is measured (robustness) and taught (augmentation). All are pure,
draw from the `Random` that they are given and from nothing else, and keep the company's places right. Each serves
English and Chinese, and returns a text in which it finds nothing to change as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from random import Random
from types import MappingProxyType
from typing import TypeAlias

from monitor.scoring.glossary import Span
from monitor.scoring.preparation import ADDRESS
from trainer.frames import Slots, read_slots

Spans: TypeAlias = tuple[Span, ...]  # ascending, half-open, in characters; none overlap
Perturbation: TypeAlias = Callable[[str, Sequence[Span], Random], tuple[str, Spans]]

SHARE = 0.1  # of words, letters or gaps that are touched, where there is a choice

TAG = re.compile(r"[$@#]\w+")
HAN = re.compile(r"[㐀-鿿]")
# A word that is too short to survive a slip is left alone, as are the characters that turn a sentence around.
WORD = re.compile(r"[A-Za-z]{4,}|(?:(?![不未无没非免否])[一-鿿]){2}")

KEYS = {  # of a keyboard: the neighbours in a row
    letter: row[max(0, at - 1) : at] + row[at + 1 : at + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for at, letter in enumerate(row)
}
SOUNDS = {  # the slips of those who write by sound
    letter: group.replace(letter, "")
    for group in ("的地得", "在再", "作做", "以已", "份分", "账帐", "像象", "期其", "元圆", "布部步", "事是", "与于")
    for letter in group
}
ALIKE = {
    **dict(zip("aceopxyijsABCEHKMOPTXY", "асеорхуіјѕАВСЕНКМОРТХУ", strict=True)),  # Cyrillic
    **dict(zip("vnNZI", "νηΝΖΙ", strict=True)),  # Greek
    **{letter: chr(ord(letter) + 0xFEE0) for letter in "bdfghklmqrtuwzDFGJLQRSUVW0123456789"},  # full width
    **dict(
        zip(
            "一人入力口土大女子小山工干心手文方日月木水火生用田石立行里金长食高",
            "⼀⼈⼊⼒⼝⼟⼤⼥⼦⼩⼭⼯⼲⼼⼿⽂⽅⽇⽉⽊⽔⽕⽣⽤⽥⽯⽴⾏⾥⾦⻓⻝⾼",
            strict=True,
        )
    ),  # radicals, which look like the characters
}
INVISIBLE = "\u200b\u200c\u200d\u2060\u00ad"

STYLE = re.compile(r"\.\.\.|……|[ '\"\-,:;!?()%，。：；！？（）“”、…]")
STYLES = {
    "...": "…",
    "…": ("...",),
    "……": ("...", "…"),
    " ": ("  ", "\u00a0", "\u2009"),
    "'": "’‘`",
    '"': "“”″",
    "“": '"「',
    "”": '"」',
    "-": "–—‑",
}
HAN_STYLES = {
    **dict(zip(",:;!?()%", "，：；！？（）％", strict=True)),
    **dict(zip("，。：；！？（）、", ",.:;!?(),", strict=True)),
}
SOURCES = (
    " - Reuters",
    " | Bloomberg",
    " (AP)",
    " – Dow Jones",
    " #stocks",
    " #markets #news",
    " https://t.co/x1",
    " …",
)
HAN_SOURCES = ("（新华社）", "（记者 李明）", " - 财联社", " 来源：证券时报", "#股市#", "#财经新闻#", " 查看原文", "……")


def typos(text: str, spans: Sequence[Span], rng: Random) -> tuple[str, Spans]:
    """Mistype one word in ten, one at least: letters swapped, dropped, doubled, or the key beside, never the first.

    Of Chinese, two characters are swapped, one is doubled, or another of its sound is written. Companies, tags and
    addresses are spelled right.
    """
    kept = [*spans, *(tag.span() for tag in TAG.finditer(text))]
    words = [word.span() for start, stop in _outside(text, kept) for word in WORD.finditer(text, start, stop)]
    letters = list(text)
    for start, stop in rng.sample(words, _some(words)):
        (_mistype_han if HAN.match(text[start]) else _mistype)(letters, start, stop, rng)
    return _joined(letters, spans)


def _mistype(letters: list[str], start: int, stop: int, rng: Random) -> None:
    at = rng.randrange(start + 1, stop - 1)
    match rng.randrange(4):
        case 0:
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
        case 1:
            letters[at] = ""
        case 2:
            letters[at] *= 2
        case _:
            key = rng.choice(KEYS[letters[at].lower()])
            letters[at] = key.upper() if letters[at].isupper() else key


def _mistype_han(letters: list[str], start: int, stop: int, rng: Random) -> None:
    sounding = [at for at in range(start, stop) if letters[at] in SOUNDS]
    if sounding:
        letters[sounding[0]] = rng.choice(SOUNDS[letters[sounding[0]]])
    elif rng.random() < 0.5:
        letters[start], letters[start + 1] = letters[start + 1], letters[start]
    else:
        letters[rng.randrange(start, stop)] *= 2


def upper(text: str, spans: Sequence[Span], rng: Random) -> tuple[str, Spans]:  # noqa: ARG001 - nothing is drawn
    """Shout: ALL IN CAPITALS, but addresses."""
    return _recased(text, spans, lambda letter, _: letter.upper())


def lower(text: str, spans: Sequence[Span], rng: Random) -> tuple[str, Spans]:  # noqa: ARG001 - nothing is drawn
    """Write all in small letters, companies too."""
    return _recased(text, spans, lambda letter, _: letter.lower())


def title(text: str, spans: Sequence[Span], rng: Random) -> tuple[str, Spans]:  # noqa: ARG001 - nothing is drawn
    """Begin Every Word With A Capital; all other letters stay, so that IBM stays IBM."""
    return _recased(text, spans, lambda letter, first: letter.upper() if first else letter)


def _recased(text: str, spans: Sequence[Span], change: Callable[[str, bool], str]) -> tuple[str, Spans]:
    letters = list(text)
    for at in _places(text):
        first = at == 0 or not (text[at - 1].isalnum() or text[at - 1] in "'’")
        letters[at] = change(text[at], first)
    return _joined(letters, spans)


def homoglyphs(text: str, spans: Sequence[Span], rng: Random) -> tuple[str, Spans]:
    """Put look-alikes from Cyrillic, Greek, full width and the Chinese radicals for one letter in ten, one at least."""
    known = [at for at in _places(text) if text[at] in ALIKE]
    letters = list(text)
    for at in rng.sample(known, _some(known)):
        letters[at] = ALIKE[text[at]]
    return _joined(letters, spans)


def zero_width(text: str, spans: Sequence[Span], rng: Random) -> tuple[str, Spans]:
    """Hide invisible characters inside words, companies' too: behind one letter in ten, one at least."""
    ends = {end for span in spans for end in span}
    gaps = [at for at in _places(text) if text[at].isalnum() and text[at + 1 : at + 2].isalnum() and at + 1 not in ends]
    letters = list(text)
    for at in rng.sample(gaps, _some(gaps)):
        letters[at] += rng.choice(INVISIBLE)
    return _joined(letters, spans)


def noise(text: str, spans: Sequence[Span], rng: Random) -> tuple[str, Spans]:
    """Print it elsewhere: other quotes, dashes, spaces and ellipses, in Chinese full or half width; and, half of the
    time, the name of a source, a tag or an address behind it."""
    chinese = HAN.search(text) is not None
    styles = {**STYLES, **HAN_STYLES} if chinese else STYLES
    letters = list(text)
    for start, stop in _outside(text, ()):
        for found in STYLE.finditer(text, start, stop):
            if found[0] in styles and rng.random() < 0.3:
                first, last = found.span()
                letters[first:last] = [rng.choice(styles[found[0]]), *[""] * (last - first - 1)]
    written, moved = _joined(letters, spans)
    if written == text or rng.random() < 0.5:
        written += rng.choice(HAN_SOURCES if chinese else SOURCES)
    return written, moved


def swap(text: str, spans: Sequence[Span], rng: Random) -> tuple[str, Spans]:
    """Tell it of another company: one invented name, in the language of the old one, wherever that stood."""
    written, (moved,) = swap_all(text, [spans], rng)
    return written, moved


def swap_all(text: str, companies: Sequence[Sequence[Span]], rng: Random) -> tuple[str, list[Spans]]:
    """As `swap`, for several companies of one text, each with a name of its own. No two spans may overlap."""
    slots = _slots()
    letters = list(text)
    for spans, stem in zip(companies, rng.sample(slots.stems, len(companies)), strict=True):
        draw = rng.random()
        for start, stop in spans:
            letters[start:stop] = [_named(text[start:stop], stem, slots, draw), *[""] * (stop - start - 1)]
    moved = [_joined(letters, spans) for spans in companies]
    return "".join(letters), [spans for _, spans in moved]


def _named(old: str, stem: tuple[str, str, str], slots: Slots, draw: float) -> str:
    """Return an invented name of the old one's form: a cashtag, or a name that ends as those of its trade do."""
    if old.startswith("$"):
        return f"${stem[2]}"
    column = 1 if HAN.search(old) else 0
    trades = [
        kind for kind, ends in slots.kinds.items() if any(end[column] and old.endswith(end[column]) for end in ends)
    ]
    ends = slots.kinds[trades[0] if trades else "firm"]
    end = ends[int(draw * len(ends))][column]
    return f"{stem[0]} {end}".strip() if column == 0 else stem[1] + end


@cache
def _slots() -> Slots:
    return read_slots()


def _joined(letters: Sequence[str], spans: Sequence[Span]) -> tuple[str, Spans]:
    """Join what stands in the place of each character of a text; its spans move along."""
    places = [0, *accumulate(map(len, letters))]
    return "".join(letters), tuple((places[start], places[stop]) for start, stop in spans)


def _some(choices: Sequence[object]) -> int:
    return max(1, round(len(choices) * SHARE)) if choices else 0


def _outside(text: str, spans: Sequence[Span]) -> Iterator[Span]:
    """Yield the stretches of a text outside these spans and outside addresses of web pages, which are never judged."""
    at = 0
    for start, stop in sorted([*spans, *(found.span() for found in ADDRESS.finditer(text))]):
        if at < start:
            yield at, start
        at = max(at, stop)
    if at < len(text):
        yield at, len(text)


def _places(text: str) -> Iterator[int]:
    """Yield the places of all characters outside addresses."""
    for start, stop in _outside(text, ()):
        yield from range(start, stop)


PERTURBATIONS: Mapping[str, Perturbation] = MappingProxyType(
    {
        "typos": typos,
        "upper": upper,
        "lower": lower,
        "title": title,
        "homoglyphs": homoglyphs,
        "zero_width": zero_width,
        "noise": noise,
        "swap": swap,
    }
)
