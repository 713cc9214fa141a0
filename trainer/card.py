"""The model card: what a reader of the artefact's folder should know before using it."""

from __future__ import annotations

import json

from monitor.core.manifest import Manifest
from trainer.config import Recipe
from trainer.wording import section

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
        section(source, head, figure) for source, found in figures.items() for head, figure in found.items()
    )
    fit = recipe.fit.model_dump(exclude=None if recipe.fit.method == "lora" else {"lora"})
    settings = ", ".join(f"{name} {value}" for name, value in fit.items())
    seen = (
        f"The same recipe gave these to `{manifest.measured}`, which was not shown these rows; this model was."
        if manifest.measured
        else "None of these rows, nor a near-copy of one, was trained on."
    )
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

{seen} In brackets: where 95 % of resamples of the rows put a
figure. In the confusion tables a row is what was true, a column what the model said.

{tables.strip()}
"""
