"""Going on from the serving model with what the desk has said since: verdicts, labels, and the old against forgetting.

    verdicts ─► examples ─┐
    labelled file ────────┼─► rows ─► fit from the serving model ─► artefact ─► gate ─► promotion, if asked
    base data, thinned ───┤
    stored articles, as ──┘
    the serving model judges them

The last are learning without forgetting (Li and Hoiem 2016): where no base data are at hand, the model's own answers on
recent news hold it where it stands. They are its probabilities, not its labels, and for all its heads.

Every run is a folder of its own in `--out`: `taught.jsonl` and `replay.jsonl` (what was shown), `model` (the artefact),
`board` (TensorBoard), `report.json` (what was taught and what the gate said; it is written last).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from monitor.assembly import desk_of
from monitor.clock import SystemClock
from monitor.config import Config, load
from monitor.core.manifest import Head
from monitor.errors import ConfigurationError
from monitor.scoring.model import Model
from monitor.scoring.references import REST, locate, parts_of, renewed
from monitor.scoring.routed import open_model
from monitor.store.past import recent
from monitor.store.verdicts import lessons
from monitor.types import EPOCH, ModelId
from trainer.alone import alone
from trainer.audit import Fate
from trainer.commands import teach, tell_data
from trainer.config import FileRecipe, HeadRecipe, Recipe, ReplayRecipe, RetrainRecipe
from trainer.data import load as load_rows
from trainer.data import require_rows
from trainer.labels import NOT_NEGATIVE, examples
from trainer.life import console_for_people, opened, require_room, serving_of
from trainer.network import open_base
from trainer.promote import Examination, Terms, examine, stage
from trainer.shown import replayed_rows, taught_rows, where

TAUGHT, REPLAY, MODEL, BOARD, REPORT = "taught.jsonl", "replay.jsonl", "model", "board", "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a retraining is asked for.

    `least` is how many labels that the last run did not see are worth one; `labelled` has a column for each head.
    """

    recipe: RetrainRecipe
    data: Path
    labelled: Path | None
    out: Path
    least: int
    promote: bool
    skip_bad: bool
    licence: str
    terms: Terms


async def retrain(config_path: Path, wish: Wish, *, wait: bool) -> None:
    """Retrain once, if there is enough to learn; then the gate and, if asked, the promotion.

    Raise ConfigurationError for what is wrong with the files or where another retraining is at work, PromotionError
    where the gate refuses the promotion.
    """
    config, console = load(config_path), console_for_people()
    with alone(wish.out, "retraining"):
        async with opened(config) as promotions:
            if wish.promote:
                require_room(await promotions.standing())
            serving = await serving_of(promotions, config)
            model = open_model(serving, labels=config.model.labels)
            run = await _prepare(config, model, wish, console)
            if run is None:
                return
            identity = _fit(wish, run, serving, model.heads, console)
            print(f"{identity} {run.folder / MODEL}")
            reference = renewed(serving, f"path:{run.folder / MODEL}")
            candidate = open_model(reference, labels=config.model.labels)
            found = await examine(candidate, reference, serving, config=config, terms=wish.terms, console=console)
            _report(run, identity, found)
            if wish.promote:
                await stage(promotions, reference, candidate, found, force=wish.terms.force, wait=wait, console=console)
            else:
                console.print("\n".join(f"against it: {reason}" for reason in found.reasons) or "it passes the gate")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run's folder, with the labels in it and their digests."""

    folder: Path
    seen: frozenset[str]


async def _prepare(config: Config, model: Model, wish: Wish, console: Console) -> _Run | None:
    """Write what will be shown into a folder of its own; None, and a word about it, where too little is new."""
    desk = desk_of(config)
    given = await lessons(config.store.url, EPOCH)
    taught, unused = examples(given, partial(where, desk))
    console.print(f"{len(given)} verdicts teach {len(taught)} labels")
    for why, count in unused.items():
        console.print(f"  {count} times: {why}")
    labels = taught_rows(taught, model)
    seen = frozenset([*map(_digest, map(_plain, labels)), *map(_digest, _lines(wish.labelled))])
    new = len(seen - _seen_before(wish.out))
    if new < wish.least:
        print(f"{new} new labels, expected at least {wish.least}: nothing is done")
        return None
    replay = wish.recipe.replay
    since, most = SystemClock().now() - timedelta(days=replay.days), _times(replay.stored, len(seen), replay)
    articles = await recent(config.store.url, since, most)
    folder = (wish.out / SystemClock().now().strftime("%Y%m%dT%H%M%S")).resolve()
    folder.mkdir(parents=True)
    _write(folder / TAUGHT, labels)
    known = {example.article for example in taught}
    _write(folder / REPLAY, replayed_rows(model, desk, [each for each in articles if each.id not in known]))
    return _Run(folder=folder, seen=seen)


def _fit(wish: Wish, run: _Run, serving: str, answered: Mapping[str, Head], console: Console) -> ModelId:
    """Go on from the serving model; from its encoder alone where it is a checkpoint of others.

    Where models serve by language, it is the one for all other texts that learns.
    """
    start = parts_of(serving)[REST]
    base = open_base(start, locate(start))
    fit = wish.recipe.fit
    if base.manifest is not None:
        answered = base.manifest.heads
        fit = fit.model_copy(update={"limit": base.manifest.token_limit})
    heads = {name: HeadRecipe(kind=head.kind, labels=head.labels) for name, head in answered.items()}
    columns, licence = {name: name for name in heads}, wish.licence
    files = [
        FileRecipe(file=str(run.folder / name), heads=columns, licence=licence)
        for name in (TAUGHT, REPLAY)
        if (run.folder / name).stat().st_size
    ]
    if wish.labelled is not None:
        files.append(FileRecipe(file=str(wish.labelled.resolve()), heads=columns, licence=licence))
    files += _thinned(wish.recipe, heads, len(run.seen))
    recipe = Recipe(base=start, heads=heads, data=tuple(files), fit=fit)
    data, problems = load_rows(recipe, wish.data, skip_bad=wish.skip_bad)
    tell_data(console, data, problems, untaught=Fate.KEPT)
    require_rows(data, some=True)
    return teach(recipe, data, base, run.folder / MODEL, licence=licence, console=console, board=run.folder / BOARD)


def _thinned(recipe: RetrainRecipe, heads: Mapping[str, HeadRecipe], labels: int) -> list[FileRecipe]:
    """Return the recipe's files with as many rows of each as are to be shown again, in proportion alike."""
    files = []
    for file in recipe.data:
        rows = max(1, _times(recipe.replay.base, labels, recipe.replay) // len(recipe.data))
        columns = {head: column for head, column in file.heads.items() if head in heads}
        if columns:
            files.append(file.model_copy(update={"heads": columns, "rows": min(rows, file.rows or rows)}))
    return files


def _times(ratio: float, labels: int, replay: ReplayRecipe) -> int:
    return max(replay.least, round(ratio * labels)) if ratio else 0


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def _lines(path: Path | None) -> list[str]:
    """Return a labelled file's lines as they are; whoever reads them says what is wrong with them."""
    if path is None:
        return []
    if not path.is_file():
        raise ConfigurationError(f"--labelled {path}: no such file")
    lines = [line for line in path.read_bytes().decode("utf-8", "replace").split("\n") if line.strip()]
    return lines[1:] if path.suffix == ".csv" else lines


def _digest(told: str) -> str:
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _plain(row: Mapping[str, Any]) -> str:
    """Return what tells a label from others: the text, the company and what the desk says; a teacher's doubts aside."""
    sentiment = row["sentiment"] if isinstance(row["sentiment"], str) else NOT_NEGATIVE
    return json.dumps([row["text"], row.get("entity"), sentiment])


def _seen_before(out: Path) -> frozenset[str]:
    """Return the digests of what the last finished run was taught."""
    reports = sorted(out.glob(f"*/{REPORT}"))
    return frozenset(json.loads(reports[-1].read_text(encoding="utf-8"))["seen"]) if reports else frozenset()


def _report(run: _Run, identity: ModelId, found: Examination) -> None:
    told = {"model": identity, "against": found.reasons, **found.figures, "seen": sorted(run.seen)}
    (run.folder / REPORT).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
