"""Writing a fitted network as an artefact, and finding the artefacts in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import JsonValue
from safetensors.torch import save

from monitor.core.manifest import (
    GLOSSARY,
    NAME,
    TOKENIZER,
    WEIGHTS,
    Architecture,
    Golden,
    Head,
    Manifest,
    TrainingFile,
    parse,
)
from monitor.scoring.network import WORDS, Network
from monitor.scoring.preparation import GLOSSED, MARKERS, PLAIN, Preparer
from monitor.types import ModelId
from trainer.calibrate import Scores, probabilities, temperature
from trainer.card import card
from trainer.config import Recipe
from trainer.data import DEV, TRAIN, VALID, Data, Row
from trainer.evaluate import figures
from trainer.exam import exams
from trainer.methods import predict
from trainer.network import Base
from trainer.robust import Ask, Text, robustness

GOLDEN = (  # written for the project; the last names its company far behind the beginning
    ("Acme Bank cuts its outlook after heavy losses", None),
    ("Acme Bank gains as Borealis Steel slumps", "Acme Bank"),
    ("Acme Bank gains as Borealis Steel slumps", "Borealis Steel"),
    ("The annual meeting of Acme Bank takes place on Thursday", "Acme Bank"),
    ("Quarterly profit at Acme Bank jumps and beats what analysts expected", None),
    ("The central bank leaves its rate unchanged while oil prices rise", None),
    ("艾克米银行第三季度净利润大幅下滑", "艾克米银行"),
    ("Markets were calm today. " * 80 + "Borealis Steel was fined for fraud.", "Borealis Steel"),
)


def write(
    network: Network,
    recipe: Recipe,
    data: Data,
    base: Base,
    out: Path,
    *,
    licence: str,
    measured: tuple[ModelId, Manifest] | None = None,
) -> ModelId:
    """Calibrate on the development part, evaluate on the valid part, and write the artefact into `out`.

    With `measured`, a model that the same recipe made without the rows marked valid, its figures are stated.
    """
    network = _halved(network).eval()
    preparer = base.preparer(recipe)
    heads = _calibrated(network, recipe, data, preparer)
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: each.half().contiguous() for name, each in network.state_dict().items()}
    words: Literal["base", "own"] = "own" if base.own_words or _words_learned(recipe) else "base"
    if words == "base":
        del weights[WORDS]
    (out / WEIGHTS).write_bytes(save(weights))
    (out / TOKENIZER).write_bytes((base.folder / TOKENIZER).read_bytes())
    written = [WEIGHTS, TOKENIZER]
    if glossary := base.glossary(recipe):
        (out / GLOSSARY).write_bytes(glossary.read_bytes())
        written.append(GLOSSARY)
    manifest = Manifest(
        base=base.pretrained,
        method=recipe.fit.method,
        parent=base.parent,
        architecture=Architecture(**{name: getattr(base.shape, name) for name in Architecture.model_fields}),
        words=words,
        heads=heads,
        token_limit=recipe.fit.limit,
        preparation=GLOSSED if glossary else PLAIN,
        markers=MARKERS,
        metrics=measured[1].metrics if measured else _metrics(network, heads, data, preparer),
        measured=measured[0] if measured else None,
        training=_training(recipe, data),
        licence=licence,
        files={name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in written},
        golden=_golden(network, heads, preparer),
    )
    raw = (manifest.model_dump_json(indent=1) + "\n").encode()
    (out / NAME).write_bytes(raw)
    (out / "README.md").write_text(card(manifest, recipe), encoding="utf-8")
    return parse(raw, str(out / NAME))[1]


def answers_of(network: Network, recipe: Recipe, data: Data, base: Base, rows: Sequence[Row]) -> Mapping[str, Scores]:
    """Return each head's probabilities (row, label), calibrated on the development part as an artefact's are."""
    preparer = base.preparer(recipe)
    heads = _calibrated(network, recipe, data, preparer)
    return _asking(network, heads, preparer)([(row.text, row.spans) for row in rows])


def _asking(network: Network, heads: Mapping[str, Head], preparer: Preparer) -> Ask:
    """Return what answers texts as the artefact will: each head's probabilities (text, label)."""

    def ask(texts: Sequence[Text]) -> dict[str, Scores]:
        logits = predict(network, preparer.prepare(texts), precision="fp32")
        return {name: probabilities(logits[name], head.temperature, head.kind) for name, head in heads.items()}

    return ask


def _words_learned(recipe: Recipe) -> bool:
    return recipe.fit.method == "full" and not recipe.fit.freeze_words


def _halved(network: Network) -> Network:
    """Round to what will be shipped, so that all figures are those of the shipped weights."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name != WORDS:
                weight.copy_(weight.half().float())
    return network


def _calibrated(network: Network, recipe: Recipe, data: Data, preparer: Preparer) -> dict[str, Head]:
    rows = data.part(DEV) or data.part(TRAIN)
    logits = predict(network, preparer.prepare([(row.text, row.spans) for row in rows]), precision="fp32")
    heads = {}
    for name, asked in recipe.heads.items():
        labels = data.labels[name]
        chosen = [i for i, row in enumerate(rows) if name in row.labels]
        wanted = np.array([rows[i].wanted(name, labels) for i in chosen], dtype=np.float32)
        heat = temperature(logits[name][chosen], wanted, asked.kind)
        heads[name] = Head(labels=labels, kind=asked.kind, temperature=heat)
    return heads


def _metrics(network: Network, heads: Mapping[str, Head], data: Data, preparer: Preparer) -> dict[str, JsonValue]:
    rows: list[Row] = data.part(VALID)
    if not rows:
        return {}
    ask = _asking(network, heads, preparer)
    asked = exams(rows, ask([(row.text, row.spans) for row in rows]), heads)
    moved = robustness(asked, heads, ask)
    return {
        source: {name: figures(each) | {"robustness": moved[source][name]} for name, each in found.items()}
        for source, found in asked.items()
    }


def _training(recipe: Recipe, data: Data) -> tuple[TrainingFile, ...]:
    return tuple(
        TrainingFile(
            file=file.file,
            sha256=data.sha256[file.file],
            rows=sum(row.source == file.file for row in data.part(TRAIN)),
            licence=file.licence,
            attribution=file.attribution,
        )
        for file in recipe.data
    )


def _golden(network: Network, heads: Mapping[str, Head], preparer: Preparer) -> tuple[Golden, ...]:
    ask, found = _asking(network, heads, preparer), []
    for text, company in GOLDEN:
        start = text.find(company) if company else 0
        spans = ((start, start + len(company)),) if company else ()
        answers = {
            name: {label: round(float(p), 6) for label, p in zip(heads[name].labels, given[0], strict=True)}
            for name, given in ask([(text, spans)]).items()
        }
        found.append(Golden(text=text, spans=spans, probabilities=answers))
    return tuple(found)
