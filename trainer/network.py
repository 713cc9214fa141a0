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

from monitor.errors import ArtefactError
from monitor.scoring.network import Network, Shape, from_bert
from trainer.config import HeadRecipe
from trainer.data import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A pretrained BERT checkpoint in a folder: config.json, model.safetensors, tokenizer.json."""

    reference: str
    folder: Path
    shape: Shape
    sha256: str

    def tokenizer(self) -> Tokenizer:
        """Return a tokenizer of its own, for a Preparer changes it."""
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))


def open_base(reference: str, folder: Path) -> Base:
    """Read a base model's numbers. Raise ArtefactError where the folder holds no BERT checkpoint in safetensors."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{folder}: cannot read the base model {reference!r}: {error}") from error
    if config.get("model_type") != "bert":
        raise ArtefactError(f"{folder}: the base model is a {config.get('model_type')!r}, expected 'bert'")
    shape = Shape(**{field.name: config[field.name] for field in fields(Shape)})
    return Base(reference=reference, folder=folder, shape=shape, sha256=digest)


def build(base: Base, labels: Mapping[str, Sequence[str]], dropout: float) -> Network:
    """Return a network with the base's encoder and fresh heads."""
    network = Network(base.shape, {head: len(names) for head, names in labels.items()}, dropout)
    weights = load_file(base.folder / "model.safetensors")
    network.encoder.load_state_dict(from_bert(weights, base.shape.num_hidden_layers))
    return network


@dataclass(frozen=True, slots=True)
class Targets:
    """The labels of a batch for one head: the rows that have one, what it is, and what they weigh."""

    rows: Tensor
    wanted: Tensor  # class numbers, or 0/1 per label where the head takes several
    weights: Tensor


def targets(
    rows: Sequence[Row], heads: Mapping[str, HeadRecipe], labels: Mapping[str, Sequence[str]]
) -> dict[str, Targets]:
    """Return the targets of the heads that any of these rows trains."""
    found: dict[str, Targets] = {}
    for head, names in labels.items():
        chosen = [i for i, row in enumerate(rows) if head in row.labels]
        if not chosen:
            continue
        given = [rows[i].labels[head] for i in chosen]
        if heads[head].kind == "multi":
            wanted = torch.tensor([[float(name in each) for name in names] for each in given])
        else:
            wanted = torch.tensor([names.index(each[0]) for each in given])
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
