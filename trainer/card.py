"""The model card: what a reader of the artefact's folder should know before using it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from monitor.core.manifest import Manifest
from trainer.config import Recipe

METHODS = {
    "full": "all layers",
    "lora": "low-rank adapters, merged into the encoder, and the heads",
    "head": "the heads alone, on the encoder as it was",
}


def card(manifest: Manifest, recipe: Recipe) -> str:
    """Return README.md for an artefact."""
    heads = "\n".join(
        f"- `{name}` ({head.kind}): {', '.join(head.labels)}; temperature {head.temperature}"
        for name, head in manifest.heads.items()
    )
    data = "\n".join(
        f"| {file.file} | {file.rows} | {file.licence} | {file.attribution} | `{file.sha256[:16]}…` |"
        for file in manifest.training
    )
    words = "the base's, frozen" if manifest.words == "base" else "trained, in model.safetensors"
    figures = json.loads(json.dumps(manifest.metrics))
    tables = "\n".join(
        _table(source, head, figure) for source, found in figures.items() for head, figure in found.items()
    )
    fit = recipe.fit.model_dump(exclude=None if recipe.fit.method == "lora" else {"lora"})
    settings = ", ".join(f"{name} {value}" for name, value in fit.items())
    beginning = f"the model `{manifest.parent}`, whose base is " if manifest.parent else ""
    return f"""# A newsquake model

Judges financial news: for the whole text, and for each company marked in it.

- Begins with: {beginning}`{manifest.base.reference}`, sha256 `{manifest.base.sha256}`; word embeddings: {words}
- Token limit: {manifest.token_limit}; text preparation {manifest.preparation}, markers {" ".join(manifest.markers)}
- Licence: {manifest.licence}
- Trained: {METHODS[manifest.method]}
- Fit: {settings}

## Heads

{heads}

## Trained on

| file | training rows | licence | source | sha256 |
|---|---|---|---|---|
{data}

## Figures on the rows marked `valid`

None of these rows, nor a near-copy of one, was trained on. In the confusion tables a row is what was true, a column
what the model said.
{tables}
"""


def _table(source: str, head: str, figure: Mapping[str, Any]) -> str:
    lines = [f"\n### {source}: {head}\n"]
    shown = {name: figure[name] for name in ("rows", "accuracy", "macro_f1", "calibration_error") if name in figure}
    lines.append(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items()))
    if "classes" not in figure:
        return "\n".join(lines)
    lines += ["", "| label | precision | recall | F1 | rows |", "|---|---|---|---|---|"]
    for name, each in figure["classes"].items():
        lines.append(f"| {name} | {each['precision']:.3f} | {each['recall']:.3f} | {each['f1']:.3f} | {each['rows']} |")
    names = list(figure["classes"])
    lines += ["", f"| true | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for name, counts in zip(names, figure["confusion"], strict=True):
        lines.append(f"| {name} | {' | '.join(str(count) for count in counts)} |")
    return "\n".join(lines)
