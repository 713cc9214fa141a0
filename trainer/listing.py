"""What models there are. Nothing here needs torch."""

from __future__ import annotations

import json
from pathlib import Path

from monitor.core.manifest import NAME, Manifest, parse
from monitor.types import ModelId


def listed(folder: Path) -> list[str]:
    """Return one line for each artefact in the folders of `folder`."""
    return [f"{identity}  {path}  {summary(manifest)}" for path, identity, manifest in found_in(folder)]


def found_in(folder: Path) -> list[tuple[Path, ModelId, Manifest]]:
    """Return the artefacts in the folders of `folder`, by name. Raise ArtefactError for one that cannot be read."""
    artefacts = []
    for path in sorted(folder.glob(f"*/{NAME}")):
        manifest, identity = parse(path.read_bytes(), str(path))
        artefacts.append((path.parent, identity, manifest))
    return artefacts


def summary(manifest: Manifest) -> str:
    """One line: what the model reached on each set."""
    parts = []
    for source, heads in manifest.metrics.items():
        figures = json.loads(json.dumps(heads))
        for head, figure in figures.items():
            parts.append(f"{Path(source).name.split('.')[0]} {head} {figure['macro_f1']:.3f}")
    return ", ".join(parts)
