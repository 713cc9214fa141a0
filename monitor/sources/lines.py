"""The records of a JSON-lines or CSV file, plain or gzipped, one after another and whatever is in them."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from monitor.sources.records import KEPT, LONGEST
from monitor.types import Json

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One record: a `value`, or the `error` that it has instead. `number` is its last line's, counted from 1."""

    number: int
    raw: bytes
    value: Mapping[str, Json] | None = None
    error: str = ""


def read_lines(file: Path, skip: int = 0) -> Iterator[Line]:
    """Yield the records after the first `skip` lines of a file; where it is cut short or broken, a last one says so."""
    number = 0
    try:
        with gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb") as stream:
            read = _table if ".csv" in file.name.lower() else _objects
            for line in read(cast("BinaryIO", stream)):
                number = line.number
                if number > skip:
                    yield line
    except (OSError, EOFError, zlib.error) as error:
        if number >= skip:
            yield Line(number=number + 1, raw=b"", error=f"the file cannot be read any further ({error})")


def _objects(stream: BinaryIO) -> Iterator[Line]:
    for number, line in _numbered(stream):
        if not line.strip():
            continue
        if len(line) > LONGEST:
            yield Line(number=number, raw=line[:KEPT], error=f"the line is longer than {LONGEST} bytes")
            continue
        try:
            value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            yield Line(number=number, raw=line, error=f"the line is no JSON ({error})")
            continue
        if isinstance(value, dict):
            yield Line(number=number, raw=line, value=value)
        else:
            yield Line(number=number, raw=line, error="the line is no JSON object")


def _table(stream: BinaryIO) -> Iterator[Line]:
    csv.field_size_limit(LONGEST)  # the library's own limit, one for the process, is shorter than a long article
    record: list[tuple[int, bytes]] = []  # the lines of the present row: a quoted cell may hold several

    def texts() -> Iterator[str]:
        for number, line in _numbered(stream):
            record.append((number, line))
            yield line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")

    rows = csv.reader(texts())
    header: list[str] | None = None
    while True:
        record.clear()
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Line(number=record[-1][0], raw=_joined(record)[:KEPT], error=f"the row is no CSV ({error})")
            continue
        if row is None:
            return
        if any(len(line) > LONGEST for _, line in record):
            yield Line(
                number=record[-1][0], raw=_joined(record)[:KEPT], error=f"the row is longer than {LONGEST} bytes"
            )
            continue
        if header is None:
            header = row
        elif row:
            yield _row(record[-1][0], _joined(record), header, row)


def _joined(record: list[tuple[int, bytes]]) -> bytes:
    return b"".join(line for _, line in record)


def _row(number: int, raw: bytes, header: list[str], row: list[str]) -> Line:
    if len(row) != len(header):
        return Line(number=number, raw=raw, error=f"the row has {len(row)} cells; expected {len(header)}")
    if any("\udc80" <= character <= "\udcff" for cell in row for character in cell):
        return Line(number=number, raw=raw, error="the row is not UTF-8")
    return Line(number=number, raw=raw, value=dict(zip(header, row, strict=True)))


def _numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line). Of a line that is too long only the beginning comes, and that is longer than LONGEST."""
    number = 0
    while line := stream.readline(LONGEST + 1):
        number += 1
        rest = line
        while len(rest) > LONGEST and not rest.endswith(b"\n"):
            rest = stream.readline(LONGEST + 1)
        yield number, line
