"""Measured relations between marks, stated only where they exceed their own uncertainty.

Left, right, in front and behind are stated from a viewpoint. Above, below and on are stated only
where +z of the fixed frame is up (REP-103), which upright cameras tell: the world of a SLAM run may
lie on its side. Definitions and error propagation: docs/relations.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oryx_scene.geometry.camera import normalised_rays
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.geometry.upright import z_is_up
from oryx_scene.marks.places import covariance_of, std_along
from oryx_scene.records import FloatArray, Frame, Mark, Predicate, Relation

# A difference must exceed this many standard deviations, and at least this many metres.
SIGMAS = 2.0
LEAST_M = 0.05
# The viewpoint's own pose is this uncertain about and along each axis (in all: 1 degree, 2 cm): it
# turns and shifts all that is seen from it.
VIEW_TURN_STD = float(np.radians(1.0) / np.sqrt(3.0))
VIEW_SHIFT_STD_M = float(0.02 / np.sqrt(3.0))
# An extent is read off two faces, each known to about a voxel.
FACE_STD_M = 0.02
# How far a foot may be from the top that it stands on.
ON_GAP_M = 0.06
ON_STD_M = 0.12


@dataclass(frozen=True, eq=False)
class ReferenceView:
    """For whom directions are stated.

    Attributes:
        name: of the view.
        T_fixed_camera: (4, 4) its optical frame in the fixed frame.
    """

    name: str
    T_fixed_camera: FloatArray

    @property
    def reference(self) -> str:
        """As relations name it."""
        return f"view:{self.name}"

    def point(self, mark: Mark) -> FloatArray:
        """(3,) place of a mark in the optical frame: x right, y down, z forward."""
        points = np.array([mark.position], dtype=np.float64)
        return np.asarray(transform_points(invert(self.T_fixed_camera), points)[0])

    def turned(self, covariance: FloatArray) -> FloatArray:
        """A covariance (3, 3) of the fixed frame in the optical frame's axes."""
        rotation = self.T_fixed_camera[:3, :3]
        return np.asarray(rotation.T @ covariance @ rotation)


def newest_viewpoint(frames: Sequence[Frame]) -> ReferenceView | None:
    """The newest view with a pose, None without."""
    posed = [frame for frame in frames if frame.T_fixed_camera is not None]
    newest = max(posed, key=lambda frame: (frame.stamp_ns, frame.camera), default=None)
    if newest is None or newest.T_fixed_camera is None:
        return None
    return ReferenceView(newest.camera, newest.T_fixed_camera)


def measure_relations(
    marks: Sequence[Mark], frames: Sequence[Frame], viewpoint: ReferenceView | None = None
) -> tuple[Relation, ...]:
    """All relations that can be measured.

    Args:
        marks: with places in the fixed frame.
        frames: the views.
        viewpoint: of directions and ranges; None takes the newest view with a pose.
    """
    placed = [mark for mark in marks if mark.position is not None]
    seen_from = viewpoint or newest_viewpoint(frames)
    relations: list[Relation] = []
    for mark in placed:
        relations += _size(mark)
    if seen_from is not None:
        relations += relations_from(placed, seen_from)
        for mark in marks:
            if mark.position is None:
                relations += _seen_bearing(mark, frames, seen_from)
    for a, b in itertools.combinations(placed, 2):
        relations += _distance(a, b)
        if z_is_up(frames):
            relations += _vertical(a, b)
    relations += _nearest(placed)
    return tuple(relations)


def relations_from(marks: Sequence[Mark], viewpoint: ReferenceView) -> tuple[Relation, ...]:
    """Range, bearing, left, right, in front and behind as seen from one viewpoint."""
    placed = [mark for mark in marks if mark.position is not None]
    relations: list[Relation] = []
    for mark in placed:
        relations += _towards(mark, viewpoint)
    for a, b in itertools.combinations(placed, 2):
        relations += _sides(a, b, viewpoint)
    return tuple(relations)


def _size(mark: Mark) -> list[Relation]:
    if mark.size is None:
        return []
    axis = np.eye(3)[int(np.argmax(mark.size))]
    std = float(np.sqrt(2.0) * np.hypot(FACE_STD_M, 0.5 * std_along(covariance_of(mark), axis)))
    return [Relation(mark.number, Predicate.SIZE, None, mark.frame_id, max(mark.size), "m", std)]


def _towards(mark: Mark, viewpoint: ReferenceView) -> list[Relation]:
    """How far from the camera, and in which sector: positive to the left (REP-103)."""
    x, _, z = point = viewpoint.point(mark)
    away = float(np.linalg.norm(point))
    spread = viewpoint.turned(covariance_of(mark))
    std = float(np.hypot(std_along(spread, point), VIEW_SHIFT_STD_M))
    level = max(float(np.hypot(x, z)), 0.1)
    # A bearing changes with what lies level and across the way to the mark.
    sideways = float(np.hypot(std_along(spread, np.array([z, 0.0, -x])), VIEW_SHIFT_STD_M))
    bearing_std = float(np.hypot(sideways / level, VIEW_TURN_STD))
    bearing = float(np.arctan2(-x, z))
    number, reference = mark.number, viewpoint.reference
    return [
        Relation(number, Predicate.RANGE, None, reference, away, "m", std),
        Relation(number, Predicate.BEARING, None, reference, bearing, "rad", bearing_std),
    ]


def _seen_bearing(mark: Mark, frames: Sequence[Frame], viewpoint: ReferenceView) -> list[Relation]:
    """In which sector a mark without a place is, where the viewpoint's own picture shows it."""
    for seen in mark.observations:
        frame = frames[seen.view]
        pose, intrinsics = frame.T_fixed_camera, frame.intrinsics
        if intrinsics is None or pose is not viewpoint.T_fixed_camera:
            continue
        # The middle of the thing is somewhere between the edges of its picture.
        edges = np.array([[seen.bbox[0], seen.v], [seen.bbox[2], seen.v]])
        left, right = np.arctan(normalised_rays(intrinsics, edges)[:, 0])
        bearing, reference = -float(left + right) / 2.0, viewpoint.reference
        std = float(np.hypot((right - left) / np.sqrt(12.0), VIEW_TURN_STD))
        if np.isfinite([bearing, std]).all():
            return [Relation(mark.number, Predicate.BEARING, None, reference, bearing, "rad", std)]
    return []


def _sides(a: Mark, b: Mark, viewpoint: ReferenceView) -> list[Relation]:
    pa, pb = viewpoint.point(a), viewpoint.point(b)
    difference = pa - pb
    # A turn of the viewpoint moves a coordinate by what lies across it; a shift moves both alike.
    x, y, z = difference
    both, reference = viewpoint.turned(covariance_of(a) + covariance_of(b)), viewpoint.reference
    std_x = float(np.sqrt(both[0, 0] + VIEW_TURN_STD**2 * (y * y + z * z)))
    std_z = float(np.sqrt(both[2, 2] + VIEW_TURN_STD**2 * (x * x + y * y)))
    found = _pair(a, b, z, std_z, reference, Predicate.IN_FRONT_OF, Predicate.BEHIND)
    # What is further right in metres but further left in the picture is called neither.
    in_picture = float(np.arctan2(pa[0], pa[2]) - np.arctan2(pb[0], pb[2]))
    if in_picture * x > 0:
        found += _pair(a, b, x, std_x, reference, Predicate.LEFT_OF, Predicate.RIGHT_OF)
    return found


def _distance(a: Mark, b: Mark) -> list[Relation]:
    distance, std = _apart(a, b)
    return [Relation(a.number, Predicate.DISTANCE, b.number, a.frame_id, distance, "m", std)]


def _apart(a: Mark, b: Mark) -> tuple[float, float]:
    """Distance of two placed marks and its standard deviation, that along the way between them."""
    way = np.subtract(a.position, b.position)  # type: ignore[arg-type]
    return float(np.linalg.norm(way)), std_along(covariance_of(a) + covariance_of(b), way)


def _std_up(a: Mark, b: Mark) -> float:
    """Standard deviation of the difference of two heights, metres."""
    return std_along(covariance_of(a) + covariance_of(b), np.array([0.0, 0.0, 1.0]))


def _vertical(a: Mark, b: Mark) -> list[Relation]:
    assert a.position is not None and b.position is not None
    std = _std_up(a, b)
    height = a.position[2] - b.position[2]
    found = _pair(a, b, height, std, a.frame_id, Predicate.BELOW, Predicate.ABOVE)
    return found + _on(a, b) + _on(b, a)


def _pair(
    a: Mark,
    b: Mark,
    difference: float,
    std: float,
    reference: str,
    negative: Predicate,
    positive: Predicate,
) -> list[Relation]:
    """The relation of a to b along one axis and its converse, nothing where it is too close."""
    if not _significant(abs(difference), std):
        return []
    one, other = (positive, negative) if difference > 0 else (negative, positive)
    value = abs(float(difference))
    return [
        Relation(a.number, one, b.number, reference, value, "m", std),
        Relation(b.number, other, a.number, reference, value, "m", std),
    ]


def _on(a: Mark, b: Mark) -> list[Relation]:
    """a stands on b: its foot is at b's top, and it lies over b; value is the gap."""
    assert a.position is not None and b.position is not None
    if a.size is None or b.size is None:
        return []
    gap = (a.position[2] - a.size[2] / 2) - (b.position[2] + b.size[2] / 2)
    over = all(abs(a.position[i] - b.position[i]) < b.size[i] / 2 for i in (0, 1))
    std = _std_up(a, b)
    # Heights that are known worse than that tell no foot from a thing that hovers or lies inside.
    known = not std > ON_STD_M
    if over and known and abs(gap) < ON_GAP_M and a.position[2] > b.position[2]:
        return [Relation(a.number, Predicate.ON, b.number, a.frame_id, abs(gap), "m", std)]
    return []


def _nearest(placed: Sequence[Mark]) -> list[Relation]:
    """The nearest other mark of each mark, where the runner-up is clearly further."""
    found = []
    for mark in placed:
        here = np.array(mark.position)
        others = sorted(
            (
                (float(np.linalg.norm(np.array(other.position) - here)), other)
                for other in placed
                if other is not mark
            ),
            key=lambda item: (item[0], item[1].number),
        )
        if not others or (len(others) > 1 and not _clearly(mark, others[0], others[1])):
            continue
        first, other = others[0]
        _, std = _apart(mark, other)
        found.append(
            Relation(mark.number, Predicate.NEAREST, other.number, mark.frame_id, first, "m", std)
        )
    return found


def _clearly(mark: Mark, first: tuple[float, Mark], second: tuple[float, Mark]) -> bool:
    """Whether the second neighbour is further than the first beyond the difference's own error.

    The mark's own error moves both distances; only its part across counts twice.
    """
    here = np.array(mark.position)
    units = [
        (np.array(other.position) - here) / max(distance, 1e-9)
        for distance, other in (first, second)
    ]
    own, near, far = (covariance_of(item) for item in (mark, first[1], second[1]))
    turn = units[1] - units[0]
    variance = turn @ own @ turn + units[0] @ near @ units[0] + units[1] @ far @ units[1]
    std = float(np.sqrt(variance))
    return _significant(second[0] - first[0], std)


def _significant(value: float, std: float) -> bool:
    """Beyond the least difference and its own error; of unknown error it never is."""
    return value >= LEAST_M and value >= SIGMAS * std
