"""Cells of one view joined to surfaces: first where colour hardly changes, then where shade does.

Joins only over pairs of cells where depth, or the plane of a face, goes on and no inner crease lies
between. Knows nothing of backdrops; what is free to be joined is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from oryx_scene.marks.depth.view_grid import (
    Float32,
    Labels,
    Mask,
    ViewGrid,
    has_normal,
    jump_limit,
    largest_channel,
)
from oryx_scene.marks.surface_colour import LEAST_RATIO, SAME_COLOUR, compare_colours, mean_rgb

# Largest step of RGB values between neighbouring cells of one region: of black, and per brightness.
STEP_RGB = 5.0
STEP_SHARE = 0.05
# Regions of at least this many cells have a colour worth comparing.
WORTH = 8


@dataclass(frozen=True, eq=False)
class CellPairs:
    """Cells next to each other over which a surface may go on: flat indices."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]


def grow_regions(grid: ViewGrid, free: Mask, creases: Mask) -> tuple[NDArray[np.int64], CellPairs]:
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
    return labels, CellPairs(first, second)


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


def merge_regions(grid: ViewGrid, regions: NDArray[np.int64], pairs: CellPairs) -> Labels:
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
    rgb = mean_rgb(grid, compact, inside, cells)
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
