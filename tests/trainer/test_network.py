from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from monitor.errors import ArtefactError, ConfigurationError
from tests.trainer.conftest import recipe
from trainer.network import build, open_base


def test_a_base_that_is_not_there_or_no_bert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="cannot find weights in safetensors"):
        open_base("path:none", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ArtefactError, match="cannot read the base model"):
        open_base("path:x", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ArtefactError, match="model_type is 't5', expected 'bert'"):
        open_base("path:x", tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("config.json", {"hidden_act": "relu"}, "hidden_act is 'relu', expected 'gelu'"),
        ("config.json", {"type_vocab_size": None}, "lacks type_vocab_size"),
        (
            "config.json",
            {"num_hidden_layers": 3},
            r"is not what config\.json says: .encoder\.layer\.2",
        ),
        ("tokenizer.json", None, r"has no tokenizer\.json.*save_pretrained"),
        ("tokenizer.json", {"model": {}}, "cannot read the tokenizer"),
    ],
)
def test_a_base_that_is_another_kind_of_bert_is_refused(
    base: Path, tmp_path: Path, name: str, change: dict[str, object] | None, said: str
) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "base"))
    if change is None:
        (folder / name).unlink()
    else:
        changed = json.loads((folder / name).read_text()) | change
        (folder / name).write_text(json.dumps({key: value for key, value in changed.items() if value is not None}))
    with pytest.raises(ArtefactError, match=said):
        build(open_base("path:base", folder), {"sentiment": ("negative", "positive")}, dropout=0.0)


def test_a_vocabulary_that_cannot_mark_a_company_is_refused(base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "base"))
    words = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(words.replace("[unused2]", "[other]"), encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"has no \[unused2\], which frame a text and mark a company"):
        open_base("path:base", folder)


def test_a_base_with_names_from_the_time_of_tensorflow_is_the_same_base(base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "base"))
    weights = load_file(folder / "model.safetensors")
    for new, old in (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")):
        weights = {name.replace(new, old): weight for name, weight in weights.items()}
    save_file({f"bert.{name}": weight for name, weight in weights.items()}, folder / "model.safetensors")
    heads = {"sentiment": ("negative", "positive")}
    one, other = (build(open_base("path:x", each), heads, dropout=0.0).encoder for each in (base, folder))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_more_tokens_than_the_base_takes_are_refused_before_the_first_step(rows_file: Path, base: Path) -> None:
    asked = recipe(rows_file, base)
    opened = open_base(asked.base, base)
    most = opened.shape.max_position_embeddings
    longer = asked.model_copy(update={"fit": asked.fit.model_copy(update={"limit": most + 1})})
    with pytest.raises(ConfigurationError, match=f"found {most + 1} tokens, expected at most the base's {most}"):
        opened.preparer(longer)
