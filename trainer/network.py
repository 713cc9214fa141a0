"""From recipe to network: the base model's weights and vocabulary, new heads, and the loss over several heads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from monitor.core.manifest import NAME, TOKENIZER, WEIGHTS, BaseModelReference, Manifest
from monitor.errors import ArtefactError
from monitor.scoring.model import read_artefact
from monitor.scoring.network import Network, Shape, from_bert
from monitor.types import ModelId
from trainer.config import HeadRecipe
from trainer.data import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a fit begins with: a pretrained BERT checkpoint, or a newsquake model to go on from.

    `pretrained` names the checkpoint underneath, in either case. `manifest` and `parent` are those of the newsquake
    model, None where there is none.
    """

    folder: Path
    pretrained: BaseModelReference
    shape: Shape
    manifest: Manifest | None = None
    parent: ModelId | None = None

    @property
    def own_words(self) -> bool:
        """Whether the word embeddings differ from those of the checkpoint underneath."""
        return self.manifest is not None and self.manifest.words == "own"

    def tokenizer(self) -> Tokenizer:
        """Return a tokenizer of its own, for a Preparer changes it."""
        return Tokenizer.from_file(str(self.folder / TOKENIZER))


def open_base(reference: str, folder: Path) -> Base:
    """Read what a fit begins with.

    Raise ArtefactError where the folder holds neither a whole newsquake model nor a BERT checkpoint in safetensors.
    """
    if (folder / NAME).is_file():
        manifest, identity, _ = read_artefact(folder)
        shape = Shape(**manifest.architecture.model_dump())
        return Base(folder=folder, pretrained=manifest.base, shape=shape, manifest=manifest, parent=identity)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{folder}: cannot read the base model {reference!r}: {error}") from error
    if config.get("model_type") != "bert":
        raise ArtefactError(f"{folder}: the base model is a {config.get('model_type')!r}, expected 'bert'")
    shape = Shape(**{field.name: config[field.name] for field in fields(Shape)})
    return Base(folder=folder, pretrained=BaseModelReference(reference=reference, sha256=digest), shape=shape)


def build(base: Base, labels: Mapping[str, Sequence[str]], dropout: float) -> Network:
    """Return a network with the base's encoder, the heads that the base has with just these labels, and fresh ones."""
    network = Network(base.shape, {head: len(names) for head, names in labels.items()}, dropout)
    if base.manifest is None:
        weights = load_file(base.folder / WEIGHTS)
        network.encoder.load_state_dict(from_bert(weights, base.shape.num_hidden_layers))
        return network
    _, _, found = read_artefact(base.folder)
    known = [name for name, head in base.manifest.heads.items() if head.labels == tuple(labels.get(name, ()))]
    taken = ("encoder.", *(f"heads.{name}." for name in known))
    network.load_state_dict({**network.state_dict(), **{k: v for k, v in found.items() if k.startswith(taken)}})
    return network


@dataclass(frozen=True, slots=True)
class Targets:
    """The labels of a batch for one head: the rows that have one, what it is, and what they weigh."""

    rows: Tensor
    wanted: Tensor  # (row, label): a probability for each label, mostly 0 or 1
    weights: Tensor


def targets(rows: Sequence[Row], labels: Mapping[str, Sequence[str]]) -> dict[str, Targets]:
    """Return the targets of the heads that any of these rows trains."""
    found: dict[str, Targets] = {}
    for head, names in labels.items():
        chosen = [i for i, row in enumerate(rows) if head in row.labels]
        if chosen:
            wanted = torch.tensor([rows[i].wanted(head, names) for i in chosen])
            weights = torch.tensor([rows[i].weight for i in chosen])
            found[head] = Targets(torch.tensor(chosen), wanted, weights)
    return found


def loss(
    logits: Mapping[str, Tensor], wanted: Mapping[str, Targets], heads: Mapping[str, HeadRecipe], smoothing: float
) -> Tensor:
    """Return the weighted mean over all labels of the batch, whatever their heads."""
    total, count = torch.zeros(()), 0
    for head, target in wanted.items():
        given = logits[head].float()[target.rows]
        if heads[head].kind == "multi":
            each = functional.binary_cross_entropy_with_logits(given, target.wanted, reduction="none").mean(1)
        else:
            each = functional.cross_entropy(given, target.wanted, reduction="none", label_smoothing=smoothing)
        total = total + heads[head].weight * (each * target.weights).sum()
        count += len(target.rows)
    return total / count
