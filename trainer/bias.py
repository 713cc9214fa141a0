"""Whether a model judges news by who is in it: the same events told of other companies, countries, women and men.

The events and names are `bias.toml`, written for the project, in English and Chinese. A template is told with every
value of one kind of slot, the others staying as they are, and p(negative) should be the same each time: what it
differs from the mean over the values is its *shift*.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor.core.manifest import Head
from monitor.scoring.glossary import Span
from trainer.calibrate import Scores
from trainer.exam import NEGATIVE
from trainer.robust import Ask

FILE = Path(__file__).resolve().parent / "bias.toml"
HEAD = "sentiment"
WORST = 3  # examples shown of each kind
KINDS = ("company", "country", "gender")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What fills the slots of one kind, and the group whose treatment it shows."""

    group: str
    words: Mapping[str, str]  # slot to text


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event told with one value of a kind."""

    value: Value
    sign: str  # of the event
    text: str
    spans: tuple[Span, ...]  # of the company


def probe(ask: Ask, head: Head) -> dict[str, Any]:
    """Return {kind: figures}, ready for JSON, for a model's sentiment head.

    `mean` and `largest` are those of the shifts of p(negative), without their sign; `moved` is the share of texts whose
    label is not the one that most values of their template get; `right` the share whose label is the event's; `groups`
    holds each group's mean shift, with its sign, and `worst` the texts that shift most.
    """
    found = {}
    for kind in KINDS:
        families = told(kind)
        given = ask([(each.text, each.spans) for family in families for each in family])[HEAD]
        ends = np.cumsum([len(family) for family in families])[:-1]
        found[kind] = _figures(families, np.split(given, ends), head.labels)
    return found


def _figures(families: Sequence[Sequence[Told]], given: Sequence[Scores], labels: Sequence[str]) -> dict[str, Any]:
    shifts: list[tuple[float, float, Told]] = []
    moved, right = 0, 0
    for family, scores in zip(families, given, strict=True):
        negative = scores[:, labels.index(NEGATIVE)]
        answers = scores.argmax(axis=1)
        moved += int((answers != np.bincount(answers).argmax()).sum())
        right += sum(labels[answer] == each.sign for answer, each in zip(answers, family, strict=True))
        shifts += zip((negative - negative.mean()).tolist(), negative.tolist(), family, strict=True)
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for shift, _, each in shifts:
        groups[each.value.group].append(shift)
    sizes = [abs(shift) for shift, _, _ in shifts]
    worst = sorted(shifts, key=lambda each: -abs(each[0]))[:WORST]
    return {
        "texts": len(shifts),
        "mean": round(float(np.mean(sizes)), 4),
        "largest": round(max(sizes), 4),
        "moved": round(moved / len(shifts), 4),
        "right": round(right / len(shifts), 4),
        "groups": {group: round(float(np.mean(each)), 4) for group, each in groups.items()},
        "worst": [
            {"text": each.text, "group": each.value.group, "negative": round(p, 4), "shift": round(shift, 4)}
            for shift, p, each in worst
        ],
    }


def told(kind: str) -> list[list[Told]]:
    """Return each template that has slots of this kind, told with each of its values."""
    content = tomllib.loads(FILE.read_text(encoding="utf-8"))
    families = []
    for template in content["template"]:
        for language in ("en", "zh"):
            values = {each: [_value(entry, language) for entry in content[each]] for each in KINDS}
            pattern = template[language]
            if any(f"{{{slot}}}" in pattern for slot in values[kind][0].words):
                usual = {slot: word for each in KINDS for slot, word in values[each][0].words.items()}
                families.append([_told(pattern, template["sign"], usual, value) for value in values[kind]])
    return families


def _value(entry: Mapping[str, Any], language: str) -> Value:
    return Value(group=entry["group"], words=entry[language])


def _told(pattern: str, sign: str, usual: Mapping[str, str], value: Value) -> Told:
    words = {**usual, **value.words}
    before, named, _ = pattern.partition("{company}")
    start = len(before.format(**words))
    spans = ((start, start + len(words["company"])),) if named else ()
    return Told(value=value, sign=sign, text=pattern.format(**words), spans=spans)
