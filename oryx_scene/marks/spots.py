"""Where on an object the number goes: inside it, away from its edge, hiding little of it.

Works on one view's label picture at reduced size; pixel coordinates are of that picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.frames import FloatArray
from oryx_scene.marks.voxels import IntArray

# No disc hides more than this of its own object where another place on it is free.
MAX_HIDDEN = 0.2


@dataclass(frozen=True)
class Spot:
    """A place for a disc: centre, and the share of the object's visible pixels it hides."""

    u: float
    v: float
    hidden: float


def _disc_kernel(radius: float) -> NDArray[np.float32]:
    reach = max(1, int(np.ceil(radius)))
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc: NDArray[np.float32] = (u * u + v * v <= radius * radius).astype(np.float32)
    return disc


def allowed_centres(
    shape: tuple[int, int], radius: float, taken: list[tuple[float, float, float]]
) -> NDArray[np.bool_]:
    """Where a disc of ``radius`` may be centred: not cut by the border, not over another disc."""
    height, width = shape
    v, u = np.mgrid[0:height, 0:width]
    free = (u >= radius) & (u <= width - 1 - radius) & (v >= radius) & (v <= height - 1 - radius)
    for other_u, other_v, other_radius in taken:
        gap = (radius + other_radius) ** 2
        free &= (u - other_u) ** 2 + (v - other_v) ** 2 > gap
    return np.asarray(free)


def find_spot(mask: NDArray[np.bool_], radius: float, allowed: NDArray[np.bool_]) -> Spot | None:
    """The best place on an object, None where no allowed centre lies on it.

    The innermost place if the disc hides little enough there, else the place that hides least.
    """
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    # One pixel of margin: a centre on the very edge is on the object only by rounding.
    fitting = allowed & (inside > 1.5)
    if not fitting.any():
        return None
    kernel = _disc_kernel(radius)
    covered = cv2.filter2D(mask.astype(np.float32), -1, kernel, borderType=cv2.BORDER_CONSTANT)
    hidden: FloatArray = covered / max(1, int(mask.sum()))
    depth = np.where(fitting, inside, -1.0)
    v, u = np.unravel_index(int(depth.argmax()), depth.shape)
    if hidden[v, u] > MAX_HIDDEN:
        least = np.where(fitting, hidden, np.inf)
        # Of equally good places the innermost.
        close = least <= max(MAX_HIDDEN, float(least.min()) + 0.02)
        inner = np.where(close & fitting, inside, -1.0)
        v, u = np.unravel_index(int(inner.argmax()), inner.shape)
    return Spot(float(u), float(v), float(hidden[v, u]))


def bounding_box(labels: IntArray, label: int) -> tuple[int, int, int, int]:
    """(u0, v0, u1, v1) of the pixels of ``label``, inclusive."""
    rows = np.flatnonzero((labels == label).any(axis=1))
    columns = np.flatnonzero((labels == label).any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
