"""Measured relations between marks, stated only where they exceed their own uncertainty.

Left, right, in front and behind are stated from a viewpoint. Above, below and on are stated only
where +z of the fixed frame is up (REP-103), which upright cameras tell: the world of a SLAM run may
lie on its side.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from oryx_scene.frames import FloatArray, Frame, Mark, Predicate, Relation
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.geometry.upright import z_is_up

# A difference must exceed this many standard deviations, and at least this many metres.
SIGMAS = 2.0
LEAST_M = 0.05


def measure_relations(marks: Sequence[Mark], frames: Sequence[Frame]) -> tuple[Relation, ...]:
    """All relations that can be measured.

    Args:
        marks: with places in the fixed frame.
        frames: views; the newest one with a pose is the viewpoint of directions.
    """
    placed = [mark for mark in marks if mark.position is not None]
    viewpoint = _viewpoint(frames)
    upright = z_is_up(frames)
    relations: list[Relation] = []
    for mark in placed:
        relations += _own(mark, viewpoint)
    for a, b in itertools.combinations(placed, 2):
        relations += _between(a, b, viewpoint)
        if upright:
            relations += _vertical(a, b)
    relations += _nearest(placed)
    return tuple(relations)


def _viewpoint(frames: Sequence[Frame]) -> Frame | None:
    posed = [frame for frame in frames if frame.T_fixed_camera is not None]
    return max(posed, key=lambda frame: (frame.stamp_ns, frame.camera), default=None)


def _seen_from(mark: Mark, frame: Frame) -> FloatArray:
    assert frame.T_fixed_camera is not None
    point: FloatArray = transform_points(invert(frame.T_fixed_camera), np.array([mark.position]))[0]
    return point


def _own(mark: Mark, viewpoint: Frame | None) -> list[Relation]:
    found = []
    if mark.size is not None:
        largest = max(mark.size)
        found.append(Relation(mark.number, Predicate.SIZE, None, mark.frame_id, largest, "m", 0.03))
    if viewpoint is not None:
        x, _, z = point = _seen_from(mark, viewpoint)
        reference = f"view:{viewpoint.camera}"
        std = mark.position_std
        away = float(np.linalg.norm(point))
        found.append(Relation(mark.number, Predicate.RANGE, None, reference, away, "m", std))
        # Positive to the left, as rotation about +z (REP-103).
        bearing = float(np.arctan2(-x, z))
        spread = float(std / max(away, 0.1))
        found.append(
            Relation(mark.number, Predicate.BEARING, None, reference, bearing, "rad", spread)
        )
    return found


def _between(a: Mark, b: Mark, viewpoint: Frame | None) -> list[Relation]:
    pa, pb = np.array(a.position), np.array(b.position)
    std = float(np.hypot(a.position_std, b.position_std))
    least = max(LEAST_M, SIGMAS * std)
    distance = float(np.linalg.norm(pa - pb))
    found = [Relation(a.number, Predicate.DISTANCE, b.number, a.frame_id, distance, "m", std)]
    if viewpoint is not None:
        difference = _seen_from(a, viewpoint) - _seen_from(b, viewpoint)
        reference = f"view:{viewpoint.camera}"
        found += _pair(a, b, difference[0], least, reference, Predicate.LEFT_OF, Predicate.RIGHT_OF)
        found += _pair(
            a, b, difference[2], least, reference, Predicate.IN_FRONT_OF, Predicate.BEHIND
        )
    return found


def _vertical(a: Mark, b: Mark) -> list[Relation]:
    assert a.position is not None and b.position is not None
    std = float(np.hypot(a.position_std, b.position_std))
    height = a.position[2] - b.position[2]
    least = max(LEAST_M, SIGMAS * std)
    found = _pair(a, b, height, least, a.frame_id, Predicate.BELOW, Predicate.ABOVE)
    return found + _on(a, b) + _on(b, a)


def _pair(
    a: Mark,
    b: Mark,
    difference: float,
    least: float,
    reference: str,
    negative: Predicate,
    positive: Predicate,
) -> list[Relation]:
    """The relation of a to b along one axis and its converse, nothing where it is too close."""
    if abs(difference) < least:
        return []
    one, other = (positive, negative) if difference > 0 else (negative, positive)
    value, std = abs(float(difference)), least / SIGMAS
    return [
        Relation(a.number, one, b.number, reference, value, "m", std),
        Relation(b.number, other, a.number, reference, value, "m", std),
    ]


def _on(a: Mark, b: Mark) -> list[Relation]:
    """a stands on b: its foot is at b's top, and it lies over b."""
    assert a.position is not None and b.position is not None
    if a.size is None or b.size is None:
        return []
    gap = (a.position[2] - a.size[2] / 2) - (b.position[2] + b.size[2] / 2)
    over = all(abs(a.position[i] - b.position[i]) < b.size[i] / 2 for i in (0, 1))
    if over and abs(gap) < 0.06 and a.position[2] > b.position[2]:
        return [Relation(a.number, Predicate.ON, b.number, a.frame_id)]
    return []


def _nearest(placed: Sequence[Mark]) -> list[Relation]:
    """The nearest other mark of each mark, where the runner-up is clearly further."""
    found = []
    for mark in placed:
        here = np.array(mark.position)
        others = sorted(
            (float(np.linalg.norm(np.array(other.position) - here)), other.number, other)
            for other in placed
            if other is not mark
        )
        if not others:
            continue
        first, number, other = others[0]
        std = float(np.hypot(mark.position_std, other.position_std))
        if len(others) > 1 and others[1][0] - first < max(LEAST_M, SIGMAS * std):
            continue
        found.append(
            Relation(mark.number, Predicate.NEAREST, number, mark.frame_id, first, "m", std)
        )
    return found
