"""Reading labelled rows: what a row must be, what is wrong with a bad one, and how rows are split without leaking."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor.errors import ConfigurationError
from monitor.scoring.glossary import Span
from trainer import frames
from trainer.config import FileRecipe, FitRecipe, HeadRecipe, Recipe
from trainer.copies import merged

TRAIN, DEV, VALID = "train", "dev", "valid"
LONGEST = 10 * 1024 * 1024  # characters of a field of a table
ROUNDING = 0.01  # of probabilities that should add up to 1
SEPARATOR = "|"  # between the labels in a cell of a `multi` head
OPTIONAL = ("entity", "spans", "split", "weight", "group", "time")  # columns that a file may lack


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One labelled text, or one company of it. A head that `labels` lacks is not trained by this row."""

    text: str
    entity: str | None
    spans: tuple[Span, ...]  # where the company is named; empty for the whole text
    labels: Mapping[str, tuple[str, ...]]  # head to its label, or labels where the head takes several
    soft: Mapping[str, Mapping[str, float]]  # head to a teacher's probabilities, which train it in place of the label
    split: str
    weight: float
    group: str  # rows of one group never part
    source: str  # the file's name in the recipe
    extra: Mapping[str, Any]  # the columns that the recipe does not name
    line: int = 0  # of the file
    time: datetime | None = None  # when it was told, where the recipe names a column of times

    @property
    def place(self) -> str:
        """Where it was read."""
        return f"{self.source}:{self.line}"

    def wanted(self, head: str, names: Sequence[str]) -> list[float]:
        """Return the probability that a head of these labels should give each of them."""
        taught = self.soft.get(head) or dict.fromkeys(self.labels[head], 1.0)
        return [taught.get(name, 0.0) for name in names]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one row."""

    file: Path
    line: int
    column: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.column}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """All rows of a recipe, with the labels of each head and the sha256 of each file."""

    rows: Sequence[Row]
    labels: Mapping[str, tuple[str, ...]]
    sha256: Mapping[str, str]
    leaks: Sequence[tuple[Row, Row]] = ()  # training rows left out, each with a held-out row that it is a copy of

    def part(self, *splits: str) -> list[Row]:
        """Return the rows of these splits."""
        return [row for row in self.rows if row.split in splits]


class _Bad(Exception):
    """A row's problem on its way to the one who knows file and line."""

    def __init__(self, column: str, found: object, expected: str) -> None:
        super().__init__(column)
        shown = repr(found)
        self.column, self.expected = column, expected
        self.found = shown if len(shown) <= 60 else f"{shown[:57]}…"


def load(recipe: Recipe, folder: Path, *, skip_bad: bool = False, carve: bool = True) -> tuple[Data, list[Problem]]:
    """Read all files of a recipe, and carve the development part out of the training rows.

    Near-copies are one group, but where the data name the groups. Raise ConfigurationError that names every bad row
    (the first twenty), or with `skip_bad` leave them out and return what was wrong with them.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    hashes: dict[str, str] = {}
    for file in recipe.data:
        path = frames.FOLDER if file.file == frames.SHIPPED else folder / file.file
        found, bad, hashes[file.file] = _read_file(path, file, recipe.heads)
        rows += _thinned(found, file.rows)
        problems += bad
    if problems and not skip_bad:
        shown = "\n".join(str(problem) for problem in problems[:20])
        raise ConfigurationError(f"{len(problems)} bad rows:\n{shown}")
    labels = {head: _labels(rows, head, recipe) for head in recipe.heads}
    if recipe.fit.refit:
        rows = [replace(row, split=TRAIN) if row.split == VALID else row for row in rows]
    rows = _grouped(rows)
    rows, leaks = _carve(rows, recipe.fit) if carve else (rows, [])
    return Data(rows=rows, labels=labels, sha256=hashes, leaks=leaks), problems


def _read_file(path: Path, file: FileRecipe, heads: Mapping[str, HeadRecipe]) -> tuple[list[Row], list[Problem], str]:
    try:
        raw = path.read_bytes() if file.draws is None else _told(path, file.draws, heads)
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot read it as UTF-8 text: {error}") from error
    rows: list[Row] = []
    problems: list[Problem] = []
    columns: dict[str, None] = {}
    for line, cells in _records(path, text):
        if not isinstance(cells, str):
            columns.update(dict.fromkeys(cells))
        try:
            row = _row(cells, line, file, heads)
        except _Bad as bad:
            problems.append(Problem(file=path, line=line, column=bad.column, found=bad.found, expected=bad.expected))
        else:
            rows.append(row)
    _require_columns(path, file, columns)
    return rows, problems, hashlib.sha256(raw).hexdigest()


def _told(folder: Path, draws: int, heads: Mapping[str, HeadRecipe]) -> bytes:
    """Return the rows of so many draws of each event frame, as JSON lines; the same each time."""
    labels = {head: heads[head].labels if head in heads else () for head in ("sentiment", "topic")}
    drawn = frames.expand(*frames.read(labels, folder), random.Random(0), draws)  # noqa: S311 - invented names
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in drawn).encode()


def _require_columns(path: Path, file: FileRecipe, found: Mapping[str, None]) -> None:
    """Raise ConfigurationError where no row has a column that the recipe names, or none of its heads' columns."""
    names = {name: getattr(file, name) for name in OPTIONAL}
    wanted = [file.text, *(column for name, column in names.items() if column != FileRecipe.model_fields[name].default)]
    missing = [column for column in wanted if column and column not in found]
    if not missing and not any(column in found for column in file.heads.values()):
        missing = list(file.heads.values())
    if found and missing:
        raise ConfigurationError(
            f"{path}: no row has the column {' or '.join(map(repr, missing))}; found {', '.join(map(str, found))}"
        )


def _records(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Yield (line, cells), or (line, the line itself) for one that is no object."""
    if ".csv" in path.suffixes:
        csv.field_size_limit(LONGEST)  # the library's own limit, one for the process, is shorter than a long article
        reader = csv.DictReader(io.StringIO(text, newline=""))
        try:
            for cells in reader:
                yield reader.line_num, cells
        except csv.Error as error:
            raise ConfigurationError(f"{path}:{reader.line_num + 1}: not CSV: {error}") from error
        return
    for line, written in enumerate(text.split("\n"), start=1):  # a JSON string may hold other ends of lines
        if not written.strip():
            continue
        try:
            value = json.loads(written)
        except (ValueError, RecursionError):
            value = None
        yield line, value if isinstance(value, dict) else written


def _row(cells: Mapping[str, Any] | str, line: int, file: FileRecipe, heads: Mapping[str, HeadRecipe]) -> Row:
    if isinstance(cells, str):
        raise _Bad("row", cells, "a JSON object")
    text = cells.get(file.text)
    if not isinstance(text, str) or not text.strip():
        raise _Bad(file.text, text, "a text that is not empty")
    entity = cells.get(file.entity) or None
    if entity is not None and not isinstance(entity, str):
        raise _Bad(file.entity, entity, "a company's name")
    spans = _spans(cells.get(file.spans), file.spans, text) or (places(text, entity) if entity else ())
    if entity and not spans:
        raise _Bad(file.entity, entity, "a name that stands in the text")
    labels, soft = _answers(cells, file, heads)
    split = cells.get(file.split) or TRAIN
    if split not in {TRAIN, DEV, VALID}:
        raise _Bad(file.split, split, f"{TRAIN}, {DEV} or {VALID}")
    used = {file.text, file.entity, file.spans, file.split, file.weight, file.group, file.time, *file.heads.values()}
    return Row(
        text=text,
        entity=entity,
        spans=spans,
        labels=labels,
        soft=soft,
        split=split,
        weight=_weight(cells.get(file.weight), file.weight) * file.scale,
        group=str(cells.get(file.group) or "") or _own_group(text),
        source=file.file,
        extra={name: value for name, value in cells.items() if name not in used},
        line=line,
        time=_time(cells.get(file.time), file.time),
    )


def _answers(
    cells: Mapping[str, Any], file: FileRecipe, heads: Mapping[str, HeadRecipe]
) -> tuple[dict[str, tuple[str, ...]], dict[str, Mapping[str, float]]]:
    """Return a row's labels, and a teacher's probabilities, per head that it has any for; it has some for one."""
    labels: dict[str, tuple[str, ...]] = {}
    soft: dict[str, Mapping[str, float]] = {}
    for head, column in file.heads.items():
        value = cells.get(column)
        if isinstance(value, dict):
            soft[head] = _soft(value, column, heads[head])
            labels[head] = _likeliest(soft[head], heads[head])
        elif value is not None and value != "":
            labels[head] = _given(value, column, heads[head])
    if not labels:
        raise _Bad(", ".join(file.heads.values()), None, "a label")
    return labels, soft


def _given(value: object, column: str, head: HeadRecipe) -> tuple[str, ...]:
    """Return a cell's labels: of a `multi` head a list, or a string with a bar between them; none may apply."""
    if head.kind == "multi":
        values = value if isinstance(value, list) else str(value).split(SEPARATOR)
        given = tuple(label for each in values if (label := str(each).strip()))
    else:
        given = (str(value),)
    unknown = [label for label in given if head.labels and label not in head.labels]
    if unknown or (isinstance(value, list) and head.kind == "single"):
        raise _Bad(column, value, f"one of {', '.join(head.labels)}" if head.labels else "one label")
    return given


def _soft(value: Mapping[str, object], column: str, head: HeadRecipe) -> Mapping[str, float]:
    """Return a teacher's probabilities: of a `single` head for labels that add up to 1."""
    given = {label: p for label, p in value.items() if isinstance(p, (int, float)) and 0.0 <= p <= 1.0}
    unknown = set(value) - set(head.labels or value)
    if len(given) < len(value) or unknown or (head.kind == "single" and abs(sum(given.values()) - 1.0) > ROUNDING):
        raise _Bad(column, value, f"probabilities of {', '.join(head.labels) or 'labels'}")
    return given


def _likeliest(soft: Mapping[str, float], head: HeadRecipe) -> tuple[str, ...]:
    if head.kind == "multi":
        return tuple(label for label, p in soft.items() if p > 0.5)
    return (max(soft, key=soft.__getitem__),)


def _spans(value: object, column: str, text: str) -> tuple[Span, ...]:
    """Return where a row says that its company stands, in rising order; nowhere where it does not say."""
    if value is None or value == "":
        return ()
    try:
        spans = sorted((int(start), int(stop)) for start, stop in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        spans = [(0, 0)]
    ends = [0, *(stop for _, stop in spans)]
    if any(not end <= start < stop <= len(text) for end, (start, stop) in zip(ends, spans, strict=False)):
        raise _Bad(column, value, "pairs of [start, end) within the text that do not overlap")
    return tuple(spans)


def _weight(value: object, column: str) -> float:
    if value is None or value == "":
        return 1.0
    try:
        weight = float(str(value))
    except ValueError:
        weight = -1.0
    if not 0.0 <= weight < 1e6:
        raise _Bad(column, value, "a number of at least 0")
    return weight


def _time(value: object, column: str) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        raise _Bad(column, value, "a time in ISO 8601, such as 2026-11-22T18:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def places(text: str, name: str) -> tuple[Span, ...]:
    """Return where `name` stands in `text`, whatever its case: as whole words, or else anywhere."""
    pattern = re.escape(name)
    found = list(re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE))
    return tuple(match.span() for match in found or re.finditer(pattern, text, re.IGNORECASE))


def _own_group(text: str) -> str:
    return normalised(text) or text


def normalised(text: str) -> str:
    """Return what near-copies share: letters only, without case, numbers and addresses of web pages."""
    return " ".join(re.findall(r"[^\W\d_]+", re.sub(r"https?://\S+|[$@#]\w+", " ", text.lower())))


def _labels(rows: Sequence[Row], head: str, recipe: Recipe) -> tuple[str, ...]:
    if asked := recipe.heads[head].labels:
        return asked
    found = sorted({label for row in rows for label in row.labels.get(head, ())})
    if len(found) < 2:
        columns = ", ".join(f"{file.heads[head]!r} of {file.file}" for file in recipe.data if head in file.heads)
        raise ConfigurationError(
            f"heads.{head}: found the labels {found} in the column {columns or 'of no file'}, expected at least two"
        )
    return tuple(found)


def _share(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group and the seed alone."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _thinned(rows: list[Row], most: int | None) -> list[Row]:
    train = [row for row in rows if row.split == TRAIN]
    if most is None or len(train) <= most:
        return rows
    kept = {id(row) for row in sorted(train, key=lambda row: _share(row.group, 0))[:most]}
    return [row for row in rows if row.split != TRAIN or id(row) in kept]


def _grouped(rows: Sequence[Row]) -> list[Row]:
    """Let near-copies share a group. A group that the data name stays as it is."""
    named = {row.group for row in rows if row.group != _own_group(row.text)}
    chosen = [row for row in rows if row.group not in named]
    groups = iter(merged([row.text for row in chosen], [row.group for row in chosen]))
    return [row if row.group in named else replace(row, group=next(groups)) for row in rows]


def _carve(rows: Sequence[Row], fit: FitRecipe) -> tuple[list[Row], list[tuple[Row, Row]]]:
    """Drop training rows whose near-copy is held out, and set a share of the others' groups apart for development.

    A dev part that the data bring is kept as it is. Return the rows, and those dropped, each with its copy.
    """
    held_out = {row.group: row for row in rows if row.split != TRAIN}
    leaks = [(row, held_out[row.group]) for row in rows if row.split == TRAIN and row.group in held_out]
    kept = [row for row in rows if row.split != TRAIN or row.group not in held_out]
    if any(row.split == DEV for row in rows):
        return kept, leaks
    dev = _set_apart([row for row in kept if row.split == TRAIN], fit)
    return [replace(row, split=DEV) if row.split == TRAIN and row.group in dev else row for row in kept], leaks


def _set_apart(rows: Sequence[Row], fit: FitRecipe) -> set[str]:
    """Return the groups of the development part: of those with a time the latest, of the others some by chance."""
    told: dict[str, datetime] = {}
    for row in rows:
        if row.time is not None:
            told[row.group] = max(row.time, told.get(row.group, row.time))
    timed = sorted(told, key=lambda group: (told[group], group))
    latest = timed[len(timed) - round(len(timed) * fit.dev) :]
    others = {row.group for row in rows} - set(timed)
    return {*latest, *(group for group in others if _share(group, fit.seed) < fit.dev)}


def require_rows(data: Data, *, some: bool = False) -> None:
    """Raise ConfigurationError where there is nothing to train on, or nothing for a head.

    With `some`, heads without rows are let be: they go on as they are.
    """
    rows = data.part(TRAIN)
    if not rows:
        raise ConfigurationError("found no training rows; expected rows that are marked train, or not marked")
    for head in data.labels:
        if not some and not any(head in row.labels for row in rows):
            raise ConfigurationError(f"heads.{head}: found no training row with a label for it")


def agreeing(rows: Sequence[Row]) -> list[bool]:
    """Say for each row whether all companies of its text bear the same labels, so that they are the text's too."""
    seen: defaultdict[tuple[str, str], set[tuple[tuple[str, tuple[str, ...]], ...]]] = defaultdict(set)
    for row in rows:
        seen[row.source, row.text].add(tuple(sorted(row.labels.items())))
    return [len(seen[row.source, row.text]) == 1 for row in rows]
