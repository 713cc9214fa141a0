from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import ConfigurationError
from monitor.scoring import model as scoring_model
from monitor.scoring.model import Model
from monitor.scoring.references import joined, manifest_of, named_parts, parts_of, renewed
from monitor.scoring.routed import open_model
from monitor.scoring.worker import Judgement, judge_all
from tests.tiny import save_classifier

pytestmark = pytest.mark.model

ENGLISH, CHINESE, GERMAN = (
    "Acme Bank falls after fraud",
    "艾克米银行净利润大幅下滑",
    "Die Bank meldet einen hohen Verlust im Quartal",
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two checkpoints with the same weights, which call the same class by opposite names."""
    folder = tmp_path_factory.mktemp("hf")
    one = save_classifier(folder / "one", ["positive", "negative", "neutral"])
    other = save_classifier(folder / "other", ["negative", "positive", "neutral"])
    return {"one": f"path:{one}", "other": f"path:{other}"}


@pytest.fixture(scope="module")
def both(parts: dict[str, str]) -> Model:
    return open_model(f"{parts['one']},zh={parts['other']}")


def judged(model: Model, *texts: str) -> list[Judgement]:
    results, _ = judge_all(model, [(text, []) for text in texts], model.budget)
    return [each for each in results if not isinstance(each, Exception)]


def test_each_text_is_judged_by_the_model_of_its_language(both: Model, parts: dict[str, str]) -> None:
    found = judged(both, CHINESE, ENGLISH, GERMAN, "", CHINESE)
    one, other = open_model(parts["one"]), open_model(parts["other"])
    wanted = [*judged(other, CHINESE), *judged(one, ENGLISH, GERMAN, ""), *judged(other, CHINESE)]
    for given, alone in zip(found, wanted, strict=True):
        assert given["sentiment"] == pytest.approx(dict(alone["sentiment"]), abs=0.02)
    assert abs(found[0]["sentiment"]["negative"] - judged(one, CHINESE)[0]["sentiment"]["negative"]) > 0.05


def test_a_language_without_a_script_of_its_own_is_told_too(parts: dict[str, str]) -> None:
    model = open_model(f"{parts['one']},de={parts['other']}")
    (german,), (swapped,) = judged(model, GERMAN), judged(open_model(parts["one"]), GERMAN)
    assert german["sentiment"]["negative"] == pytest.approx(swapped["sentiment"]["positive"], abs=0.02)


def test_its_name_follows_from_its_parts_and_where_they_serve(both: Model, parts: dict[str, str]) -> None:
    one, other = parts["one"], parts["other"]
    turned = open_model(f"{other},zh={one}")
    assert len({both.id, turned.id, open_model(one).id, open_model(other).id}) == 4
    assert open_model(f"{one},zh={other}").id == both.id
    assert len(both.id) == 16


def test_what_one_model_cannot_judge_spoils_no_text_of_the_other(both: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Model, batch: object) -> object:
        raise ArithmeticError("the head sentiment answered with what is not a number")

    monkeypatch.setattr(both._parts["zh"], "judge", broken.__get__(both))  # type: ignore[attr-defined]
    (english, chinese), _ = judge_all(both, [(ENGLISH, []), (CHINESE, [])], both.budget)
    assert isinstance(chinese, ArithmeticError)
    assert not isinstance(english, Exception)


def test_a_head_that_one_of_them_lacks_is_answered_where_it_is_known(parts: dict[str, str]) -> None:
    model = open_model(f"builtin,zh={parts['one']}")
    english, chinese = judged(model, ENGLISH, CHINESE)
    assert set(english) == {"sentiment", "topic"}
    assert set(chinese) == set(model.heads) == {"sentiment"}
    assert manifest_of(f"builtin,zh={parts['one']}") == manifest_of("builtin")


def test_the_same_label_may_mean_another_thing_in_another_language(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "m", ["LABEL_0", "LABEL_1"])
    labels = {"LABEL_0": "negative", "LABEL_1": "positive", "zh=LABEL_0": "positive", "zh=LABEL_1": "negative"}
    twice = open_model(f"path:{folder},zh=path:{folder}", labels=labels)
    alone = open_model(f"path:{folder}", labels=labels)
    ((routed,), (plain,)) = judged(twice, CHINESE), judged(alone, CHINESE)
    assert routed["sentiment"]["negative"] == pytest.approx(plain["sentiment"]["positive"], abs=0.02)


def test_a_reference_without_languages_is_the_model_itself(parts: dict[str, str]) -> None:
    assert open_model(parts["one"]).id == scoring_model.open_model(parts["one"]).id


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("builtin,cn=hub:a/b", "found the language 'cn'; expected one of ar, bg"),
        ("zh=builtin", r"has none for other texts; expected REFERENCE,zh=REFERENCE"),
        ("builtin,zh=bert", r"model 'bert': expected builtin, package:NAME"),
    ],
)
def test_a_reference_that_cannot_be_is_a_usage_error(reference: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        open_model(reference)


def test_references_are_taken_apart_and_put_together() -> None:
    both = "path:/a, b=c,zh=hub:o/n@refs/pr/8"
    assert parts_of(both) == {"": "path:/a, b=c", "zh": "hub:o/n@refs/pr/8"}
    assert joined(parts_of(both)) == both
    assert named_parts("zh=builtin") == {"zh": "builtin"}
    assert renewed(both, "builtin") == "builtin,zh=hub:o/n@refs/pr/8"
    assert renewed(both, "zh=builtin") == "path:/a, b=c,zh=builtin"
    assert renewed("builtin", "path:x,ja=hub:o/n") == "path:x,ja=hub:o/n"
