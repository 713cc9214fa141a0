"""The network: a BERT encoder and one small classifier per head, shared by the trainer and the daemon.

The encoder is BERT (Devlin et al. 2018) to the letter, on the weights of any BERT checkpoint; it is written out here
because the daemon has to be ready within seconds and importing a model class from transformers alone takes longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from monitor.scoring.preparation import Prepared

STEP = 8  # tokens
WORDS = "encoder.words.weight"  # the word embeddings: by far the largest part, and kept as the base has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The numbers of a BERT checkpoint's config.json that make its architecture."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float


class Layer(nn.Module):
    """One layer of attention and feed-forward, normalised after each."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        width = shape.hidden_size
        self.attention_heads = shape.num_attention_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.attended_norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.up = nn.Linear(width, shape.intermediate_size)
        self.down = nn.Linear(shape.intermediate_size, width)
        self.norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, width = hidden.shape
        qkv = self.qkv(hidden).view(batch, length, 3, self.attention_heads, width // self.attention_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = attention(query, key, value, mask).transpose(1, 2).reshape(batch, length, width)
        hidden = self.attended_norm(hidden + self.dropout(self.attended(mixed)))
        inner = functional.gelu(self.up(hidden))
        normalised: Tensor = self.norm(hidden + self.dropout(self.down(inner)))
        return normalised


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attention as BERT has it, of (batch, head, length, width) each; `mask` is true for tokens that may be looked at.

    Written out where a CPU learns in bf16: torch's own kernel goes backward through short texts four to nine times
    slower (torch 2.15).
    """
    if not (query.requires_grad and query.dtype == torch.bfloat16 and query.device.type == "cpu"):
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    mixed: Tensor = scores.softmax(-1) @ value
    return mixed


class Encoder(nn.Module):
    """BERT without its pooler. Takes ids (batch, length) and a mask of real tokens; gives (batch, length, width)."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        width = shape.hidden_size
        self.words = nn.Embedding(shape.vocab_size, width)
        self.positions = nn.Embedding(shape.max_position_embeddings, width)
        self.segments = nn.Embedding(shape.type_vocab_size, width)
        self.norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(shape, dropout) for _ in range(shape.num_hidden_layers))

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        hidden: Tensor = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.segments.weight[0]
        hidden = self.dropout(self.norm(hidden))
        mask = None if bool(real.all()) else real[:, None, None, :]
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return hidden


class Network(nn.Module):
    """The encoder and its heads. Each head sees the mean over the text beside the mean over what is judged."""

    def __init__(self, shape: Shape, heads: Mapping[str, int], dropout: float = 0.0) -> None:
        """`heads`: name to the number of labels."""
        super().__init__()
        self.encoder = Encoder(shape, dropout)
        width = shape.hidden_size
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Dropout(dropout),
                    nn.Linear(2 * width, width),
                    nn.GELU(),
                    nn.Dropout(dropout),
                    nn.Linear(width, labels),
                )
                for name, labels in heads.items()
            }
        )

    def forward(self, ids: Tensor, pool: Tensor) -> dict[str, Tensor]:
        """Return each head's logits (batch, labels) for what `collate` made."""
        return self.answer(self.features(ids, pool))

    def features(self, ids: Tensor, pool: Tensor) -> Tensor:
        """Return what the heads see (batch, 2 x width): both means of what the encoder makes of the text."""
        hidden: Tensor = self.encoder(ids, pool[:, 0] > 0)
        return (pool.to(hidden.dtype) @ hidden).flatten(1)

    def answer(self, features: Tensor) -> dict[str, Tensor]:
        """Return each head's logits (batch, labels) for features."""
        return {name: head(features) for name, head in self.heads.items()}


def collate(batch: Sequence[Prepared]) -> tuple[Tensor, Tensor]:
    """Pad a batch: ids (batch, length), and pool (batch, 2, length), the weights of both means; padding weighs 0.

    Lengths are multiples of STEP: a kernel is made, and kept, for each shape it meets.
    """
    length = -(-max(len(prepared.ids) for prepared in batch) // STEP) * STEP
    ids = np.zeros((len(batch), length), dtype=np.int64)
    pool = np.zeros((len(batch), 2, length), dtype=np.float32)
    for row, prepared in enumerate(batch):
        count = len(prepared.ids)
        ids[row, :count] = prepared.ids
        pool[row, 0, :count] = 1.0 / count
        weight = 1.0 / sum(stop - start for start, stop in prepared.focus)
        for start, stop in prepared.focus:
            pool[row, 1, start:stop] = weight
    return torch.from_numpy(ids), torch.from_numpy(pool)


def from_bert(weights: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Name a BERT checkpoint's weights as Encoder names them. Raise KeyError for one that is missing."""
    bert = {_present_name(name.removeprefix("bert.")): tensor for name, tensor in weights.items()}
    named = {
        "words.weight": bert["embeddings.word_embeddings.weight"],
        "positions.weight": bert["embeddings.position_embeddings.weight"],
        "segments.weight": bert["embeddings.token_type_embeddings.weight"],
        "norm.weight": bert["embeddings.LayerNorm.weight"],
        "norm.bias": bert["embeddings.LayerNorm.bias"],
    }
    for i in range(layers):
        old, new = f"encoder.layer.{i}", f"layers.{i}"
        for kind in ("weight", "bias"):
            parts = [bert[f"{old}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            named[f"{new}.qkv.{kind}"] = torch.cat(parts)
            named[f"{new}.attended.{kind}"] = bert[f"{old}.attention.output.dense.{kind}"]
            named[f"{new}.attended_norm.{kind}"] = bert[f"{old}.attention.output.LayerNorm.{kind}"]
            named[f"{new}.up.{kind}"] = bert[f"{old}.intermediate.dense.{kind}"]
            named[f"{new}.down.{kind}"] = bert[f"{old}.output.dense.{kind}"]
            named[f"{new}.norm.{kind}"] = bert[f"{old}.output.LayerNorm.{kind}"]
    return named


def _present_name(name: str) -> str:
    """Return today's name of a weight: the oldest checkpoints, such as bert-base-chinese, have it from TensorFlow."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
