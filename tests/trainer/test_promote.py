from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from monitor.core.intake import IntakeRules, read
from monitor.core.manifest import Head
from monitor.errors import ConfigurationError, PromotionError
from monitor.scoring.model import open_model
from monitor.store.models import Promotions
from monitor.store.past import recent
from monitor.types import Article, Key, ModelState, RawItem, SourceId
from tests.acceptance.desk import WORDS
from tests.core.telling import incident
from tests.tiny import save_classifier
from tests.trainer.house import COMPANIES, house, keep, promotions, signs
from tests.trainer.test_compare import NEGATIVE, POSITIVE
from tests.trainer.test_compare import rows as labelled
from trainer import gate, life
from trainer.compare import compare
from trainer.promote import Terms, promote

Write = Callable[..., Path]
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


# --- the gate, by itself ---


def test_a_model_that_answers_less_is_refused() -> None:
    signs = Head(labels=("negative", "neutral", "positive"))
    topics = Head(labels=("strike", "dividend"))
    serving = {"sentiment": signs, "topic": topics}
    assert gate.lacking(serving, {**serving, "region": topics}) == []
    assert gate.lacking(serving, {"sentiment": signs}) == ["it has no head topic, which the serving model has"]
    fewer = Head(labels=("strike", "other"))
    assert gate.lacking(serving, {"sentiment": signs, "topic": fewer}) == ["its head topic lacks dividend"]


def test_a_model_is_worse_by_proof_or_by_margin() -> None:
    def reasons(lost: int, of: int) -> list[str]:
        given = [POSITIVE] * lost + [NEGATIVE] * (of - lost)
        return gate.worse({"sentiment": compare(labelled(["negative"] * of), "sentiment", [NEGATIVE] * of, given)})

    assert reasons(1, 100) == []
    assert [reason.split(" is ")[0] for reason in reasons(3, 100)] == ["accuracy of sentiment"]
    assert reasons(6, 1000)[0].startswith("sentiment is significantly worse: 6 of 1000 rows")
    assert reasons(0, 100) == []


def test_what_both_raise_is_news() -> None:
    start = datetime(2026, 3, 2, 10, tzinfo=UTC)
    acme = incident("entity:acme", "all", opened=start, updated=start + HOUR)
    later = replace(acme, opened=start + 3 * DAY, updated=start + 3 * DAY)
    soon = replace(acme, opened=start + HOUR, updated=start + 2 * HOUR, keys=(Key("all"),))
    bolt = replace(soon, keys=(Key("entity:bolt"),))
    assert gate.alone([acme], [soon, bolt, later]) == [bolt, later]
    assert gate.alone([], [acme]) == [acme]


def test_the_budget_explains_its_poisson_end_and_no_more() -> None:
    start = datetime(2026, 3, 2, 10, tzinfo=UTC)
    acme = incident("entity:acme", opened=start, updated=start)
    assert [gate.allowance(1.0, weeks * 7 * DAY) for weeks in (0, 1, 4)] == [0, 3, 8]
    assert gate.too_loud([acme] * 3, 1.0, 7 * DAY) == []
    (why,) = gate.too_loud([acme] * 4, 1.0, 7 * DAY)
    assert "raises 4 surges that the serving model does not; the budget (1 a week) explains at most 3" in why


def test_the_shipped_gate_set_asks_about_every_sign() -> None:
    rows = [json.loads(line) for line in gate.SET.read_text(encoding="utf-8").splitlines()]
    assert {row["sentiment"] for row in rows} == {"negative", "neutral", "positive"}
    assert len({(row["text"], row.get("entity")) for row in rows}) == len(rows) > 100
    assert all(row.get("entity", "") in row["text"] for row in rows)


# --- the command ---


async def test_a_better_model_is_staged_and_says_what_happens_next(
    fitted: Path, fitted_badly: Path, gate_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await house(tmp_path, fitted_badly)
    await promote(f"path:{fitted}", config, Terms(gate=gate_set), wait=False)
    said = capsys.readouterr()
    identity = open_model(f"path:{fitted}").id
    assert said.out == f"{identity} is staged: path:{fitted}\n"
    assert "too little live news" in said.err
    assert "next: the daemon verifies it" in said.err
    assert await promotions(config) == [(f"path:{fitted}", ModelState.STAGED)]
    (line,) = await life.stored(config)
    assert line.startswith(f"staged     {identity}  since ")
    with pytest.raises(PromotionError, match="a promotion is under way already"):
        await promote(f"path:{fitted}", config, Terms(gate=gate_set), wait=False)


async def test_a_worse_model_is_refused_unless_it_is_forced(
    fitted: Path, fitted_badly: Path, gate_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await house(tmp_path, fitted)
    with pytest.raises(PromotionError, match=r"sentiment is significantly worse.*--force promotes it all the same"):
        await promote(f"path:{fitted_badly}", config, Terms(gate=gate_set), wait=False)
    assert await promotions(config) == []
    await promote(f"path:{fitted_badly}", config, Terms(gate=gate_set, force=True), wait=False)
    assert "promoted all the same, because of --force" in capsys.readouterr().err
    (line,) = await life.stored(config)
    assert "(--force)" in line


async def test_the_serving_model_needs_no_promotion(fitted: Path, gate_set: Path, tmp_path: Path) -> None:
    config = await house(tmp_path, fitted)
    with pytest.raises(PromotionError, match="serves already"):
        await promote(f"path:{fitted}", config, Terms(gate=gate_set), wait=False)
    with pytest.raises(PromotionError, match="no model serves yet"):
        await life.rollback(config, wait=False)


async def test_a_relative_path_means_the_same_to_the_daemon(
    fitted: Path, fitted_badly: Path, gate_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = await house(tmp_path, fitted_badly)
    monkeypatch.chdir(fitted.parent)
    await promote(f"path:{fitted.name}", config, Terms(gate=gate_set), wait=False)
    assert await promotions(config) == [(f"path:{fitted}", ModelState.STAGED)]


async def test_where_models_serve_by_language_the_one_that_is_named_is_replaced(
    fitted: Path, fitted_badly: Path, gate_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = await house(tmp_path, fitted)
    terms = Terms(gate=gate_set)
    foreign = save_classifier(tmp_path / "foreign", ["positive", "negative", "neutral"])
    with pytest.raises(PromotionError, match="has no head topic"):
        await promote(f"zh=path:{foreign}", config, terms, wait=False)
    monkeypatch.setenv("NEWSQUAKE_MODEL_ZH", f"path:{fitted_badly}")
    with pytest.raises(PromotionError, match="sentiment is significantly worse"):
        await promote(f"path:{fitted_badly}", config, terms, wait=False)
    monkeypatch.chdir(fitted.parent)
    await promote(f"zh=path:{fitted.name}", config, terms, wait=False)
    assert await promotions(config) == [(f"path:{fitted},zh=path:{fitted}", ModelState.STAGED)]


async def test_a_gate_set_with_a_bad_row_is_named(
    fitted: Path, fitted_badly: Path, write_rows: Write, tmp_path: Path
) -> None:
    config = await house(tmp_path, fitted)
    bad = write_rows({"text": "acme falls", "sentiment": "bad"}, name="gate.jsonl")
    with pytest.raises(ConfigurationError, match=r"gate.jsonl:1: sentiment: found 'bad'"):
        await promote(f"path:{fitted_badly}", config, Terms(gate=bad), wait=False)
    with pytest.raises(ConfigurationError, match=r"--gate nowhere\.jsonl: no such file"):
        Terms.of(Path("nowhere.jsonl"), 28, 5000, force=False)


# --- the archive ---


def plain_news(days: int, bursts: Sequence[int]) -> list[Article]:
    """Days of plain news that end now; on some of them one company is much spoken of within an hour."""
    chance, start = Random(5), datetime.now(UTC) - days * DAY
    told = [(start + n * HOUR, COMPANIES[n % 4]) for n in range(days * 24)]
    told += [
        (start + day * DAY + n * timedelta(minutes=2), company)
        for day, company in zip(bursts, COMPANIES, strict=False)
        for n in range(30)
    ]
    items = [
        RawItem(
            source=SourceId("wire"),
            raw=b"",
            handed_over=at,
            received=at,
            title=f"{company} was {' '.join(chance.sample(WORDS, 7))}",
            guid=str(n),
            publisher=f"paper-{chance.randrange(4)}.example",
            published=at,
        )
        for n, (at, company) in enumerate(sorted(told))
    ]
    articles = [read(item, IntakeRules()) for item in items]
    return [each for each in articles if isinstance(each, Article)]


@pytest.fixture(scope="module")
def calm_and_gloomy(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("signs")
    return signs(folder, base, "neutral"), signs(folder, base, "negative")


@pytest.fixture
def easy_gate(write_rows: Write) -> Path:
    """A gate set that has no plain news in it: both models pass."""
    rows = [
        {"text": f"acme {word} {' '.join(WORDS[:7])}", "sentiment": label}
        for word, label in (("falls", "negative"), ("rises", "positive"))
    ]
    return write_rows(*rows, name="easy.jsonl")


async def test_a_model_that_would_break_the_budget_is_refused(
    calm_and_gloomy: tuple[Path, Path], easy_gate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm, gloomy = calm_and_gloomy
    config = await house(tmp_path, calm, alarms="1 per month")
    await keep(config, plain_news(10, bursts=(3, 5, 7, 9)))
    with pytest.raises(PromotionError, match="surges that the serving model does not"):
        await promote(f"path:{gloomy}", config, Terms(gate=easy_gate), wait=False)
    assert f"path:{calm} raises 0 surges" in capsys.readouterr().err
    assert await promotions(config) == []


async def test_a_calm_archive_stands_in_nobody_s_way(
    calm_and_gloomy: tuple[Path, Path], easy_gate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm, gloomy = calm_and_gloomy
    config = await house(tmp_path, gloomy)
    await keep(config, plain_news(4, bursts=()))
    await promote(f"path:{calm}", config, Terms(gate=easy_gate), wait=False)
    assert "(96 articles)" in capsys.readouterr().err
    table = await Promotions.open(f"sqlite:///{tmp_path}/newsquake.db")
    (row,) = await table.standing()
    await table.close()
    note = row.manifest["gate"]
    assert isinstance(note, dict)
    assert note["against"] == []
    assert note["archive"] == {"articles": 96, "days": 2.96, "serving": 0, "candidate": 0, "alone": 0, "allowed": 2}


async def test_the_newest_articles_come_in_order_of_receipt(tmp_path: Path, fitted: Path) -> None:
    config = await house(tmp_path, fitted)
    articles = plain_news(2, bursts=())
    await keep(config, articles)
    found = await recent(f"sqlite:///{tmp_path}/newsquake.db", datetime.now(UTC) - DAY, 1000)
    wanted = [each for each in articles if each.received > datetime.now(UTC) - DAY]
    assert [replace(each, raw=b"") for each in wanted] == list(found)
    newest = await recent(f"sqlite:///{tmp_path}/newsquake.db", datetime.now(UTC) - DAY, 3)
    assert list(newest) == list(found)[-3:]
