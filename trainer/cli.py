"""`newsquake trainer`: from rows to a model that serves. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Fine-tune a model on labelled news, compare it, let it serve.")


class Method(StrEnum):
    """What learns; see trainer/methods.py."""

    FULL = "full"
    LORA = "lora"
    HEAD = "head"


class Teacher(StrEnum):
    """Who answers the rows of a fold; see trainer/distil.py."""

    LINEAR = "linear"
    NETWORK = "network"
    BOTH = "both"


class Question(StrEnum):
    """What a set asks a sentiment head; see trainer/exam.py."""

    LABELS = "labels"
    SIGNS = "signs"
    NEGATIVE = "negative"


class Schedule(StrEnum):
    """How the rate falls; see trainer/schedule.py."""

    LINEAR = "linear"
    COSINE = "cosine"


class Precision(StrEnum):
    """What is computed in; the weights are kept in fp32."""

    BF16 = "bf16"
    FP16 = "fp16"
    FP32 = "fp32"


Files = Annotated[
    list[Path] | None, typer.Argument(help="JSONL, JSONL.gz or CSV with `text`, optional `entity`, `split`.")
]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", help="A recipe in TOML, or `default`, the shipped model's own.")
]
DataOption = Annotated[Path, typer.Option("--data", help="The folder that the files' paths begin in.")]
HeadOption = Annotated[
    list[str] | None,
    typer.Option(
        "--head",
        metavar="NAME=COLUMN",
        help="A head and its column; repeat for more. COLUMN:multi where several labels may apply.",
    ),
]
MethodOption = Annotated[
    Method | None, typer.Option(help="What learns: everything, adapters and the heads, or the heads alone.")
]
ALL = "all"
CONFIG = Path("newsquake.toml")
ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The daemon's configuration file.")]
GateOption = Annotated[
    Path | None,
    typer.Option(
        "--gate",
        metavar="FILE",
        help="Rows with a column for each head; by default invented headlines, shipped.",
    ),
]
DaysOption = Annotated[int, typer.Option("--days", min=1, help="Of the archive, to count surges on.")]
ArticlesOption = Annotated[int, typer.Option("--articles", min=1, help="At most so many of the archive's newest.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Promote what the gate refuses; the database notes it.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Follow until it serves or is refused.")]
QuestionOption = Annotated[
    Question | None,
    typer.Option(
        help="How sentiment is scored: by all labels; by p(negative) against p(positive); by p(negative) against the "
        "rest. By default each file's labels tell."
    ),
]
ByOption = Annotated[
    list[str] | None, typer.Option("--by", metavar="COLUMN", help="Figures for each value of it; repeat for more.")
]
ReportOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write report.json there instead of printing it.")
]
RefitOption = Annotated[
    bool,
    typer.Option(
        "--refit", help="Let the rows marked valid learn too: for weights to ship, once the recipe has been measured."
    ),
]
SkipOption = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out instead of stopping.")]


@app.command()
def fit(
    files: Files = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="The folder to write the artefact into.")],
    recipe: RecipeOption = None,
    data: DataOption = Path(),
    head: HeadOption = None,
    base: Annotated[
        str | None,
        typer.Option(help="A BERT checkpoint, or a newsquake model to go on from: package:NAME, path:DIR, …"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many; early stopping may take fewer.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows shown at once.")] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Batches of a step, where memory is short.")] = None,
    schedule: Annotated[Schedule | None, typer.Option(help="How the rate falls after the warm-up.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="To compute in; fp16 needs a GPU.")] = None,
    method: MethodOption = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is random.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the CPU; all by default.")] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write loss, rate and figures there for TensorBoard.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin an interrupted fit anew.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Take an interrupted fit's best epoch so far.")] = False,
    refit: RefitOption = False,
    measured: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Of a --refit: the same recipe's model without, whose figures it states."),
    ] = None,
    licence: Annotated[str, typer.Option(help="The licence that the artefact states.")] = "unstated",
    skip_bad: SkipOption = False,
) -> None:
    """Fine-tune a base model and write an artefact: weights, manifest, model card.

    Interrupted, by Ctrl-C or a crash, the same command goes on where it stopped. A recipe's [fit] says more than these
    options do: layer_decay, adversarial, smoothing, averaging, dropout, augment …; docs/model.md tells them all.

    newsquake trainer fit desk.jsonl --head sentiment=label --head topic=topic --out runs/desk

    newsquake trainer fit --recipe default --data ../shared/data --out runs/default
    """
    learning = {"epochs": epochs, "rate": rate, "batch": batch, "accumulate": accumulate, "schedule": schedule}
    settings = {
        "base": base,
        "seed": seed,
        "method": method,
        "precision": precision,
        "refit": refit or None,
        **learning,
    }
    if fresh and finish:
        raise typer.BadParameter("--fresh begins anew, --finish takes what there is: expected one of them")
    from monitor.scoring.references import require
    from trainer.config import from_command_line

    asked = from_command_line(recipe, files or [], head or [], data, settings)
    require(asked.base)
    from trainer import commands

    commands.run_fit(
        asked,
        data,
        out,
        skip_bad=skip_bad,
        licence=licence,
        threads=threads,
        board=tensorboard,
        fresh=fresh,
        finish=finish,
        measured=measured,
    )


@app.command()
def check(
    files: Files = None, *, recipe: RecipeOption = None, data: DataOption = Path(), head: HeadOption = None
) -> None:
    """Say what is wrong with labelled rows, and what a fit does about it; exit 1 where it would refuse them.

    Bad rows, texts labelled in two ways, training rows that are copies of held-out ones, repeated rows, heads and
    labels that no row teaches: each with file and line.

    newsquake trainer check desk.jsonl --head sentiment=label
    """
    from trainer.config import from_command_line

    asked = from_command_line(recipe, files or [], head or [], data, {})
    from trainer import commands

    if not commands.run_check(asked, data):
        raise typer.Exit(1)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="builtin, package:NAME, path:DIR or hub:ORG/NAME.")],
    files: Files = None,
    *,
    recipe: RecipeOption = None,
    data: DataOption = Path(),
    head: HeadOption = None,
    split: Annotated[
        str, typer.Option(help="train, dev, valid or all; rows without a split count as train.")
    ] = "valid",
    question: QuestionOption = None,
    by: ByOption = None,
    robust: Annotated[
        bool, typer.Option("--robust", help="Also disturb the texts, and see which labels move.")
    ] = False,
    rows: Annotated[int, typer.Option(min=1, help="At most so many are disturbed, chosen by chance.")] = 500,
    bias: Annotated[
        bool, typer.Option("--bias", help="Also tell the same events of other companies, countries, women and men.")
    ] = False,
    floor: Annotated[
        bool,
        typer.Option("--floor", help="Beside each figure TF-IDF with logistic regression; 1 if no better anywhere."),
    ] = False,
    out: ReportOption = None,
    skip_bad: SkipOption = False,
) -> None:
    """Say how good a model is: precision, recall and F1 of each class, accuracy, macro F1, MCC, each with the range
    that 95 % of resamples give it (a bootstrap over groups of near-copies), the confusion matrix, the calibration error
    of p(negative) before and after the temperature, and all of it by language, by length and for texts that are good
    for one company and bad for another.

    The figures are JSON, the main ones also words on standard error. --out writes report.json, a page in Markdown, and
    pictures of each confusion matrix and of the reliability.

    Sets of two classes are scored as such: `negative` and `positive` by the larger of the two, `negative` and
    `not_negative` at one half.

    newsquake trainer evaluate builtin held-out.jsonl --head sentiment=label --split all --robust --bias --out report
    """
    from monitor.scoring.references import require
    from trainer.config import from_command_line

    if floor and split == ALL:
        raise typer.BadParameter("--floor learns from the training rows: expected --split dev or valid")
    asked = from_command_line(recipe, files or [], head or [], data, {})
    require(model)
    from trainer.examine import View, run_evaluate

    view = View.of(by, question, robust=rows if robust else 0, bias=bias)
    found = run_evaluate(model, asked, data, None if split == ALL else split, skip_bad=skip_bad, view=view)
    lost: list[str] = []
    if floor:
        from trainer.floor import beside

        lost = beside(found["sets"], asked, data, split, skip_bad=skip_bad)
    if out is None:
        _print(found)
    else:
        from trainer.page import write_page

        typer.echo(write_page(found, out))
    for told in lost:
        typer.echo(told, err=True)
    raise typer.Exit(1 if lost else 0)


@app.command()
def tune(
    *,
    recipe: Annotated[str, typer.Option("--recipe", help="A recipe in TOML with [tune]: what may be chosen of [fit].")],
    out: Annotated[Path, typer.Option("--out", help="A folder for the trials and best.toml.")],
    data: DataOption = Path(),
    trials: Annotated[int, typer.Option("--trials", min=1, help="So many in all, earlier runs included.")] = 20,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the CPU; all by default.")] = None,
    skip_bad: SkipOption = False,
) -> None:
    """Search for the [fit] with the best mean macro F1 on the development part; rows marked valid are not looked at.

    A list under [tune] holds choices, { low, high, log } a range: rate = { low = 5e-5, high = 5e-4, log = true }. After
    each epoch a trial below the median of the others is given up. Interrupted, the same command goes on.

    newsquake trainer tune --recipe mine.toml --data rows --trials 30 --out runs/tune

    newsquake trainer fit --recipe runs/tune/best.toml --data rows --out runs/best
    """
    from trainer.config import from_command_line

    asked = from_command_line(recipe, [], [], data, {})
    from monitor.scoring.references import require

    require(asked.base)
    import torch
    from rich.console import Console

    from trainer.tune import run_tune

    if threads:
        torch.set_num_threads(threads)
    run_tune(asked, data, out, trials, skip_bad=skip_bad, console=Console(stderr=True))


@app.command()
def distil(
    files: Files = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="A folder for the student's rows and its recipe.")],
    recipe: RecipeOption = None,
    data: DataOption = Path(),
    head: HeadOption = None,
    folds: Annotated[int, typer.Option(min=2, help="Into so many the training rows are cut.")] = 5,
    teacher: Annotated[
        Teacher, typer.Option(help="Who answers a fold's rows, fitted on the others'.")
    ] = Teacher.LINEAR,
    blend: Annotated[float, typer.Option(min=0.0, max=1.0, help="The teachers' part in a row's label.")] = 0.5,
    fill: Annotated[
        list[str] | None, typer.Option(metavar="HEAD", help="Teach it also by rows without a label; repeat for more.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A further teacher for --fill: any reference; its answer counts as one more.")
    ] = None,
    refit: RefitOption = False,
    skip_bad: SkipOption = False,
) -> None:
    """Blend labels with what teachers say who never saw the row, nor a near-copy of it; a plain fit trains the student.

    Each fold is answered by teachers that were fitted on the others: n-grams with logistic regression, and/or the
    recipe's own network. Interrupted, the same command goes on with the next fold. Development and valid rows stay as
    they are; files keep their licences.

    newsquake trainer distil --recipe default --data ../shared/data --fill sentiment --out taught

    newsquake trainer fit --recipe taught/recipe.toml --data taught --out runs/student
    """
    from trainer.config import from_command_line

    asked = from_command_line(recipe, files or [], head or [], data, {"refit": refit or None})
    from monitor.scoring.references import require

    for reference in (model, None if teacher is Teacher.LINEAR else asked.base):
        if reference is not None:
            require(reference)
    from rich.console import Console

    from trainer.distil import TEACHERS, Wish, run_distil

    wish = Wish(
        recipe=asked,
        data=data,
        out=out,
        folds=folds,
        teachers=TEACHERS[teacher],
        blend=blend,
        fill=tuple(fill or ()),
        model=model,
        skip_bad=skip_bad,
    )
    run_distil(wish, Console(stderr=True))


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="builtin, package:NAME, path:DIR or hub:ORG/NAME.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    files: Files = None,
    *,
    recipe: RecipeOption = None,
    data: DataOption = Path(),
    head: HeadOption = None,
    split: Annotated[str, typer.Option(help="train, dev, valid or all.")] = ALL,
    question: QuestionOption = None,
    by: ByOption = None,
    out: ReportOption = None,
    skip_bad: SkipOption = False,
) -> None:
    """Let two models answer the same labelled rows, and say whether B is better than A or only luckier.

    Prints JSON: for each head accuracy and macro F1 of both, the difference with its 95 % range (a paired bootstrap
    over groups of near-copies), and McNemar's exact test; also for each file, language, length and column of --by, and
    for texts that are good for one company and bad for another. The main figures also in words on standard error.
    Without --head or --recipe the columns `sentiment` and `topic` are read.

    newsquake trainer compare builtin path:runs/desk held-out.jsonl --head sentiment=label
    """
    from monitor.scoring.references import require
    from trainer.config import from_command_line

    heads = head or ([] if recipe else ["sentiment=sentiment", "topic=topic"])
    asked = from_command_line(recipe, files or [], heads, data, {})
    require(first)
    require(second)
    from trainer.examine import View, run_compare

    view = View.of(by, question)
    found = run_compare(first, second, asked, data, None if split == ALL else split, skip_bad=skip_bad, view=view)
    if out is None:
        _print(found)
    else:
        from trainer.page import write_report

        typer.echo(write_report(found, out))


@app.command()
def promote(
    model: Annotated[
        str,
        typer.Argument(
            help="path:DIR, package:NAME, hub:ORG/NAME or builtin; zh=REFERENCE: for texts in Chinese alone."
        ),
    ],
    config: ConfigFile = CONFIG,
    *,
    gate: GateOption = None,
    days: DaysOption = 28,
    articles: ArticlesOption = 5000,
    force: ForceOption = False,
    wait: WaitOption = False,
) -> None:
    """Let a model take the serving one's place, if it is no worse.

    It is refused where it lacks a head or a label; where it is significantly worse on the gate set (McNemar, 5 %), or
    lower by more than 0.02 in accuracy or macro F1; and where, on the recent archive, it raises more surges that the
    serving model does not than the false-alarm budget explains.

    A daemon that runs takes it up within seconds: it verifies it, lets it judge the recent past, and changes over
    without an alert of its own.
    """
    from monitor.config import load
    from monitor.scoring.references import require

    load(config)
    require(model)
    from trainer.promote import Terms
    from trainer.promote import promote as run_promote

    asyncio.run(run_promote(model, config, Terms.of(gate, days, articles, force=force), wait=wait))


@app.command()
def rollback(config: ConfigFile = CONFIG, *, wait: WaitOption = False) -> None:
    """Call off the promotion under way; or, where there is none, let the model that served before serve again."""
    from trainer.life import rollback as run_rollback

    asyncio.run(run_rollback(config, wait=wait))


@app.command()
def retrain(
    config: ConfigFile = CONFIG,
    *,
    out: Annotated[Path, typer.Option("--out", help="Each run is a folder of its own in here.")] = Path("retrained"),
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="A recipe in TOML, or a shipped one: its files are the old data.")
    ] = None,
    data: DataOption = Path(),
    labelled: Annotated[
        Path | None, typer.Option("--labelled", metavar="FILE", help="Labels of your own, a column for each head.")
    ] = None,
    least: Annotated[int, typer.Option("--least", min=1, help="New labels, below which nothing is done.")] = 20,
    method: MethodOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    gate: GateOption = None,
    days: DaysOption = 28,
    articles: ArticlesOption = 5000,
    licence: Annotated[str, typer.Option(help="The licence that the artefact states.")] = "unstated",
    promote: Annotated[bool, typer.Option("--promote", help="Let it serve, if it passes the gate.")] = False,
    force: ForceOption = False,
    wait: WaitOption = False,
    skip_bad: SkipOption = False,
) -> None:
    """Go on from the serving model with what the desk has said: verdicts given over the API, and labels of your own.

    Old data are shown again, so that nothing is forgotten: those of --recipe, and recent stored articles as the serving
    model judges them. Then comes the gate (see `promote`) and, with --promote, the promotion. Where too few labels are
    new, nothing is done.

    newsquake trainer retrain -c newsquake.toml --out runs --promote
    """
    from monitor.config import load
    from trainer.config import read_retrain_recipe, require_files

    load(config)
    asked = read_retrain_recipe(recipe, {"method": method, "epochs": epochs, "rate": rate})
    require_files(asked, data)
    from trainer.promote import Terms
    from trainer.retrain import Wish
    from trainer.retrain import retrain as run_retrain

    wish = Wish(
        recipe=asked,
        data=data,
        labelled=labelled,
        out=out,
        least=least,
        promote=promote,
        skip_bad=skip_bad,
        licence=licence,
        terms=Terms.of(gate, days, articles, force=force),
    )
    asyncio.run(run_retrain(config, wish, wait=wait))


@app.command("list")
def list_models(
    folder: Annotated[Path | None, typer.Argument(help="A folder whose folders are artefacts.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Show where its database's models stand.")
    ] = None,
) -> None:
    """List the artefacts of a folder (id, place, macro F1 on each set), or where the models of a daemon stand."""
    from trainer.listing import listed

    if folder is None and config is None:
        raise typer.BadParameter("expected a FOLDER, or -c FILE, or both")
    for line in listed(folder) if folder else []:
        typer.echo(line)
    if config:
        from trainer.life import stored

        for line in asyncio.run(stored(config)):
            typer.echo(line)


def _print(figures: dict[str, Any]) -> None:
    typer.echo(json.dumps(figures, indent=1, ensure_ascii=False))
