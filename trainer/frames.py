"""Labelled rows from event frames: one event, told in English and in Chinese, with invented names and drawn numbers.

A frame (`frames/*.toml`) holds an event's labels and its wordings in both languages. A draw fills the slots of one
English and one Chinese wording with the same names and numbers, so the two say the same and share a `pair`. All rows
of a frame share its `group`: what is held out is then an event never trained on, not a known wording with new names.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from monitor.errors import ConfigurationError

FOLDER = Path(__file__).with_suffix("")
SHIPPED = "builtin:frames"  # names that folder in a recipe
SLOTS = "slots.toml"
LANGUAGES = ("en", "zh")
SLOT = re.compile(r"\{(\w*)\}")
Pair = tuple[str, str]  # English, Chinese


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """An event. `sentiment` is the company's, or the text's where none is named; `other` the second company's."""

    id: str
    sentiment: str
    topic: str | None
    kind: str  # of the companies
    other: str | None
    wordings: Mapping[str, Sequence[str]]  # by language


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """What slots draw from."""

    stems: Sequence[tuple[str, str, str]]  # English, Chinese, cashtag
    kinds: Mapping[str, Sequence[Pair]]  # what names of such companies end in
    lists: Mapping[str, Sequence[Pair]]


def read(labels: Mapping[str, Sequence[str]], folder: Path = FOLDER) -> tuple[Sequence[Frame], Slots]:
    """Return all frames of a folder, and its slots. `labels` are those of `sentiment` and `topic`; empty: any will do.

    Raise ConfigurationError that names file and frame where one has an unknown key, label, kind or slot, lacks a
    language, or has the id or a wording of another.
    """
    slots = read_slots(folder)
    frames: list[Frame] = []
    seen: dict[str, str] = {}  # ids and wordings, with the place of the first
    for path in sorted(folder.glob("*.toml")):
        for raw in _parsed(path).get("frame", []):
            place = f"{path}: frame {raw.get('id')!r}"
            frames.append(_frame(raw, place, labels, slots))
            for each in (frames[-1].id, *(text for texts in frames[-1].wordings.values() for text in texts)):
                if each in seen:
                    raise ConfigurationError(f"{place}: found {each!r}, expected what {seen[each]} does not have")
                seen[each] = place
    return frames, slots


def read_slots(folder: Path = FOLDER) -> Slots:
    """Return the slots of a folder of frames. Raise ConfigurationError where they are no pairs."""
    written = _parsed(folder / SLOTS)
    try:
        return Slots(
            stems=[(en, zh, ticker) for en, zh, ticker in written["stems"]],
            kinds={kind: [(en, zh) for en, zh in ends] for kind, ends in written["kinds"].items()},
            lists={name: [(en, zh) for en, zh in words] for name, words in written["lists"].items()},
        )
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"{folder / SLOTS}: found {error}, expected stems, kinds and lists of pairs"
        ) from error


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot read it as TOML: {error}") from error


def _frame(raw: Mapping[str, Any], place: str, labels: Mapping[str, Sequence[str]], slots: Slots) -> Frame:
    slot_names = list(_drawn(next(iter(slots.kinds)), slots, Random(0)))  # noqa: S311 - any draw fills all slots
    frame = Frame(
        id=str(raw.get("id") or ""),
        sentiment=raw.get("sentiment", ""),
        topic=raw.get("topic"),
        kind=raw.get("kind", "firm"),
        other=raw.get("other"),
        wordings={language: raw.get(language) or () for language in LANGUAGES},
    )
    choices: list[tuple[str, object, Sequence[object]]] = [
        ("sentiment", frame.sentiment, labels["sentiment"]),
        ("topic", frame.topic, labels["topic"] and [None, *labels["topic"]]),
        ("kind", frame.kind, list(slots.kinds)),
        ("other", frame.other, labels["sentiment"] and [None, *labels["sentiment"]]),
    ]
    choices += [("key", key, ["id", "sentiment", "topic", "kind", "other", *LANGUAGES]) for key in raw]
    for language in LANGUAGES:
        texts: Any = raw.get(language)
        if not frame.id or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise ConfigurationError(f"{place}: found no id, or a lack of words in {language!r}, expected both")
        choices += [("slot", slot, slot_names) for text in texts for slot in SLOT.findall(text)]
        for text in texts:
            if re.search("[{}]", SLOT.sub("", text)) or (frame.other and not {"company", "other"} <= _named(text)):
                raise ConfigurationError(f"{place}: found {text!r}, expected whole slots, and all its companies")
    for key, found, expected in choices:
        if expected and found not in expected:
            raise ConfigurationError(
                f"{place}: {key}: found {found!r}, expected one of {', '.join(map(str, filter(None, expected)))}"
            )
    return frame


def _named(text: str) -> set[str]:
    """Return which of the two companies a wording names, by name or cashtag."""
    tickers = {"ticker": "company", "other_ticker": "other"}
    return {tickers.get(slot, slot) for slot in SLOT.findall(text)} & {"company", "other"}


def expand(frames: Sequence[Frame], slots: Slots, rng: Random, draws: int) -> Iterator[dict[str, str]]:
    """Yield the rows of `draws` draws of each frame: in each language one for each company that bears a label.

    Each wording comes up as often as the others, give or take one.
    """
    for frame in frames:
        orders = {language: rng.sample(texts, len(texts)) for language, texts in frame.wordings.items()}
        for number in range(draws):
            drawn = _drawn(frame.kind, slots, rng)
            for column, language in enumerate(LANGUAGES):
                wording = orders[language][number % len(orders[language])]
                labels = {"language": language, "pair": f"{frame.id}/{number}", "group": frame.id}
                yield from _rows(frame, wording, {slot: pair[column] for slot, pair in drawn.items()}, labels)


def _rows(frame: Frame, wording: str, drawn: Mapping[str, str], labels: Mapping[str, str]) -> Iterator[dict[str, str]]:
    text = SLOT.sub(lambda match: drawn[match[1]], wording)
    text = re.sub(r"\b([Aa]) (?=8|1[18]\b)", r"\1n ", text[0].upper() + text[1:])  # an 8% fall
    text = re.sub(r"(?<=s)'s\b", "'", text)  # Tarnwell Systems' profit
    if frame.topic:
        labels = {"topic": frame.topic, **labels}
    named = False
    for slot, ticker, sentiment in (("company", "ticker", frame.sentiment), ("other", "other_ticker", frame.other)):
        if sentiment and slot in _named(wording):
            entity = drawn[slot] if f"{{{slot}}}" in wording else drawn[ticker]
            named = True
            yield {"text": text, "entity": entity, "sentiment": sentiment, **labels}
    if not named:
        yield {"text": text, "sentiment": frame.sentiment, **labels}


def _drawn(kind: str, slots: Slots, rng: Random) -> dict[str, Pair]:
    """Return a value for every slot: numbers of one currency, `less` always below `more`."""
    drawn = {name: rng.choice(words) for name, words in slots.lists.items()}
    for slot, ticker, stem in zip(
        ("company", "other"), ("ticker", "other_ticker"), rng.sample(slots.stems, 2), strict=True
    ):
        end = rng.choice(slots.kinds[kind])
        drawn[slot] = (f"{stem[0]} {end[0]}".strip(), stem[1] + end[1])
        drawn[ticker] = (stem[2], stem[2])
    unit = drawn["currency"]
    words = rng.choice((("m", "bn"), (" million", " billion"), (" million", " billion"), (" mln", " bln")))
    percent = rng.choice(("%", "%", "%", " percent", " pct"))
    more, price, eps, share = 10 ** rng.uniform(0.3, 3.9), rng.uniform(3, 240), rng.uniform(0.2, 4), rng.uniform(4, 48)
    for name, part in (("more", 1.0), ("less", rng.uniform(0.3, 0.93)), ("amount", rng.uniform(0.2, 1.4))):
        drawn[name] = _money(more * part, unit, words)
    for prefix, part in (("", rng.uniform(0.6, 1.2)), ("less_", rng.uniform(0.4, 0.92)), ("more_", 1.0)):
        drawn[f"{prefix}price"] = (f"{unit[0]}{price * part:.2f}", f"{price * part:.2f}{unit[1]}")
        drawn[f"{prefix}eps"] = (f"{unit[0]}{eps * part:.2f}", f"{eps * part:.2f}{unit[1]}")
        drawn[f"{prefix}percent"] = _number(share * part, 1, percent)
    drawn["tiny"] = _number(rng.uniform(0.1, 0.9), 1, percent)
    drawn["big"] = _number(rng.uniform(51, 95), 0, percent)
    drawn["stake"] = _number(rng.uniform(5, 29), 2, percent)
    count, shares, year = rng.randrange(4, 900) * 10, rng.uniform(0.3, 90), rng.randrange(2019, 2028)
    drawn["count"] = (f"{count:,}", str(count))
    drawn["shares"] = (
        f"{shares:.2f} million" if rng.random() < 0.5 else f"{shares * 1e6:,.0f}",
        f"{shares * 100:.0f}万",
    )
    drawn["code"] = (code := f"{rng.choice((309, 609))}{rng.randrange(1000):03}", code)  # prefixes that no share has
    for offset, name in enumerate(("last_year", "year", "next_year"), start=-1):
        drawn[name] = (str(year + offset), f"{year + offset}年")
    day, (english, chinese) = rng.randrange(1, 29), rng.choice(slots.lists["month"])
    drawn["date"] = (rng.choice((f"{english} {day}", f"{day} {english}")), f"{chinese}{day}日")
    return drawn


def _number(value: float, digits: int, percent: str) -> Pair:
    return f"{value:.{digits}f}{percent}", f"{value:.{digits}f}%"


def _money(millions: float, unit: Pair, words: tuple[str, str]) -> Pair:
    """English counts in millions and billions, Chinese in 万 (10,000) and 亿 (100 million)."""
    value, word = (millions, words[0]) if millions < 1000 else (millions / 1000, words[1])
    chinese = f"{millions * 100:.0f}万" if millions < 100 else f"{millions / 100:.2f}亿"
    return f"{unit[0]}{value:.{1 if value < 200 else 0}f}{word}", chinese + unit[1]
