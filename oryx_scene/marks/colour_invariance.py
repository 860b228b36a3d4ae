"""Colour as paint: what stays of a colour when light and shade scale it.

Lambert's law scales a surface's linear colour, and gamma turns that into another scale; so colours
are compared at one brightness, by CIELAB's a and b, and brightness itself counts little.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.records import FloatArray, RgbImage

# Colours are compared at this mean of red, green and blue (0..1); darker than the least, hue is
# noise and is not blown up further.
_COMMON, _LEAST = 0.3, 0.12
# Of brightness 0..100.
_BRIGHT_WEIGHT = 0.3


def paint_of(rgb: NDArray[np.uint8]) -> FloatArray:
    """Paint (n, 3) of colours (n, 3) uint8; plain distances compare it: 5 is hardly seen."""
    if not len(rgb):
        return np.zeros((0, 3))
    values = rgb.astype(np.float32) / 255.0
    mean = values.mean(axis=1, keepdims=True)
    levelled = np.minimum(values * (_COMMON / np.maximum(mean, _LEAST)), 1.0)
    lab = cv2.cvtColor(levelled[None], cv2.COLOR_RGB2LAB)[0]
    bright = _BRIGHT_WEIGHT * 100.0 * mean
    return np.concatenate([bright, lab[:, 1:]], axis=1).astype(np.float64)


def paint_image(rgb: RgbImage, step: int) -> FloatArray:
    """(h, w, 3) paint of every ``step``-th pixel of a picture (H, W, 3 uint8), noise smoothed."""
    smooth = cv2.medianBlur(rgb, 2 * step + 3)[::step, ::step]
    return paint_of(smooth.reshape(-1, 3)).reshape(*smooth.shape[:2], 3)
