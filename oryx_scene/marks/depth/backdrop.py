"""Floor, walls, ceiling: planes of one view that are too large to be an object.

Found in the camera's own frame, so that a wrong pose does no harm. Gravity plays no part.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.marks.depth.view_grid import Float32, Mask, ViewGrid, has_normal

MAX_PLANES = 7
TRIES = 120
# Planes are sought among every third cell each way.
STRIDE = 3
# Least share of the view's known cells that a plane holds.
LEAST_SHARE = 0.03
# A plane longer than this is background; a shorter one too if hardly anything lies behind it.
LONG_M = 1.9
SHORT_M = 1.0
BEHIND_SHARE = 0.01
# Cosine between a cell's normal and the plane's from which on the cell lies on it rather than in
# it, and the share of a plane's cells that must: a slice through many things is no plane.
ALONG = 0.8
ALONG_SHARE = 0.7
ACROSS = 0.5


def band(z: Float32) -> Float32:
    """Distance from a plane within which a point at depth ``z`` is taken to lie on it, metres."""
    return np.asarray(0.015 + 0.011 * z, dtype=np.float32)


def find_backdrop(grid: ViewGrid) -> Mask:
    """(h, w) cells on the backdrop."""
    out = np.zeros(grid.z.shape, dtype=bool)
    planes = _backdrop_planes(grid)
    if len(planes):
        off = np.abs(grid.points.reshape(-1, 3) @ planes[:, :3].T - planes[:, 3])
        normals = grid.normal.reshape(-1, 3)
        cosine = np.abs(normals @ planes[:, :3].T)
        unknown = ~has_normal(normals)[:, None]
        on = (off < band(grid.z).reshape(-1, 1)) & (unknown | (cosine > ACROSS))
        out = on.any(axis=1).reshape(grid.z.shape) & grid.valid
    return np.asarray(out)


def _backdrop_planes(grid: ViewGrid) -> Float32:
    """(n, 4) unit normals towards the camera and offsets."""
    coarse = grid.points[::STRIDE, ::STRIDE]
    normals = np.ascontiguousarray(grid.normal[::STRIDE, ::STRIDE]).reshape(-1, 3)
    z = coarse[..., 2]
    shape = z.shape
    flat, width = coarse.reshape(-1, 3), band(z).ravel()
    known = np.flatnonzero(z.ravel() > 0)
    rest = known
    rng = np.random.default_rng(0)
    least = max(20, int(LEAST_SHARE * known.size))
    found: list[NDArray[np.float32]] = []
    for _ in range(MAX_PLANES):
        if rest.size < least:
            break
        plane = _best_plane(flat[rest], width[rest], rng)
        if plane is None:
            break
        off = flat[known] @ plane[:3] - plane[3]
        near = np.abs(flat[rest] @ plane[:3] - plane[3]) < width[rest]
        if int(near.sum()) < least:
            break
        behind = float((off < -2.5 * width[known]).mean())
        inside = rest[near]
        known_normals = normals[inside][has_normal(normals[inside])]
        along = np.abs(known_normals @ plane[:3]) > ALONG
        flat_enough = along.size >= 5 and along.mean() > ALONG_SHARE
        if flat_enough and _is_backdrop(shape, flat, inside, behind):
            found.append(plane)
        rest = rest[~near]
    return np.array(found, dtype=np.float32).reshape(-1, 4)


def _best_plane(
    points: Float32, width: Float32, rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """(4,) normal and offset of the plane that most points lie on, fitted to them."""
    a, b, c = points[rng.integers(0, len(points), (3, TRIES))]
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    good = lengths > 1e-3
    if not good.any():
        return None
    normals = normals[good] / lengths[good, None]
    offsets = np.einsum("ij,ij->i", normals, a[good])
    votes = (np.abs(points @ normals.T - offsets) < width[:, None]).sum(axis=0)
    best = int(votes.argmax())
    normal, offset = normals[best], offsets[best]
    for _ in range(2):
        near = points[np.abs(points @ normal - offset) < width]
        if len(near) < 3:
            return None
        middle = near.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov((near - middle).T.astype(np.float64)))
        normal = axes[:, 0].astype(np.float32)
        offset = np.float32(normal @ middle)
    if offset > 0:
        normal, offset = -normal, -offset
    return np.append(normal, offset).astype(np.float32)


def _is_backdrop(
    shape: tuple[int, ...], flat: Float32, inside: NDArray[np.int64], behind: float
) -> bool:
    """Whether a plane is too long for an object, or long with nothing behind it."""
    mask = np.zeros(shape[0] * shape[1], np.uint8)
    mask[inside] = 1
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.reshape(shape[0], shape[1]))
    if count < 2:
        return False
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    piece = flat[labels.ravel() == largest]
    centred = piece - piece.mean(axis=0)
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    along = centred @ axes[:, 2].astype(np.float32)
    length = float(np.percentile(along, 98) - np.percentile(along, 2))
    return length > LONG_M or (length > SHORT_M and behind < BEHIND_SHARE)
