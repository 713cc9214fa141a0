"""What the small commands do: score, detect, bench, the care of the database, and tokens."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from io import TextIOWrapper
from pathlib import Path
from threading import Semaphore, Thread
from typing import TextIO

from pydantic import TypeAdapter, ValidationError

from monitor.assembly import watchlist_of
from monitor.clock import SystemClock
from monitor.config import Duration, PerWeek, load
from monitor.core.entities.tagger import Tagger
from monitor.core.tokens import SECRET, hash_of, secret_of, standing
from monitor.errors import ConfigurationError, NewsquakeError
from monitor.judging import Answer, judge, read_line
from monitor.reading import Scope, Token
from monitor.scoring.reload import open_worker
from monitor.series import detect_lines
from monitor.store import operations, tokens

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


def print_aside(text: str) -> None:
    """Print to standard error."""
    print(text, file=sys.stderr)


def now_and_then(tell: Callable[[str], None], *, every: float = 2.0) -> Callable[[str], None]:
    """Return what passes on a word about long work, but not more often than every so many seconds."""
    last = time.monotonic()

    def told(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            tell(text)

    return told


async def backup_database(config: Path, to: Path) -> None:
    """Copy the database to a new file."""
    await operations.backup(load(config).store.url, to, now_and_then(print_aside))
    print(f"{to}: {to.stat().st_size} bytes")


async def restore_database(config: Path, source: Path, *, force: bool) -> None:
    """Put a copy in the database's place."""
    url = load(config).store.url
    await operations.restore(source, url, force=force, told=now_and_then(print_aside))
    print(f"restored from {source}")


async def create_token(config: Path, *, name: str, scopes: Sequence[Scope], expires: str | None) -> None:
    """Make a token, and print its secret, this once, as the only line of standard output."""
    url, now = load(config).store.url, SystemClock().now()
    label = " ".join(name.split())
    if not 0 < len(label) <= 64 or not label.isprintable():
        raise ConfigurationError(f"--name: found {name!r}; expected 1 to 64 characters that can be seen")
    token = Token(
        id=secrets.token_hex(4),
        name=label,
        scopes=frozenset(scopes),
        created=now,
        expires=None if expires is None else now + _span(expires),
    )
    secret = secret_of(secrets.token_bytes(SECRET))
    await tokens.create(url, token, hash_of(secret))
    until = f"until {token.expires:%Y-%m-%d %H:%M} UTC" if token.expires else "until it is revoked"
    told = f"token {token.id} ({token.name}) opens {', '.join(sorted(token.scopes))} {until}; this is its only showing:"
    print(told, file=sys.stderr)
    print(secret)


async def list_tokens(config: Path) -> None:
    """Print a line for each token ever made."""
    url, now = load(config).store.url, SystemClock().now()
    print(f"{'id':8}  {'state':8}  {'scopes':16}  {'created':10}  {'expires':10}  name")
    for each in await tokens.listed(url):
        scopes, expires = ",".join(sorted(each.scopes)), f"{each.expires:%Y-%m-%d}" if each.expires else "-"
        print(f"{each.id:8}  {standing(each, now):8}  {scopes:16}  {each.created:%Y-%m-%d}  {expires:10}  {each.name}")


async def revoke_token(config: Path, id_: str) -> None:
    """Let a token open nothing any more; a running daemon takes note within seconds."""
    token = await tokens.revoke(load(config).store.url, id_, SystemClock().now())
    print(f"token {token.id} ({token.name}) is revoked since {token.revoked:%Y-%m-%d %H:%M:%S} UTC")


def _span(text: str) -> timedelta:
    try:
        span: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        expected = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"--expires: found {text!r}; {expected}") from error
    return span
