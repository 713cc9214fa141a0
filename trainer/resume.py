"""An interrupted fit goes on where it stood: its whole state in one file, replaced as one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from monitor.errors import ConfigurationError, NewsquakeError
from trainer.config import Recipe
from trainer.data import Data
from trainer.network import Base

RESUME, CHECKPOINT = "resume.safetensors", "checkpoint.safetensors"
EVERY = 300.0  # seconds from one keeping to the next, in the midst of an epoch


class Stopped(NewsquakeError):
    """A fit was interrupted, and what it has learned is kept."""

    exit_code = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Where a fit stands: the epoch that is shown, and what the exams said so far."""

    epoch: int = 1
    best: float = -1.0  # macro F1
    since: int = 0  # epochs without a better one


def fingerprint(recipe: Recipe, data: Data, base: Base) -> str:
    """Return what tells one fit from another: the recipe, every row and the base."""
    digest = hashlib.sha256(recipe.model_dump_json().encode())
    digest.update(f"{base.pretrained.sha256} {base.parent} {dict(data.labels)}".encode())
    for row in data.rows:
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


class Keeper:
    """Keeps a fit's state in its folder: tensors, and in the file's header, as JSON, the course and whose it is."""

    def __init__(self, out: Path, fit: str, now: Callable[[], float], every: float = EVERY) -> None:
        """`fit` is the fingerprint; `now` tells seconds, `every` how many of them may be lost."""
        self._path, self._fit, self._now, self._every = out / RESUME, fit, now, every
        self._last = now()

    def due(self) -> bool:
        """Whether the last keeping is long ago."""
        return self._now() - self._last >= self._every

    def keep(self, course: Course, state: Mapping[str, Tensor]) -> None:
        """Write the state; whatever ends the process meanwhile, this one or the last is there."""
        header = {"fit": self._fit, "course": json.dumps(asdict(course))}
        replaced(self._path, state, header)
        self._last = self._now()

    def kept(self) -> tuple[Course, dict[str, Tensor]] | None:
        """Return where the fit was interrupted, None where it was not.

        Raise ConfigurationError where the file is another fit's, or cannot be read.
        """
        if not self._path.exists():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                header = file.metadata()
                if header["fit"] != self._fit:
                    raise ConfigurationError(
                        f"{self._path}: found an interrupted fit of another recipe, other rows or another base;"
                        " expected the same, another --out, or --fresh, which begins anew"
                    )
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
                return Course(**json.loads(header["course"])), state
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{self._path}: cannot go on from it ({error}); --fresh begins the fit anew"
            ) from error


def replaced(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str] | None = None) -> None:
    """Write tensors into a file, wholly or not at all."""
    draft = path.with_name(f"{path.name}.new")
    save_file({name: each.contiguous().cpu() for name, each in tensors.items()}, draft, header)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)


def forget(out: Path) -> None:
    """Remove what is kept of a fit: its artefact is written, or it begins anew."""
    for name in (RESUME, CHECKPOINT):
        (out / name).unlink(missing_ok=True)
