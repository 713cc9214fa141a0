"""Files of old news as a source: JSON lines and CSV, plain or gzipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path

from monitor.core.moments import DAWN
from monitor.errors import ConfigurationError, SourceError
from monitor.ports import Batch, Clock
from monitor.sources.lines import ENDINGS, Line, read_lines
from monitor.sources.records import Unreadable, field_names, read_record
from monitor.types import DeadLetter, Json, Position, RawItem, SourceId

CHUNK = 200  # items in one batch
SECOND = timedelta(seconds=1)
HEAD = 1024  # bytes at a file's beginning that tell whether it is still the same file


def archive_files(path: Path) -> tuple[Path, ...]:
    """Return the files that a path names: one file, a folder with all below it, or a pattern such as `2024-*.jsonl`.

    In order of their names. Raises ConfigurationError where there is no archive.
    """
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(each for each in path.rglob("*") if each.is_file())
    else:
        found = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
    files = tuple(each for each in found if each.name.lower().endswith(ENDINGS))
    if not files:
        raise ConfigurationError(
            f"{path}: found no archive; expected a file, folder or pattern of {', '.join(ENDINGS)}"
        )
    return files


class ArchiveSource:
    """Hands over the records of archive files once, file after file, and ends.

    fields           where the files keep what; see `field_names`
    history          the items feed the baseline and raise nothing: an import
    as_of_published  the items count as received when they were published, so that their days can be lived through
                     again; those of which only the day is known, at its end, the next midnight UTC. One without a
                     time, or with one that cannot be (before 1990, after now), becomes a dead letter. They come in
                     the order of the files.

    A record that cannot be read becomes a dead letter whose error names file and line. Each file has a position of its
    own, so that one which is new, or has grown, is read where it was left.
    """

    def __init__(
        self,
        source: SourceId,
        path: Path,
        *,
        clock: Clock,
        fields: Mapping[str, str] | None = None,
        history: bool = True,
        as_of_published: bool = False,
    ) -> None:
        """Raises ConfigurationError for a path without archives, and for files whose fields have other names."""
        self._source = source
        self._clock = clock
        self._fields = field_names(fields)
        self._history = history
        self._as_of_published = as_of_published
        self._files = archive_files(path)
        self._closed = False
        for file in self._files:
            self._check_names(file)

    @property
    def id(self) -> SourceId:
        return self._source

    async def batches(self, resume: Sequence[Position]) -> AsyncGenerator[Batch, None]:
        reached = {position.partition: position.value for position in resume}
        for file in self._files:
            head = await asyncio.to_thread(_head, file)
            lines = read_lines(file, _lines_read(reached.get(str(file), {}), head))
            while not self._closed:
                chunk = await asyncio.to_thread(list, islice(lines, CHUNK))
                if not chunk:
                    break
                value: dict[str, Json] = {
                    "line": chunk[-1].number,
                    "head": sha256(head).hexdigest(),
                    "size": len(head),
                }
                now = self._clock.now()
                yield Batch(
                    source=self._source,
                    items=tuple(self._item(file, line, now) for line in chunk),
                    position=Position(source=self._source, partition=str(file), value=value),
                )

    async def close(self) -> None:
        self._closed = True

    def _item(self, file: Path, line: Line, now: datetime) -> RawItem | DeadLetter:
        try:
            if line.value is None:
                return self._bury(file, line, line.error, now)
            record = read_record(line.value, self._fields)
        except Unreadable as error:
            return self._bury(file, line, str(error), now)
        received = now
        if self._as_of_published:
            if record.published is None:
                names = ", ".join(self._fields["published"])
                return self._bury(file, line, f"there is no time; expected one of {names}", now)
            if not DAWN <= record.published <= now:
                told = (
                    f"the time {record.published:%Y-%m-%d %H:%M} lies before 1990 or ahead of us: expected a past one"
                )
                return self._bury(file, line, told, now)
            received = record.published + SECOND if record.daily else record.published
        daily = self._as_of_published and record.daily
        return record.item(self._source, line.raw, received, history=self._history, daily=daily)

    def _bury(self, file: Path, line: Line, error: str, now: datetime) -> DeadLetter:
        return DeadLetter(source=self._source, raw=line.raw, error=f"{file}:{line.number}: {error}", received=now)

    def _check_names(self, file: Path) -> None:
        first = next((line.value for line in read_lines(file) if line.value is not None), None)
        expected = dict.fromkeys((*self._fields["title"], *self._fields["text"]))
        if first is not None and not expected.keys() & first.keys():
            raise ConfigurationError(
                f"{file}: found the fields {', '.join(first)}; expected at least one of {', '.join(expected)}, "
                "or a mapping of them"
            )


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(HEAD)
    except OSError as error:
        raise SourceError(f"{file}: cannot be read ({error.strerror})") from error


def _lines_read(value: Mapping[str, Json], head: bytes) -> int:
    """Return how many lines of a file have been read, by its position; 0 where it is another file by now."""
    line, size = value.get("line"), value.get("size")
    if not isinstance(line, int) or not isinstance(size, int):
        return 0
    return line if sha256(head[:size]).hexdigest() == value.get("head") else 0
