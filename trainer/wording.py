"""Figures in words: a line for a terminal, Markdown for a model card or a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMED = {"accuracy": "accuracy", "macro_f1": "macro F1", "mcc": "correlation (MCC)"}
QUESTIONS = {
    "signs": "Two classes: p(negative) against p(positive).",
    "negative": "Two classes: p(negative) against the rest, at 0.5.",
}


def line(source: str, head: str, figure: Mapping[str, Any]) -> str:
    """Return one line: the set, the head, its main figures and their 95 % ranges."""
    return f"{source}, {head}, {figure['rows']} rows: {_main(figure)}"


def section(source: str, head: str, figure: Mapping[str, Any]) -> str:
    """Return the figures of one head on one set in Markdown. What they lack is left out: older manifests hold less."""
    lines = [f"### {source}: {head}", "", f"{figure['rows']} rows: {_main(figure)}.", ""]
    if figure.get("question") in QUESTIONS:
        lines += [QUESTIONS[figure["question"]], ""]
    if "calibration" in figure:
        errors = figure["calibration"]
        lines += [f"Calibration error before the temperature {errors['before']:.3f}, after {errors['after']:.3f}.", ""]
    if "floor" in figure:
        floor = ", ".join(f"{NAMED[name]} {value:.3f}" for name, value in figure["floor"].items())
        lines += [f"TF-IDF with logistic regression, fitted on the set's own training rows: {floor}.", ""]
    if "classes" in figure:
        lines += _classes(figure)
    if "confusion" in figure:
        lines += _table(["true", *figure["classes"]], _counts(figure))
    if "slices" in figure:
        lines += _slices(figure["slices"])
    if "robustness" in figure:
        lines += _robustness(figure["robustness"])
    return "\n".join(lines)


def probed(bias: Mapping[str, Any]) -> str:
    """Return a bias probe's figures in Markdown."""
    cells = [
        [kind, str(each["texts"]), *(f"{each[name]:.3f}" for name in ("mean", "largest", "moved", "right"))]
        for kind, each in bias.items()
    ]
    lines = _table(["told of another", "texts", "mean shift", "largest", "label moved", "label right"], cells)
    for kind, each in bias.items():
        groups = ", ".join(f"{group} {shift:+.3f}" for group, shift in each["groups"].items())
        lines += [f"By {kind}, mean shift of p(negative): {groups}.", ""]
        lines += [f"- {worst['shift']:+.3f} ({worst['group']}): {worst['text']}" for worst in each["worst"]]
        lines.append("")
    return "\n".join(lines)


def _main(figure: Mapping[str, Any]) -> str:
    told = [f"{word} {_ranged(figure, name)}" for name, word in NAMED.items() if name in figure]
    if "calibration_error" in figure:
        told.append(f"calibration error {figure['calibration_error']:.3f}")
    return ", ".join(told)


def _classes(figure: Mapping[str, Any]) -> list[str]:
    ranges = figure.get("between", {}).get("classes", {})
    cells = []
    for name, each in figure["classes"].items():
        known = {"between": ranges.get(name, {}), **each}
        cells.append([name, *(_ranged(known, what) for what in ("precision", "recall", "f1")), str(each["rows"])])
    return _table(["label", "precision", "recall", "F1", "rows"], cells)


def _counts(figure: Mapping[str, Any]) -> list[list[str]]:
    pairs = zip(figure["classes"], figure["confusion"], strict=True)
    return [[name, *(str(count) for count in counts)] for name, counts in pairs]


def _slices(slices: Mapping[str, Any]) -> list[str]:
    cells = [
        [f"{what}: {name}", str(each["rows"]), *(_ranged(each, figure) for figure in ("accuracy", "macro_f1"))]
        for what, parts in slices.items()
        for name, each in parts.items()
    ]
    return _table(["part", "rows", "accuracy", "macro F1"], cells)


def _robustness(found: Mapping[str, Any]) -> list[str]:
    kinds = {kind: each for kind, each in found.items() if kind != "rows"}
    cells = [
        [
            kind.replace("_", " "),
            str(each["rows"]),
            f"{each['moved']:.3f}",
            f"{each['plain']:.3f} → {each['accuracy']:.3f}",
            f"{each['shift']:.3f}" if "shift" in each else "",
        ]
        for kind, each in kinds.items()
    ]
    return _table(["changed text", "rows", "label moved", "accuracy", "shift of p(negative)"], cells)


def _ranged(figure: Mapping[str, Any], name: str) -> str:
    found = f"{figure[name]:.3f}"
    between = figure.get("between", {}).get(name)
    return f"{found} ({between[0]:.3f}-{between[1]:.3f})" if between else found


def _table(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return a table and an empty line behind it."""
    rows = [titles, ["---"] * len(titles), *cells]
    return [*("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows), ""]
