from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from monitor.errors import ConfigurationError
from tests.trainer.conftest import headlines, recipe
from trainer.commands import run_fit
from trainer.config import Recipe
from trainer.data import load
from trainer.fit import Epoch, Step, fit
from trainer.network import open_base
from trainer.resume import CHECKPOINT, RESUME, Stopped

Write = Callable[..., Path]

# A fit of its own process, which is killed after so many steps, or goes on to its end.
PROGRAM = """
import os, signal, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from trainer.config import Recipe
from trainer.data import load
from trainer.fit import Step, fit
from trainer.network import open_base

asked = Recipe.model_validate_json(Path(sys.argv[1]).read_text())
out, ends, every = Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
torch.set_num_threads(1)
data, _ = load(asked, Path())

def tell(event):
    if isinstance(event, Step) and event.step == ends:
        os.kill(os.getpid(), signal.SIGKILL)

network = fit(asked, data, open_base(asked.base, Path(asked.base.removeprefix("path:"))), out, tell, every=every)
save_file(network.state_dict(), out / "end.safetensors")
"""

COMMAND = "from monitor.cli import main; main()"

RECIPE = """
base = "path:{base}"
heads.sentiment = {{}}
data = [{{ file = "rows.jsonl", heads.sentiment = "label" }}]
fit = {{ epochs = 500, patience = 500, batch = 4, precision = "fp32", limit = 32 }}
"""


def asked_of(base: Path, file: Path, **settings: object) -> Recipe:
    """Three epochs of six steps, with dropout and averages: all that a resumed fit has to find again."""
    made = recipe(file, base, epochs=3, batch=8)
    return made.model_copy(update={"fit": made.fit.model_copy(update={"dropout": 0.2, **settings})})


def run(asked: Recipe, folder: Path, *, ends: int, every: float = 300.0) -> int:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.json").write_text(asked.model_dump_json())
    command = [sys.executable, "-c", PROGRAM, str(folder / "recipe.json"), str(folder), str(ends), str(every)]
    return subprocess.run(command, check=False, timeout=300).returncode


@pytest.mark.parametrize("every", [300.0, 0.0], ids=["after-each-epoch", "after-each-step"])
def test_a_fit_that_was_killed_ends_as_if_it_had_not_been(
    base: Path, write_rows: Write, tmp_path: Path, every: float
) -> None:
    asked = asked_of(base, write_rows(*headlines(64, seed=5)))
    assert run(asked, tmp_path / "whole", ends=0) == 0
    assert run(asked, tmp_path / "cut", ends=9, every=every) == -signal.SIGKILL
    assert (tmp_path / "cut" / RESUME).is_file()
    assert run(asked, tmp_path / "cut", ends=0) == 0
    ends = [(tmp_path / name / "end.safetensors").read_bytes() for name in ("whole", "cut")]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("settings", [{"method": "lora"}, {"method": "head"}, {"adversarial": 0.5, "accumulate": 2}])
def test_whatever_learns_goes_on_where_it_stopped(
    base: Path, write_rows: Write, tmp_path: Path, settings: dict[str, object]
) -> None:
    asked = asked_of(base, write_rows(*headlines(64, seed=5)), **settings)
    data, _ = load(asked, Path())
    opened = open_base(asked.base, base)
    seen: list[int] = []

    def tell(event: Step | Epoch) -> None:
        if isinstance(event, Step):
            seen.append(event.step)

    whole = fit(asked, data, opened, tmp_path / "whole", tell).state_dict()
    steps, seen = seen, []
    with pytest.raises(Stopped, match="goes on from there"):
        fit(asked, data, opened, tmp_path / "cut", tell, halted=lambda: len(seen) == len(steps) // 2)
    resumed = fit(asked, data, opened, tmp_path / "cut", tell).state_dict()
    assert seen == steps
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def stopped(asked: Recipe, base: Path, out: Path, *, after: int) -> None:
    steps: list[Step | Epoch] = []
    data, _ = load(asked, Path())
    with pytest.raises(Stopped):
        fit(asked, data, open_base(asked.base, base), out, steps.append, halted=lambda: len(steps) >= after)


def test_another_fit_does_not_go_on_in_its_place(base: Path, write_rows: Write, tmp_path: Path) -> None:
    file = write_rows(*headlines(64, seed=5))
    stopped(asked_of(base, file), base, tmp_path / "out", after=3)

    def refused(asked: Recipe) -> None:
        with pytest.raises(ConfigurationError, match=r"another recipe, other rows or another base.*--fresh"):
            run_fit(asked, Path(), tmp_path / "out", skip_bad=False, licence="CC0-1.0", threads=None)

    refused(asked_of(base, file, rate=1e-3))
    write_rows(*headlines(64, seed=6))
    refused(asked_of(base, file))


def test_what_is_kept_goes_once_the_artefact_is_written(base: Path, write_rows: Write, tmp_path: Path) -> None:
    asked, out = asked_of(base, write_rows(*headlines(64, seed=5))), tmp_path / "out"
    stopped(asked, base, out, after=3)
    run_fit(asked, Path(), out, skip_bad=False, licence="CC0-1.0", threads=None)
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_a_fit_can_begin_anew_or_end_with_its_best_epoch(base: Path, write_rows: Write, tmp_path: Path) -> None:
    asked, out = asked_of(base, write_rows(*headlines(64, seed=5))), tmp_path / "out"
    data, _ = load(asked, Path())
    opened = open_base(asked.base, base)
    with pytest.raises(ConfigurationError, match="no epoch of this fit has ended"):
        fit(asked, data, opened, out, lambda _: None, finish=True)
    stopped(asked, base, out, after=9)
    best = fit(asked, data, opened, out, lambda _: None, finish=True).state_dict()
    assert best
    (out / RESUME).write_bytes(b"cut short")
    with pytest.raises(ConfigurationError, match="cannot go on from it"):
        fit(asked, data, opened, out, lambda _: None)
    run_fit(asked, Path(), out, skip_bad=False, licence="CC0-1.0", threads=None, fresh=True)
    assert not (out / CHECKPOINT).exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_command_stops_at_a_signal_and_goes_on_when_called_again(
    base: Path, write_rows: Write, tmp_path: Path, sent: signal.Signals
) -> None:
    write_rows(*headlines(400, seed=5))
    (tmp_path / "recipe.toml").write_text(RECIPE.format(base=base))
    command = [sys.executable, "-c", COMMAND, "trainer", "fit", "--recipe", "recipe.toml", "--out", "out"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while line := process.stderr.readline():
            if line.startswith("epoch 1:"):
                break
        os.kill(process.pid, sent)
        told = process.stderr.read()
    assert process.returncode == 130
    assert "the same fit into the same folder goes on from there" in told
    assert (tmp_path / "out" / RESUME).is_file()
    again = subprocess.run([*command, "--finish"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert not (tmp_path / "out" / RESUME).exists()
