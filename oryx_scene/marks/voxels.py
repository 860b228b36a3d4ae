"""Views fused into one sparse grid of coloured voxels, and which voxel each pixel fell into.

Only cells that are seen exist; neighbours are found by sorted keys, so that memory follows the seen
surface and not the room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.frames import FloatArray, Frame
from oryx_scene.geometry.camera import unproject
from oryx_scene.geometry.transforms import transform_points

# Half the pixels each way decide as well as all of them for cells of 3 cm.
PIXEL_STEP = 2
_BITS = 20
_HALF = 1 << (_BITS - 1)

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ViewCells:
    """One view's part of the grid.

    Attributes:
        view: index of the view.
        cell: (h, w) int64, index into the grid's voxels at every ``PIXEL_STEP``-th pixel, -1 none.
        z: (h, w) float64, depth there.
    """

    view: int
    cell: IntArray
    z: FloatArray


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """Fused voxels of a view set.

    Attributes:
        keys: (n,) sorted.
        centre: (n, 3) mean of the points inside, fixed frame, metres.
        lab: (n, 3) mean CIELAB colour of the points inside (L 0..100).
        seen_by: (n,) bit mask of the views.
        views: per view, which voxel each pixel fell into.
        voxel_m: side of a cell.
    """

    keys: IntArray
    centre: FloatArray
    lab: FloatArray
    seen_by: IntArray
    views: tuple[ViewCells, ...]
    voxel_m: float

    def neighbours(self) -> tuple[IntArray, IntArray]:
        """Pairs (a, b) of neighbouring voxels, 26-connected, each pair once."""
        first, second = [], []
        index = np.arange(self.keys.size)
        for dx, dy, dz in _HALF_OFFSETS:
            wanted = self.keys + ((dx << (2 * _BITS)) + (dy << _BITS) + dz)
            place = np.searchsorted(self.keys, wanted)
            place[place == self.keys.size] = 0
            found = self.keys[place] == wanted
            first.append(index[found])
            second.append(place[found])
        return np.concatenate(first), np.concatenate(second)


_HALF_OFFSETS = [
    (dx, dy, dz)
    for dx in (-1, 0, 1)
    for dy in (-1, 0, 1)
    for dz in (-1, 0, 1)
    if (dx, dy, dz) > (0, 0, 0)
]


def usable(frame: Frame) -> bool:
    """Whether a frame has all that the grid needs."""
    return (
        frame.depth is not None
        and frame.intrinsics is not None
        and frame.T_fixed_camera is not None
    )


def fuse(frames: Sequence[Frame], voxel_m: float, max_range_m: float) -> VoxelGrid:
    """Fuse the views that have depth and pose; at most 62 views."""
    parts = [
        _points(index, frame, max_range_m) for index, frame in enumerate(frames) if usable(frame)
    ]
    points = np.concatenate([part.points for part in parts]) if parts else np.zeros((0, 3))
    colours = np.concatenate([part.lab for part in parts]) if parts else np.zeros((0, 3))
    cells = np.floor(points / voxel_m).astype(np.int64) + _HALF
    keys = (cells[:, 0] << (2 * _BITS)) | (cells[:, 1] << _BITS) | cells[:, 2]
    unique, inverse = np.unique(keys, return_inverse=True)
    inverse = inverse.reshape(-1)
    count = np.bincount(inverse, minlength=unique.size).astype(np.float64)
    centre = _means(points, inverse, count)
    lab = _means(colours, inverse, count)
    seen = np.zeros(unique.size, dtype=np.int64)
    views = []
    start = 0
    for part in parts:
        end = start + len(part.points)
        own = inverse[start:end]
        seen[own] |= np.int64(1) << np.int64(min(part.view, 62))
        grid = np.full(part.mask.shape, -1, dtype=np.int64)
        grid[part.mask] = own
        views.append(ViewCells(part.view, grid, part.z))
        start = end
    return VoxelGrid(unique, centre, lab, seen, tuple(views), voxel_m)


def _means(values: FloatArray, inverse: IntArray, count: FloatArray) -> FloatArray:
    columns = [np.bincount(inverse, values[:, axis], minlength=count.size) for axis in range(3)]
    return np.stack(columns, axis=1) / np.maximum(count, 1.0)[:, None]


@dataclass(frozen=True, eq=False)
class _ViewPoints:
    view: int
    mask: NDArray[np.bool_]
    z: FloatArray
    points: FloatArray
    lab: FloatArray


def _points(view: int, frame: Frame, max_range_m: float) -> _ViewPoints:
    assert frame.depth is not None and frame.intrinsics is not None
    assert frame.T_fixed_camera is not None
    step = PIXEL_STEP
    z = frame.depth[::step, ::step].astype(np.float64)
    mask = np.isfinite(z) & (z > 0.1) & (z < max_range_m) & ~_flying(z)
    v, u = np.nonzero(mask)
    uv = np.column_stack([u, v]).astype(np.float64) * step
    camera = unproject(frame.intrinsics, uv, z[mask])
    lab = cv2.cvtColor(
        (cv2.blur(frame.rgb, (5, 5))[::step, ::step]).astype(np.float32) / 255.0,
        cv2.COLOR_RGB2LAB,
    )
    points = transform_points(frame.T_fixed_camera, camera)
    good = np.isfinite(points).all(axis=1)
    if not good.all():
        mask[v[~good], u[~good]] = False
        points = points[good]
    return _ViewPoints(view, mask, z, points, lab[mask].astype(np.float64))


def _flying(z: FloatArray) -> NDArray[np.bool_]:
    """Pixels on a depth edge: sensors mix front and back there, which glues objects together."""
    filled = np.where(np.isfinite(z), z, 0.0).astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    spread = cv2.dilate(filled, kernel) - cv2.erode(
        np.where(filled > 0, filled, 99.0).astype(np.float32), kernel
    )
    edge: NDArray[np.bool_] = spread > np.maximum(0.05, 0.05 * filled)
    return edge
