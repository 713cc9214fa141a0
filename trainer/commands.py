"""What the trainer's commands do, apart from the command line, so that `--help` loads none of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from rich.console import Console

from monitor.core.manifest import NAME, Manifest, parse
from monitor.errors import ConfigurationError
from monitor.scoring.references import locate
from monitor.types import ModelId
from trainer.audit import Fate, Finding, audit, mended
from trainer.board import Board
from trainer.config import Recipe
from trainer.data import Data, Problem, load, require_rows
from trainer.fit import Epoch, Step, fit
from trainer.network import Base, open_base
from trainer.progress import Bar, Interrupts
from trainer.registry import write
from trainer.resume import forget


def run_fit(
    recipe: Recipe,
    folder: Path,
    out: Path,
    *,
    skip_bad: bool,
    licence: str,
    threads: int | None,
    board: Path | None = None,
    fresh: bool = False,
    finish: bool = False,
    measured: str | None = None,
) -> None:
    """Fit, and write the artefact into `out`; progress goes to standard error, the artefact's id to standard output.

    `board` is a folder for TensorBoard. Interrupted, the same call goes on where it stopped; `fresh` begins anew,
    `finish` takes the best epoch so far. `measured` is the model whose figures a refit states, a reference.
    """
    stated = stated_by(measured, recipe) if measured is not None else None
    console = Console(stderr=True)
    if threads:
        torch.set_num_threads(threads)
    base = open_base(recipe.base, locate(recipe.base))
    data, problems = load(recipe, folder, skip_bad=skip_bad)
    tell_data(console, data, problems, contradictions=Fate.DROPPED if skip_bad else Fate.REFUSED)
    data = mended(data, skip_bad=skip_bad)
    require_rows(data)
    if fresh:
        forget(out)
    identity = teach(
        recipe, data, base, out, licence=licence, console=console, board=board, finish=finish, measured=stated
    )
    sys.stdout.write(f"{identity} {out}\n")


def teach(
    recipe: Recipe,
    data: Data,
    base: Base,
    out: Path,
    *,
    licence: str,
    console: Console,
    board: Path | None,
    finish: bool = False,
    measured: tuple[ModelId, Manifest] | None = None,
) -> ModelId:
    """Fit with a bar of progress, write the artefact into `out`, and return its id; see `fit` and `write`.

    SIGINT or SIGTERM ends it at the next step: it raises Stopped, and what was learned is kept.
    """
    with ExitStack() as stack:
        listeners = [stack.enter_context(Bar(console)).tell]
        if board is not None:
            listeners.append(stack.enter_context(Board(board)).tell)
        interrupts = stack.enter_context(Interrupts())

        def tell(event: Step | Epoch) -> None:
            for listener in listeners:
                listener(event)

        network = fit(recipe, data, base, out, tell, halted=interrupts.came, finish=finish)
    identity = write(network, recipe, data, base, out, licence=licence, measured=measured)
    forget(out)
    return identity


def stated_by(reference: str, recipe: Recipe) -> tuple[ModelId, Manifest]:
    """Return the model whose figures a refit states. Raise ConfigurationError where it is not one to state them."""
    if not recipe.fit.refit:
        raise ConfigurationError("--measured: expected --refit beside it; a plain fit states figures of its own")
    manifest_file = locate(reference) / NAME
    try:
        manifest, identity = parse(manifest_file.read_bytes(), str(manifest_file))
    except OSError as error:
        raise ConfigurationError(f"--measured: {manifest_file}: cannot read it ({error.strerror})") from error
    if set(manifest.heads) != set(recipe.heads) or not manifest.metrics or manifest.measured:
        raise ConfigurationError(
            f"--measured {reference}: found the heads {', '.join(manifest.heads)} and figures of "
            f"{manifest.measured or (identity if manifest.metrics else 'nobody')}; expected figures of its own for the "
            f"heads {', '.join(recipe.heads)}"
        )
    return identity, manifest


def tell_data(
    console: Console,
    data: Data,
    problems: Sequence[Problem],
    *,
    bad_rows: Fate = Fate.DROPPED,
    contradictions: Fate = Fate.KEPT,
    untaught: Fate = Fate.REFUSED,
) -> list[Finding]:
    """Say how many rows there are of each split and head, what is wrong with them and what is done about it."""
    for split in ("train", "dev", "valid"):
        rows = data.part(split)
        counts = {head: sum(head in row.labels for row in rows) for head in data.labels}
        console.print(f"{split}: {len(rows)} rows ({', '.join(f'{head} {n}' for head, n in counts.items())})")
    found = audit(data, problems, bad_rows=bad_rows, contradictions=contradictions, untaught=untaught)
    for finding in found:
        console.print(str(finding), markup=False, soft_wrap=True)
    return found


def run_check(recipe: Recipe, folder: Path) -> bool:
    """Say what is wrong with a recipe's rows, and whether a fit would take them."""
    data, problems = load(recipe, folder, skip_bad=True)
    found = tell_data(Console(), data, problems, bad_rows=Fate.REFUSED, contradictions=Fate.REFUSED)
    return not any(finding.fate is Fate.REFUSED for finding in found)
