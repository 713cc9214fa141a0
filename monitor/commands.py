"""What the small commands do: score, detect, bench and the care of the database."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import BinaryIO, TextIO

from pydantic import TypeAdapter, ValidationError

from monitor.assembly import watchlist_of
from monitor.clock import SystemClock
from monitor.config import PerWeek, load
from monitor.core.entities.tagger import Tagger
from monitor.errors import ConfigurationError
from monitor.judging import Answer, judge, read_line
from monitor.scoring.worker import Worker
from monitor.series import detect_lines
from monitor.store import operations

CHUNK = 512  # lines judged together, where that many wait


async def score_lines(lines: BinaryIO, out: TextIO, *, model: str, watchlists: Sequence[Path]) -> None:
    """Judge each line and write one JSON line for it, in order, as soon as it is judged."""
    watchlist = watchlist_of(tuple(watchlists))
    tagger, clock = Tagger(watchlist), SystemClock()
    worker = await Worker.open(model, clock=clock)
    try:
        async for chunk in _waiting(lines):
            answers = await judge(
                [read_line(line, number) for number, line in chunk],
                scorer=worker,
                tagger=tagger,
                watchlist=watchlist,
                now=clock.now(),
            )
            for answer in answers:
                value = answer.to_json() if isinstance(answer, Answer) else {"error": answer.error}
                out.write(json.dumps(value, ensure_ascii=False) + "\n")
            out.flush()
    finally:
        await worker.close()


async def _waiting(lines: BinaryIO) -> AsyncIterator[list[tuple[int, bytes]]]:
    """Yield numbered lines in chunks of what has come, so that a slow writer is answered line by line."""
    queue: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()

    def read() -> None:
        for number, line in enumerate(lines, start=1):
            queue.put((number, line))
        queue.put(None)

    # A daemon thread: a line that never comes must not keep the program from ending.
    Thread(target=read, name="lines", daemon=True).start()
    while True:
        chunk, ended = await asyncio.to_thread(_drain, queue)
        if chunk:
            yield chunk
        if ended:
            return


def _drain(queue: SimpleQueue[tuple[int, bytes] | None]) -> tuple[list[tuple[int, bytes]], bool]:
    chunk: list[tuple[int, bytes]] = []
    line = queue.get()
    while line is not None:
        chunk.append(line)
        if len(chunk) == CHUNK:
            return chunk, False
        try:
            line = queue.get_nowait()
        except Empty:
            return chunk, False
    return chunk, True


def detect_file(path: Path, out: TextIO, false_alarms: str) -> None:
    """Run the detector on a file of counts, or on standard input where the path is `-`."""
    try:
        budget: float = TypeAdapter(PerWeek).validate_python(false_alarms)
    except ValidationError as error:
        expected = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"--false-alarms: found {false_alarms!r}; {expected}") from error
    with _opened(path) as lines:
        out.writelines(line + "\n" for line in detect_lines(lines, budget, str(path)))


def measure(out: TextIO, model: str, seconds: float) -> None:
    """Measure understanding beside a plain transformers pipeline, and write the figures as JSON."""
    from monitor.scoring.bench import bench  # noqa: PLC0415 - torch waits until it is needed

    out.write(json.dumps(bench(model, seconds=seconds), indent=2) + "\n")


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a file, or standard input for `-`. A byte that is not UTF-8 is spelled out, so that its line is refused."""
    try:
        stream = sys.stdin.buffer if str(path) == "-" else path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the series ({error.strerror})") from error
    with TextIOWrapper(stream, encoding="utf-8-sig", errors="backslashreplace", newline="") as lines:
        yield lines


async def upgrade_database(config: Path) -> None:
    """Bring the schema up to date and say how it was found."""
    state = await operations.upgrade(load(config).store.url)
    print(f"{state.name}: was {state.standing} ({state.found or 'no schema'}), is now at schema {state.expected}")


async def backup_database(config: Path, to: Path) -> None:
    """Copy the database to a new file."""
    await operations.backup(load(config).store.url, to)
    print(f"{to}: {to.stat().st_size} bytes")


async def restore_database(config: Path, source: Path, *, force: bool) -> None:
    """Put a copy in the database's place."""
    url = load(config).store.url
    await operations.restore(source, url, force=force)
    print(f"restored from {source}")
