"""Tokens of the HTTP interface: how a secret is written, what is kept of it, and whether it is still good."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum

from monitor.reading import Token

PREFIX = "nq_"  # so that scanners for secrets find one that was left lying about
SECRET = 32  # random bytes: too many to guess, so that a plain hash is enough to keep them by


class Standing(StrEnum):
    """Whether a token opens anything."""

    LIVE = "live"
    EXPIRED = "expired"
    REVOKED = "revoked"


def secret_of(random: bytes) -> str:
    """Return the secret that is shown once: `nq_` and 64 hexadecimal digits."""
    if len(random) != SECRET:
        raise ValueError(f"found {len(random)} random bytes; expected {SECRET}")
    return PREFIX + random.hex()


def hash_of(secret: str) -> bytes:
    """Return what is kept of a secret: its sha256. Looking this up tells nothing of the secret by the time it takes."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def standing(token: Token, now: datetime) -> Standing:
    """Return whether a token is good now."""
    if token.revoked is not None:
        return Standing.REVOKED
    if token.expires is not None and token.expires <= now:
        return Standing.EXPIRED
    return Standing.LIVE
