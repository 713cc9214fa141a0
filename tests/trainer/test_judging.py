"""What an evaluation looks at beside the figures of a head: parts, other spellings, other names, pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from monitor.core.manifest import SENTIMENT, Head, parse
from monitor.errors import ConfigurationError
from tests.trainer.conftest import headlines
from tests.trainer.test_compare import rows as labelled
from trainer import bias, cli
from trainer.calibrate import Scores
from trainer.config import recipe_for
from trainer.data import Row
from trainer.exam import exam
from trainer.examine import View, run_compare, run_evaluate
from trainer.page import write_page
from trainer.perturb import PERTURBATIONS
from trainer.pictures import draw_confusion
from trainer.robust import Text, as_read, robustness
from trainer.slices import parts, require_columns

Write = Callable[..., Path]
HEAD = Head(labels=SENTIMENT)
PNG = b"\x89PNG"


def told(text: str, label: str = "neutral", entity: str | None = None, **extra: object) -> Row:
    (row,) = labelled([label])
    start = text.find(entity) if entity else 0
    spans = ((start, start + len(entity)),) if entity else ()
    return replace(row, text=text, group=text, entity=entity, spans=spans, extra=extra)


def by_word(texts: Sequence[Text]) -> Mapping[str, Scores]:
    """A model that only knows the word "falls", and looks twice at whoever is named Nigeria."""
    scores = [[0.9 if "falls" in text else 0.3 if "Nigeria" in text else 0.1, 0.0, 0.0] for text, _ in texts]
    return {"sentiment": np.array([[p, 1 - p, 0.0] for p, *_ in scores], dtype=np.float32)}


def test_rows_are_parted_by_language_length_column_and_mixed_sign() -> None:
    rows = [
        told("Acme gains as Borealis slumps", "positive", "Acme", wire="a"),
        told("Acme gains as Borealis slumps", "negative", "Borealis", wire="a"),
        told("艾克米银行将于周四在总部召开股东大会", wire="b"),
        told("The annual meeting of the company takes place on Thursday", wire="a"),
    ]
    assert parts(rows, "sentiment", ["wire"]) == {
        "language": {"en": [0, 1, 3], "zh": [2]},
        "characters": {"1-40": [0, 1, 2], "41-80": [3]},
        "wire": {"a": [0, 1, 3], "b": [2]},
        "sign": {"mixed": [0, 1]},
    }
    assert parts(rows[:2], "sentiment") == {"sign": {"mixed": [0, 1]}}
    with pytest.raises(ConfigurationError, match="--by wier: no row has this column; there are: wire"):
        require_columns(rows, ["wier"])


def test_a_label_that_moves_with_the_spelling_is_found() -> None:
    def strict(texts: Sequence[Text]) -> Mapping[str, Scores]:
        """Knows the word in small letters alone."""
        return by_word([(text.replace("FALLS", "").replace("Falls", ""), spans) for text, spans in texts])

    rows = [told(f"share {n} falls 5% today", "negative") for n in range(20)]
    asked = {
        "rows": {"sentiment": exam(rows, strict([(row.text, ()) for row in rows])["sentiment"], "sentiment", HEAD)}
    }
    found = robustness(asked, {"sentiment": HEAD}, strict, most=10)["rows"]["sentiment"]
    assert found["rows"] == 10
    assert found["upper"] == {"rows": 10, "moved": 1.0, "plain": 1.0, "accuracy": 0.0, "shift": 0.8}
    assert found["zero_width"]["moved"] == 0.0  # the daemon takes invisible characters out
    assert "swap" not in found  # no row names a company
    assert found == robustness(asked, {"sentiment": HEAD}, strict, most=10)["rows"]["sentiment"]
    assert set(found) <= {"rows", *PERTURBATIONS}


def test_a_company_is_found_again_in_the_text_as_the_daemon_reads_it() -> None:
    text = "  Shares  of Ac\u200bme\u00a0Bank fall;  Acme Bank says nothing"
    first = text.index("Ac\u200b")
    second = text.rindex("Acme")
    read, spans = as_read(text, [(first, first + 10), (second, second + 9)])
    assert read == "Shares of Acme Bank fall; Acme Bank says nothing"
    assert [read[start:stop] for start, stop in spans] == ["Acme Bank", "Acme Bank"]


def test_a_model_that_looks_at_the_country_is_found_out() -> None:
    found = bias.probe(by_word, HEAD)
    assert set(found) == {"company", "country", "gender"}
    assert found["country"]["groups"]["Nigeria"] > 0.05 > found["country"]["groups"]["Japan"]
    assert found["country"]["largest"] == found["country"]["worst"][0]["shift"] > 0.1
    assert "Nigeria" in found["country"]["worst"][0]["text"]
    assert found["company"]["largest"] == found["gender"]["mean"] == 0.0
    assert set(found["gender"]["groups"]) == {"woman", "man"}


@pytest.mark.parametrize("kind", bias.KINDS)
def test_the_probe_tells_every_event_in_both_languages_with_nothing_left_open(kind: str) -> None:
    families = bias.told(kind)
    assert {each.sign for family in families for each in family} == set(SENTIMENT)
    for family in families:
        assert len({each.text for each in family}) == len({tuple(each.value.words.values()) for each in family}) > 1
        for each in family:
            assert not set("{}") & set(each.text)
            assert all(each.text[start:stop].strip() for start, stop in each.spans)
    chinese = [family for family in families if any("一" <= letter <= "鿿" for letter in family[0].text)]
    assert len(chinese) * 2 == len(families)


def test_an_evaluation_is_a_page_with_pictures(
    fitted: Path, write_rows: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_rows(*({**row, "wire": "ab"[n % 2]} for n, row in enumerate(headlines(120, seed=11))))
    asked = recipe_for(None, [file], {"sentiment": "label", "topic": "topic"}, {})
    view = View.of(["wire"], None, robust=40, bias=True)
    found = run_evaluate(f"path:{fitted}", asked, Path(), None, skip_bad=False, view=view)
    assert f"{file}, sentiment, 120 rows: accuracy " in capsys.readouterr().err
    figure = found["sets"][str(file)]["sentiment"]
    assert set(figure["slices"]["wire"]) == {"a", "b"}
    assert figure["robustness"]["upper"]["rows"] == 20
    page = write_page(found, tmp_path / "report")
    assert json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8")) == found
    text = page.read_text(encoding="utf-8")
    assert "| negative |" in text
    assert "By gender, mean shift of p(negative): woman" in text
    pictures = [tmp_path / "report" / line.split("](")[1][:-1] for line in text.splitlines() if line.startswith("![")]
    assert [picture.read_bytes()[:4] for picture in pictures] == [PNG] * 3


def test_labels_in_chinese_are_drawn(tmp_path: Path) -> None:
    draw_confusion([[3, 1], [0, 2]], ["利好", "利空"], "情绪", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == PNG


def test_a_two_class_file_is_asked_as_one_from_the_command_line(fitted: Path, write_rows: Write) -> None:
    rows = [{**row, "label": "negative" if row["label"] == "negative" else "not_negative"} for row in headlines(80, 5)]
    file = write_rows(*rows)
    call = ["evaluate", f"path:{fitted}", str(file), "--head", "sentiment=label", "--split", "all"]
    printed = CliRunner().invoke(cli.app, call)
    assert printed.exit_code == 0, printed.output
    figure = json.loads(printed.stdout)["sets"][str(file)]["sentiment"]
    assert (figure["question"], figure["rows"], list(figure["classes"])) == (
        "negative",
        80,
        ["negative", "not_negative"],
    )
    assert figure["accuracy"] > 0.9
    refused = CliRunner().invoke(cli.app, [*call, "--question", "labels"])
    assert "expected one of negative, neutral, positive" in str(refused.exception)


def test_a_question_that_no_row_answers_is_refused(fitted: Path, write_rows: Write) -> None:
    asked = recipe_for(None, [write_rows({"text": "acme was here", "label": "neutral"})], {"sentiment": "label"}, {})
    with pytest.raises(ConfigurationError, match="--question signs: no row is labelled negative or positive"):
        run_evaluate(f"path:{fitted}", asked, Path(), None, skip_bad=False, view=View.of(None, "signs"))


def test_a_comparison_is_told_for_parts_too(
    fitted: Path, fitted_badly: Path, write_rows: Write, tmp_path: Path
) -> None:
    files = [write_rows(*headlines(60, seed=n), name=f"{n}.jsonl") for n in (1, 2)]
    asked = recipe_for(None, files, {"sentiment": "label"}, {})
    found = run_compare(f"path:{fitted_badly}", f"path:{fitted}", asked, Path(), None, skip_bad=False)
    by_file = found["heads"]["sentiment"]["slices"]["file"]
    assert [by_file[str(file)]["rows"] for file in files] == [60, 60]
    assert by_file[str(files[0])]["accuracy"]["difference"] > 0


def test_the_card_tells_ranges_calibration_and_robustness(fitted: Path, rows_file: Path) -> None:
    manifest, _ = parse((fitted / "manifest.json").read_bytes(), "")
    figure = json.loads(json.dumps(manifest.metrics))[str(rows_file)]["sentiment"]
    low, high = figure["between"]["macro_f1"]
    assert low <= figure["macro_f1"] <= high
    assert set(figure["calibration"]) == {"before", "after", "bins"}
    assert figure["robustness"]["typos"]["rows"] == 100
    card = (fitted / "README.md").read_text(encoding="utf-8")
    assert "Calibration error before the temperature" in card
    assert "| typos | 100 |" in card
    assert "95 % of resamples" in card


def test_a_floor_needs_rows_to_learn_from(write_rows: Write) -> None:
    file = write_rows(*headlines(4, seed=1))
    call = ["evaluate", "builtin", str(file), "--head", "sentiment=label", "--split", "all", "--floor"]
    refused = CliRunner().invoke(cli.app, call)
    assert refused.exit_code == 2
    assert "expected --split dev or valid" in " ".join(refused.output.replace("│", " ").split())
