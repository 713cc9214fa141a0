from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from monitor.core.manifest import disagreement, parse
from monitor.errors import ArtefactError

SHA = "a" * 64


def written(**other: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "schema_version": 1,
        "base": {"reference": "package:some-base", "sha256": SHA},
        "architecture": {
            "vocab_size": 100,
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 64,
            "type_vocab_size": 2,
            "layer_norm_eps": 1e-12,
        },
        "words": "base",
        "heads": {
            "sentiment": {"labels": ["negative", "neutral", "positive"], "kind": "single", "temperature": 1.2},
            "event": {"labels": ["fraud", "strike"], "kind": "multi"},
        },
        "token_limit": 64,
        "preparation": 1,
        "markers": ["[unused1]", "[unused2]"],
        "licence": "Apache-2.0",
        "files": {"model.safetensors": SHA, "tokenizer.json": SHA},
        "golden": [
            {"text": "Acme", "probabilities": {"sentiment": {"negative": 0.1, "neutral": 0.8, "positive": 0.1}}}
        ],
    }
    return content | other


def raw(**other: Any) -> bytes:
    return json.dumps(written(**other)).encode()


def test_a_model_is_named_by_every_byte_of_its_manifest() -> None:
    one, other = raw(), raw(licence="MIT")
    assert parse(one, "manifest.json")[1] == hashlib.sha256(one).hexdigest()[:16]
    assert parse(one, "manifest.json")[1] != parse(other, "manifest.json")[1]


def test_any_column_can_be_a_head() -> None:
    manifest, _ = parse(raw(), "manifest.json")
    assert manifest.heads["event"].kind == "multi"
    assert manifest.heads["event"].temperature == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"token_limit": 65}, "token_limit is 65, more than the encoder's 64"),
        ({"files": {"model.safetensors": SHA}}, "files lacks tokenizer.json"),
        ({"files": {"../model.safetensors": SHA}}, "files"),
        ({"heads": {"topic": {"labels": ["a", "b"]}}}, "head 'sentiment'"),
        ({"heads": {"sentiment": {"labels": ["bad", "good"]}}}, "negative, neutral, positive"),
        ({"heads": {"sentiment": {"labels": ["negative", "negative"]}}}, "labels are repeated"),
        ({"golden": []}, "golden"),
        ({"golden": [{"text": "x", "probabilities": {"sentiment": {"negative": 1.0}}}]}, "does not fit the head"),
        ({"surprise": 1}, "surprise"),
        ({"base": {"reference": "package:x", "sha256": "abc"}}, "base.sha256: .*found 'abc'"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtefactError, match=message) as caught:
        parse(raw(**change), "models/desk/manifest.json")
    assert str(caught.value).startswith("models/desk/manifest.json: ")


def test_a_cut_manifest_is_refused() -> None:
    with pytest.raises(ArtefactError, match="Invalid JSON"):
        parse(raw()[:100], "manifest.json")


def test_disagreement_is_the_farthest_probability() -> None:
    wanted = {"sentiment": {"negative": 0.5, "neutral": 0.5}, "topic": {"a": 0.2}}
    found = {"sentiment": {"negative": 0.51, "neutral": 0.49}, "topic": {"a": 0.3}}
    assert disagreement(wanted, found) == pytest.approx(0.1)
