"""What a text is about, in 64 numbers, by which stories about one happening are found (`core/events.py`).

Each token of the shipped model's vocabulary has a vector: the base's word embedding, weighted by how rare the word is,
less what all financial news has in common (`trainer/gists.py` makes the table). A text's vector is the sum over the
different tokens of its beginning, Chinese words as their English glosses, companies' names left out: they say whom a
text is about, which is known already. No network is run, so it costs little; and it is the same whichever model
judges, so that a change of model parts no event.

The idea is that of static sentence embeddings (Arora et al. 2017, "A Simple but Tough-to-Beat Baseline for Sentence
Embeddings"). docs/detection.md says what else was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from monitor.core.manifest import GLOSSARY, TOKENIZER
from monitor.errors import ArtefactError
from monitor.scoring.glossary import Glossary, Span, read
from monitor.scoring.preparation import Preparer
from monitor.scoring.references import BUILTIN
from monitor.types import Gist

TABLE = BUILTIN.parent / "gist" / "tokens.safetensors"
READ = 64  # tokens: the title and the lead; what follows tells of other things too

Ids: TypeAlias = NDArray[np.int64]


class Gists:
    """`ports.Gists` by a table of token vectors. Not for several threads at once."""

    def __init__(self, preparer: Preparer, tokens: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
        """Vectors (vocabulary x width) are `tokens` times `scales`, which has one number for each token."""
        self._preparer = preparer
        self._tokens = tokens
        self._scales = scales

    def of(self, texts: Sequence[tuple[str, Sequence[Span]]]) -> list[Gist]:
        """Return the gist of each text without what stands at its spans; empty where nothing is left."""
        return [self._gist(ids) for ids in token_ids(self._preparer, texts)]

    def _gist(self, ids: Ids) -> Gist:
        total = self._scales[ids] @ self._tokens[ids].astype(np.float32)
        largest = float(np.abs(total).max(initial=0.0))
        return Gist(np.rint(total * (127.0 / largest)).astype(np.int8).tobytes() if largest else b"")


def preparer_of(folder: Path) -> Preparer:
    """Return what turns texts into tokens as the model in a folder does, but for marks."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    return Preparer(tokenizer, limit=READ + 2, markers=None, glossary=Glossary(read(folder / GLOSSARY)))


def token_ids(preparer: Preparer, texts: Sequence[tuple[str, Sequence[Span]]]) -> list[Ids]:
    """Return the different tokens of each text's beginning, ascending, without those of its spans and its ends."""
    prepared = preparer.prepare([(_without(text, spans), ()) for text, spans in texts])
    return [np.unique(np.array(each.ids[1:-1], dtype=np.int64)) for each in prepared]


@cache
def open_gists() -> Gists:
    """Load the shipped table. Raise ArtefactError where it is damaged or not of the shipped model's vocabulary."""
    try:
        table = load_file(TABLE)
        tokens, scales = table["tokens"], table["scales"]
        tokenizer = Tokenizer.from_file(str(BUILTIN / TOKENIZER))
    except (OSError, SafetensorError, KeyError) as error:
        raise ArtefactError(f"{TABLE}: cannot read the table of token vectors: {error}") from error
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    if len(tokens) != size or scales.shape != (size,):
        raise ArtefactError(f"{TABLE}: holds {len(tokens)} tokens; {BUILTIN / TOKENIZER} has {size}")
    return Gists(preparer_of(BUILTIN), tokens, scales)


def _without(text: str, spans: Sequence[Span]) -> str:
    parts, at = [], 0
    for start, stop in sorted(spans):
        parts.append(text[at:start])
        at = max(at, stop)
    return " ".join([*parts, text[at:]])
