"""Pieces of one picture that look like one thing: flat zones, grown to edges, merged by paint.

Colour is compared as paint (`colour_invariance`): shade and brightness patterns do not split a
thing. Needs neither depth nor pose; knows nothing of other views.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from oryx_scene.marks.colour_invariance import paint_image
from oryx_scene.marks.label_placement import Cutout
from oryx_scene.records import FloatArray, RgbImage

IntArray = NDArray[np.int64]
# Pictures are looked at with about this many columns.
WORKING_WIDTH = 320
# Paint difference across a flat zone's pixels, and between zones that are one thing.
FLAT = 3.5
MERGE = 9.0
# Zones smaller than this many cells join their most alike neighbour.
LEAST_CELLS = 24
# A piece that fills more than this share of the picture is background.
LARGEST_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Region:
    """One piece of one picture.

    Attributes:
        seen: its pixels.
        paint: (3,) mean paint colour.
        cut: whether the picture's border may cut it.
        label: a detector's name, "" if none.
    """

    seen: Cutout
    paint: FloatArray
    cut: bool
    label: str = ""


@dataclass(frozen=True, eq=False)
class RegionMap:
    """Pieces of one picture.

    Attributes:
        labels: (h, w) index into ``regions`` at every ``step``-th pixel, -1 background.
        regions: that may be things, by descending area.
        step: received pixels from cell to cell.
    """

    labels: IntArray
    regions: tuple[Region, ...]
    step: int


def find_regions(rgb: RgbImage, min_area_share: float) -> RegionMap:
    """Pieces of a picture that may be things.

    Args:
        rgb: (H, W, 3) uint8.
        min_area_share: smallest piece, share of the picture.
    """
    step = max(1, round(rgb.shape[1] / WORKING_WIDTH))
    paint = paint_image(rgb, step)
    zones = _flat_zones(paint)
    labels = _merge(zones, paint)
    return _as_regions(labels, paint, step, min_area_share)


def _flat_zones(paint: FloatArray) -> IntArray:
    """(h, w) zones 0.. without strong edges inside, grown until they meet."""
    kernel = np.ones((3, 3), np.uint8)
    flat32 = paint.astype(np.float32)
    spread = np.sqrt(((cv2.dilate(flat32, kernel) - cv2.erode(flat32, kernel)) ** 2).sum(axis=2))
    count, markers = cv2.connectedComponents((spread < FLAT).astype(np.uint8), connectivity=4)
    if count < 2:
        return np.zeros(paint.shape[:2], dtype=np.int64)
    # Watershed floods along the gradient of an 8-bit picture: edges are its ridges.
    shown = np.clip(flat32 + 128.0, 0, 255).astype(np.uint8)
    grown = cv2.watershed(np.ascontiguousarray(shown), markers.astype(np.int32))
    # Ridges are -1; the nearest zone takes them.
    inside = grown > 0
    _, nearest = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_pixel = np.zeros(int(nearest.max()) + 1, dtype=np.int64)
    of_pixel[nearest[inside]] = grown[inside]
    zones = of_pixel[nearest]
    return np.unique(zones, return_inverse=True)[1].reshape(zones.shape).astype(np.int64)


def _merge(zones: IntArray, paint: FloatArray) -> IntArray:
    """Neighbouring zones of like paint joined, the most alike first; tiny ones always."""
    for _ in range(40):
        count = int(zones.max()) + 1
        area = np.bincount(zones.ravel(), minlength=count).astype(np.float64)
        mean = np.stack(
            [np.bincount(zones.ravel(), paint[..., k].ravel(), count) / area for k in range(3)], 1
        )
        a, b = _neighbours(zones)
        if not len(a):
            break
        apart = np.linalg.norm(mean[a] - mean[b], axis=1)
        tiny = np.minimum(area[a], area[b]) < LEAST_CELLS
        cost = np.where(tiny, apart * 0.25, apart)
        # Each zone's most alike neighbour; mutual pairs join, and so do tiny zones.
        best = np.full(count, np.inf)
        np.minimum.at(best, a, cost)
        np.minimum.at(best, b, cost)
        wanted = np.where(tiny, np.inf, MERGE)
        join = (cost <= best[a]) & (cost <= best[b]) & (apart < wanted)
        if not join.any():
            break
        zones = _joined(zones, a[join], b[join], count)
    return zones


def _neighbours(zones: IntArray) -> tuple[IntArray, IntArray]:
    """Pairs (a < b) of zones that share a border."""
    count = int(zones.max()) + 1
    pairs = np.concatenate(
        [
            np.stack([zones[:, :-1].ravel(), zones[:, 1:].ravel()], 1),
            np.stack([zones[:-1].ravel(), zones[1:].ravel()], 1),
        ]
    )
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    keys = np.unique(pairs[:, 0] * count + pairs[:, 1])
    return keys // count, keys % count


def _joined(zones: IntArray, a: IntArray, b: IntArray, count: int) -> IntArray:
    graph = coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
    _, group = connected_components(graph, directed=False)
    out: IntArray = group.astype(np.int64)[zones]
    return out


def _as_regions(labels: IntArray, paint: FloatArray, step: int, min_area_share: float) -> RegionMap:
    height, width = labels.shape
    areas = np.bincount(labels.ravel())
    least, most = min_area_share * labels.size, LARGEST_SHARE * labels.size
    fits = np.flatnonzero((areas >= least) & (areas <= most))
    fits = fits[np.argsort(-areas[fits], kind="stable")]
    boxes = find_objects(labels + 1)
    renamed = np.full(len(areas), -1, dtype=np.int64)
    regions: list[Region] = []
    for label in fits:
        rows, columns = boxes[label]
        mask = labels[rows, columns] == label
        cut = rows.start == 0 or columns.start == 0 or rows.stop == height or columns.stop == width
        renamed[label] = len(regions)
        regions.append(
            Region(
                Cutout(mask, columns.start * step, rows.start * step, step),
                paint[rows, columns][mask].mean(axis=0),
                bool(cut),
            )
        )
    return RegionMap(renamed[labels], tuple(regions), step)
