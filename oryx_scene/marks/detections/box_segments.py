"""What of a detector's box is the thing itself: the patches of the view that lie inside it.

A box around one of several things that touch holds parts of its neighbours, at the same depth. The
view's own patches end where colours, creases and jumps of depth are: one that sticks out of the box
is a neighbour's. Knows nothing of other views.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oryx_scene.marks.depth.segments import NOTHING, cut_patches
from oryx_scene.marks.depth.view_grid import make_grid
from oryx_scene.records import Frame

# A patch is a box's if it lies inside the box by this share; of several the smallest box has it.
INSIDE_SHARE = 0.75
# Boxes that their patches fill less than this stay whole: the thing was not told apart.
LEAST_FILLED = 0.12

MaskArray = NDArray[np.bool_]


def own_patches(
    frame: Frame, masks: Sequence[MaskArray], step: int, max_range_m: float
) -> list[MaskArray]:
    """Each mask without the patches that are not its own, and without floor and walls.

    Args:
        frame: a view with depth, calibration and pose.
        masks: of all detections of the view, (h, w) at every ``step``-th pixel.
        step: received pixels from cell to cell.
        max_range_m: depth beyond this tells nothing apart.
    """
    grid = make_grid(frame, max_range_m)
    patches = cut_patches(grid)
    height, width = masks[0].shape
    row = np.rint((np.arange(height) * step - grid.half) / grid.step).astype(np.int64)
    column = np.rint((np.arange(width) * step - grid.half) / grid.step).astype(np.int64)
    labels = patches.labels[
        np.clip(row, 0, patches.labels.shape[0] - 1)[:, None],
        np.clip(column, 0, patches.labels.shape[1] - 1)[None, :],
    ]
    if not patches.count:
        return list(masks)
    owner = _owners(labels, masks, patches.count)
    owned_by = np.where(labels >= 0, owner[labels.clip(0)], -1)
    out = []
    for index, mask in enumerate(masks):
        own = mask & (owned_by == index)
        filled = float(own.sum()) / max(1, int(mask.sum()))
        # Cells without a patch, on edges and creases, go with what they touch.
        out.append(own | (mask & (labels == NOTHING)) if filled >= LEAST_FILLED else mask)
    return out


def _owners(labels: NDArray[np.int32], masks: Sequence[MaskArray], count: int) -> NDArray[np.int64]:
    """(count,) which mask each patch belongs to, -1 none."""
    cells = np.bincount(labels[labels >= 0], minlength=count)
    owner = np.full(count, -1, dtype=np.int64)
    for index in sorted(range(len(masks)), key=lambda i: -int(masks[i].sum())):
        inside = np.bincount(labels[masks[index] & (labels >= 0)], minlength=count)
        owner[inside >= INSIDE_SHARE * np.maximum(cells, 1)] = index
    return owner
