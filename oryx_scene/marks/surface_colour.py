"""Colours of surfaces: means over patches, and how alike two are whatever light falls on them.

Light and shade scale a colour and leave its direction from black: angle and ratio are compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oryx_scene.marks.depth.view_grid import Float32, Mask, ViewGrid

# Angle between mean colours (in RGB from black) up to which they are one colour, rad.
SAME_COLOUR = 0.085
# Least ratio of brightness within one thing: shade times pattern.
LEAST_RATIO = 0.25


def mean_rgb(
    grid: ViewGrid, names: NDArray[np.int64], inside: Mask, cells: NDArray[np.int64]
) -> Float32:
    """Mean colours (len(cells), 3) of the cells ``inside``; ``names`` is the patch of each cell."""
    flat = grid.rgb.reshape(-1, 3)[inside]
    sums = [np.bincount(names[inside], flat[:, i], minlength=len(cells)) for i in range(3)]
    return (np.stack(sums, axis=1) / np.maximum(cells, 1)[:, None]).astype(np.float32)


def compare_colours(a: Float32, b: Float32) -> tuple[Float32, Float32]:
    """Angle between colours (n, 3) seen from black, rad, and ratio of the darker to the other."""
    length_a, length_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    cosine = np.einsum("ij,ij->i", a, b) / np.maximum(length_a * length_b, 1e-6)
    ratio = np.minimum(length_a, length_b) / np.maximum(np.maximum(length_a, length_b), 1e-6)
    return np.arccos(np.clip(cosine, -1, 1)).astype(np.float32), ratio.astype(np.float32)
