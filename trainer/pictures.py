"""Pictures of an evaluation: the confusion matrix, and the reliability diagram (Murphy and Winkler 1977)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, BLUE = "#1d2733", "#2b6cb0"
NUMBERS = 32  # labels, above which the cells are too small for numbers
# matplotlib's own font knows no Chinese; whichever of these is installed stands in for what it lacks.
CHINESE = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "PingFang SC", "Microsoft YaHei")


def draw_confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str], title: str, path: Path) -> None:
    """Write a PNG: a row per true label, a column per answer, coloured by the share of the row."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with _picture(2.2 + 0.55 * len(labels), title, path) as axes:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
        axes.set(xlabel="answered", ylabel="true")
        for (i, j), count in np.ndenumerate(counts) if len(labels) <= NUMBERS else ():
            if count:
                axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i, j] > 0.5 else INK)


def draw_reliability(calibration: Mapping[str, Any], title: str, path: Path) -> None:
    """Write a PNG: of ten bins of equally many rows, what was said of p(negative) beside how often it was."""
    bins = calibration["bins"]
    with _picture(5.0, title, path) as axes:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":")
        axes.plot([each["said"] for each in bins], [each["was"] for each in bins], color=BLUE, marker="o")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel="p(negative), as said", ylabel="share of negative rows")
        said = f"calibration error {calibration['after']:.3f}\n{calibration['before']:.3f} without temperature"
        axes.text(0.04, 0.96, said, transform=axes.transAxes, va="top", color=INK)


@contextmanager
def _picture(inches: float, title: str, path: Path) -> Iterator[Axes]:
    there = set(font_manager.get_font_names())
    fonts = ["DejaVu Sans", *(name for name in CHINESE if name in there)]
    with rc_context({"font.family": fonts, "font.size": 9}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # no font for it here: it is drawn as a box
        figure = Figure(figsize=(inches, inches), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, fontsize=10)
        yield axes
        figure.savefig(path, format="png")
