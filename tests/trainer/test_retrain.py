from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from monitor.clock import SystemClock
from monitor.core.intake import IntakeRules, read
from monitor.core.manifest import parse
from monitor.errors import ConfigurationError, PromotionError
from monitor.store.repository import SqlStore
from monitor.types import Article, EntityId, ModelState, RawItem, Ruling, SourceId, Verdict
from tests.core.telling import headline, incident
from tests.trainer.conftest import SIGNS, headlines
from tests.trainer.house import house, keep, promotions
from trainer.alone import alone
from trainer.config import FileRecipe, FitRecipe, HeadRecipe, ReplayRecipe, RetrainRecipe, recipe_for
from trainer.examine import run_evaluate
from trainer.promote import Terms
from trainer.retrain import REPLAY, REPORT, TAUGHT, Wish, retrain

Write = Callable[..., Path]
NOW = datetime.now(UTC)
FIT = FitRecipe(
    epochs=8, batch=16, rate=1.5e-3, averaging=0.8, unmarked=0.0, precision="fp32", dropout=0.0, limit=32, smoothing=0.0
)


def articles(texts: Sequence[str]) -> list[Article]:
    found = []
    for n, text in enumerate(texts):
        at = NOW - timedelta(hours=2) + timedelta(seconds=n)
        item = RawItem(
            source=SourceId("wire"),
            raw=b"",
            handed_over=at,
            received=at,
            title=text,
            guid=text,
            publisher="news.example",
            published=at,
        )
        article = read(item, IntakeRules())
        assert isinstance(article, Article)
        found.append(article)
    return found


def strange(count: int, seed: int) -> list[str]:
    """Headlines whose word for the sign was never taught."""
    chance = Random(seed)
    return [
        f"{chance.choice(['acme', 'borealis'])} fraud x {' '.join(chance.choices('xyz', k=6))}" for _ in range(count)
    ]


async def told(config: Path, about: Sequence[Article], ruling: Ruling, **other: Any) -> None:
    """Keep an incident about these articles, with a verdict on each."""
    store = await SqlStore.open(f"sqlite:///{config.parent}/newsquake.db", SystemClock())
    one = incident("entity:acme", evidence=tuple(headline(each.id) for each in about))
    try:
        async with store.transaction() as transaction:
            await transaction.save_incidents([one])
            for each in about:
                company = EntityId(each.title.split()[0])
                verdict = Verdict(
                    incident=one.id, ruling=ruling, article=each.id, entity=company, by="desk", at=NOW, **other
                )
                await transaction.add_verdict(verdict)
    finally:
        await store.close()


@pytest.fixture
def wish(tmp_path: Path, gate_set: Path) -> Wish:
    return Wish(
        recipe=RetrainRecipe(fit=FIT),
        data=Path(),
        labelled=None,
        out=tmp_path / "out",
        least=20,
        promote=True,
        skip_bad=False,
        licence="proprietary",
        terms=Terms(gate=gate_set),
    )


@pytest.fixture
async def corrected(fitted: Path, tmp_path: Path) -> Path:
    """A desk that has found 60 articles judged wrongly: they are good news. 300 others say what is known."""
    config = await house(tmp_path, fitted)
    wrong = articles(sorted(set(strange(60, seed=1))))
    await keep(config, [*wrong, *articles(sorted({row["text"] for row in headlines(300, seed=33)}))])
    await told(config, wrong, Ruling.WRONG_SENTIMENT, sentiment="positive")
    return config


def run_of(wish: Wish) -> Path:
    (run,) = [path for path in wish.out.iterdir() if path.is_dir()]
    return run


def accuracy(model: Path, rows: Path) -> float:
    asked = recipe_for(None, [rows], {"sentiment": "label"}, {})
    found = run_evaluate(f"path:{model}", asked, Path(), "train", skip_bad=False)
    return float(found["sets"][str(rows)]["sentiment"]["accuracy"])


async def test_what_the_desk_corrected_is_learned_and_the_old_is_not_forgotten(
    corrected: Path, wish: Wish, fitted: Path, write_rows: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    await retrain(corrected, wish, wait=False)
    run = run_of(wish)
    fresh = [{"text": text, "entity": text.split()[0], "label": "positive"} for text in strange(50, seed=2)]
    new = write_rows(*fresh, name="new.jsonl")
    old = write_rows(*({**row, "split": "train"} for row in headlines(200, seed=44)), name="old.jsonl")
    assert accuracy(fitted, new) < 0.6
    assert accuracy(run / "model", new) > 0.9
    assert accuracy(run / "model", old) > accuracy(fitted, old) - 0.05
    assert await promotions(corrected) == [(f"path:{run / 'model'}", ModelState.STAGED)]
    manifest, identity = parse((run / "model" / "manifest.json").read_bytes(), "")
    assert manifest.parent == parse((fitted / "manifest.json").read_bytes(), "")[1]
    assert [Path(file.file).name for file in manifest.training] == [TAUGHT, REPLAY]
    report = json.loads((run / REPORT).read_text(encoding="utf-8"))
    assert (report["model"], report["against"]) == (identity, [])
    assert list((run / "board").iterdir())
    said = capsys.readouterr()
    assert f"{identity} is staged" in said.out
    assert "verdicts teach" in said.err


async def test_what_was_taught_once_is_not_new_again(
    corrected: Path, wish: Wish, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = replace(wish, recipe=RetrainRecipe(fit=FIT.model_copy(update={"epochs": 1})), promote=False)
    await retrain(corrected, quick, wait=False)
    assert "is staged" not in capsys.readouterr().out
    await retrain(corrected, quick, wait=False)
    assert "0 new labels, expected at least 20: nothing is done" in capsys.readouterr().out
    assert len([path for path in wish.out.iterdir() if path.is_dir()]) == 1


async def test_a_false_alarm_teaches_that_it_is_not_negative(
    fitted: Path, tmp_path: Path, wish: Wish, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await house(tmp_path, fitted)
    wrong = articles(sorted(set(strange(30, seed=1))))
    await keep(config, wrong)
    await told(config, wrong, Ruling.FALSE)
    recipe = RetrainRecipe(fit=FIT.model_copy(update={"epochs": 1}))
    await retrain(config, replace(wish, recipe=recipe, promote=False), wait=False)
    rows = [json.loads(line) for line in (run_of(wish) / TAUGHT).read_text(encoding="utf-8").splitlines()]
    assert all(row["sentiment"]["negative"] == 0.0 for row in rows)
    assert all(sum(row["sentiment"].values()) == pytest.approx(1.0) for row in rows)
    assert all(row["spans"] == [[0, len(row["entity"])]] for row in rows)


async def test_a_model_that_forgets_is_not_promoted(
    corrected: Path, wish: Wish, write_rows: Write, gate_set: Path
) -> None:
    wrong = [{"text": row["text"], "sentiment": "neutral"} for row in headlines(400, seed=3)]
    recipe = RetrainRecipe(fit=FIT, replay=ReplayRecipe(stored=0.0))
    forgetful = replace(wish, recipe=recipe, labelled=write_rows(*wrong, name="wrong.jsonl"))
    with pytest.raises(PromotionError, match="is not promoted: sentiment is significantly worse"):
        await retrain(corrected, forgetful, wait=False)
    assert await promotions(corrected) == []
    report = json.loads((run_of(wish) / REPORT).read_text(encoding="utf-8"))
    assert report["against"]


async def test_base_data_are_shown_again_in_proportion(
    corrected: Path, wish: Wish, rows_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heads = {"sentiment": "label", "topic": "topic", "region": "region"}
    recipe = RetrainRecipe(
        heads={"sentiment": SIGNS, "topic": HeadRecipe(), "region": HeadRecipe()},
        data=(FileRecipe(file=rows_file.name, heads=heads),),
        fit=FIT.model_copy(update={"epochs": 1}),
        replay=ReplayRecipe(base=2.0, stored=0.0, least=10),
    )
    await retrain(corrected, replace(wish, recipe=recipe, data=rows_file.parent, promote=False), wait=False)
    run = run_of(wish)
    taught = len((run / TAUGHT).read_text(encoding="utf-8").splitlines())
    manifest, _ = parse((run / "model" / "manifest.json").read_bytes(), "")
    shown = {Path(file.file).name: file.rows for file in manifest.training}
    assert set(shown) == {TAUGHT, rows_file.name}
    assert 1.5 * taught < shown[rows_file.name] <= 2 * taught


async def test_too_few_labels_are_declined_politely(
    fitted: Path, tmp_path: Path, wish: Wish, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await house(tmp_path, fitted)
    few = articles(strange(3, seed=1))
    await keep(config, few)
    await told(config, few, Ruling.RIGHT)
    await retrain(config, wish, wait=False)
    assert capsys.readouterr().out == "3 new labels, expected at least 20: nothing is done\n"


async def test_two_retrainings_do_not_overlap(corrected: Path, wish: Wish) -> None:
    with alone(wish.out, "retraining"), pytest.raises(ConfigurationError, match="another retraining is at work here"):
        await retrain(corrected, wish, wait=False)


async def test_a_bad_label_is_named_by_file_and_line(corrected: Path, wish: Wish, write_rows: Write) -> None:
    bad = write_rows({"text": "acme falls", "sentiment": "negative"}, {"text": "acme", "sentiment": "so-so"})
    with pytest.raises(ConfigurationError, match=r"rows.jsonl:2: sentiment: found 'so-so', expected one of negative"):
        await retrain(corrected, replace(wish, labelled=bad), wait=False)
    with pytest.raises(ConfigurationError, match=r"none\.jsonl: no such file"):
        await retrain(corrected, replace(wish, labelled=Path("none.jsonl")), wait=False)
