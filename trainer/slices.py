"""Parts of a set that a head may be good or bad at: languages, lengths, headlines of mixed sign, or any column."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence

from monitor.core.text.language import detect_language
from monitor.errors import ConfigurationError
from trainer.data import Row
from trainer.exam import NEGATIVE, POSITIVE

LENGTHS = (40, 80, 160, 320)  # characters with which a band of lengths ends
BANDS = ("1-40", "41-80", "81-160", "161-320", "321 and more")
MOST = 20  # parts by one column: the largest

Parts = dict[str, dict[str, list[int]]]  # by what, which part, numbers of rows


def parts(rows: Sequence[Row], head: str, columns: Sequence[str] = ()) -> Parts:
    """Return the parts of rows that all bear a label of this head: by language, by length, those of mixed sign, and by
    each of the columns. A way of parting that leaves all rows together is left out."""
    lengths = _by([BANDS[bisect_left(LENGTHS, len(row.text))] for row in rows])
    found = {
        "language": _by([str(detect_language(row.text)) for row in rows]),
        "characters": {band: lengths[band] for band in BANDS if band in lengths},
        **{column: _by([_cell(row, column) for row in rows]) for column in columns},
    }
    said = {what: several for what, several in found.items() if len(several) > 1 or what in columns}
    mixed = of_mixed_sign(rows, head)
    return said | ({"sign": {"mixed": mixed}} if mixed else {})


def of_mixed_sign(rows: Sequence[Row], head: str) -> list[int]:
    """Return the numbers of the rows whose text is good for one company and bad for another, going by the rows."""
    signs: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        signs[row.source, row.text] |= set(row.labels[head])
    return [i for i, row in enumerate(rows) if {NEGATIVE, POSITIVE} <= signs[row.source, row.text] and row.entity]


def require_columns(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Raise ConfigurationError for a column that no row has."""
    known = {name for row in rows for name in row.extra}
    for column in columns:
        if column not in known:
            there = ", ".join(sorted(known)) or "none that the recipe does not use already"
            raise ConfigurationError(f"--by {column}: no row has this column; there are: {there}")


def _cell(row: Row, column: str) -> str:
    value = row.extra.get(column)
    return "none" if value in (None, "") else str(value)


def _by(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the numbers of the rows of each name, the largest part first."""
    found: dict[str, list[int]] = {name: [] for name, _ in Counter(names).most_common(MOST)}
    for i, name in enumerate(names):
        if name in found:
            found[name].append(i)
    return found
