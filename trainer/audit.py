"""What is wrong with labelled rows, found before the first step, and what is done about it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from monitor.errors import ConfigurationError
from monitor.scoring.preparation import ADDRESS
from trainer.data import DEV, TRAIN, VALID, Data, Problem, Row

WORD = re.compile(r"[+-]?\d+(?:[.,]\d+)*|\w+")  # figures count here: a profit of 3 is not one of 5
SHOWN = 5  # examples


class Fate(StrEnum):
    """What is done about rows."""

    REFUSED = "refused"  # until they are mended
    DROPPED = "dropped"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, what is done about it, and where: each example names file and line."""

    what: str
    fate: Fate
    places: Sequence[str] = ()

    def __str__(self) -> str:
        more = len(self.places) - SHOWN
        lines = [f"{self.fate}: {self.what}", *(f"  {place}" for place in self.places[:SHOWN])]
        return "\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])])


def audit(
    data: Data, problems: Sequence[Problem], *, bad_rows: Fate, contradictions: Fate, untaught: Fate = Fate.REFUSED
) -> list[Finding]:
    """Look at all rows; `problems` are those that could not be read, and the fates are what the caller does about rows
    that cannot be read, training rows that contradict each other, and heads without training rows."""
    return [
        finding
        for finding in (
            Finding(f"{len(problems)} rows cannot be read", bad_rows, [str(problem) for problem in problems]),
            Finding(
                f"{len(data.leaks)} training rows are copies of held-out ones",
                Fate.DROPPED,
                [f"{row.place} of {other.place} ({other.split}): {_short(row)}" for row, other in data.leaks],
            ),
            _contradictory(data.part(TRAIN, DEV), "training texts", contradictions),
            _contradictory(data.part(VALID), "held-out texts", Fate.KEPT),
            _repeated(data.part(TRAIN)),
            *_unlabelled(data, untaught),
        )
        if finding.places
    ]


def mended(data: Data, *, skip_bad: bool) -> Data:
    """Return the data without training rows that contradict each other.

    Raise ConfigurationError that names them, unless `skip_bad`.
    """
    rows = data.part(TRAIN, DEV)
    contradictions = _contradictions(rows)
    if contradictions and not skip_bad:
        found = _contradictory(rows, "training texts", Fate.REFUSED)
        raise ConfigurationError(f"{found}\nmend them, or leave them out with --skip-bad")
    out = {id(row) for same in contradictions for row in same}
    return replace(data, rows=[row for row in data.rows if id(row) not in out]) if out else data


def _same(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows that ask the same: of one text, whatever its case and punctuation, and of one company."""
    found: defaultdict[tuple[str, str | None], list[Row]] = defaultdict(list)
    for row in rows:
        plain = " ".join(WORD.findall(ADDRESS.sub(" ", row.text).casefold()))
        found[plain or row.text, row.entity and row.entity.casefold()].append(row)
    return [same for same in found.values() if len(same) > 1]


def _answers(rows: Sequence[Row], head: str) -> set[frozenset[str]]:
    return {frozenset(row.labels[head]) for row in rows if head in row.labels and head not in row.soft}


def _contradictions(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows that ask the same and are labelled otherwise. A teacher's doubts contradict nobody."""
    return [same for same in _same(rows) if any(len(_answers(same, head)) > 1 for row in same for head in row.labels)]


def _contradictory(rows: Sequence[Row], what: str, fate: Fate) -> Finding:
    found = _contradictions(rows)
    places = [f"{', '.join(f'{row.place} ({_labels(row)})' for row in same)}: {_short(same[0])}" for same in found]
    return Finding(f"{len(found)} {what} are labelled in two ways", fate, places)


def _repeated(rows: Sequence[Row]) -> Finding:
    found = [same for same in _same(rows) if len({(_labels(row), str(row.soft)) for row in same}) == 1]
    places = [f"{', '.join(row.place for row in same)}: {_short(same[0])}" for same in found]
    return Finding(f"{len(found)} training texts stand there more than once, and weigh as often", Fate.KEPT, places)


def _unlabelled(data: Data, untaught: Fate) -> Iterator[Finding]:
    """Yield the heads that nothing teaches, and the labels that nothing teaches or nothing is chosen by."""
    for split, fate, fault in (
        (TRAIN, untaught, "have no training row"),
        (DEV, Fate.KEPT, "have no row in the development part"),
    ):
        rows = data.part(split)
        seen = {(head, label) for row in rows for head, labels in row.labels.items() for label in labels}
        heads = {head for head, _ in seen}
        if split == TRAIN or rows:
            missing = [f"heads.{head}" for head in data.labels if head not in heads]
            yield Finding(f"{len(missing)} heads {fault}", fate, missing)
            places = [
                f"heads.{head}: {label}"
                for head, labels in data.labels.items()
                for label in labels
                if head in heads and (head, label) not in seen
            ]
            yield Finding(f"{len(places)} labels {fault}", Fate.KEPT, places)


def _labels(row: Row) -> str:
    return "; ".join(f"{head} {', '.join(sorted(labels)) or 'none'}" for head, labels in sorted(row.labels.items()))


def _short(row: Row) -> str:
    text = " ".join(row.text.split())
    return f"{row.entity + ' in ' if row.entity else ''}{text if len(text) <= 80 else text[:79] + '…'}"
