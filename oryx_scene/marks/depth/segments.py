"""One view cut into patches that may be objects: between jumps of depth, inner creases and colours.

Cells are joined where depth goes on, no inner (concave) crease lies between and the colour hardly
changes; the regions that arise are joined again where only the brightness differs, as on the faces
and patterns of one thing. What lies on floor and walls belongs to none.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.marks.depth.backdrop import BEHIND_SHARE, band, find_backdrop
from oryx_scene.marks.depth.surfaces import grow_regions, merge_regions
from oryx_scene.marks.depth.view_grid import Float32, Labels, Mask, ViewGrid, has_normal, jump_limit
from oryx_scene.marks.surface_colour import SAME_COLOUR, compare_colours, mean_rgb

BACKGROUND = -1
# Cells without a patch: unknown, on an edge, or too little to say.
NOTHING = -2
# Two faces that close in on each other by more than this make an inner crease.
CREASE_RAD = 0.5
CREASE_REACH = 3
LEAST_CELLS = 8
# Where fewer cells than this share lie on something like a plane, depth is noise: real rooms have
# 0.7 and more, depth noise of 2 % of z leaves 0.55, of 3 % 0.1 in most views.
LEAST_SMOOTH = 0.45


@dataclass(frozen=True, eq=False)
class Patches:
    """The patches of one view.

    Attributes:
        labels: (h, w) patch of every cell; ``BACKGROUND``, ``NOTHING``, or 0..count - 1.
        count: how many.
        cells: (count,) how many cells each covers.
        rgb: (count, 3) mean colour.
        creased: (count, count) patches with an inner crease between them.
        noisy: depth is too noisy to tell anything apart; there are no patches then.
    """

    labels: Labels
    count: int
    cells: NDArray[np.int64]
    rgb: Float32
    creased: Mask
    noisy: bool = False


def cut_patches(grid: ViewGrid) -> Patches:
    """Cut a view into patches."""
    if int(has_normal(grid.normal).sum()) < LEAST_SMOOTH * int(grid.valid.sum()):
        return _nothing(grid)
    backdrop = find_backdrop(grid)
    creases = inner_creases(grid) & ~backdrop
    free = grid.valid & ~grid.edge & ~backdrop & ~creases
    regions, pairs = grow_regions(grid, free, creases)
    merged = merge_regions(grid, regions, pairs)
    labels = np.where(backdrop, BACKGROUND, NOTHING).astype(np.int32)
    labels[merged >= 0] = merged[merged >= 0]
    return _compact(grid, _without_walls(grid, labels), creases)


def _nothing(grid: ViewGrid) -> Patches:
    labels = np.full(grid.z.shape, NOTHING, np.int32)
    no_cells, no_rgb = np.zeros(0, np.int64), np.zeros((0, 3), np.float32)
    return Patches(labels, 0, no_cells, no_rgb, np.zeros((0, 0), dtype=bool), noisy=True)


def inner_creases(grid: ViewGrid) -> Mask:
    """(h, w) cells where two surfaces meet at an inner edge, as a thing and what it stands on."""
    reach = CREASE_REACH
    points, normal = grid.points, grid.normal
    has = has_normal(normal)
    out = np.zeros(grid.z.shape, dtype=bool)
    for axis in (0, 1):
        a = tuple(slice(None, -2 * reach) if i == axis else slice(None) for i in (0, 1))
        b = tuple(slice(2 * reach, None) if i == axis else slice(None) for i in (0, 1))
        middle = tuple(slice(reach, -reach) if i == axis else slice(None) for i in (0, 1))
        across = points[b] - points[a]
        gap = np.linalg.norm(across, axis=-1)
        turn = normal[b] - normal[a]
        closing = -np.einsum("ijk,ijk->ij", turn, across) / np.maximum(gap, 1e-6)
        # |n_b - n_a| = 2 sin(angle / 2); only the part along the way from a to b closes in.
        found = closing > 2 * np.sin(CREASE_RAD / 2)
        near = gap < 4 * reach * jump_limit(grid.z[middle])
        out[middle] |= found & near & has[a] & has[b]
    return out


def _without_walls(grid: ViewGrid, labels: Labels) -> Labels:
    """Flat patches with nothing behind them are parts of walls that were too short to be found."""
    inside = labels >= 0
    if not inside.any():
        return labels
    count = int(labels.max()) + 1
    names, normals = labels[inside], grid.normal[inside]
    fitted = np.bincount(names, has_normal(normals), minlength=count)
    mean = np.stack([np.bincount(names, normals[:, i], minlength=count) for i in range(3)], axis=1)
    length = np.linalg.norm(mean, axis=1)
    flat = (fitted >= 15) & (length > 0.96 * fitted)
    coarse = grid.points[::3, ::3].reshape(-1, 3)
    coarse = coarse[coarse[:, 2] > 0]
    out = labels.copy()
    for name in np.flatnonzero(flat):
        own = grid.points[labels == name]
        normal = (mean[name] / length[name]).astype(np.float32)
        depth = coarse @ normal - np.median(own @ normal)
        behind = float((depth < -2.5 * band(coarse[:, 2])).mean())
        if behind < BEHIND_SHARE:
            out[labels == name] = BACKGROUND
    return out


def _compact(grid: ViewGrid, labels: Labels, creases: Mask) -> Patches:
    """Number patches 0.. in reading order; those of few cells become ``NOTHING``."""
    inside = labels >= 0
    sizes = np.bincount(labels[inside]) if inside.any() else np.zeros(0, np.int64)
    keep = np.flatnonzero(sizes >= LEAST_CELLS)
    renamed = np.full(sizes.size, NOTHING, np.int32)
    renamed[keep] = np.arange(keep.size)
    out = labels.copy()
    out[inside] = renamed[labels[inside]]
    out = _grown(grid, _close(out))
    inside = out >= 0
    cells = np.bincount(out[inside], minlength=keep.size).astype(np.int64)
    names = out.ravel().astype(np.int64)
    rgb = mean_rgb(grid, names, inside.ravel(), cells)
    return Patches(out, int(keep.size), cells, rgb, _creased(out, creases, int(keep.size)))


def _creased(labels: Labels, creases: Mask, count: int) -> Mask:
    """Which patches lie on both sides of one crease."""
    out = np.zeros((count, count), dtype=np.int64)
    reach = CREASE_REACH
    for axis in (0, 1):
        a = tuple(slice(None, -2 * reach) if i == axis else slice(None) for i in (0, 1))
        b = tuple(slice(2 * reach, None) if i == axis else slice(None) for i in (0, 1))
        middle = tuple(slice(reach, -reach) if i == axis else slice(None) for i in (0, 1))
        sides = creases[middle] & (labels[a] >= 0) & (labels[b] >= 0) & (labels[a] != labels[b])
        np.add.at(out, (labels[a][sides], labels[b][sides]), 1)
    return np.asarray(out + out.T >= 3)


def _close(labels: Labels) -> Labels:
    """Fill cells without a patch that lie within one patch (holes in the depth, noise)."""
    shifted = (labels + 3).astype(np.uint8) if labels.max(initial=0) < 250 else None
    if shifted is None:
        return labels
    middle = cv2.medianBlur(shifted, 3).astype(np.int32) - 3
    fill = (labels == NOTHING) & (middle >= 0)
    out = labels.copy()
    out[fill] = middle[fill]
    return out


def _grown(grid: ViewGrid, labels: Labels) -> Labels:
    """Patches grown by one cell over edges and creases, where depth and colour fit."""
    out = labels.copy()
    limit = jump_limit(grid.z)
    for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
        to = tuple(
            (slice(1, None) if shift > 0 else slice(None, -1)) if i == axis else slice(None)
            for i in (0, 1)
        )
        source = tuple(
            (slice(None, -1) if shift > 0 else slice(1, None)) if i == axis else slice(None)
            for i in (0, 1)
        )
        fits = (labels[source] >= 0) & (out[to] == NOTHING) & grid.valid[to]
        fits &= np.abs(grid.z[to] - grid.z[source]) < limit[to]
        rows, columns = np.nonzero(fits)
        angle, ratio = compare_colours(grid.rgb[to][rows, columns], grid.rgb[source][rows, columns])
        alike = (angle < 2 * SAME_COLOUR) & (ratio > 0.5)
        out[to][rows[alike], columns[alike]] = labels[source][rows[alike], columns[alike]]
    return out
