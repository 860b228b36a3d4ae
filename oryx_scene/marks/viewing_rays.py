"""One piece of one posed picture as rays: the cone it fills, and how two cones can be one thing.

Two views of one thing see it between the same two planes through both cameras (the epipolar
tangents), at places where their middle rays nearly meet in front of both, and of one size there.
Standard deviations are those of poses about a degree off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oryx_scene.geometry.camera import normalised_rays
from oryx_scene.marks.rgb.regions import Region
from oryx_scene.records import FloatArray, Frame

# Paint distance, angle between tangent planes (rad) and log of the size ratio, as one standard
# deviation of what two views of one thing differ by.
PAINT_STD = 4.0
ANGLE_STD = np.radians(1.0)
EDGE_PX = 2.0
SIZE_LOG_STD = 0.35
RANGE_M = (0.15, 15.0)
# Cameras nearer than this to each other see no parallax: rays are compared as they are.
LEAST_BASELINE_M = 0.02


@dataclass(frozen=True, eq=False)
class Sighting:
    """A region's rays in the fixed frame.

    Attributes:
        origin: (3,) of the camera.
        middle: (3,) unit ray through the region's centroid.
        rim: (m, 3) unit rays along its outline.
        half_angle: rad, of a cone as wide as the region's area.
        paint: (3,).
        cut: by the picture's border or the end of the lens model.
        pixel_angle: rad between neighbouring pixels.
    """

    origin: FloatArray
    middle: FloatArray
    rim: FloatArray
    half_angle: float
    paint: FloatArray
    cut: bool
    pixel_angle: float


def sighting_of(region: Region, frame: Frame) -> Sighting | None:
    """Rays of a region of a posed view; None where its middle lies beyond the lens model."""
    assert frame.intrinsics is not None and frame.T_fixed_camera is not None
    seen = region.seen
    rows, columns = np.nonzero(seen.mask)
    first, last = seen.mask.argmax(axis=1), seen.mask.shape[1] - 1
    inner = np.flatnonzero(seen.mask.any(axis=1))
    ends = last - seen.mask[:, ::-1].argmax(axis=1)
    rim = np.concatenate(
        [np.column_stack([first[inner], inner]), np.column_stack([ends[inner], inner])]
    )
    uv = np.vstack([[columns.mean(), rows.mean()], rim]) * seen.step + [seen.u0, seen.v0]
    rays = np.column_stack([normalised_rays(frame.intrinsics, uv), np.ones(len(uv))])
    rays = rays @ frame.T_fixed_camera[:3, :3].T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    known = np.isfinite(rays).all(axis=1)
    middle, outline = rays[0], rays[1:][known[1:]]
    if not known[0] or not len(outline):
        return None
    # Where the lens model ends, the outline goes on unseen, as at the picture's border.
    cut = region.cut or not bool(known.all())
    pixel = 1.0 / float(frame.intrinsics.K[0, 0])
    half = np.sqrt(seen.area_px / np.pi) * pixel
    origin = frame.T_fixed_camera[:3, 3]
    return Sighting(origin, middle, outline, float(half), region.paint, cut, pixel)


def meet(origins: FloatArray, rays: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Point (3,) nearest to lines, least squares, and the distance (n,) along each to it."""
    across = np.eye(3)[None] - rays[:, :, None] * rays[:, None, :]
    point = np.linalg.lstsq(
        across.sum(axis=0), np.einsum("nij,nj->i", across, origins), rcond=None
    )[0]
    return point, np.einsum("ij,ij->i", point - origins, rays)


def mismatch(a: Sighting | None, b: Sighting | None) -> float:
    """How unlike two sightings are, in squared standard deviations; infinite where impossible."""
    if a is None or b is None:
        return np.inf
    paint = float(np.linalg.norm(a.paint - b.paint)) / PAINT_STD
    if paint > 4.0:
        return np.inf
    baseline = b.origin - a.origin
    if float(np.linalg.norm(baseline)) < LEAST_BASELINE_M:
        apart = float(np.arccos(np.clip(a.middle @ b.middle, -1, 1))) / _angle_std(a, b)
        size = np.log(a.half_angle / b.half_angle) / SIZE_LOG_STD
        return paint**2 + apart**2 + float(size) ** 2
    _, along = meet(np.stack([a.origin, b.origin]), np.stack([a.middle, b.middle]))
    if along.min() < RANGE_M[0] or along.max() > RANGE_M[1]:
        return np.inf
    size = float(np.log(a.half_angle * along[0] / (b.half_angle * along[1]))) / SIZE_LOG_STD
    if a.cut or b.cut:
        size *= 0.5
    return paint**2 + size**2 + _tangents(a, b, baseline)


def _angle_std(a: Sighting, b: Sighting) -> float:
    return float(np.hypot(ANGLE_STD, EDGE_PX * max(a.pixel_angle, b.pixel_angle)))


def _tangents(a: Sighting, b: Sighting, baseline: FloatArray) -> float:
    """Squared deviations of the planes through both cameras that touch either outline."""
    axis = baseline / np.linalg.norm(baseline)
    up = a.middle - (a.middle @ axis) * axis
    if np.linalg.norm(up) < np.sin(np.radians(8.0)):
        # Looking along the baseline: the planes say nothing.
        return np.inf
    up /= np.linalg.norm(up)
    side = np.cross(axis, up)
    spans = []
    for item in (a, b):
        across = np.hypot(item.rim @ up, item.rim @ side)
        if across.min() < np.sin(np.radians(8.0)):
            return np.inf
        angles = np.arctan2(item.rim @ side, item.rim @ up)
        # Angles about the axis are larger than in the picture for rays near it.
        spans.append((angles.min(), angles.max(), 1.0 / across.min()))
    (low_a, high_a, wide_a), (low_b, high_b, wide_b) = spans
    std = _angle_std(a, b) * max(wide_a, wide_b)
    parts = [(low_a - low_b) / std, (high_a - high_b) / std]
    if a.cut or b.cut:
        # The border hides an end: at least the spans must meet, and one end must fit.
        if min(high_a, high_b) < max(low_a, low_b):
            return np.inf
        return float(min(parts[0] ** 2, parts[1] ** 2)) + 2.0
    return float(parts[0] ** 2 + parts[1] ** 2)
