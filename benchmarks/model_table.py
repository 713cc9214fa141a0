"""The table of changes: what each change to a recipe gains, how sure that is, and what it costs.

    python benchmarks/model_table.py ../shared/data --out runs/table.json
    python benchmarks/model_table.py ../shared/data --out runs/table.json --only "names swapped" --seeds 1
    python benchmarks/model_table.py ../shared/data --out runs/proxy.json --rows 1500 --seeds 1

Each row of model_table.toml is fitted on the training rows for each seed; a development part, carved from them, stops
it and sets its temperatures. The rows marked valid are scored once, and so are sets that are never trained on (see
abroad.py). The ranges hold 95 % of resamples, which draw groups of near-copies and average the seeds; a gain is paired:
both rows answer the same resample. Answers are appended to --out after each fit, and what stands there is not done
again. `--rows` takes at most so many training rows of each file: a proxy, and the table says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from abroad import HEAD, SETS, read

from monitor.core.manifest import Head
from monitor.scoring.references import locate
from trainer import tally
from trainer.calibrate import Scores
from trainer.config import Recipe, recipe_for
from trainer.data import DEV, TRAIN, VALID, Data, Row, load
from trainer.exam import exam
from trainer.fit import Epoch, Step, fit
from trainer.floor import floor_of
from trainer.linear import LinearHead, fit_linear
from trainer.network import open_base
from trainer.registry import answers_of

ROWS = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row of the table: a recipe, and the row that it is compared with."""

    name: str
    recipe: Recipe
    against: str | None
    floor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One set that every row of the table is scored on, for one head."""

    name: str
    head: str
    rows: Sequence[Row]


def changes(path: Path) -> list[Change]:
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    start = recipe_for(content["recipe"], [], {}, {})
    found: dict[str, Change] = {}
    for row in content["row"]:
        against = row.get("against")
        before = found[against].recipe if against else start
        merged = over(before.model_dump(exclude_none=True), row.get("set", {}))
        merged["data"] = [file for file in merged["data"] if file["file"] not in row.get("without", [])]
        recipe = Recipe.model_validate(merged)
        found[row["name"]] = Change(name=row["name"], recipe=recipe, against=against, floor=row.get("floor", False))
    return list(found.values())


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return one table laid over another, tables within them too."""
    merged = dict(below)
    for key, value in above.items():
        merged[key] = over(below.get(key, {}), value) if isinstance(value, Mapping) else value
    return merged


def sets(recipe: Recipe, folder: Path) -> Iterator[Asked]:
    data, _ = load(recipe, folder)
    for file in recipe.data:
        rows = [row for row in data.part(VALID) if row.source == file.file]
        parts = {file.file: rows, f"{file.file}, mixed sign": [row for row in rows if row.extra.get("mixed")]}
        for head in file.heads:
            for name, part in parts.items():
                if chosen := [row for row in part if head in row.labels]:
                    yield Asked(name=name, head=head, rows=chosen)
    for name, abroad in SETS.items():
        if (folder / abroad.file).is_file():
            yield Asked(name=f"{name} (unseen)", head=HEAD, rows=read(folder, abroad))


def thinned(recipe: Recipe, seed: int, most: int | None) -> Recipe:
    files = recipe.data
    if most is not None:
        files = tuple(file.model_copy(update={"rows": min(most, file.rows or most)}) for file in files)
    return recipe.model_copy(update={"data": files, "fit": recipe.fit.model_copy(update={"seed": seed})})


def answers(change: Change, recipe: Recipe, data: Data, asked: Sequence[Asked]) -> list[Scores]:
    """Fit, and return the probabilities (row, label) for each set."""
    if change.floor:
        return floors(asked, recipe, data)

    def tell(event: Step | Epoch) -> None:
        if isinstance(event, Epoch):
            shown = ", ".join(f"{head} {value:.4f}" for head, value in event.f1.items())
            print(f"  epoch {event.epoch}: macro F1 on dev {shown}", file=sys.stderr, flush=True)

    base = open_base(recipe.base, locate(recipe.base))
    with tempfile.TemporaryDirectory() as out:
        network = fit(recipe, data, base, Path(out), tell)
    return [answers_of(network, recipe, data, base, each.rows)[each.head] for each in asked]


def floors(asked: Sequence[Asked], recipe: Recipe, data: Data) -> list[Scores]:
    """At home the set's own floor; abroad one that learned from all sets together."""
    home, fitted = {file.file for file in recipe.data}, dict[tuple[str, str], LinearHead]()
    found = []
    for each in asked:
        source, kind = each.rows[0].source, recipe.heads[each.head].kind
        key = source if source in home else "", each.head
        if key not in fitted and source in home:
            fitted[key] = floor_of(data, source, each.head, kind)
        elif key not in fitted:
            fitted[key] = fit_linear(data.part(TRAIN), data.part(DEV), each.head, data.labels[each.head], kind)
        found.append(fitted[key].probabilities(each.rows))
    return found


def run(change: Change, seed: int, most: int | None, folder: Path, asked: Sequence[Asked]) -> dict[str, Any]:
    recipe = thinned(change.recipe, seed, most)
    data, _ = load(recipe, folder)
    start = time.perf_counter()
    found = answers(change, recipe, data, asked)
    seconds = time.perf_counter() - start
    exams = [
        exam(each.rows, p, each.head, Head(labels=data.labels[each.head], kind=recipe.heads[each.head].kind))
        for each, p in zip(asked, found, strict=True)
    ]
    groups = [{group: i for i, group in enumerate(dict.fromkeys(row.group for row in each.rows))} for each in exams]
    return {
        "seconds": round(seconds),
        "training": len(data.part(TRAIN)),
        "sets": {
            f"{each.name}: {each.head}": {
                "groups": [numbers[row.group] for row in made.rows],
                "wanted": made.wanted.astype(int).tolist(),
                "given": made.given.astype(int).tolist(),
            }
            for each, made, numbers in zip(asked, exams, groups, strict=True)
        },
    }


def drawn(runs: Sequence[Mapping[str, Any]], name: str, resamples: tally.Resamples) -> dict[str, tally.Counts]:
    """Return accuracy and macro F1 on one set, the mean over seeds: first on all rows, then on each resample."""
    found: dict[str, list[tally.Counts]] = {"accuracy": [], "macro_f1": []}
    for each in runs:
        asked = each["sets"][name]
        counts = tally.tally(np.array(asked["wanted"], dtype=bool), np.array(asked["given"], dtype=bool))
        sums = np.concatenate([counts.sum(axis=0, keepdims=True), resamples.sums(counts)])
        found["accuracy"].append(tally.accuracy(sums))
        found["macro_f1"].append(tally.macro_f1(sums))
    return {figure: np.mean(values, axis=0) for figure, values in found.items()}


def table(rows: Sequence[Change], done: Mapping[str, Sequence[Mapping[str, Any]]], most: int | None) -> str:
    """Return the table in Markdown; `done` holds the runs of each row that has any."""
    lines = [f"**A proxy: at most {most} training rows of each file.**", ""] if most else []
    lines += ["| set | change | seeds | accuracy | macro F1 | against | gain | seconds | rows |", "|---" * 9 + "|"]
    first = next(iter(done.values()), [])
    for name in first[0]["sets"] if first else ():
        resamples = tally.Resamples([str(group) for group in first[0]["sets"][name]["groups"]])
        figures = {change: drawn(runs, name, resamples) for change, runs in done.items()}
        for row in rows:
            if row.name not in done:
                continue
            runs, mine, other = done[row.name], figures[row.name], figures.get(row.against or "")
            gain = told(mine["macro_f1"] - other["macro_f1"], "+.3f") if other else ""
            cells = [name, row.name, len(runs), told(mine["accuracy"], ".3f"), told(mine["macro_f1"], ".3f")]
            cells += [row.against if other else "", gain, round(float(np.mean([each["seconds"] for each in runs])))]
            lines.append("| " + " | ".join(map(str, [*cells, runs[0]["training"]])) + " |")
    return "\n".join(lines)


def told(values: tally.Counts, form: str) -> str:
    low, high = tally.between(values[1:])
    return f"{values[0]:{form}} ({low:{form}} to {high:{form}})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the recipe's files")
    parser.add_argument("--out", type=Path, required=True, help="the answers of all runs, JSON")
    parser.add_argument("--table", type=Path, default=ROWS, help="the rows, TOML")
    parser.add_argument("--only", help="do this row alone")
    parser.add_argument("--seeds", default="1,2,3", help="separated by commas")
    parser.add_argument("--rows", type=int, help="at most so many training rows of each file: a proxy")
    asked = parser.parse_args(arguments)
    rows, seeds = changes(asked.table), [int(seed) for seed in asked.seeds.split(",")]
    if asked.only is not None and asked.only not in {row.name for row in rows}:
        parser.error(f"--only {asked.only}: expected one of {', '.join(row.name for row in rows)}")
    kept: dict[str, Any] = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.is_file() else {}
    judged = list(sets(rows[0].recipe, asked.data))
    done: dict[str, list[Any]] = {}
    for row in rows:
        for seed in seeds:
            recipe = thinned(row.recipe, seed, asked.rows).model_dump_json()
            key = f"{row.name}/{seed}/{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
            if key not in kept and asked.only in {None, row.name}:
                print(f"{row.name}, seed {seed}", file=sys.stderr, flush=True)
                kept[key] = run(row, seed, asked.rows, asked.data, judged)
                unfinished = asked.out.with_suffix(".part")
                unfinished.write_text(json.dumps(kept), encoding="utf-8")
                unfinished.rename(asked.out)
            if key in kept:
                done.setdefault(row.name, []).append(kept[key])
    print(table(rows, done, asked.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
