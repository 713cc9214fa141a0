"""Models of the hub by their names alone, from a cache as the hub's own client lays it out; nothing is fetched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.process.command import newsquake
from tests.tiny import in_hub, save_base, save_classifier, without_fast_tokenizer
from tests.trainer.conftest import headlines

pytestmark = pytest.mark.process

CONFIGURATION = """
[api]
bind = "127.0.0.1:0"
[model]
default = "hub:desk/finbert"
zh = "hub:desk/finbert-tone-chinese"
labels = { "zh=LABEL_0" = "neutral", "zh=LABEL_1" = "positive", "zh=LABEL_2" = "negative" }
"""
RECIPE = """
[fit]
epochs = 1
limit = 32
[heads.sentiment]
[[data]]
file = "rows.jsonl"
heads = { sentiment = "label" }
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An English and a Chinese classifier, one that is pickle, and a base to train; returns the environment."""
    made, cache = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("hub")
    in_hub(cache, "desk/finbert", save_classifier(made / "english", ["positive", "negative", "neutral"]))
    chinese = save_classifier(made / "chinese", ["LABEL_0", "LABEL_1", "LABEL_2"])
    in_hub(cache, "desk/finbert-tone-chinese", without_fast_tokenizer(chinese))
    base = save_base(made / "base")
    in_hub(cache, "desk/bge-small-zh", base)
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    in_hub(cache, "desk/chinese-roberta-wwm-ext", base)
    return {**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}


def test_check_and_score_take_models_of_the_hub_by_language(hub: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "newsquake.toml").write_text(CONFIGURATION, encoding="utf-8")
    checked = newsquake("check", folder=tmp_path, env=hub)
    named = "hub:desk/finbert,zh=hub:desk/finbert-tone-chinese"
    assert f"ok      model  {named}: " in checked.out, checked
    assert checked.code == 0, checked
    lines = "Acme Bank falls after fraud\n艾克米银行 falls\n".encode()
    english = newsquake("score", "--model", "hub:desk/finbert", folder=tmp_path, given=lines, env=hub)
    first, second = map(json.loads, english.out.splitlines())
    assert sum(first["probabilities"].values()) == pytest.approx(1.0, abs=0.01)
    assert first["model"] == second["model"] != checked.out.partition(f"{named}: ")[2][:16]


def test_a_base_of_the_hub_is_trained_and_serves(hub: dict[str, str], tmp_path: Path) -> None:
    rows = [json.dumps(row) for row in headlines(60, seed=5)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    fit = ("trainer", "fit", "--recipe", "recipe.toml", "--out", "desk", "--base")
    fitted = newsquake(*fit, "hub:desk/bge-small-zh", folder=tmp_path, env=hub)
    assert fitted.code == 0, fitted
    manifest = json.loads((tmp_path / "desk" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["base"]["reference"] == "hub:desk/bge-small-zh"
    scored = newsquake("score", "--model", "path:desk", folder=tmp_path, given=b"acme falls\n", env=hub)
    assert json.loads(scored.out)["model"] == fitted.out.split()[0], scored
    refused = newsquake(*fit, "hub:desk/chinese-roberta-wwm-ext", folder=tmp_path, env=hub)
    assert refused.code == 1
    assert "such as pytorch_model.bin" in refused.err
