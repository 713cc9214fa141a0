"""Temperature scaling (Guo et al. 2017): one number per head that makes its probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax

Scores = npt.NDArray[np.float32]


def temperature(logits: Scores, wanted: Scores, kind: str = "single") -> float:
    """Return the temperature, between 0.2 and 5, with the least log loss; `wanted` (row, label) holds what each
    probability should have been, mostly 0 or 1."""
    if not len(logits):
        return 1.0

    def log_loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if kind == "multi":
            return float((wanted * np.logaddexp(0.0, -scaled) + (1.0 - wanted) * np.logaddexp(0.0, scaled)).mean())
        return -float((wanted * log_softmax(scaled, axis=1)).sum(axis=1).mean())

    found = minimize_scalar(log_loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return round(float(np.exp(found.x)), 4)


def probabilities(logits: Scores, temperature: float, kind: str) -> Scores:
    """Return calibrated probabilities: over the labels of a row, or for each label alone where the head is `multi`."""
    scaled = logits / temperature
    return np.asarray(expit(scaled) if kind == "multi" else softmax(scaled, axis=1), dtype=np.float32)


def tempered(probabilities: Scores, temperature: float) -> Scores:
    """Return what probabilities (row, label) of a head with one label for each row were before its temperature.

    Temperature divides logits, and logits are log probabilities but for a constant in each row.
    """
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return np.asarray(softmax(logs * temperature, axis=1), dtype=np.float32)


def calibration_bins(p: Sequence[float], happened: Sequence[bool], bins: int = 10) -> list[tuple[int, float, float]]:
    """Return (rows, mean of what was said, share of what happened) of bins of equally many rows, in rising order."""
    order = np.argsort(np.asarray(p), kind="stable")
    said, was = np.asarray(p, dtype=float)[order], np.asarray(happened, dtype=float)[order]
    parts = [part for part in np.array_split(np.arange(len(said)), bins) if len(part)]
    return [(len(part), float(said[part].mean()), float(was[part].mean())) for part in parts]


def calibration_error(p: Sequence[float], happened: Sequence[bool], bins: int = 10) -> float:
    """The mean distance between what was said and what happened, over `bins` bins of equally many rows."""
    found = calibration_bins(p, happened, bins)
    return sum(rows * abs(said - was) for rows, said, was in found) / max(1, len(p))
