"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.errors import ConfigurationError


@contextmanager
def alone(out: Path, work: str) -> Iterator[None]:
    """Hold the folder for the length of a `with`. Raise ConfigurationError where another process holds it."""
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigurationError(
            f"{out}: another {work} is at work here; wait for it, or name another --out"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)
