"""What a thing looks like, measured from points of its surface: names of colours, and its shape.

Colours are compared as paint (`marks.colour_invariance`), which light and shade change little.
Shapes are least-squares fits of a ball, an upright cylinder, an upright box and a plane to the
points; the map's z axis points up (REP 103). Both give a probability to every name: a question
weighs them, nothing decides here. Knows no detector and no model.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import ImageColor

from oryx_scene.marks.colour_invariance import paint_of
from oryx_scene.records import FloatArray

# The eleven basic colour terms of English (Berlin & Kay 1969), each by a few of its tones, sRGB, as
# a camera sees them in the light and shade of a room.
_TONES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((20, 20, 20), (45, 45, 45)),
    "blue": ((50, 80, 200), (30, 60, 130), (70, 130, 220)),
    "brown": ((120, 72, 40), (150, 100, 60), (90, 60, 40)),
    "gray": ((115, 115, 115), (85, 85, 85)),
    "green": ((50, 160, 60), (30, 100, 40), (120, 190, 90)),
    "orange": ((235, 140, 40), (220, 110, 30)),
    "pink": ((240, 150, 180), (230, 110, 160)),
    "purple": ((140, 60, 170), (100, 60, 150)),
    "red": ((200, 40, 40), (150, 25, 30)),
    "white": ((235, 235, 235), (195, 195, 195), (160, 160, 160), (130, 130, 130)),
    "yellow": ((230, 215, 50), (240, 220, 110)),
}
COLOURS = tuple(_TONES)
_NAMES = [name for name, tones in _TONES.items() for _ in tones]
_PAINTS = paint_of(np.array([tone for tones in _TONES.values() for tone in tones], np.uint8))
# Standard deviation of a measured thing's paint about its tone.
PAINT_STD = 5.5

# "flat" is what never shows more than one face: a panel, or a piece of a wall.
SHAPES = ("ball", "box", "cylinder", "flat")
# Standard deviation of points about the surface of the shape they lie on: metres, share of size.
FIT_STD_M, FIT_STD_SHARE = 0.008, 0.02
# A plane explains one face as well as a box does, with less: so much squared misfit less.
PLAINER = 0.5
# A surface that fits none of the shapes better than this is something else.
OTHER_STDS = 2.5
MOST_MISFIT = 6.0
# Views of one thing err alike: their evidence counts with the root of their number.
SHARPNESS, MOST_VIEWS = 2.0, 16
LEAST_POINTS = 24
_YAWS = np.radians(np.arange(0.0, 90.0, 5.0))
_TURNS = np.stack(
    [np.stack([np.cos(_YAWS), np.sin(_YAWS)], -1), np.stack([-np.sin(_YAWS), np.cos(_YAWS)], -1)], 2
)


def colour_names(paint: FloatArray) -> dict[str, float]:
    """Name -> probability of a paint (3,), the names of :data:`COLOURS` summing to 1."""
    weights = _weights(np.linalg.norm(_PAINTS - paint, axis=1))
    best = dict.fromkeys(COLOURS, 0.0)
    for name, weight in zip(_NAMES, weights, strict=True):
        best[name] = max(best[name], float(weight))
    total = sum(best.values())
    return {name: value / total for name, value in best.items()}


def colour_tones(word: str) -> FloatArray | None:
    """(n, 3) paints that a word calls, None where it is no colour's name.

    Beside the basic terms, names of the CSS colours count ("teal", "beige").
    """
    tones = _TONES.get("gray" if word == "grey" else word)
    if tones is None:
        try:
            tones = (ImageColor.getrgb(word)[:3],) if word.isalpha() else None
        except ValueError:
            return None
    return None if tones is None else paint_of(np.array(tones, np.uint8))


def colour_called(tones: FloatArray, paints: FloatArray) -> FloatArray:
    """(n,) how well a word's tones (k, 3) name paints (n, 3), 0..1.

    1 where no basic term is nearer.
    """
    own = np.linalg.norm(paints[:, None] - tones[None], axis=2).min(axis=1)
    others = np.linalg.norm(paints[:, None] - _PAINTS[None], axis=2).min(axis=1)
    nearest = np.minimum(own, others)
    return np.asarray(np.exp(-0.5 * (own**2 - nearest**2) / PAINT_STD**2))


def _weights(apart: FloatArray) -> FloatArray:
    """Of paint distances; only their differences count, so that a far paint still has a name."""
    square = (apart / PAINT_STD) ** 2
    return np.asarray(np.exp(-0.5 * (square - square.min())))


def shape_misfits(points: FloatArray) -> FloatArray | None:
    """(4,) squared misfits of one view's surface points (n, 3) to :data:`SHAPES`, 1 is usual.

    None where too few points say nothing. Of one view, since poses of several smear their edges.
    """
    if len(points) < LEAST_POINTS:
        return None
    size = float(np.ptp(np.percentile(points, (3, 97), axis=0), axis=0).max())
    std = FIT_STD_M + FIT_STD_SHARE * size
    misfits = np.array([_ball(points), _box(points), _cylinder(points), _plane(points)]) / std
    return np.minimum(misfits, MOST_MISFIT) ** 2


def shape_chances(misfits: FloatArray, views: FloatArray) -> FloatArray:
    """(n, 5) probabilities of :data:`SHAPES` and "something else".

    Args:
        misfits: (n, 4) mean squared misfits.
        views: (n,) of how many views each.
    """
    power = SHARPNESS * np.sqrt(np.minimum(views, MOST_VIEWS))
    against = np.column_stack([misfits, np.full(len(misfits), OTHER_STDS**2)])
    against[:, SHAPES.index("flat")] -= PLAINER
    against -= against.min(axis=1, keepdims=True)
    weights = np.exp(-0.5 * power[:, None] * against)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def shape_names(misfits: FloatArray, views: float) -> dict[str, float]:
    """Name -> probability of one thing's shape; the names and "other" sum to 1."""
    chances = shape_chances(misfits[None], np.array([views]))[0]
    return dict(zip((*SHAPES, "other"), chances.tolist(), strict=True))


def _robust(off: FloatArray) -> float:
    """Root mean square of the nearer nine tenths of distances: some points are of neighbours."""
    near = np.sort(np.abs(off))[: max(1, math.ceil(0.9 * len(off)))]
    return float(np.sqrt((near**2).mean()))


def _ball(points: FloatArray) -> float:
    """Misfit to the best ball (linear least squares in its middle and power)."""
    middle = points.mean(axis=0)
    local = points - middle
    system = np.column_stack([2.0 * local, np.ones(len(local))])
    solved = np.linalg.lstsq(system, (local**2).sum(axis=1), rcond=None)[0]
    radius = math.sqrt(max(0.0, float(solved[3] + solved[:3] @ solved[:3])))
    if radius > np.ptp(points, axis=0).max():
        return math.inf
    return _robust(np.linalg.norm(local - solved[:3], axis=1) - radius)


def _plane(points: FloatArray) -> float:
    """Misfit to the best plane."""
    local = points - points.mean(axis=0)
    return _robust(local @ np.linalg.svd(local, full_matrices=False)[2][2])


def _cylinder(points: FloatArray) -> float:
    """Misfit to the best upright cylinder, its top counted in; of a top alone nothing is known."""
    top = float(np.percentile(points[:, 2], 98))
    depth = top - points[:, 2]
    side = points[depth > max(0.02, 0.15 * float(depth.max()))]
    if len(side) < LEAST_POINTS // 2:
        return _robust(depth)
    middle = side[:, :2].mean(axis=0)
    local = side[:, :2] - middle
    system = np.column_stack([2.0 * local, np.ones(len(local))])
    solved = np.linalg.lstsq(system, (local**2).sum(axis=1), rcond=None)[0]
    radius = math.sqrt(max(0.0, float(solved[2] + solved[:2] @ solved[:2])))
    if radius > np.ptp(points[:, :2], axis=0).max():
        return math.inf
    away = np.linalg.norm(points[:, :2] - middle - solved[:2], axis=1) - radius
    return _robust(np.minimum(np.abs(away), np.abs(depth) + np.maximum(0.0, away)))


def _box(points: FloatArray) -> float:
    """Misfit to the best upright box."""
    top = np.abs(points[:, 2] - np.percentile(points[:, 2], 98))
    turned = points[:, :2] @ _TURNS  # (yaws, n, 2)
    low, high = np.percentile(turned, (3, 97), axis=1)
    off = np.minimum(np.abs(turned - low[:, None]), np.abs(turned - high[:, None])).min(axis=2)
    return min(_robust(np.minimum(faces, top)) for faces in off)
