"""The daemon's side of the feed parser: a few processes, started when first needed, killed when a document hangs them.

The program they run is `parse.py`, which tells the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.errors import NewsquakeError

PROGRAM = Path(__file__).with_name("parse.py")
LENGTH = struct.Struct(">I")
LONGEST_ANSWER = 128 * 1024 * 1024  # bytes; a document of the permitted size cannot truly need more


class ParserFailed(NewsquakeError):
    """A document that hangs, crashes or breaks the parser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A document that was read; see `parse.read_feed`. `format` is empty where it is no feed."""

    format: str
    ttl: str
    entries: tuple[Mapping[str, str], ...]  # in the document's order


class _Died(Exception):
    """The process is gone, by the document or by somebody else."""


class _Worker:
    """One parser process, for one document at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, seconds: float, memory: int) -> _Worker:
        # -P: neither the working directory nor that of the program may lend the parser a module.
        alarm = int(seconds) + 5
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-P", str(PROGRAM), str(alarm), str(memory), stdin=PIPE, stdout=PIPE
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, circumstances: bytes, document: bytes) -> dict[str, Any]:
        """Return the answer; raise _Died where the process ends instead."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            for frame in (circumstances, document):
                stdin.write(LENGTH.pack(len(frame)))
                stdin.write(frame)
            await stdin.drain()
            (length,) = LENGTH.unpack(await stdout.readexactly(LENGTH.size))
            if length > LONGEST_ANSWER:
                return {"error": f"the answer has {length} bytes; at most {LONGEST_ANSWER} are taken"}
            answer: dict[str, Any] = json.loads(await stdout.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _Died from error
        return answer

    async def end(self, *, patience: float = 0.0) -> int:
        """End the process, by force once `patience` seconds have passed. Returns its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(patience):
                return await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            return await self._process.wait()


class ParserPool:
    """Reads feed documents in at most `size` processes, shared by all feeds.

    seconds  that one document may take
    memory   bytes that one process may map
    """

    def __init__(self, *, size: int = 2, seconds: float = 30.0, memory: int = 1024**3) -> None:
        self._seconds = seconds
        self._memory = memory
        self._room = asyncio.Semaphore(size)
        self._idle: list[_Worker] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers that wait for a document."""
        return tuple(worker.pid for worker in self._idle)

    async def read(self, document: bytes, content_type: str | None, location: str) -> Feed:
        """Read one document. Raises ParserFailed where it hangs, crashes or breaks the parser."""
        circumstances = json.dumps({"content_type": content_type, "location": location}).encode()
        async with self._room:
            try:
                answer = await self._ask(circumstances, document)
            except _Died:
                # Perhaps somebody else killed the process: a document that kills it does so twice.
                await self._drop_idle()
                try:
                    answer = await self._ask(circumstances, document)
                except _Died as death:
                    raise ParserFailed(f"the document ended the parser ({death})") from death
        if "error" in answer:
            raise ParserFailed(f"the document broke the parser ({answer['error']})")
        return Feed(format=answer["format"], ttl=answer["ttl"], entries=tuple(answer["entries"]))

    async def close(self) -> None:
        """End all waiting processes; safe to call twice."""
        await self._drop_idle(patience=1.0)

    async def _ask(self, circumstances: bytes, document: bytes) -> dict[str, Any]:
        worker = self._idle.pop() if self._idle else await _Worker.start(self._seconds, self._memory)
        reusable = False
        try:
            async with asyncio.timeout(self._seconds):
                answer = await worker.ask(circumstances, document)
            reusable = "error" not in answer  # a parser that ran out of memory or stack is not trusted again
        except TimeoutError:
            raise ParserFailed(f"the document kept the parser busy for more than {self._seconds:g} s") from None
        except _Died as death:
            code = await worker.end()
            raise _Died(f"signal {-code}" if code < 0 else f"exit code {code}") from death
        finally:
            if reusable:
                self._idle.append(worker)
            else:
                await worker.end()
        return answer

    async def _drop_idle(self, *, patience: float = 0.0) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*(worker.end(patience=patience) for worker in idle))
