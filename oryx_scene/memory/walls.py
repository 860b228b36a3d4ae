"""The walls of a map: upright backdrop of all views, one mean point and normal per cell.

What lies flat on them is no thing, and later sessions are compared with them (`alignment`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from oryx_scene.geometry.transforms import transform_points
from oryx_scene.marks.depth.reprojection_votes import CutView
from oryx_scene.marks.depth.segments import BACKGROUND
from oryx_scene.memory.store import MemoryStore
from oryx_scene.records import FloatArray

CELL_M = 0.2
# Surfaces whose normal is this far from level are upright.
UPRIGHT = 0.2
REACH_M = 6.0
MOST_POINTS = 1000
# A mean follows the newest points from so many views on.
MOST_MEANT = 20.0


class Walls:
    """The walls of one map, as a writer holds them.

    Args:
        store, map_row: where they are kept.
    """

    def __init__(self, store: MemoryStore, map_row: int) -> None:
        self._store, self._map = store, map_row
        rows = store.rows("SELECT cell, x, y, z, nx, ny, views FROM walls WHERE map = ?", map_row)
        self._index = {int(row["cell"]): i for i, row in enumerate(rows)}
        table = np.array([tuple(row)[1:] for row in rows], np.float64).reshape(-1, 6)
        self._points, self._counts = table[:, :3], table[:, 5]
        self._normals = np.column_stack([table[:, 3:5], np.zeros(len(table))])
        self._changed: set[int] = set()

    def near(self, place: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Points and normals (n, 3) within reach of a place."""
        close = np.linalg.norm(self._points - place, axis=1) < REACH_M
        return self._points[close], self._normals[close]

    def learn(self, cut: CutView) -> None:
        """Take in the walls that a view shows."""
        points, facing = upright_backdrop(cut)
        if not len(points):
            return
        names, inverse = np.unique(cell_keys(points, CELL_M), return_inverse=True)
        count = np.bincount(inverse)
        means = [
            np.stack([np.bincount(inverse, values[:, i]) / count for i in range(3)], axis=1)
            for values in (points, facing)
        ]
        new = [i for i, cell in enumerate(names.tolist()) if cell not in self._index]
        for i, cell in enumerate(names.tolist()):
            index = self._index.get(cell)
            if index is None:
                continue
            share = 1.0 / min(self._counts[index] + 1.0, MOST_MEANT)
            self._points[index] += share * (means[0][i] - self._points[index])
            self._normals[index] += share * (means[1][i] - self._normals[index])
            self._counts[index] += 1.0
            if math.log2(self._counts[index]).is_integer():
                self._changed.add(cell)
        for offset, i in enumerate(new):
            self._index[int(names[i])] = len(self._points) + offset
            self._changed.add(int(names[i]))
        self._points = np.vstack([self._points, means[0][new]])
        self._normals = np.vstack([self._normals, means[1][new]])
        self._counts = np.append(self._counts, np.ones(len(new)))

    def write(self) -> None:
        """Put what is new into the table."""
        for cell in sorted(self._changed):
            i = self._index[cell]
            (x, y, z), (nx, ny, _) = self._points[i].tolist(), self._normals[i].tolist()
            self._store.rows(
                "INSERT OR REPLACE INTO walls VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                *(self._map, cell, x, y, z, nx, ny, float(self._counts[i])),
            )
        self._changed.clear()

    def share_on(self, points: FloatArray, within_m: float) -> float:
        """Share of points (n, 3) that lie on a wall."""
        known, planes = self.near(points.mean(axis=0))
        if not len(known):
            return 0.0
        apart, nearest = cKDTree(known).query(points, distance_upper_bound=1.5 * CELL_M)
        hit = np.isfinite(apart)
        off = np.einsum("ij,ij->i", points[hit] - known[nearest[hit]], planes[nearest[hit]])
        return float((np.abs(off) < within_m).sum() / len(points))


def upright_backdrop(cut: CutView) -> tuple[FloatArray, FloatArray]:
    """Points and normals (n, 3) of a view's walls, fixed frame."""
    grid, T = cut.grid, cut.T_fixed_camera
    normals = grid.normal.reshape(-1, 3).astype(np.float64)
    z = grid.z.ravel()
    wanted = (cut.patches.labels.ravel() == BACKGROUND) & normals.any(axis=1) & ~grid.edge.ravel()
    wanted &= (np.abs(normals @ T[2, :3]) < UPRIGHT) & (z > 0) & (z < REACH_M)
    index = np.flatnonzero(wanted)
    index = index[np.linspace(0, len(index) - 1, min(len(index), MOST_POINTS)).astype(int)]
    points = grid.points.reshape(-1, 3)[index].astype(np.float64)
    return transform_points(T, points), normals[index] @ T[:3, :3].T


def cell_keys(points: FloatArray, cell_m: float) -> NDArray[np.int64]:
    """One integer per cell of space that a point (n, 3) lies in."""
    cells = np.floor(points / cell_m).astype(np.int64) + (1 << 19)
    return np.asarray((cells[:, 0] << 40) | (cells[:, 1] << 20) | cells[:, 2])
