"""Models of the hub, from a folder that is laid out as the hub's client lays out its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.core.manifest import disagreement
from monitor.errors import ArtefactError, ConfigurationError
from monitor.scoring.model import Model, open_model
from monitor.scoring.references import locate
from monitor.scoring.worker import judge_all
from tests.tiny import in_hub, save_classifier, without_fast_tokenizer

pytestmark = pytest.mark.model


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("hf") / "english", ["positive", "negative", "neutral"])


def whole(model: Model, text: str) -> dict[str, dict[str, float]]:
    (found,), _ = judge_all(model, [(text, [])], model.budget)
    assert not isinstance(found, Exception)
    return {head: dict(given) for head, given in found.items()}


def test_a_model_is_read_from_the_hubs_cache(english: Path, tmp_path: Path) -> None:
    in_hub(tmp_path, "ProsusAI/finbert", english)
    assert open_model("hub:ProsusAI/finbert", cache=tmp_path).id == open_model(f"path:{english}").id
    with pytest.raises(ArtefactError, match="the hub did not give it"):
        open_model("hub:ProsusAI/another", cache=tmp_path)


def test_a_model_in_pickle_is_refused_and_a_revision_in_safetensors_serves(english: Path, tmp_path: Path) -> None:
    pickled = save_classifier(tmp_path / "pickled", ["positive", "negative", "neutral"])
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    in_hub(tmp_path, "ProsusAI/finbert", pickled)
    in_hub(tmp_path, "ProsusAI/finbert", english, "refs/pr/8")
    with pytest.raises(ArtefactError, match=r"pickle, such as pytorch_model\.bin.* hub:ORG/NAME@refs/pr/N"):
        open_model("hub:ProsusAI/finbert", cache=tmp_path)
    assert open_model("hub:ProsusAI/finbert@refs/pr/8", cache=tmp_path).id == open_model(f"path:{english}").id
    commit = f"{1:040x}"
    assert locate(f"hub:ProsusAI/finbert@{commit}", cache=tmp_path).name == commit


def test_a_revision_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"hub:ORG/NAME\[@REVISION\]"):
        locate("hub:ProsusAI/finbert@", cache=tmp_path)


def test_a_chinese_model_with_a_list_of_words_for_a_tokenizer_serves_by_its_map(tmp_path: Path) -> None:
    chinese = save_classifier(tmp_path / "chinese", ["LABEL_0", "LABEL_1", "LABEL_2"])
    meaning = {"LABEL_0": "neutral", "LABEL_1": "positive", "LABEL_2": "negative"}
    whole_file = whole(open_model(f"path:{chinese}", labels=meaning), "艾克米 falls 艾")
    in_hub(tmp_path, "desk/finbert-tone-chinese", without_fast_tokenizer(chinese))
    model = open_model("hub:desk/finbert-tone-chinese", labels=meaning, cache=tmp_path)
    assert disagreement(whole_file, whole(model, "艾克米 falls 艾")) < 0.01
    assert len(model.prepare([("艾克米", ())])[0].ids) == 5  # a token for each character, and the two ends
