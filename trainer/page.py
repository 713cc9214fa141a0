"""An evaluation as a folder: report.json, a page of words, and its pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.pictures import draw_confusion, draw_reliability
from trainer.wording import probed, section

REPORT, PAGE = "report.json", "README.md"


def write_page(found: Mapping[str, Any], folder: Path) -> Path:
    """Write an evaluation into a folder, made where it is not there, and return its page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_report(found, folder)
    parts = [
        f"# {found['model']['reference']}",
        f"Model `{found['model']['id']}`. In brackets: where 95 % of resamples of the rows put a figure.",
    ]
    for number, (source, heads) in enumerate(found["sets"].items(), start=1):
        for head, figure in heads.items():
            parts += [section(source, head, figure), *_pictures(source, head, figure, folder, number)]
    if "bias" in found:
        parts += ["### Told of others", probed(found["bias"])]
    page = folder / PAGE
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    return page


def write_report(found: Mapping[str, Any], folder: Path) -> Path:
    """Write figures as JSON into a folder, made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / REPORT
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def _pictures(source: str, head: str, figure: Mapping[str, Any], folder: Path, number: int) -> list[str]:
    """Draw what the figures allow; return the lines of Markdown that show it."""
    stem = re.sub(r"[^\w.-]+", "-", f"{number}-{Path(source).name.split('.')[0]}-{head}")
    title = f"{Path(source).name}: {head}"
    shown = []
    if "confusion" in figure:
        draw_confusion(figure["confusion"], list(figure["classes"]), title, folder / f"{stem}-confusion.png")
        shown.append(f"![confusion of {head}]({stem}-confusion.png)")
    if "calibration" in figure:
        draw_reliability(figure["calibration"], title, folder / f"{stem}-reliability.png")
        shown.append(f"![reliability of {head}]({stem}-reliability.png)")
    return shown
