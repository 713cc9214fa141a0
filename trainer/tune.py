"""Choosing how to train: optuna proposes values of [fit], and each is judged on the development part.

    [tune] of the recipe ─► trial: fit ─► mean macro F1 of the heads on dev ─► best.toml
                              └► after each epoch: given up where it lies below the median of the others

Proposals are those of a tree-structured Parzen estimator (Bergstra et al. 2011). All trials are in `tune.db`, so the
same command goes on where it was; a trial that was cut off is lost, and no other. Rows marked valid
are never looked at.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState
from rich.console import Console

from monitor.errors import ConfigurationError
from monitor.scoring.references import locate
from trainer.alone import alone
from trainer.commands import tell_data
from trainer.config import FitRecipe, Range, Recipe, written
from trainer.data import DEV, TRAIN, Data, load, require_rows
from trainer.fit import Epoch, Listener, Step, fit
from trainer.network import Base, open_base
from trainer.progress import Bar

BEST, TRIALS, WORK = "best.toml", "tune.db", "trial"
ASKED = "asked"  # the digest of what the trials in a folder are about


def run_tune(recipe: Recipe, folder: Path, out: Path, trials: int, *, skip_bad: bool, console: Console) -> None:
    """Go on until `trials` have ended, finished or given up; the best recipe so far is always in `out`.

    Raise ConfigurationError where the recipe has nothing to choose or no development part, or where `out` holds trials
    of another recipe or other data.
    """
    if not recipe.tune:
        raise ConfigurationError("[tune]: found nothing to choose; expected keys of [fit] with lists or low and high")
    whole, problems = load(recipe, folder, skip_bad=skip_bad)
    tell_data(console, whole, problems)
    require_rows(whole)
    if not whole.part(DEV):
        raise ConfigurationError("fit.dev: found no development rows, expected some to judge the trials by")
    data = replace(whole, rows=whole.part(TRAIN, DEV))
    base = open_base(recipe.base, locate(recipe.base))
    with alone(out, "tuning"), _study(recipe, data, base, out) as study:
        while (ended := _ended(study)) < trials:
            console.print(f"trial {ended + 1} of {trials}", end=": ", markup=False)
            study.sampler = TPESampler(seed=recipe.fit.seed + len(study.trials))  # else a second run proposes the same
            _try(study, recipe, data, base, out=out, console=console)
        best = study.best_trial
    console.print(f"best: {best.value:.4f} with {_told(best.params)}; {out / BEST}", markup=False)


@contextmanager
def _study(recipe: Recipe, data: Data, base: Base, out: Path) -> Iterator[optuna.Study]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    given = [recipe.model_dump(mode="json"), dict(data.sha256), base.pretrained.sha256, base.parent]
    asked = hashlib.sha256(json.dumps(given).encode()).hexdigest()
    storage = RDBStorage(f"sqlite:///{out / TRIALS}")
    try:
        study = optuna.create_study(
            storage=storage,
            study_name="tune",
            direction="maximize",
            pruner=MedianPruner(),
            load_if_exists=True,
        )
        if study.user_attrs.setdefault(ASKED, asked) != asked:
            raise ConfigurationError(
                f"{out}: holds trials of another recipe or of other data; go on with those, or name another --out"
            )
        study.set_user_attr(ASKED, asked)
        for cut_off in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(cut_off.number, state=TrialState.FAIL)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _ended(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _try(study: optuna.Study, recipe: Recipe, data: Data, base: Base, *, out: Path, console: Console) -> None:
    """Fit once, and keep the recipe where it is the best so far."""
    trial = study.ask()
    asked = _chosen(recipe, trial)
    console.print(_told(trial.params), markup=False)
    course = _Course(trial)
    shutil.rmtree(out / WORK, ignore_errors=True)
    try:
        with Bar(console) as bar:
            fit(asked, data, base, out / WORK, course.heard(bar.tell))
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
        console.print(f"given up: {course.best:.4f} is below the median of the others", markup=False)
    else:
        study.tell(trial, course.best)
        console.print(f"{course.best:.4f}; the best is {study.best_value:.4f}", markup=False)
        if study.best_trial.number == trial.number:
            (out / BEST).write_text(written(asked.model_copy(update={"tune": {}})), encoding="utf-8")
    shutil.rmtree(out / WORK, ignore_errors=True)


def _chosen(recipe: Recipe, trial: Trial) -> Recipe:
    """Return the recipe with what the trial proposes."""
    found: dict[str, Any] = {}
    for name, space in recipe.tune.items():
        if not isinstance(space, Range):
            found[name] = trial.suggest_categorical(name, space)
        elif isinstance(space.low, int) and isinstance(space.high, int):
            found[name] = trial.suggest_int(name, space.low, space.high, log=space.log)
        else:
            found[name] = trial.suggest_float(name, space.low, space.high, log=space.log)
    settings = FitRecipe.model_validate({**recipe.fit.model_dump(), **found})
    return recipe.model_copy(update={"fit": settings})


class _Course:
    """Tells a trial how its epochs end, and ends it where the trial is given up."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self.best = 0.0  # mean macro F1 of the heads

    def heard(self, tell: Listener) -> Listener:
        def hear(event: Step | Epoch) -> None:
            tell(event)
            if isinstance(event, Epoch):
                mean = sum(event.f1.values()) / len(event.f1)
                self.best = max(self.best, mean)
                self._trial.report(mean, event.epoch)
                if self._trial.should_prune():
                    raise optuna.TrialPruned

        return hear


def _told(params: dict[str, Any]) -> str:
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in params.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())
