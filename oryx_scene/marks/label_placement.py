"""Where on an object the number goes: on it, away from its edge, hiding little of it.

Works on one view's picture of one object, a cut-out at reduced size; places and radii are pixels of
the received picture. Knows nothing of ranks, depth or other objects but their discs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.records import FloatArray, Lattice

# No disc hides more than this of its own object where another place on it is free.
MAX_HIDDEN = 0.2
# Places that hide more than that are as good as each other up to this difference.
ALIKE = 0.02
# Cells between a centre and the object's edge: nearer, it is on the object only by rounding.
EDGE_CELLS = 1.5


@dataclass(frozen=True, eq=False)
class Cutout:
    """The pixels of one object in one view.

    Attributes:
        mask: (h, w) which cells show the object; a cell is every ``step``-th pixel.
        u0, v0: received pixel of the first cell.
        step: pixels from cell to cell.
    """

    mask: NDArray[np.bool_]
    u0: int
    v0: int
    step: int

    @property
    def area_px(self) -> int:
        """Received pixels that show the object."""
        return int(self.mask.sum()) * self.step**2

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """(u0, v0, u1, v1) of the object's pixels, inclusive, received picture."""
        rows = np.flatnonzero(self.mask.any(axis=1))
        columns = np.flatnonzero(self.mask.any(axis=0))
        return (
            float(self.u0 + columns[0] * self.step),
            float(self.v0 + rows[0] * self.step),
            float(self.u0 + (columns[-1] + 1) * self.step - 1),
            float(self.v0 + (rows[-1] + 1) * self.step - 1),
        )


@dataclass(frozen=True)
class Taken:
    """What no disc may cover: a disc that is drawn already, or a point, received pixels."""

    u: float
    v: float
    radius: float


@dataclass(frozen=True)
class Spot:
    """A place for a disc: centre, and the share of the object's visible pixels it hides."""

    u: float
    v: float
    hidden: float


def find_spot(
    seen: Cutout,
    size: tuple[int, int],
    radius: float,
    taken: Sequence[Taken],
    lattice: Lattice | None = None,
) -> Spot | None:
    """The best place for a disc on an object, None where no allowed centre lies on it.

    Allowed is what the border does not cut and what overlaps no other disc. Of the places that hide
    at most ``MAX_HIDDEN`` of the object the innermost; where there is none, of those that hide
    least.

    Args:
        seen: the object in this view.
        size: (height, width) of the received picture.
        radius: of the disc.
        taken: discs of this view.
        lattice: places that are taken before all others where the object has one.
    """
    # A frame of one cell, so that the picture's border counts as the object's edge.
    mask = np.pad(seen.mask, 1).astype(np.uint8)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)[1:-1, 1:-1]
    fitting = (inside > EDGE_CELLS) & _allowed(seen, size, radius, taken)
    if not fitting.any():
        return None
    if lattice is not None:
        on_lattice = fitting & _nearest_cells(seen, lattice)
        fitting = on_lattice if on_lattice.any() else fitting
    hidden = hidden_shares(seen.mask, radius / seen.step)
    least = float(hidden[fitting].min())
    good = fitting & (hidden <= max(MAX_HIDDEN, least + ALIKE))
    row, column = np.unravel_index(int(np.where(good, inside, -1.0).argmax()), good.shape)
    return Spot(
        float(seen.u0 + column * seen.step),
        float(seen.v0 + row * seen.step),
        float(hidden[row, column]),
    )


def centre_of(seen: Cutout) -> tuple[float, float, bool]:
    """(u, v) of the innermost cell of an object, and whether it lies on it by more than rounding.

    Where several are as far inside, the one nearest to their mean.
    """
    inside = cv2.distanceTransform(np.pad(seen.mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
    inside = inside[1:-1, 1:-1]
    cells = np.argwhere(inside >= inside.max() - 1e-3)
    row, column = cells[np.linalg.norm(cells - cells.mean(axis=0), axis=1).argmin()]
    u, v = seen.u0 + column * seen.step, seen.v0 + row * seen.step
    return float(u), float(v), bool(inside[row, column] > EDGE_CELLS)


def hidden_shares(mask: NDArray[np.bool_], radius: float) -> FloatArray:
    """(h, w) share of ``mask`` that a disc of ``radius`` cells hides, by the cell of its centre."""
    reach = max(1, int(np.ceil(radius)))
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (u * u + v * v <= radius * radius).astype(np.float32)
    covered = cv2.filter2D(mask.astype(np.float32), -1, disc, borderType=cv2.BORDER_CONSTANT)
    # In double precision: a fifth in single precision is more than a fifth.
    shares: FloatArray = np.rint(covered).astype(np.float64) / max(1, int(mask.sum()))
    return shares


def _allowed(
    seen: Cutout, size: tuple[int, int], radius: float, taken: Sequence[Taken]
) -> NDArray[np.bool_]:
    height, width = size
    u = (seen.u0 + seen.step * np.arange(seen.mask.shape[1]))[None, :]
    v = (seen.v0 + seen.step * np.arange(seen.mask.shape[0]))[:, None]
    free = (u >= radius) & (u <= width - 1 - radius) & (v >= radius) & (v <= height - 1 - radius)
    for other in taken:
        free = free & ((u - other.u) ** 2 + (v - other.v) ** 2 > (radius + other.radius) ** 2)
    return np.asarray(free)


def _nearest_cells(seen: Cutout, lattice: Lattice) -> NDArray[np.bool_]:
    """(h, w) cells that are the nearest to a point of the lattice."""
    height, width = seen.mask.shape
    return np.asarray(
        _nearest(seen.v0, seen.step, height, lattice.v0, lattice.step_v)[:, None]
        & _nearest(seen.u0, seen.step, width, lattice.u0, lattice.step_u)[None, :]
    )


def _nearest(first: int, step: int, count: int, point: float, spacing: float) -> NDArray[np.bool_]:
    """Which of ``count`` cells along one axis lies nearest to a lattice point."""
    cells = first + step * np.arange(count)
    away = (cells - point + spacing / 2) % spacing - spacing / 2
    return np.asarray((away >= -step / 2) & (away < step / 2))
