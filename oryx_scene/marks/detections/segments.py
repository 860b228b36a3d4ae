"""Detections as pieces of the views: matched to frames, freed of duplicates, cut out by depth.

What cannot be trusted is counted by reason and left out. Joins nothing over views.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.config import MarksConfig
from oryx_scene.geometry.camera import unproject
from oryx_scene.geometry.transforms import transform_points
from oryx_scene.marks.depth.view_grid import usable
from oryx_scene.marks.detections.box_segments import own_patches
from oryx_scene.marks.detections.records import Detection
from oryx_scene.marks.label_placement import Cutout
from oryx_scene.records import FloatArray, Frame

Masked = tuple[Detection, NDArray[np.bool_]]

# Cells of a detection are every second pixel.
STEP = 2
LEAST_SCORE = 0.3
# A detection belongs to the frame of its camera that is nearest in time, up to this.
SLOP_NS = 50_000_000
# Two detections of one view that overlap this much are one; of two labels, this much.
SAME_IOU, OTHER_LABEL_IOU = 0.6, 0.85
# Fewer measured cells than this are no surface.
LEAST_CELLS = 10
MOST_POINTS = 300

UNSURE = "detection of low score"
TWICE = "detected twice in one view"
NO_FRAME = "detection of a frame that is not among the views"
NO_DEPTH = "detection without measured depth"
SMALL = "too small in every view"


@dataclass(frozen=True, eq=False)
class DetectionSegment:
    """One detection in one view.

    Attributes:
        view: index of the frame.
        detection: as it came.
        seen: its pixels; with depth only those of the thing, not of what is behind it.
        points: (n, 3) fixed frame, empty without depth.
        depth: (h, w) per cell of ``seen``, None without.
    """

    view: int
    detection: Detection
    seen: Cutout
    points: FloatArray
    depth: FloatArray | None


def find_pieces(
    frames: Sequence[Frame],
    detections: Sequence[Detection],
    with_depth: bool,
    config: MarksConfig,
    left_out: Counter[str],
) -> list[DetectionSegment]:
    """Detections of these frames that can be trusted, surest first within a view.

    Args:
        frames: the views, in the order that ``Piece.view`` counts.
        detections: of any frames.
        with_depth: cut by depth; views without it carry no pieces then.
        config: ``min_area_share``.
        left_out: reasons are added here.

    Raises:
        SourceError: a mask of another size than its picture.
    """
    by_view: dict[int, list[Detection]] = defaultdict(list)
    for detection in detections:
        view = _view_of(detection, frames)
        if view is None:
            left_out[NO_FRAME] += 1
        elif detection.score < LEAST_SCORE:
            left_out[UNSURE] += 1
        else:
            by_view[view].append(detection)
    pieces = []
    for view, items in sorted(by_view.items()):
        frame = frames[view]
        if with_depth and not usable(frame):
            left_out[NO_DEPTH] += len(items)
            continue
        kept, twice = _distinct(items, frame)
        left_out[TWICE] += twice
        if with_depth and kept:
            kept = _freed(kept, frame, config)
        for detection, mask in kept:
            if mask.sum() * STEP**2 < config.min_area_share * frame.height * frame.width:
                left_out[SMALL] += 1
                continue
            piece = _as_piece(view, frame, detection, mask, with_depth)
            if piece is None:
                left_out[NO_DEPTH] += 1
            else:
                pieces.append(piece)
    return pieces


def _view_of(detection: Detection, frames: Sequence[Frame]) -> int | None:
    near = [
        (abs(frame.stamp_ns - detection.stamp_ns), index)
        for index, frame in enumerate(frames)
        if frame.camera == detection.camera
    ]
    return min(near)[1] if near and min(near)[0] <= SLOP_NS else None


def _distinct(items: list[Detection], frame: Frame) -> tuple[list[Masked], int]:
    """Detections with their masks (every second pixel), duplicates of surer ones dropped."""
    kept: list[Masked] = []
    twice = 0
    for item in sorted(items, key=lambda d: (-d.score, d.label, d.box)):
        mask = item.mask(frame.height, frame.width)[::STEP, ::STEP]
        same = False
        for other, taken in kept:
            shared = float((mask & taken).sum()) / max(1, int((mask | taken).sum()))
            same |= shared > (SAME_IOU if item.label == other.label else OTHER_LABEL_IOU)
        if same:
            twice += 1
        else:
            kept.append((item, mask))
    return kept, twice


def _freed(kept: list[Masked], frame: Frame, config: MarksConfig) -> list[Masked]:
    """Boxes without what sticks out of them; outlines as they are."""
    if all(detection.outlined for detection, _ in kept):
        return kept
    freed = own_patches(frame, [mask for _, mask in kept], STEP, config.max_range_m)
    return [
        (detection, mask if detection.outlined else own)
        for (detection, mask), own in zip(kept, freed, strict=True)
    ]


def _as_piece(
    view: int, frame: Frame, detection: Detection, mask: NDArray[np.bool_], with_depth: bool
) -> DetectionSegment | None:
    if not with_depth:
        seen = _cutout(mask if detection.outlined else _rounded(mask))
        return DetectionSegment(view, detection, seen, np.zeros((0, 3)), None)
    assert frame.depth is not None and frame.intrinsics is not None
    assert frame.T_fixed_camera is not None
    z = frame.depth[::STEP, ::STEP].astype(np.float64)
    thing = _in_front(mask, z, detection.outlined)
    if int(thing.sum()) < LEAST_CELLS:
        return None
    v, u = np.nonzero(thing)
    chosen = np.unique(np.linspace(0, len(u) - 1, min(MOST_POINTS, len(u))).astype(int))
    uv = np.column_stack([u, v])[chosen].astype(np.float64) * STEP
    local = unproject(frame.intrinsics, uv, z[v[chosen], u[chosen]])
    # Beyond the end of the lens model depth has no place.
    local = local[np.isfinite(local).all(axis=1)]
    if len(local) < LEAST_CELLS:
        return None
    points = transform_points(frame.T_fixed_camera, local)
    seen = _cutout(thing)
    row, column = seen.v0 // STEP, seen.u0 // STEP
    height, width = seen.mask.shape
    depth = z[row : row + height, column : column + width]
    return DetectionSegment(view, detection, seen, points, depth)


def _in_front(mask: NDArray[np.bool_], z: FloatArray, outlined: bool) -> NDArray[np.bool_]:
    """The thing's own pixels: near the depth that its middle has, joined to it."""
    known = mask & np.isfinite(z) & (z > 0.1)
    if not known.any():
        return known
    middle = known & _rounded(mask, 0.5)
    values = z[middle] if middle.any() else z[known]
    # What is behind shows beside and through a thing, hardly in front of it: the nearer half.
    depth = float(np.percentile(values, 40))
    reach = max(0.12, 0.12 * depth) if not outlined else max(0.4, 0.25 * depth)
    near = known & (np.abs(z - depth) < reach)
    count, labels = cv2.connectedComponents(near.astype(np.uint8), connectivity=8)
    if count < 2:
        return near
    sizes = np.bincount(labels[near], minlength=count)
    best: NDArray[np.bool_] = labels == int(sizes.argmax())
    return best


def _rounded(mask: NDArray[np.bool_], share: float = 1.0) -> NDArray[np.bool_]:
    """The ellipse in the mask's box, scaled by ``share``: corners of a box are rarely the thing."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return mask
    v, u = np.ogrid[: mask.shape[0], : mask.shape[1]]
    high, wide = (rows[-1] - rows[0] + 1) / 2, (columns[-1] - columns[0] + 1) / 2
    inside = ((v - rows.mean()) / (share * high)) ** 2 + (
        (u - columns.mean()) / (share * wide)
    ) ** 2 <= 1
    return np.asarray(mask & inside)


def _cutout(mask: NDArray[np.bool_]) -> Cutout:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Cutout(part, int(columns[0]) * STEP, int(rows[0]) * STEP, STEP)
