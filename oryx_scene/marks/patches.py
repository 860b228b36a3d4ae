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
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from oryx_scene.marks.backdrop import BEHIND_SHARE, band, find_backdrop
from oryx_scene.marks.view_grid import (
    Float32,
    Mask,
    ViewGrid,
    has_normal,
    jump_limit,
    largest_channel,
)

Labels = NDArray[np.int32]

BACKGROUND = -1
# Cells without a patch: unknown, on an edge, or too little to say.
NOTHING = -2
# Largest step of RGB values between neighbouring cells of one region: of black, and per brightness.
STEP_RGB = 5.0
STEP_SHARE = 0.05
# Regions of at least this many cells have a colour worth comparing.
WORTH = 12
# Angle between mean colours (in RGB from black) up to which they are one colour, rad.
SAME_COLOUR = 0.085
# Least ratio of brightness within one thing: shade times pattern.
LEAST_RATIO = 0.25
# Two faces that close in on each other by more than this make an inner crease.
CREASE_RAD = 0.5
CREASE_REACH = 3
LEAST_CELLS = 12


@dataclass(frozen=True, eq=False)
class Patches:
    """The patches of one view.

    Attributes:
        labels: (h, w) patch of every cell; ``BACKGROUND``, ``NOTHING``, or 0..count - 1.
        count: how many.
        cells: (count,) how many cells each covers.
        rgb: (count, 3) mean colour.
        creased: (count, count) patches with an inner crease between them.
    """

    labels: Labels
    count: int
    cells: NDArray[np.int64]
    rgb: Float32
    creased: Mask


def cut_patches(grid: ViewGrid) -> Patches:
    """Cut a view into patches."""
    backdrop = find_backdrop(grid)
    creases = inner_creases(grid) & ~backdrop
    free = grid.valid & ~grid.edge & ~backdrop & ~creases
    regions, pairs = _regions(grid, free, creases)
    merged = _merge(grid, regions, pairs)
    labels = np.where(backdrop, BACKGROUND, NOTHING).astype(np.int32)
    labels[merged >= 0] = merged[merged >= 0]
    return _compact(grid, _without_walls(grid, labels), creases)


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


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Cells next to each other over which a surface may go on: flat indices."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]


def _regions(grid: ViewGrid, free: Mask, creases: Mask) -> tuple[NDArray[np.int64], _Pairs]:
    """(cells,) region of every cell, -1 none, and the pairs of cells regions may join over."""
    height, width = grid.z.shape
    index = np.arange(height * width).reshape(height, width)
    brightness = largest_channel(grid.rgb)
    open_cells = ~free & ~creases
    firsts, seconds, chains = [], [], []
    for reach in (1, 2, 3):
        for axis in (0, 1):
            a = tuple(slice(0, -reach) if i == axis else slice(None) for i in (0, 1))
            b = tuple(slice(reach, None) if i == axis else slice(None) for i in (0, 1))
            touching = free[a] & free[b] & _continues(grid, a, b, touching=reach == 1)
            near = grid.valid[a]
            for inner in range(1, reach):
                # Further than one cell only over holes and edges: creases do part.
                between = tuple(
                    slice(inner, inner - reach) if i == axis else slice(None) for i in (0, 1)
                )
                touching &= open_cells[between]
                near = near & ~grid.valid[between]
            step = largest_channel(np.abs(grid.rgb[a][touching] - grid.rgb[b][touching]))
            firsts.append(index[a][touching])
            seconds.append(index[b][touching])
            alike = step < STEP_RGB + STEP_SHARE * brightness[a][touching]
            chains.append(alike & near[touching] if reach < 3 else np.zeros_like(alike))
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    chain = np.concatenate(chains)
    ones = np.ones(int(chain.sum()), dtype=np.int8)
    size = height * width
    graph = coo_matrix((ones, (first[chain], second[chain])), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    labels = labels.astype(np.int64)
    labels[~free.ravel()] = -1
    return labels, _Pairs(first, second)


def _continues(
    grid: ViewGrid, a: tuple[slice, ...], b: tuple[slice, ...], *, touching: bool
) -> Mask:
    """Whether one surface may reach from cells ``a`` to cells ``b``: depth or a face goes on."""
    limit = jump_limit(grid.z[a])
    away = np.abs(grid.z[a] - grid.z[b])
    close = away < limit
    if touching:
        # A face seen at a low angle falls off quickly, but stays in its own plane.
        steep = ~close & (away < 5 * limit)
        rows, columns = np.nonzero(steep)
        across = grid.points[b][rows, columns] - grid.points[a][rows, columns]
        for side in (a, b):
            normal = grid.normal[side][rows, columns]
            off = np.abs(np.einsum("ij,ij->i", across, normal))
            flat = has_normal(normal) & (off < 0.4 * limit[rows, columns])
            close[rows[flat], columns[flat]] = True
    return np.asarray(close)


def _merge(grid: ViewGrid, regions: NDArray[np.int64], pairs: _Pairs) -> Labels:
    """Regions joined where only brightness differs; scraps go to the neighbour they fit best."""
    names, compact = np.unique(regions, return_inverse=True)
    compact = compact.reshape(-1)
    count = len(names)
    if names[0] == -1:
        compact, count = compact - 1, count - 1
    if count == 0:
        return np.full(grid.z.shape, -1, np.int32)
    inside = compact >= 0
    cells = np.bincount(compact[inside], minlength=count)
    rgb = _mean_rgb(grid, compact, inside, cells)
    a, b = compact[pairs.first], compact[pairs.second]
    border = a != b
    low, high = np.minimum(a, b)[border], np.maximum(a, b)[border]
    keys, shared = np.unique(low * count + high, return_counts=True)
    low, high = keys // count, keys % count
    angle, ratio = compare_colours(rgb[low], rgb[high])
    same = (angle < SAME_COLOUR + 1.5 / np.linalg.norm(rgb[low], axis=1).clip(8)) & (
        ratio > LEAST_RATIO
    )
    big = (cells[low] >= WORTH) & (cells[high] >= WORTH)
    joined = same & big & (shared >= 3)
    graph = coo_matrix(
        (np.ones(int(joined.sum()), np.int8), (low[joined], high[joined])), shape=(count, count)
    )
    _, group = connected_components(graph, directed=False)
    group = _adopt(group.astype(np.int64), cells, low, high, shared, angle)
    out = np.full(compact.size, -1, np.int32)
    out[inside] = group[compact[inside]]
    return out.reshape(grid.z.shape)


def _mean_rgb(
    grid: ViewGrid, names: NDArray[np.int64], inside: Mask, cells: NDArray[np.int64]
) -> Float32:
    flat = grid.rgb.reshape(-1, 3)[inside]
    sums = [np.bincount(names[inside], flat[:, i], minlength=len(cells)) for i in range(3)]
    return (np.stack(sums, axis=1) / np.maximum(cells, 1)[:, None]).astype(np.float32)


def compare_colours(a: Float32, b: Float32) -> tuple[Float32, Float32]:
    """Angle between colours (n, 3) seen from black, rad, and ratio of the darker to the other."""
    length_a, length_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    cosine = np.einsum("ij,ij->i", a, b) / np.maximum(length_a * length_b, 1e-6)
    ratio = np.minimum(length_a, length_b) / np.maximum(np.maximum(length_a, length_b), 1e-6)
    return np.arccos(np.clip(cosine, -1, 1)).astype(np.float32), ratio.astype(np.float32)


def _adopt(
    group: NDArray[np.int64],
    cells: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    shared: NDArray[np.int64],
    angle: Float32,
) -> NDArray[np.int64]:
    """Give scraps to the large neighbour with the most common border; they join nothing."""
    out = group.copy()
    worth = np.bincount(group, weights=cells)[group] >= WORTH
    scrap = np.concatenate([low, high])
    other = np.concatenate([high, low])
    weight = np.concatenate([shared, shared]) * (1.2 - np.concatenate([angle, angle]))
    usable = ~worth[scrap] & worth[other]
    scrap, other, weight = scrap[usable], other[usable], weight[usable]
    order = np.lexsort((other, weight))
    out[scrap[order]] = group[other[order]]
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
    rgb = _mean_rgb(grid, names, inside.ravel(), cells)
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
