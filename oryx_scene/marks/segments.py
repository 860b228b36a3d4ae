"""Objects in a fused grid: large planes taken away, the rest cut where colour says so.

Gravity-agnostic: floor, walls, ceiling and table tops are whatever plane holds many voxels. What is
left falls into connected pieces; pieces too small or too large to be one object are not named.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from oryx_scene.frames import FloatArray
from oryx_scene.marks.config import MarksConfig
from oryx_scene.marks.voxels import IntArray, VoxelGrid

MAX_PLANES = 8
RANSAC_TRIES = 200
# A plane is this thick on either side: sensor noise plus pose error.
PLANE_BAND_M = 0.035
BACKGROUND = -1


def find_planes(grid: VoxelGrid, share: float) -> NDArray[np.bool_]:
    """Voxels that lie on a plane holding at least ``share`` of all voxels."""
    on_plane = np.zeros(grid.keys.size, dtype=bool)
    least = max(60, int(share * grid.keys.size))
    rng = np.random.default_rng(0)
    for _ in range(MAX_PLANES):
        rest = np.flatnonzero(~on_plane)
        if rest.size < least:
            break
        found = _best_plane(grid.centre[rest], rng)
        if found is None:
            break
        normal, offset = found
        inside = np.abs(grid.centre @ normal - offset) < PLANE_BAND_M
        fresh = inside & ~on_plane
        if int(fresh.sum()) < least:
            break
        on_plane |= inside
    return on_plane


def _best_plane(points: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, float] | None:
    """Normal and offset of the plane with most points, refined by least squares."""
    sample = points if len(points) < 4000 else points[rng.choice(len(points), 4000, replace=False)]
    triples = rng.integers(0, len(sample), (RANSAC_TRIES, 3))
    a, b, c = (sample[triples[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    good = lengths > 1e-3
    if not good.any():
        return None
    normals = normals[good] / lengths[good, None]
    offsets = np.einsum("ij,ij->i", normals, a[good])
    close = np.abs(sample @ normals.T - offsets) < PLANE_BAND_M
    best = int(close.sum(axis=0).argmax())
    inliers = sample[close[:, best]]
    centre = inliers.mean(axis=0)
    _, _, axes = np.linalg.svd(inliers - centre, full_matrices=False)
    return axes[2], float(axes[2] @ centre)


def segment(grid: VoxelGrid, config: MarksConfig) -> IntArray:
    """Label of every voxel: 0.. for pieces that may be objects, ``BACKGROUND`` for the rest."""
    if not grid.keys.size:
        return np.zeros(0, dtype=np.int64)
    free = ~find_planes(grid, config.plane_share)
    first, second = grid.neighbours()
    alike = np.linalg.norm(grid.lab[first] - grid.lab[second], axis=1) < config.colour_step
    joined = free[first] & free[second] & alike
    ones = np.ones(int(joined.sum()), dtype=np.int8)
    size = grid.keys.size
    graph = coo_matrix((ones, (first[joined], second[joined])), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    labels = labels.astype(np.int64)
    labels[~free] = BACKGROUND
    return _compact(labels)


def _compact(labels: IntArray) -> IntArray:
    """Number the pieces 0.. by size, the largest first; single voxels become background."""
    inside = labels >= 0
    counts = np.bincount(labels[inside], minlength=int(labels.max(initial=-1)) + 1)
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= 4]
    renamed = np.full(counts.size, BACKGROUND, dtype=np.int64)
    renamed[order] = np.arange(order.size)
    out = np.full(labels.size, BACKGROUND, dtype=np.int64)
    out[inside] = renamed[labels[inside]]
    return out
