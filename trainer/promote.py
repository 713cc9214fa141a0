"""Asking whether a model may take the serving one's place, and staging it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from monitor.clock import SystemClock
from monitor.config import Config, load
from monitor.core.manifest import NAME, Head, parse
from monitor.errors import ConfigurationError, PromotionError
from monitor.ports import Clock
from monitor.scoring.model import Model
from monitor.scoring.references import BUILTIN, manifest_of, renewed
from monitor.scoring.routed import open_model
from monitor.store.models import Promotions
from monitor.store.past import recent
from monitor.types import Article, Incident, IncidentKind, Timeliness
from trainer import gate
from trainer.compare import told
from trainer.config import FileRecipe, HeadRecipe, Recipe
from trainer.data import Row
from trainer.examine import common, compared, rows_for
from trainer.life import HOW, console_for_people, follow, lasting, opened, require_room, serving_of
from trainer.rehearse import rehearse

SPAN = timedelta(days=28)  # of the archive
WARMING = timedelta(days=1)  # in which a detector that has learned nothing raises nothing
LEAST = timedelta(days=1)  # of live news behind that: less says nothing about a rate per week


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a candidate is looked at before it is staged.

    `span` and `most` bound the archive: its newest days and articles. `force` stages what the gate refuses, and says so
    in the database.
    """

    gate: Path = gate.SET
    span: timedelta = SPAN
    most: int = 5000
    force: bool = False

    @classmethod
    def of(cls, file: Path | None, days: int, articles: int, *, force: bool) -> Terms:
        """Return the terms that a command line states. Raise ConfigurationError where the gate set is not there."""
        if file is not None and not file.is_file():
            raise ConfigurationError(f"--gate {file}: no such file")
        return cls(gate=file or gate.SET, span=timedelta(days=days), most=articles, force=force)


@dataclass(slots=True)
class Examination:
    """What the gate found: the reasons against a promotion, and the figures, ready for JSON."""

    reasons: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


async def promote(reference: str, config_path: Path, terms: Terms, *, wait: bool) -> None:
    """Examine a model and stage it; with `wait`, follow until it serves.

    Where models serve by language, it takes the place of the one that it is named for, and the others stay.

    Raise PromotionError where the gate refuses it, where a promotion is under way, or where the daemon refuses it.
    """
    config, console = load(config_path), console_for_people()
    async with opened(config) as promotions:
        require_room(await promotions.standing())
        serving = await serving_of(promotions, config)
        reference = renewed(serving, reference)
        candidate = open_model(reference, labels=config.model.labels)
        found = await examine(candidate, reference, serving, config=config, terms=terms, console=console)
        await stage(promotions, reference, candidate, found, force=terms.force, wait=wait, console=console)


async def stage(
    promotions: Promotions,
    reference: str,
    candidate: Model,
    found: Examination,
    *,
    force: bool,
    wait: bool,
    console: Console,
) -> None:
    """Stage an examined model, and say what happens next. Raise PromotionError where something speaks against it."""
    for reason in found.reasons:
        console.print(f"against it: {reason}")
    if found.reasons and not force:
        raise PromotionError(f"{reference} is not promoted: {found.reasons[0]} (--force promotes it all the same)")
    manifest = manifest_of(reference) | {"gate": _noted(found, SystemClock())}
    row = await promotions.stage(lasting(reference), candidate.id, manifest, SystemClock().now())
    if found.reasons:
        console.print("promoted all the same, because of --force; the database keeps a note of it")
    print(f"{row.id} is staged: {row.reference}")
    if wait:
        await follow(promotions, row, SystemClock(), console)
    else:
        console.print(f"next: {HOW}")


async def examine(
    candidate: Model, reference: str, serving: str, *, config: Config, terms: Terms, console: Console
) -> Examination:
    """Compare a candidate with the serving model, on the gate set and on the recent archive.

    The archive, which takes minutes, is asked only where the gate set says nothing against the candidate, or where
    that does not matter.
    """
    first = open_model(serving, labels=config.model.labels)
    if first.id == candidate.id:
        raise PromotionError(f"{candidate.id} serves already: {serving}")
    found = Examination(reasons=gate.lacking(first.heads, candidate.heads))
    heads = _asked(common(first.heads, candidate.heads), terms.gate)
    rows = _gate_rows(heads, terms.gate)
    comparisons = compared(first, candidate, heads, rows)
    console.print(f"on the gate set {terms.gate}:\n{told(serving, reference, comparisons)}")
    found.reasons += gate.worse(comparisons)
    found.figures["gate"] = {head: each.to_json() for head, each in comparisons.items()}
    if not found.reasons or terms.force:
        await _ask_the_archive(found, (serving, reference), config, terms, console)
    return found


async def _ask_the_archive(
    found: Examination, references: tuple[str, str], config: Config, terms: Terms, console: Console
) -> None:
    """Add to an examination what the serving model and the candidate raise on the recent archive."""
    articles = await recent(config.store.url, SystemClock().now() - terms.span, terms.most)
    live = [each.received for each in articles if each.timeliness is not Timeliness.HISTORY]
    watched = live[-1] - live[0] - WARMING if live else timedelta(0)
    if watched < LEAST:
        console.print(f"the archive's last {terms.span.days} days hold too little live news to ask the budget about")
        return
    surges = await _surges(config, references, articles, console)
    added = gate.alone(*surges)
    allowed = gate.allowance(config.detect.false_alarms, watched)
    console.print(
        f"in {watched / timedelta(days=1):.1f} days of the archive ({len(articles)} articles) {references[0]} raises "
        f"{len(surges[0])} surges and {references[1]} {len(surges[1])}, {len(added)} of them alone; the budget "
        f"explains {allowed}"
    )
    found.reasons += gate.too_loud(added, config.detect.false_alarms, watched)
    found.figures["archive"] = {
        "articles": len(articles),
        "days": round(watched / timedelta(days=1), 2),
        "serving": len(surges[0]),
        "candidate": len(surges[1]),
        "alone": len(added),
        "allowed": allowed,
    }


def _asked(heads: Mapping[str, Head], file: Path) -> dict[str, Head]:
    """Return the heads that a gate set asks: the shipped one asks what the shipped model answers."""
    if file != gate.SET:
        return dict(heads)
    shipped, _ = parse((BUILTIN / NAME).read_bytes(), str(BUILTIN / NAME))
    return {
        name: head
        for name, head in heads.items()
        if name in shipped.heads and set(shipped.heads[name].labels) <= set(head.labels)
    }


def _gate_rows(heads: Mapping[str, Head], file: Path) -> list[Row]:
    columns = FileRecipe(file=str(file), heads={name: name for name in heads}, split="")
    recipe = Recipe(heads={name: HeadRecipe() for name in heads}, data=(columns,))
    return rows_for(heads, recipe, Path(), split=None, skip_bad=False)


async def _surges(
    config: Config, references: Sequence[str], articles: Sequence[Article], console: Console
) -> list[list[Incident]]:
    """Return the surges that each model raises on the same articles."""
    found = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        for reference in references:
            task = progress.add_task(f"{reference} lives through the archive", total=len(articles))
            incidents = await rehearse(config, reference, articles, partial(progress.advance, task))
            found.append([each for each in incidents if each.kind is IncidentKind.SURGE])
    return found


def _noted(found: Examination, clock: Clock) -> dict[str, Any]:
    """Return what the database keeps of an examination."""
    return {"at": clock.now().isoformat(), "forced": bool(found.reasons), "against": found.reasons, **found.figures}
