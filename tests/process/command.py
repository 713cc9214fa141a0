"""The command `newsquake`, run to its end as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("newsquake")
LONG = 120.0  # seconds; generous, for a busy machine


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code and what it said."""

    code: int
    out: str
    err: str


def newsquake(
    *arguments: object,
    folder: Path,
    given: bytes = b"",
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Ended:
    """Run the command in a folder; `prefix` is a program that starts it, with its own arguments."""
    done = subprocess.run(
        [*prefix, PROGRAM, *map(str, arguments)],
        cwd=folder,
        input=given,
        capture_output=True,
        check=False,
        timeout=LONG,
        env=env,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def refused(*arguments: object, folder: Path, code: int, prefix: Sequence[str] = ()) -> str:
    """Run a command that must fail with this exit code; return its one message, which must be all it says of it."""
    ended = newsquake(*arguments, folder=folder, prefix=prefix)
    lines = ended.err.splitlines()
    assert ended.code == code, ended
    assert len(lines) == 1, ended.err
    name, _, message = lines[0].partition(": ")
    assert name == "newsquake", ended.err
    return message
