"""Where things stand: freely on the floor, on a table, touching a neighbour, or on top of one.

Footprints are circles or turned rectangles; things never interpenetrate. Touching means exact
contact: faces of boxes against each other, round things against what they lean on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oryx_scene.records import FloatArray

# Faces in contact are this far apart, so that no two surfaces coincide.
CONTACT_M = 0.001


@dataclass(frozen=True, eq=False)
class Body:
    """A thing as far as placing goes.

    Attributes:
        kind: "box", "ball", "cylinder" or "table".
        half: (3,) half sizes along its own axes.
        centre: (3,) fixed frame.
        yaw: rad.
    """

    kind: str
    half: FloatArray
    centre: FloatArray
    yaw: float

    @property
    def radius(self) -> float:
        """Of the circle around the footprint."""
        if self.kind in ("ball", "cylinder"):
            return float(self.half[0])
        return float(np.hypot(self.half[0], self.half[1]))

    @property
    def top(self) -> float:
        """Height of the highest point."""
        return float(self.centre[2] + self.half[2])

    @property
    def bottom(self) -> float:
        """Height of the lowest point."""
        return float(self.centre[2] - self.half[2])


def _outline(body: Body) -> FloatArray:
    """(k, 2) points around the footprint."""
    c, s = np.cos(body.yaw), np.sin(body.yaw)
    if body.kind in ("ball", "cylinder"):
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        around = np.column_stack([np.cos(angle), np.sin(angle)]) * body.half[0]
    else:
        line = np.linspace(-1, 1, 13)
        one = np.ones_like(line)
        around = np.concatenate(
            [
                np.column_stack([line, one]),
                np.column_stack([line, -one]),
                np.column_stack([one, line]),
                np.column_stack([-one, line]),
            ]
        )
        around = around * body.half[:2]
    return np.asarray(around @ np.array([[c, s], [-s, c]]) + body.centre[:2])


def _contains(body: Body, points: FloatArray) -> bool:
    """Whether one of the ``points`` (k, 2) lies inside the footprint."""
    c, s = np.cos(body.yaw), np.sin(body.yaw)
    local = (points - body.centre[:2]) @ np.array([[c, -s], [s, c]])
    if body.kind in ("ball", "cylinder"):
        return bool((np.hypot(*local.T) < body.half[0] - 1e-6).any())
    return bool((np.abs(local) < body.half[:2] - 1e-6).all(axis=1).any())


def overlap(a: Body, b: Body) -> bool:
    """Whether two things share space (footprints sampled; heights exact)."""
    if a.bottom >= b.top - 1e-6 or b.bottom >= a.top - 1e-6:
        return False
    if np.hypot(*(a.centre[:2] - b.centre[:2])) > a.radius + b.radius:
        return False
    if a.kind == b.kind == "ball":
        return bool(np.linalg.norm(a.centre - b.centre) < a.half[0] + b.half[0])
    return _contains(a, _outline(b)) or _contains(b, _outline(a))


def far_enough(body: Body, others: list[Body], gap_m: float) -> bool:
    """Whether the circles around the footprints leave at least ``gap_m``."""
    return all(
        np.hypot(*(body.centre[:2] - other.centre[:2])) > body.radius + other.radius + gap_m
        for other in others
    )


def beside(neighbour: Body, half: FloatArray, kind: str, rng: np.random.Generator) -> Body:
    """A thing that touches ``neighbour`` on one of its four sides and stands as high as it does."""
    axis, sign = int(rng.integers(2)), float(rng.choice([-1.0, 1.0]))
    # Round things have no sides: any direction does.
    round_one = neighbour.kind in ("ball", "cylinder")
    yaw = float(rng.uniform(0, np.pi)) if round_one else neighbour.yaw
    reach = float(neighbour.half[0 if round_one else axis])
    direction = np.array([np.cos(yaw), np.sin(yaw)])
    if axis == 1:
        direction = np.array([-direction[1], direction[0]])
    away = reach + float(half[axis]) + CONTACT_M
    bottom = neighbour.bottom
    if kind == "ball" and neighbour.kind == "ball":
        # Two balls on one floor touch beside their widest circles.
        away = 2.0 * float(np.sqrt(neighbour.half[0] * half[0])) + CONTACT_M
    elif "ball" in (kind, neighbour.kind):
        away = _ball_against(neighbour, half, kind, reach, axis)
    place = neighbour.centre[:2] + sign * away * direction
    return Body(kind, half, np.array([*place, bottom + half[2]]), yaw)


def _ball_against(neighbour: Body, half: FloatArray, kind: str, reach: float, axis: int) -> float:
    """Distance of the middles of a ball and a thing with upright sides that touch."""
    radius = float(half[0]) if kind == "ball" else float(neighbour.half[0])
    other = float(half[axis]) if kind != "ball" else reach
    height = 2.0 * float(neighbour.half[2] if kind == "ball" else half[2])
    # Lower than the ball's middle, the edge of the top touches the ball below its widest circle.
    below = max(0.0, radius - height)
    return other + float(np.sqrt(max(0.0, radius**2 - below**2))) + CONTACT_M


def on_top(
    support: Body, half: FloatArray, kind: str, rng: np.random.Generator, spread: float
) -> Body | None:
    """A thing on the flat top of ``support``; None where it does not fit.

    Args:
        spread: share of the top's free reach that is used, 0 puts it in the middle.
    """
    if support.kind == "ball":
        return None
    own = float(np.hypot(half[0], half[1])) if kind == "box" else float(half[0])
    if support.kind == "cylinder":
        room = np.full(2, (float(support.half[0]) - own) * 0.7)
    else:
        room = support.half[:2] - own
    if (room < 0).any():
        return None
    c, s = np.cos(support.yaw), np.sin(support.yaw)
    local = rng.uniform(-1, 1, 2) * room * spread
    place = support.centre[:2] + np.array([[c, -s], [s, c]]) @ local
    centre = np.array([*place, support.top + CONTACT_M + half[2]])
    return Body(kind, half, centre, float(rng.uniform(0, np.pi)))
