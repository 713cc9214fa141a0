from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.core.tokens import SECRET, Standing, hash_of, secret_of, standing
from monitor.reading import Scope, Token
from tests.samples import MINUTE, T0

TOKEN = Token(id="1", name="desk", scopes=frozenset({Scope.READ}), created=T0)


def test_a_secret_is_long_and_can_be_found_where_it_was_left_lying() -> None:
    assert re.fullmatch(r"nq_[0-9a-f]{64}", secret_of(bytes(range(SECRET))))
    with pytest.raises(ValueError, match="expected 32"):
        secret_of(b"short")


def test_what_is_kept_of_a_secret_is_not_the_secret() -> None:
    assert hash_of("nq_1") != hash_of("nq_2")
    assert len(hash_of("nq_1")) == 32
    assert hash_of("\udcff")  # whatever a header held


def test_a_token_is_good_until_it_expires_or_is_revoked() -> None:
    assert standing(TOKEN, T0 + timedelta(days=9999)) is Standing.LIVE
    short = replace(TOKEN, expires=T0 + MINUTE)
    assert standing(short, T0) is Standing.LIVE
    assert standing(short, T0 + MINUTE) is Standing.EXPIRED
    assert standing(replace(short, revoked=T0), T0) is Standing.REVOKED
