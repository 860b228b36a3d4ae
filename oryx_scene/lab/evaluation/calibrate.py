"""Fitting how scores of answers become confidences, on answers whose truth is known.

The result goes into a file beside the checkpoint (`sidecar_files`). Nothing here asks a model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from oryx_scene.errors import ConfigError
from oryx_scene.model.api import FormCalibration
from oryx_scene.qa.scoring import calibrated
from oryx_scene.records import FloatArray


def negative_log_likelihood(
    scores: Sequence[Sequence[float]], truth: Sequence[int], calibration: FormCalibration
) -> float:
    """Mean of -log(probability of the right option), nats."""
    total = 0.0
    for own, right in zip(scores, truth, strict=True):
        total -= math.log(max(calibrated(own, calibration)[right], 1e-300))
    return total / len(truth)


def expected_error(
    scores: Sequence[Sequence[float]],
    truth: Sequence[int],
    calibration: FormCalibration,
    bins: int = 10,
) -> float:
    """Expected calibration error (Naeini et al. 2015): |confidence - accuracy| over equal bins."""
    found = [calibrated(own, calibration) for own in scores]
    confidence = np.array([max(own) for own in found])
    right = np.array([own.index(max(own)) == t for own, t in zip(found, truth, strict=True)])
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for one in np.unique(place):
        inside = place == one
        gap = abs(float(confidence[inside].mean()) - float(right[inside].mean()))
        total += gap * float(inside.mean())
    return total


def fit(
    scores: Sequence[Sequence[float]], truth: Sequence[int], *, bias: bool, source: str
) -> FormCalibration:
    """The scale (and bias) that make the right options most probable.

    Args:
        scores: per answer the log-probabilities of its options, as `decide` compares them.
        truth: index of the right option of each.
        bias: fit a bias on the first option, too (yes/no only: its options keep their order).
        source: which answers these are.

    Raises:
        ConfigError: fewer than 20 answers.
    """
    if len(truth) < 20:
        raise ConfigError(f"{len(truth)} answers are too few to calibrate on; 20 are the least.")

    def loss(x: FloatArray) -> float:
        shift = float(x[1]) if bias else 0.0
        found = negative_log_likelihood(
            scores, truth, FormCalibration(scale=math.exp(float(x[0])), bias=shift)
        )
        # Separable answers would drive the scale to infinity.
        return found + 1e-3 * float(x[0]) ** 2 + 1e-4 * shift**2

    best = minimize(loss, np.zeros(2 if bias else 1), method="Nelder-Mead").x
    return FormCalibration(
        scale=float(np.exp(best[0])),
        bias=float(best[1]) if bias else 0.0,
        samples=len(truth),
        source=source,
    )
