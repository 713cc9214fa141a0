"""The artefact's contract, manifest.json, read without torch: what a model is, what it came from, and how to tell that
it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from monitor.errors import ArtefactError
from monitor.types import ModelId

NAME = "manifest.json"
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
GLOSSARY = "glossary.tsv"
TOLERANCE = 0.02  # in probability: how far a golden output may move between machines and precisions
SENTIMENT = ("negative", "neutral", "positive")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]  # in the folder itself, nowhere else


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseModelReference(_Strict):
    """The pretrained model underneath: where it comes from, and the sha256 of its model.safetensors."""

    reference: str
    sha256: Sha256


class Architecture(_Strict):
    """The numbers of the BERT encoder, named as in its config.json."""

    vocab_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    max_position_embeddings: int = Field(gt=0)
    type_vocab_size: int = Field(gt=0)
    layer_norm_eps: float = Field(gt=0.0)


class Head(_Strict):
    """One question: one of the labels (`single`), or any of them (`multi`). `temperature` divides its logits."""

    labels: tuple[str, ...] = Field(min_length=2)
    kind: Literal["single", "multi"] = "single"
    temperature: float = Field(1.0, gt=0.0)

    @model_validator(mode="after")
    def _distinct(self) -> Head:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels are repeated: {', '.join(self.labels)}")
        return self


class TrainingFile(_Strict):
    """One file that the model was trained on."""

    file: str
    sha256: Sha256
    rows: int = Field(ge=0)
    licence: str
    attribution: str = ""


class Golden(_Strict):
    """One text with what the model answered when it was made: {head: {label: probability}}."""

    text: str
    spans: tuple[tuple[int, int], ...] = ()
    probabilities: dict[str, dict[str, float]]


class Manifest(_Strict):
    """All that can be known of an artefact before its weights are read."""

    schema_version: Literal[1] = 1
    base: BaseModelReference
    method: Literal["full", "lora", "head"] = "full"  # how far it was trained; see trainer/methods.py
    parent: ModelId | None = None  # the model that the fit went on from; None: from the base
    architecture: Architecture
    words: Literal["base", "own"]  # whose word embeddings: the base's, frozen, or trained ones in model.safetensors
    heads: dict[str, Head] = Field(min_length=1)
    token_limit: int = Field(ge=16)
    preparation: int  # version of the text preparation
    markers: tuple[str, str]
    metrics: dict[str, JsonValue] = Field(default_factory=dict)
    measured: ModelId | None = None  # the model whose figures these are, where it is another: see `fit --refit`
    training: tuple[TrainingFile, ...] = ()
    licence: str
    files: dict[FileName, Sha256] = Field(min_length=1)
    golden: tuple[Golden, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Manifest:
        if self.token_limit > self.architecture.max_position_embeddings:
            most = self.architecture.max_position_embeddings
            raise ValueError(f"token_limit is {self.token_limit}, more than the encoder's {most}")
        for needed in (WEIGHTS, TOKENIZER):
            if needed not in self.files:
                raise ValueError(f"files lacks {needed}")
        sentiment = self.heads.get("sentiment")
        if sentiment is None or set(sentiment.labels) != set(SENTIMENT) or sentiment.kind != "single":
            raise ValueError(f"expected a single-label head 'sentiment' with the labels {', '.join(SENTIMENT)}")
        for golden in self.golden:
            for head, given in golden.probabilities.items():
                if head not in self.heads or set(given) != set(self.heads[head].labels):
                    raise ValueError(f"the golden output for {golden.text[:40]!r} does not fit the head {head!r}")
        return self


def parse(raw: bytes, where: str) -> tuple[Manifest, ModelId]:
    """Read a manifest's bytes. `where` names the file in messages. Raise ArtefactError."""
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        found = "" if first["type"] in {"missing", "json_invalid"} else f", found {str(first['input'])[:60]!r}"
        raise ArtefactError(f"{where}: {key + ': ' if key else ''}{first['msg']}{found}") from error
    return manifest, model_id(raw)


def model_id(raw: bytes) -> ModelId:
    """Name a model by the manifest that fixes every byte of it."""
    return ModelId(hashlib.sha256(raw).hexdigest()[:16])


def disagreement(wanted: Mapping[str, Mapping[str, float]], found: Mapping[str, Mapping[str, float]]) -> float:
    """Return how far two outputs lie apart at most, in probability."""
    return max(abs(p - found[head][label]) for head, given in wanted.items() for label, p in given.items())
