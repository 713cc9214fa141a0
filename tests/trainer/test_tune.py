from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from monitor.errors import ConfigurationError
from tests.trainer.conftest import headlines, recipe
from trainer import tune
from trainer.alone import alone
from trainer.config import Range, Recipe, read_recipe, written
from trainer.data import VALID, Data
from trainer.fit import Epoch, Listener
from trainer.network import Base
from trainer.tune import BEST, run_tune

Write = Callable[..., Path]
SPACE: dict[str, Any] = {
    "rate": Range(low=1e-5, high=1e-2, log=True),
    "batch": (8, 16),
    "patience": Range(low=1, high=4),
}
KILLED = """
import os, signal, sys
from pathlib import Path
from rich.console import Console
from trainer import tune
from trainer.config import read_recipe
from trainer.fit import Epoch
tried = 0
def fit(recipe, data, base, out, tell):
    global tried
    tried += 1
    tell(Epoch(epoch=1, step=1, f1={"sentiment": 0.5}, loss={}, best=True))
    if tried == 3:
        os.kill(os.getpid(), signal.SIGKILL)
tune.fit = fit
recipe, out = read_recipe(Path(sys.argv[1])), Path(sys.argv[2])
tune.run_tune(recipe, Path(), out, 6, skip_bad=False, console=Console(stderr=True))
"""


@pytest.fixture
def asked(base: Path, write_rows: Write) -> Recipe:
    made = recipe(write_rows(*headlines(80, seed=5)), base, epochs=3)
    return made.model_copy(update={"tune": SPACE})


@pytest.fixture
def rather(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """No fit at all: a rate near 1e-3 is best, and what was tried is remembered."""
    tried: list[Recipe] = []

    def fit(asked: Recipe, data: Data, base: Base, out: Path, tell: Listener) -> None:
        tried.append(asked)
        assert not data.part(VALID)
        for epoch in range(1, 4):
            f1 = 1 / (1 + abs(asked.fit.rate / 1e-3 - 1)) - 0.01 * (epoch == 3)
            tell(Epoch(epoch=epoch, step=epoch, f1={"sentiment": f1, "topic": f1}, loss={}, best=True))

    monkeypatch.setattr(tune, "fit", fit)
    return tried


def tuned(asked: Recipe, out: Path, trials: int) -> str:
    console = Console(file=StringIO(), width=300)
    run_tune(asked, Path(), out, trials, skip_bad=False, console=console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_best_trial_is_a_recipe_that_fits(asked: Recipe, rather: list[Recipe], tmp_path: Path) -> None:
    said = tuned(asked, tmp_path / "out", 12)
    best = min(rather, key=lambda each: abs(each.fit.rate / 1e-3 - 1))
    found = read_recipe(tmp_path / "out" / BEST)
    assert found == best.model_copy(update={"tune": {}})
    assert "trial 12 of 12: rate " in said
    assert "given up: " in said
    assert "best: " in said.splitlines()[-1]
    assert all(1e-5 <= each.fit.rate <= 1e-2 and each.fit.batch in {8, 16} for each in rather)
    assert {each.fit.epochs for each in rather} == {3}  # what is not in [tune] stays


def test_a_second_run_goes_on_and_proposes_something_new(asked: Recipe, rather: list[Recipe], tmp_path: Path) -> None:
    tuned(asked, tmp_path / "out", 3)
    assert "trial 4 of 5" in tuned(asked, tmp_path / "out", 5)
    assert len(rather) == 5
    assert len({each.fit.rate for each in rather}) == 5
    tuned(asked, tmp_path / "whole", 5)
    assert rather[5:] == rather[:5]  # as if it had not been interrupted
    tuned(asked, tmp_path / "out", 5)
    assert len(rather) == 10


def test_a_kill_loses_the_trial_that_it_hits_and_no_other(asked: Recipe, rather: list[Recipe], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(written(asked), encoding="utf-8")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "mine.toml"), str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert read_recipe(tmp_path / "out" / BEST).fit.epochs == 3
    assert "trial 3 of 6" in tuned(read_recipe(tmp_path / "mine.toml"), tmp_path / "out", 6)
    assert len(rather) == 4


def test_it_tunes_what_learns(asked: Recipe, tmp_path: Path) -> None:
    one = asked.model_copy(update={"tune": {"rate": (5e-3,), "smoothing": (0.0, 0.1)}})
    said = tuned(one, tmp_path / "out", 1)
    assert "epoch 3: macro F1 sentiment " in said
    assert read_recipe(tmp_path / "out" / BEST).fit.rate == 5e-3
    assert not (tmp_path / "out" / "trial").exists()


def test_trials_of_two_recipes_are_not_mixed(asked: Recipe, rather: list[Recipe], tmp_path: Path) -> None:
    tuned(asked, tmp_path / "out", 1)
    other = asked.model_copy(update={"tune": {"batch": (8, 16)}})
    with pytest.raises(ConfigurationError, match="trials of another recipe"):
        tuned(other, tmp_path / "out", 2)
    with alone(tmp_path / "out", "tuning"), pytest.raises(ConfigurationError, match="another tuning is at work"):
        tuned(asked, tmp_path / "out", 2)
    assert len(rather) == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("rates = [1e-4]", "'rates' is none of method, lora"),
        ("seed = [1, 2]", "'seed' is none of"),
        ("rate = { low = 1e-3, high = 1e-4 }", "expected low < high"),
        ("rate = { low = 0.0, high = 1e-4, log = true }", "low > 0 where log"),
        ("batch = [0]", "batch"),
    ],
)
def test_what_cannot_be_chosen_is_named(tmp_path: Path, table: str, message: str) -> None:
    recipe = f'[heads.sentiment]\n[[data]]\nfile = "x"\nheads = {{ sentiment = "label" }}\n[tune]\n{table}\n'
    (tmp_path / "mine.toml").write_text(recipe, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        read_recipe(tmp_path / "mine.toml")


def test_a_written_recipe_reads_back_as_the_same(asked: Recipe, tmp_path: Path) -> None:
    said = 'Rows "1.0" \\ 甲\x7f\n'
    named = asked.data[0].model_copy(update={"attribution": said, "rows": 7})
    whole = asked.model_copy(update={"glossary": "zh_en", "data": (named, named.model_copy(update={"file": "b"}))})
    (tmp_path / "mine.toml").write_text(written(whole), encoding="utf-8")
    assert read_recipe(tmp_path / "mine.toml") == whole


def test_without_choices_or_rows_to_judge_by_it_does_not_begin(asked: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="found nothing to choose"):
        tuned(asked.model_copy(update={"tune": {}}), tmp_path / "out", 1)
    blind = asked.model_copy(update={"fit": asked.fit.model_copy(update={"dev": 0.0})})
    with pytest.raises(ConfigurationError, match=r"fit\.dev: found no development rows"):
        tuned(blind, tmp_path / "out", 1)
