"""Other ways to a level: thresholds for pooled scores, learned from the scores of calm news themselves.

All take scores of the past in order of time, higher ones less likely, and the chance that one more may exceed the
threshold. Minus infinity is a score too: of a moment at which nothing special was seen.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

Floats = npt.NDArray[np.float64]

TOP = 0.02  # the part of the scores that the tail is fitted to
FEWEST = 10  # exceedances that a fit needs
DEPTH = 1000  # scores whose mean DSPOT takes for the present level


def spot(scores: Floats, chance: float) -> float:
    """Return the threshold of SPOT: A. Siffer, P.-A. Fouque, A. Termier, C. Largouët (2017), KDD.

    Excesses over a high quantile t are taken to follow a generalised Pareto distribution, fitted by likelihood; the
    threshold is t + σ/γ·((chance·n/excesses)^(−γ) − 1). Infinity where too few scores are finite.
    """
    peaks = np.sort(scores[np.isfinite(scores)])[-max(FEWEST, int(TOP * scores.size)) :]
    if peaks.size < FEWEST:
        return math.inf
    base, excesses = float(peaks[0]), peaks[1:] - peaks[0]
    shape, scale = pareto(excesses)
    ratio = chance * scores.size / excesses.size
    if ratio >= 1.0:
        return base
    return base + (scale * -math.log(ratio) if abs(shape) < 1e-6 else scale / shape * (ratio**-shape - 1.0))


def pareto(excesses: Floats) -> tuple[float, float]:
    """Return shape and scale of the generalised Pareto distribution that makes these excesses likeliest.

    Grimshaw's reduction (1993) to one variable x = shape/scale: the shape is then the mean of log(1 + x·excess).
    """
    mean, most = float(excesses.mean()), float(excesses.max())
    if most <= 0.0:
        return 0.0, 1e-9

    def loss(x: float) -> float:
        if abs(x * mean) < 1e-6:
            return math.log(mean) + 1.0
        shape = float(np.log1p(x * excesses).mean())
        return math.log(shape / x) + 1.0 + shape

    found = [
        minimize_scalar(loss, bounds=bounds, method="bounded")
        for bounds in ((-0.999 / most, -1e-6 / mean), (1e-6 / mean, 10.0 / mean))
    ]
    best = min(found, key=lambda each: float(each.fun))
    if loss(0.0) <= float(best.fun):
        return 0.0, mean
    x = float(best.x)
    shape = float(np.log1p(x * excesses).mean())
    return shape, shape / x


def drifted(scores: Floats) -> Floats:
    """Return scores as DSPOT (same paper) takes them: less the mean of the DEPTH finite scores before each."""
    finite = np.isfinite(scores)
    values = scores[finite]
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(values.size)
    first = np.maximum(0, places - DEPTH)
    moved = np.full(scores.size, -np.inf)
    moved[finite] = values - (sums[places] - sums[first]) / np.maximum(1, places - first)
    return moved


def conformal(scores: Floats, chance: float) -> float:
    """Return the threshold beyond which the conformal p-value is small enough: (1 + scores at least as high) / (n + 1).

    R. Laxhammar, G. Falkman (2015), inductive conformal anomaly detection, in: Annals of Mathematics and Artificial
    Intelligence. Infinity where so few scores cannot make any p-value that small.
    """
    above = math.floor(chance * (scores.size + 1)) - 1
    if above < 0:
        return math.inf
    return float(np.partition(scores, scores.size - above - 1)[scores.size - above - 1])
