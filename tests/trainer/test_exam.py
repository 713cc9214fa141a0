from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from monitor.core.manifest import SENTIMENT, Head
from tests.trainer.test_compare import rows as labelled
from trainer.calibrate import probabilities, tempered
from trainer.evaluate import figures, macro_f1, summary
from trainer.exam import Exam, Question, exam, exams

HEAD = Head(labels=SENTIMENT)
TOPICS = Head(labels=("a", "b"), kind="multi")


def asked(labels: Sequence[str], given: Sequence[Sequence[float]], question: Question | None = None) -> Exam:
    return exam(labelled(labels), np.array(given, dtype=np.float32), "sentiment", HEAD, question)


def test_three_classes_are_answered_by_the_likeliest() -> None:
    found = asked(["negative", "neutral", "positive"], [[0.4, 0.5, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7]])
    assert found.question is Question.LABELS
    assert figures(found)["accuracy"] == pytest.approx(2 / 3, abs=1e-4)


def test_a_set_of_two_signs_leaves_neutral_aside() -> None:
    found = asked(["negative", "positive", "positive"], [[0.2, 0.7, 0.1], [0.1, 0.8, 0.1001], [0.3, 0.6, 0.1]])
    assert found.question is Question.SIGNS
    assert found.probabilities[0].tolist() == pytest.approx([2 / 3, 1 / 3])
    told = figures(found)
    assert (told["accuracy"], set(told["classes"])) == (pytest.approx(2 / 3, abs=1e-4), {"negative", "positive"})
    assert told["calibration_error"] == pytest.approx((0.8 + 0.1 + 0.3) / 3, abs=1e-3)  # of p(negative) as it was said


def test_a_set_that_only_knows_negative_asks_for_a_half() -> None:
    found = asked(["negative", "not_negative", "neutral"], [[0.45, 0.3, 0.25], [0.1, 0.2, 0.7], [0.51, 0.4, 0.09]])
    assert found.question is Question.NEGATIVE
    assert figures(found)["confusion"] == [[0, 1], [1, 1]]


def test_the_question_may_be_given() -> None:
    labels, given = ["negative", "neutral", "positive"], [[0.4, 0.5, 0.1], [0.3, 0.4, 0.3], [0.1, 0.5, 0.4]]
    assert figures(asked(labels, given, Question.SIGNS)) | {"between": {}} == figures(
        asked(["negative", "positive"], [given[0], given[2]])
    ) | {"between": {}}
    assert figures(asked(labels[::2], given[::2], Question.LABELS))["accuracy"] == 0.0
    assert exams(labelled(["neutral"]), {"sentiment": np.ones((1, 3), np.float32)}, {"sentiment": HEAD}) != {}
    assert (
        exams(labelled(["neutral"]), {"sentiment": np.ones((1, 3), np.float32)}, {"sentiment": HEAD}, Question.SIGNS)
        == {}
    )


def test_a_head_that_takes_several_labels_is_right_with_all_of_them() -> None:
    found = figures(exam(labelled(["a", "a"]), np.array([[0.9, 0.2], [0.9, 0.8]], np.float32), "sentiment", TOPICS))
    assert (found["accuracy"], found["macro_f1"]) == (0.5, 1.0)
    assert found["classes"]["b"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "rows": 0}
    assert not {"mcc", "confusion", "calibration", "calibration_error"} & set(found)


def test_ranges_hold_the_figure_and_shrink_with_more_rows() -> None:
    def width(count: int) -> float:
        chance = np.random.default_rng(1)
        truth, given = chance.integers(0, 3, count), chance.dirichlet([1, 1, 1], count)
        given[np.arange(count), truth] += 0.5
        found = figures(asked([SENTIMENT[i] for i in truth], (given / given.sum(axis=1, keepdims=True)).tolist()))
        for name in ("accuracy", "macro_f1", "mcc"):
            low, high = found["between"][name]
            assert low < found[name] < high
        for label, each in found["between"]["classes"].items():
            assert all(low <= found["classes"][label][name] <= high for name, (low, high) in each.items())
        low, high = found["between"]["macro_f1"]
        return float(high - low)

    assert width(2000) < width(100) / 3


def test_copies_of_one_text_widen_the_range() -> None:
    labels, given = ["negative"] * 40, [[0.1, 0.8, 0.1]] * 10 + [[0.8, 0.1, 0.1]] * 30
    scores = np.array(given, np.float32)
    alone, copies = (
        summary(exam(labelled(labels, groups), scores, "sentiment", HEAD))
        for groups in (None, [0] * 10 + list(range(1, 31)))
    )
    assert alone["accuracy"] == copies["accuracy"] == 0.75
    assert alone["between"]["accuracy"][1] < copies["between"]["accuracy"][1] == 1.0


def test_the_correlation_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import matthews_corrcoef

    chance = np.random.default_rng(3)
    truth, given = chance.integers(0, 3, 200), chance.dirichlet([1, 1, 1], 200)
    found = figures(asked([SENTIMENT[i] for i in truth], given.tolist()))
    assert found["mcc"] == pytest.approx(matthews_corrcoef(truth, given.argmax(axis=1)), abs=1e-4)


def test_calibration_is_told_before_the_temperature_and_after() -> None:
    chance = np.random.default_rng(2)
    logits = chance.normal(0, 3, (500, 3)).astype(np.float32)
    plain, warm = (probabilities(logits, heat, "single") for heat in (1.0, 4.0))
    assert tempered(warm, 4.0) == pytest.approx(plain, abs=1e-4)
    rows = labelled([SENTIMENT[i] for i in logits.argmax(axis=1)])
    head = Head(labels=SENTIMENT, temperature=4.0)
    told = figures(exam(rows, warm, "sentiment", head))["calibration"]
    assert told["before"] == figures(exam(rows, plain, "sentiment", HEAD))["calibration"]["after"]
    assert told["before"] < told["after"]
    assert sum(each["rows"] for each in told["bins"]) == 500


def test_macro_f1_of_nothing_is_nothing() -> None:
    assert macro_f1(labelled(["a"]), np.ones((1, 2), np.float32), "topic", ("a", "b")) == 0.0
