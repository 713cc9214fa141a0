"""What the small commands do: score, detect, bench and the care of the database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from threading import Semaphore, Thread
from typing import TextIO

from pydantic import TypeAdapter, ValidationError

from monitor.assembly import watchlist_of
from monitor.clock import SystemClock
from monitor.config import PerWeek, load
from monitor.core.entities.tagger import Tagger
from monitor.errors import ConfigurationError, NewsquakeError
from monitor.judging import Answer, judge, read_line
from monitor.scoring.reload import open_worker
from monitor.series import detect_lines
from monitor.store import operations

CHUNK = 512  # lines judged together, where that many wait
AHEAD = 8 * CHUNK  # lines read before they are judged


async def score_lines(source: int, out: TextIO, *, model: str, watchlists: Sequence[Path]) -> None:
    """Judge each line of an open file, given by its descriptor; write one JSON line for it, in order, once judged."""
    watchlist = watchlist_of(tuple(watchlists))
    tagger, clock = Tagger(watchlist), SystemClock()
    worker = await open_worker(model, clock=clock)
    try:
        async for chunk in _waiting(source):
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


async def _waiting(source: int) -> AsyncIterator[list[tuple[int, bytes]]]:
    """Yield numbered lines in chunks of what has come, so that a slow writer is answered line by line."""
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[tuple[int, bytes] | OSError | None] = asyncio.Queue()
    room = Semaphore(AHEAD)

    def read() -> None:
        end: OSError | None = None
        with suppress(RuntimeError):  # the event loop is closed: nobody waits for lines any more
            try:
                with os.fdopen(source, "rb", closefd=False) as lines:
                    for entry in enumerate(lines, start=1):
                        room.acquire()
                        loop.call_soon_threadsafe(came.put_nowait, entry)
            except OSError as error:
                end = error
            loop.call_soon_threadsafe(came.put_nowait, end)

    # A daemon thread, none of the loop's own, with a file object of its own, which nobody else waits to close: a line
    # that never comes must not keep the program from ending.
    Thread(target=read, name="lines", daemon=True).start()
    entry = await came.get()
    while isinstance(entry, tuple):
        chunk = [entry]
        while len(chunk) < CHUNK and not came.empty() and isinstance(entry := came.get_nowait(), tuple):
            chunk.append(entry)
        room.release(len(chunk))
        yield chunk
        if isinstance(entry, tuple):
            entry = await came.get()
    if entry is not None:
        raise NewsquakeError(f"standard input cannot be read any further ({entry.strerror})") from entry


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
