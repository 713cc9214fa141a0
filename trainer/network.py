"""From recipe to network: the base model's weights and vocabulary, new heads, and the loss over several heads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from monitor.core.manifest import GLOSSARY, NAME, TOKENIZER, WEIGHTS, BaseModelReference, Manifest
from monitor.errors import ArtefactError, ConfigurationError
from monitor.scoring.glossary import Glossary, read
from monitor.scoring.model import read_artefact
from monitor.scoring.network import Network, Shape, from_bert
from monitor.scoring.preparation import MARKERS, Preparer
from monitor.scoring.references import require_weights
from monitor.types import ModelId
from trainer.config import HeadRecipe, Recipe, glossary_file
from trainer.data import Row

UNSAID = {"model_type": None, "hidden_act": "gelu", "position_embedding_type": "absolute"}  # what config.json may omit


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

    def glossary(self, recipe: Recipe) -> Path | None:
        """Return the glossary that texts go through: the recipe's, else that of the model to go on from, else none."""
        if recipe.glossary:
            return glossary_file(recipe.glossary)
        return self.folder / GLOSSARY if self.manifest and GLOSSARY in self.manifest.files else None

    def preparer(self, recipe: Recipe) -> Preparer:
        """Return what turns texts into tokens.

        Raise ConfigurationError for a glossary that is none, and for more tokens than the encoder takes.
        """
        most = self.shape.max_position_embeddings
        if recipe.fit.limit > most:
            raise ConfigurationError(f"fit.limit: found {recipe.fit.limit} tokens, expected at most the base's {most}")
        tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER))
        path = self.glossary(recipe)
        return Preparer(tokenizer, limit=recipe.fit.limit, glossary=Glossary(read(path)) if path else None)


def open_base(reference: str, folder: Path) -> Base:
    """Read what a fit begins with.

    Raise ArtefactError where the folder holds neither a whole newsquake model nor a BERT checkpoint in safetensors.
    """
    if (folder / NAME).is_file():
        manifest, identity, _ = read_artefact(folder)
        shape = Shape(**manifest.architecture.model_dump())
        return Base(folder=folder, pretrained=manifest.base, shape=shape, manifest=manifest, parent=identity)
    require_weights(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{folder}: cannot read the base model {reference!r}: {error}") from error
    shape = _shape(UNSAID | config, folder)
    _require_vocabulary(folder)
    return Base(folder=folder, pretrained=BaseModelReference(reference=reference, sha256=digest), shape=shape)


def _shape(config: Mapping[str, Any], folder: Path) -> Shape:
    """Return the numbers of a BERT encoder. Raise ArtefactError for a checkpoint of another kind."""
    for key, wanted in {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}.items():
        if config[key] != wanted:
            raise ArtefactError(
                f"{folder / 'config.json'}: {key} is {config[key]!r}, expected {wanted!r}: a fit begins with a BERT "
                "encoder, as BERT, Chinese RoBERTa-wwm, MacBERT and BGE have it"
            )
    missing = [field.name for field in fields(Shape) if field.name not in config]
    if missing:
        raise ArtefactError(f"{folder / 'config.json'}: lacks {', '.join(missing)}")
    return Shape(**{field.name: config[field.name] for field in fields(Shape)})


def _require_vocabulary(folder: Path) -> None:
    """Raise ArtefactError where the tokenizer is not there, or has no tokens that mark a company."""
    path = folder / TOKENIZER
    if not path.is_file():
        raise ArtefactError(
            f"{folder}: has no {TOKENIZER}, the tokenizer in one file. Where there is a vocab.txt, transformers makes "
            "one: AutoTokenizer.from_pretrained(MODEL).save_pretrained(DIR); put the weights and config.json beside "
            "it, and name that folder: path:DIR"
        )
    try:
        known = Tokenizer.from_file(str(path)).get_vocab()
    except Exception as error:  # tokenizers raises bare Exception
        raise ArtefactError(f"{path}: cannot read the tokenizer: {error}") from error
    if missing := [token for token in (*MARKERS, "[CLS]", "[SEP]") if token not in known]:
        raise ArtefactError(f"{path}: has no {', '.join(missing)}, which frame a text and mark a company")


def build(base: Base, labels: Mapping[str, Sequence[str]], dropout: float) -> Network:
    """Return a network with the base's encoder, the heads that the base has with just these labels, and fresh ones."""
    network = Network(base.shape, {head: len(names) for head, names in labels.items()}, dropout)
    if base.manifest is None:
        weights = load_file(base.folder / WEIGHTS)
        try:
            network.encoder.load_state_dict(from_bert(weights, base.shape.num_hidden_layers))
        except (KeyError, RuntimeError) as error:
            raise ArtefactError(f"{base.folder / WEIGHTS}: is not what config.json says: {error}") from error
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

    def to(self, device: torch.device) -> Targets:
        """Return the same on a device."""
        return Targets(self.rows.to(device), self.wanted.to(device), self.weights.to(device))


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


def balance(wanted: Mapping[str, Targets], heads: Mapping[str, HeadRecipe]) -> dict[str, Tensor]:
    """Return what each label weighs for the heads that balance theirs, found from all training rows.

    A power of the inverse frequency. Of a `single` head a row weighs 1 in the mean; of a `multi` head it is a label's
    presence that weighs, by a power of absent to present. A label that no row bears, or all do, weighs 1.
    """
    found = {}
    for name, target in wanted.items():
        power = heads[name].balance
        if not power:
            continue
        share = (target.wanted * target.weights[:, None]).sum(0) / target.weights.sum()
        borne = (share > 0) & (share < 1)
        if heads[name].kind == "multi":
            weights = ((1 - share) / share) ** power
        else:
            weights = share**-power / (share[borne] ** (1 - power)).sum()
        found[name] = torch.where(borne, weights, torch.ones(()))
    return found


def loss(
    logits: Mapping[str, Tensor],
    wanted: Mapping[str, Targets],
    heads: Mapping[str, HeadRecipe],
    *,
    smoothing: float = 0.0,
    balanced: Mapping[str, Tensor] = MappingProxyType({}),
    among: int | None = None,
) -> Tensor:
    """Return the weighted mean over all labels of the batch, whatever their heads.

    `balanced` is what `balance` found; `among` counts the labels to take the mean over, where this batch is a part.
    """
    parts = []
    for head, target in wanted.items():
        given, weights = logits[head].float()[target.rows], balanced.get(head)
        if heads[head].kind == "multi":
            each = functional.binary_cross_entropy_with_logits(
                given, target.wanted, pos_weight=weights, reduction="none"
            ).mean(1)
        else:
            each = functional.cross_entropy(
                given, target.wanted, weight=weights, label_smoothing=smoothing, reduction="none"
            )
        parts.append(heads[head].weight * (each * target.weights).sum())
    return torch.stack(parts).sum() / (among or labelled(wanted))


def labelled(wanted: Mapping[str, Targets]) -> int:
    """Count the labels of a batch."""
    return sum(len(target.rows) for target in wanted.values())
