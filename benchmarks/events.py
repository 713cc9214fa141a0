"""Are stories about one happening found, and other stories about the same company kept apart?

    python benchmarks/events.py

On the invented happenings of happenings.toml, each told in several wordings, English and Chinese. First for pairs of
headlines about one company: how often a pair about one happening is nearer than a pair about two (the area under the
ROC curve), by the gists' cosine and by the Jaccard similarity of words (of pairs of characters in Chinese). Then
the events that are made of the headlines, handed over in orders of chance, as B-cubed precision, recall and F1, beside
what the same rule makes of the Jaccard similarity, at the threshold that is best for it.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np

from monitor.core.events import EventBook
from monitor.scoring.gist import open_gists
from monitor.types import ArticleId, EntityId, Gist

HAPPENINGS = Path(__file__).with_name("happenings.toml")
NOW = datetime(2026, 3, 2, tzinfo=UTC)
ORDERS = 10
THRESHOLDS = (0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3)
CHINESE = re.compile("[\u3400-\u9fff]")


@dataclass(frozen=True)
class Headline:
    """One wording of a happening; `words` and `gist` are without the company's names."""

    title: str
    company: str  # empty: none
    happening: tuple[str, int]
    gist: Gist
    words: frozenset[str]


def headlines() -> list[Headline]:
    """Read them, and leave the companies' names out of what they say."""
    found: list[Headline] = []
    for company in tomllib.loads(HAPPENINGS.read_text(encoding="utf-8"))["company"]:
        names = re.compile("|".join(map(re.escape, company["names"])) or "(?!)")
        lead = company["names"][0] if company["names"] else ""
        for number, titles in enumerate(company["happenings"]):
            spans = [[name.span() for name in names.finditer(title)] for title in titles]
            gists = open_gists().of(list(zip(titles, spans, strict=True)))
            found += [
                Headline(title, lead, (lead, number), gist, words(names.sub(" ", title)))
                for title, gist in zip(titles, gists, strict=True)
            ]
    return found


def words(text: str) -> frozenset[str]:
    """Return the words of an English headline, the pairs of characters of a Chinese one."""
    if CHINESE.search(text):
        return frozenset(text[at : at + 2] for at in range(len(text) - 1))
    return frozenset(re.findall(r"\w+", text.lower()))


def cosine(one: Headline, other: Headline) -> float:
    a, b = (np.frombuffer(each.gist, dtype=np.int8).astype(float) for each in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def jaccard(one: Headline, other: Headline) -> float:
    return len(one.words & other.words) / len(one.words | other.words)


def area(near: Callable[[Headline, Headline], float], pairs: Sequence[tuple[Headline, Headline]]) -> float:
    """Return the chance that a pair about one happening is nearer than a pair about two; equals count half."""
    same = np.array([near(*pair) for pair in pairs if pair[0].happening == pair[1].happening])
    other = np.array([near(*pair) for pair in pairs if pair[0].happening != pair[1].happening])
    return float((same[:, None] > other).mean() + (same[:, None] == other).mean() / 2)


def by_gist(told: Sequence[Headline]) -> Mapping[str, str]:
    """Return the event of each headline, as the daemon makes them."""
    book = EventBook()
    return {
        each.title: book.place(
            ArticleId(f"{place:032x}"),
            received=NOW,
            gist=each.gist,
            companies={EntityId(each.company)} if each.company else (),
        ).event
        for place, each in enumerate(told)
    }


def by_words(told: Sequence[Headline], threshold: float) -> Mapping[str, str]:
    """Return the event of each headline where nearness is the Jaccard similarity of words."""
    events: dict[str, list[Headline]] = {}
    found: dict[str, str] = {}
    for each in told:
        means = {
            event: float(np.mean([jaccard(each, other) for other in others]))
            for event, others in events.items()
            if others[0].company == each.company
        }
        nearest = max(means, key=means.__getitem__, default=None)
        event = nearest if nearest is not None and means[nearest] >= threshold else each.title
        events.setdefault(event, []).append(each)
        found[each.title] = event
    return found


def b_cubed(events: Mapping[str, str], told: Sequence[Headline]) -> tuple[float, float, float]:
    """Return precision, recall and F1 over headlines (Bagga and Baldwin 1998)."""
    precisions, recalls = [], []
    for each in told:
        together = [other for other in told if events[other.title] == events[each.title]]
        wanted = [other for other in told if other.happening == each.happening]
        right = sum(other.happening == each.happening for other in together)
        precisions.append(right / len(together))
        recalls.append(right / len(wanted))
    precision, recall = float(np.mean(precisions)), float(np.mean(recalls))
    return precision, recall, 2 * precision * recall / (precision + recall)


def over_orders(
    made: Callable[[Sequence[Headline]], Mapping[str, str]], told: Sequence[Headline]
) -> tuple[float, float, float]:
    figures = []
    for seed in range(ORDERS):
        shuffled = random.Random(seed).sample(list(told), len(told))
        figures.append(b_cubed(made(shuffled), told))
    precision, recall, f1 = np.mean(figures, axis=0).tolist()
    return precision, recall, f1


def main() -> None:
    everything = headlines()
    print(f"{'':34}{'pairs':>7}  gists  words")
    for name, wanted in (("one company", True), ("no company", False)):
        mine = [each for each in everything if bool(each.company) is wanted]
        pairs = [(one, other) for one, other in combinations(mine, 2) if one.company == other.company]
        for kind, mixed in (("one language", False), ("English and Chinese", True)):
            some = [pair for pair in pairs if (len({bool(CHINESE.search(each.title)) for each in pair}) == 2) is mixed]
            print(f"{name + ', ' + kind:34}{len(some):7}  {area(cosine, some):5.3f}  {area(jaccard, some):5.3f}")
    print(f"\n{'events':34}{'stories':>7}  precision  recall    F1")
    for name, wanted in (("one company", True), ("no company", False)):
        some_ = [each for each in everything if bool(each.company) is wanted]
        rivals = [over_orders(lambda told, at=at: by_words(told, at), some_) for at in THRESHOLDS]  # type: ignore[misc]  # bound at once
        for rule, (precision, recall, f1) in (
            ("gists", over_orders(by_gist, some_)),
            ("words", max(rivals, key=lambda figures: figures[2])),
        ):
            print(f"{name + ', ' + rule:34}{len(some_):7}  {precision:9.2f}  {recall:6.2f}  {f1:4.2f}")


if __name__ == "__main__":
    main()
