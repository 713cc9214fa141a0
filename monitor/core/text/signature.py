"""The copy signature: a MinHash by which near-copies of a text are found again, in any store, without the text.

Method. MinHash with banding (Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4) over the set
of a text's *shingles*: all runs of four characters of the text without case, punctuation and white space. Four
characters are one Chinese phrase or most of an English word, so one rule serves both. Each *number* of the text adds
eight shingles of its own, as much as a word: "shares fall 3%" and "shares fall 5%" are two stories, and templates that
are filled with new figures every day are too, while one corrected figure in a long text changes little.

Layout. 128 minima as little-endian uint32, then the number of shingles as one uint32: 516 bytes. A text without a
letter or digit has the empty signature, which has no bands and is like nothing.

Banding. 16 bands of 5 minima are looked up in the store. A pair whose sets have Jaccard similarity s shares at least
one with probability 1 - (1 - s^5)^16: 0.40 at 0.5, 0.73 at 0.6, 0.947 at 0.7, 0.998 at 0.8, and 0.04 at 0.3, so that
few strangers come along. The remaining minima sharpen the estimate: its standard error is sqrt(s (1 - s) / 128), 0.04
at 0.7.

datasketch implements the same scheme; it takes four times as long, and a second to import.
"""

from __future__ import annotations

import hashlib
import re
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.types import Signature

Hashes: TypeAlias = NDArray[np.uint64]
Minima: TypeAlias = NDArray[np.uint32]

PERMUTATIONS = 128
_BANDS = 16
_ROWS = 5
_SHINGLE = 4
_NUMBER_WEIGHT = 8
_READ = 20_000  # characters; two texts that agree so far are copies
_STEP = 2048  # shingles hashed at once: 2 MB of work space

ALIKE = 0.7  # Jaccard similarity from which a long text is a copy
_SHORT = 150  # shingles; below, a text is a headline or little more
_CONTAINED = 0.94  # how much of the smaller of two short texts must stand in the larger

_SEPARATOR = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def _constants(name: str, count: int) -> Hashes:
    """Draw fixed 64-bit numbers: signatures must agree between versions, machines and libraries."""
    drawn = hashlib.shake_256(f"newsquake copy signature 1: {name}".encode()).digest(count * 8)
    return np.frombuffer(drawn, dtype="<u8").astype(np.uint64)


_PLACES = _constants("places", _SHINGLE) | np.uint64(1)
_FACTORS = _constants("factors", PERMUTATIONS)[:, None] | np.uint64(1)
_OFFSETS = _constants("offsets", PERMUTATIONS)[:, None]


def sign(text: str) -> Signature:
    """Return the signature of a cleaned text (its first 20,000 characters); the same for any case and spacing."""
    text = text[:_READ].casefold()
    shingles = np.unique(np.concatenate([_runs(_SEPARATOR.sub("", text)), _numbers(text)]))
    if not shingles.size:
        return Signature(b"")
    minima = np.full(PERMUTATIONS, np.iinfo(np.uint32).max, dtype=np.uint32)
    for start in range(0, shingles.size, _STEP):
        permuted = shingles[start : start + _STEP] * _FACTORS + _OFFSETS  # multiply-shift (Dietzfelbinger et al. 1997)
        np.minimum(minima, (permuted >> np.uint64(32)).min(axis=1).astype(np.uint32), out=minima)
    return Signature(minima.astype("<u4").tobytes() + shingles.size.to_bytes(4, "little"))


def bands(signature: Signature) -> tuple[int, ...]:
    """Return the 16 numbers (signed, 64 bits) under which the signature is looked up, or () for the empty one.

    Texts that share none of them are not near-copies.
    """
    width = 4 * _ROWS
    return tuple(
        int.from_bytes(
            hashlib.blake2b(signature[at * width : (at + 1) * width], digest_size=8, salt=bytes([at])).digest(),
            "big",
            signed=True,
        )
        for at in range(_BANDS if signature else 0)
    )


def similarity(a: Signature, b: Signature) -> float:
    """Return the estimated Jaccard similarity of the two texts' shingles, 0 to 1; 0 where one is empty."""
    if not a or not b:
        return 0.0
    return float(similarities(minima(a), minima(b)[None])[0])


def similarities(one: Minima, many: Minima) -> NDArray[np.float64]:
    """Return the estimated Jaccard similarity of one signature's minima (128) to each row of `many` (n x 128)."""
    agreeing: NDArray[np.intp] = np.count_nonzero(many == one, axis=1)
    return agreeing / PERMUTATIONS


def minima(signature: Signature) -> Minima:
    """Return the 128 minima of a signature that is not empty."""
    return np.frombuffer(signature, dtype="<u4", count=PERMUTATIONS)


def size(signature: Signature) -> int:
    """Return how many different shingles the signed text had."""
    return int.from_bytes(signature[4 * PERMUTATIONS :], "little")


def alike(similarity: float, size: int, other: int) -> bool:
    """Say whether texts of these sizes (in shingles) and this similarity are copies of one story.

    Long texts are copies from a similarity of 0.7: an agency's story, retitled, cut at the end or edited here and
    there. That would be wrong for headlines. "Acme shares fall 3% in early trade" and "Apex shares fall 3% in early
    trade" share four fifths of their shingles, by their template, and are two stories; "Acme shares fall 3% in early
    trade - Reuters" shares no more with the first and is the same. The difference is that nothing of the first was
    *replaced* in the latter. So where the smaller text is short, nearly all of it must stand in the larger one: 0.94
    of its shingles, which one replaced word of a headline breaks and the error of the estimate rarely does.
    """
    if similarity < ALIKE:
        return False
    smaller = min(size, other)
    common = similarity / (1.0 + similarity) * (size + other)
    return smaller >= _SHORT or common >= _CONTAINED * smaller


def _runs(text: str) -> Hashes:
    """Hash all runs of four characters; a text that is shorter is one run."""
    if not text:
        return np.empty(0, dtype=np.uint64)
    points = np.frombuffer(text.ljust(_SHINGLE, "\0").encode("utf-32-le", "surrogatepass"), dtype="<u4")
    points = points.astype(np.uint64)
    count = points.size - _SHINGLE + 1
    total = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(_PLACES):
        total += points[place : place + count] * factor
        total ^= total >> np.uint64(29)
        total *= np.uint64(0xBF58476D1CE4E5B9)
    return total ^ (total >> np.uint64(32))


def _numbers(text: str) -> Hashes:
    """Hash each different number of the text to eight shingles."""
    found = {number.replace(",", "") for number in _NUMBER.findall(text)}
    drawn = b"".join(
        hashlib.blake2b(number.encode(), digest_size=8 * _NUMBER_WEIGHT).digest() for number in sorted(found)
    )
    return np.frombuffer(drawn, dtype="<u8").astype(np.uint64)
