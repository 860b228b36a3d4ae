"""Candidate objects: what each piece of the grid looks like in every view, and whether to trust it.

Two objects must never get one number. A piece is left out when it is too small or large, cut by
every border, or when the views that see it do not agree where it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oryx_scene.frames import FloatArray
from oryx_scene.marks.config import MarksConfig
from oryx_scene.marks.voxels import PIXEL_STEP, IntArray, VoxelGrid

# Views of one object must share this part of the smaller footprint (counted in coarse cells).
MIN_AGREEMENT = 0.25


@dataclass(frozen=True, eq=False)
class Candidate:
    """One piece that may be an object.

    Attributes:
        label: in the grid's labelling.
        voxels: indices of its voxels.
        position: (3,) middle of its bounding box, fixed frame, metres.
        size: (3,) extent.
        views: view -> visible pixels (in the received picture).
    """

    label: int
    voxels: IntArray
    position: FloatArray
    size: FloatArray
    views: dict[int, int]


@dataclass
class Candidates:
    """What was found and what was left out, by reason."""

    kept: list[Candidate] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def label_image(grid: VoxelGrid, labels: IntArray, view: int) -> IntArray:
    """Label of every ``PIXEL_STEP``-th pixel of ``view``; -1 background or unknown."""
    cells = next(item.cell for item in grid.views if item.view == view)
    padded = np.append(labels, -1)
    found: IntArray = padded[cells]
    return found


def find_candidates(
    grid: VoxelGrid, labels: IntArray, sizes: dict[int, tuple[int, int]], config: MarksConfig
) -> Candidates:
    """Pieces that can be marked.

    Args:
        grid, labels: fused voxels and their pieces.
        sizes: (height, width) of each view's received picture.
        config: limits.
    """
    found = Candidates()
    count = int(labels.max(initial=-1)) + 1
    if not count:
        return found
    pixels = {
        item.view: np.bincount(
            np.append(labels, -1)[item.cell][np.append(labels, -1)[item.cell] >= 0],
            minlength=count,
        )
        for item in grid.views
    }
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(count + 1))
    for label in range(count):
        voxels = order[starts[label] : starts[label + 1]]
        candidate, reason = _examine(grid, label, voxels, pixels, sizes, config)
        if candidate is not None:
            found.kept.append(candidate)
        elif reason:
            found.left_out[reason] += 1
    return found


def _examine(
    grid: VoxelGrid,
    label: int,
    voxels: IntArray,
    pixels: dict[int, IntArray],
    sizes: dict[int, tuple[int, int]],
    config: MarksConfig,
) -> tuple[Candidate | None, str]:
    low = np.percentile(grid.centre[voxels], 2, axis=0)
    high = np.percentile(grid.centre[voxels], 98, axis=0)
    size = high - low + grid.voxel_m
    if size.max() < config.min_size_m:
        return None, ""
    if size.max() > config.max_size_m:
        return None, "too large to be one object"
    views = {}
    for view, counts in pixels.items():
        visible = int(counts[label]) * PIXEL_STEP**2
        if visible >= config.min_area_share * sizes[view][0] * sizes[view][1]:
            views[view] = visible
    if not views:
        return None, "too small in every view"
    agreeing = _agreeing_views(grid, voxels, views)
    if len(agreeing) < len(views):
        views = {view: views[view] for view in agreeing}
        if not views:
            return None, "views disagree where it is"
    return Candidate(label, voxels, (low + high) / 2, size, views), ""


def _agreeing_views(grid: VoxelGrid, voxels: IntArray, views: dict[int, int]) -> list[int]:
    """The largest set of views whose parts of the piece overlap; [] where two sets are as large.

    Parts that only touch may be two neighbours, or one object twice through a wrong pose: neither
    may carry one number.
    """
    names = sorted(views)
    if len(names) == 1:
        return names
    parts = {view: _coarse_cells(grid, voxels, view) for view in names}
    joined = {view: {view} for view in names}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            smaller = min(len(parts[a]), len(parts[b]))
            if smaller and len(np.intersect1d(parts[a], parts[b])) >= MIN_AGREEMENT * smaller:
                together = joined[a] | joined[b]
                for view in together:
                    joined[view] = together
    groups = sorted({tuple(sorted(group)) for group in joined.values()}, key=lambda g: (-len(g), g))
    if len(groups) > 1 and len(groups[0]) == len(groups[1]):
        areas = [max(views[view] for view in group) for group in groups[:2]]
        # With one view each nothing is wrongly joined: the clearer view keeps the mark.
        return list(groups[0] if areas[0] >= areas[1] else groups[1])
    return list(groups[0])


def _coarse_cells(grid: VoxelGrid, voxels: IntArray, view: int) -> NDArray[np.int64]:
    """Cells of three voxels' side that ``view`` saw of the piece: tolerant of pose error."""
    own = voxels[(grid.seen_by[voxels] >> np.int64(min(view, 62))) & 1 == 1]
    cells = np.floor(grid.centre[own] / (3 * grid.voxel_m)).astype(np.int64) + (1 << 19)
    return np.unique((cells[:, 0] << 40) | (cells[:, 1] << 20) | cells[:, 2])
