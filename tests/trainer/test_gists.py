from __future__ import annotations

import numpy as np

from trainer.gists import FREQUENT, SIGNS, WIDTH, rarity, table_of


def test_rare_words_weigh_more_than_common_ones_and_signs_hardly_anything() -> None:
    weights = rarity(FREQUENT + 5000)
    assert weights[SIGNS - 1] < weights[FREQUENT - 1] < weights[FREQUENT] < weights[-1]


def test_a_table_has_a_vector_for_each_token_and_is_the_same_each_time() -> None:
    chance = np.random.default_rng(7)
    words = chance.normal(size=(FREQUENT + 100, 96)).astype(np.float32)
    texts = [np.unique(chance.integers(SIGNS, len(words), size=12)) for _ in range(200)]
    tokens, scales = table_of(words, texts)
    assert (tokens.shape, scales.shape) == ((len(words), WIDTH), (len(words),))
    assert np.abs(tokens).max(axis=1).tolist() == [127] * len(words)
    again, _ = table_of(words, texts)
    assert np.array_equal(tokens, again)
