"""The seen surface of a mark, and what other views see at the same place.

A point of the surface is "there" where another view measures that depth, "gone" where that view
looks through it or sees another colour, and without verdict where something stands in front of it
or nobody looks. The tolerance is that of real SLAM poses, by vote over many points.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.geometry.camera import project, unproject
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.marks.colour_invariance import paint_of
from oryx_scene.marks.depth.view_grid import usable
from oryx_scene.records import FloatArray, Frame, Mark, MarkObservation, ViewSet

# Two depths agree within max(this many metres, this share of z).
TOLERANCE_M = 0.05
TOLERANCE_SHARE = 0.04
# Surface points per view: enough for a vote, few enough for a node.
MOST_POINTS = 400
LEAST_POINTS = 12
# Faces of a thing lie on its box; of what it stands on only a rim of this height gets in.
RIM_M = 0.005
# Paint distance from which another colour is another object.
OTHER_COLOUR = 22.0


@dataclass(frozen=True, eq=False)
class Surface:
    """Points of one object.

    Attributes:
        points: (n, 3) fixed frame, metres.
        paint: (n, 3) colour as paint.
    """

    points: FloatArray
    paint: FloatArray

    @property
    def colour(self) -> FloatArray:
        """(3,) median paint."""
        return np.asarray(np.median(self.paint, axis=0), dtype=np.float64)

    def shifted(self, way: FloatArray) -> Surface:
        """The same surface moved by ``way`` (3,), fixed frame, metres."""
        return Surface(self.points + way, self.paint)


@dataclass(frozen=True)
class PlaceVerdict:
    """What other views say about a surface's place.

    Attributes:
        seen_share: points with a verdict over all points.
        changed_share: points that are gone over points with a verdict.
    """

    seen_share: float
    changed_share: float


def surface_of(mark: Mark, views: ViewSet) -> Surface | None:
    """Points that the mark's views see inside its box; None where there are too few."""
    if mark.position is None or mark.size is None:
        return None
    parts = [inside_box(mark, seen, views.frames[seen.view]) for seen in mark.observations]
    points = np.concatenate([part[0] for part in parts]) if parts else np.zeros((0, 3))
    paint = np.concatenate([part[1] for part in parts]) if parts else np.zeros((0, 3))
    return Surface(points, paint) if len(points) >= LEAST_POINTS else None


def inside_box(mark: Mark, seen: MarkObservation, frame: Frame) -> tuple[FloatArray, FloatArray]:
    """Points (n, 3) that one view sees inside a mark's box, fixed frame, and their paint (n, 3)."""
    if not usable(frame):
        return np.zeros((0, 3)), np.zeros((0, 3))
    assert frame.depth is not None and frame.intrinsics is not None
    assert frame.T_fixed_camera is not None
    u0, v0 = (max(0, int(value)) for value in seen.bbox[:2])
    u1, v1 = min(int(seen.bbox[2]), frame.width - 1), min(int(seen.bbox[3]), frame.height - 1)
    step = max(1, int(np.sqrt((u1 - u0 + 1) * (v1 - v0 + 1) / MOST_POINTS)))
    v, u = (axis.ravel() for axis in np.mgrid[v0 : v1 + 1 : step, u0 : u1 + 1 : step])
    z = frame.depth[v, u].astype(np.float64)
    known = np.isfinite(z) & (z > 0)
    u, v, z = u[known], v[known], z[known]
    uv = np.column_stack([u, v]).astype(np.float64)
    points = transform_points(frame.T_fixed_camera, unproject(frame.intrinsics, uv, z))
    half = np.array(mark.size) / 2 + RIM_M
    inside = (np.abs(points - np.array(mark.position)) <= half).all(axis=1)
    return points[inside], _paint_at(frame, u[inside], v[inside])


def _paint_at(frame: Frame, u: NDArray[np.int64], v: NDArray[np.int64]) -> FloatArray:
    """(n, 3) paint at pixels, slightly blurred so that patterns do not flicker."""
    if not len(u):
        return np.zeros((0, 3))
    top, left = max(0, int(v.min()) - 2), max(0, int(u.min()) - 2)
    part = frame.rgb[top : int(v.max()) + 3, left : int(u.max()) + 3]
    return paint_of(cv2.blur(part, (5, 5))[v - top, u - left])


def revisit(surface: Surface, views: ViewSet) -> PlaceVerdict:
    """What ``views`` see where ``surface`` was.

    A point that one view sees in its place is there, whatever other views say.
    """
    there = np.zeros(len(surface.points), dtype=bool)
    gone = np.zeros(len(surface.points), dtype=bool)
    for frame in views.frames:
        if usable(frame):
            now_there, now_gone = verdicts(surface, frame)
            there |= now_there
            gone |= now_gone
    gone &= ~there
    seen = int(there.sum() + gone.sum())
    return PlaceVerdict(seen / max(1, len(there)), float(gone.sum()) / max(1, seen))


def verdicts(surface: Surface, frame: Frame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which points of a surface (n,) one RGB-D view with a pose sees there, and which are gone."""
    assert frame.depth is not None and frame.intrinsics is not None
    assert frame.T_fixed_camera is not None
    local = transform_points(invert(frame.T_fixed_camera), surface.points)
    uv = np.rint(np.nan_to_num(project(frame.intrinsics, local), nan=-1.0))
    inside = (uv >= 0).all(axis=1) & (uv[:, 0] < frame.width) & (uv[:, 1] < frame.height)
    index = np.flatnonzero(inside)
    u, v = uv[index].astype(np.int64).T
    measured = frame.depth[v, u].astype(np.float64)
    expected = local[index, 2]
    tolerance = np.maximum(TOLERANCE_M, TOLERANCE_SHARE * expected)
    with np.errstate(invalid="ignore"):
        same = np.abs(measured - expected) <= tolerance
        through = measured > expected + tolerance
    apart = np.linalg.norm(_paint_at(frame, u, v) - surface.paint[index], axis=1)
    alike = apart < OTHER_COLOUR
    there = np.zeros(len(local), dtype=bool)
    gone = np.zeros(len(local), dtype=bool)
    there[index[same & alike]] = True
    gone[index[through | (same & ~alike)]] = True
    return there, gone
