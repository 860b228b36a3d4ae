"""Solids and where rays meet them: box, ball, upright cylinder, each turned about the vertical.

Closed-form intersections (slab method, quadratic formula) in float32; a ray is origin + t *
direction with the direction's optical z equal to 1, so that t is the depth along optical z. Knows
neither cameras nor colours beyond carrying them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oryx_scene.records import FloatArray

Float32 = NDArray[np.float32]
IntArray = NDArray[np.int64]
# Nothing nearer than this is drawn: a camera does not see what touches its lens.
NEAREST_M = np.float32(0.05)


@dataclass(frozen=True)
class Pattern:
    """Brightness pattern of a surface.

    Attributes:
        kind: "plain", "checker", "stripes" or "noise".
        period_m: size of one repetition.
        strength: 0..1, the dark parts keep 1 - strength of their brightness.
        offset: shifts the noise, metres.
    """

    kind: str = "plain"
    period_m: float = 0.1
    strength: float = 0.0
    offset: float = 0.0


@dataclass(frozen=True, eq=False)
class Solid:
    """One convex solid.

    Attributes:
        kind: "box", "ball" or "cylinder" (axis vertical).
        object_id: the object it belongs to.
        centre: (3,) float64, fixed frame, metres.
        half: (3,) float64 half sizes along its own axes; a ball's and a cylinder's x is the radius.
        yaw: turn about the vertical, rad.
        rgb: (3,) float64, 0..255 under full light.
    """

    kind: str
    object_id: int
    centre: FloatArray
    half: FloatArray
    yaw: float
    rgb: FloatArray
    pattern: Pattern = field(default_factory=Pattern)

    @property
    def R_fixed_solid(self) -> FloatArray:
        """(3, 3) rotation from the solid's axes to the fixed frame."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])

    def corners(self) -> FloatArray:
        """(8, 3) corners of its turned bounding box, fixed frame."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        return np.asarray(self.centre + (signs * self.half) @ self.R_fixed_solid.T)


@dataclass(frozen=True, eq=False)
class Hits:
    """Where rays meet a solid; rows are the rays that do.

    Attributes:
        index: (k,) which rays.
        t: (k,) depth along optical z.
        normal: (k, 3) outward, fixed frame.
        local: (k, 3) surface points in the solid's own axes, metres.
    """

    index: IntArray
    t: Float32
    normal: Float32
    local: Float32


def intersect(solid: Solid, origin: FloatArray, directions: Float32) -> Hits:
    """Nearest hits in front of the camera.

    Args:
        origin: (3,) of all rays, fixed frame, outside the solid.
        directions: (n, 3) float32, fixed frame.
    """
    R = solid.R_fixed_solid
    o = ((origin - solid.centre) @ R).astype(np.float32)
    d = directions @ R.astype(np.float32)
    half = solid.half.astype(np.float32)
    cast, normal_at = _KINDS[solid.kind]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = cast(o, d, half)
    index = np.flatnonzero(np.isfinite(t) & (t > NEAREST_M))
    t = t[index]
    local = o + d[index] * t[:, None]
    return Hits(index, t, normal_at(local, half) @ R.T.astype(np.float32), local)


def _cast_box(o: Float32, d: Float32, half: Float32) -> Float32:
    """Depth of the nearest hit, inf without; as the other casts, in the solid's own axes."""
    inverse = np.float32(1.0) / d
    middle = -o * inverse
    reach = half * np.abs(inverse)
    # Column by column: reducing rows of three takes several times as long.
    near, far = (middle - reach).T, (middle + reach).T
    t = np.maximum(np.maximum(near[0], near[1]), near[2])
    leaves = np.minimum(np.minimum(far[0], far[1]), far[2])
    return np.where(t < leaves, t, np.float32(np.inf))


def _cast_round(o: Float32, d: Float32, radius: np.float32) -> Float32:
    """Nearest root of |o + t d| = radius over the columns given."""
    a = np.einsum("ij,ij->i", d, d)
    b = d @ o
    c = np.float32(o @ o) - radius * radius
    discriminant = b * b - a * c
    t = (-b - np.sqrt(np.maximum(discriminant, 0.0))) / a
    return np.where(discriminant > 0.0, t, np.float32(np.inf))


def _cast_ball(o: Float32, d: Float32, half: Float32) -> Float32:
    return _cast_round(o, d, half[0])


def _cast_cylinder(o: Float32, d: Float32, half: Float32) -> Float32:
    side = _cast_round(o[:2], d[:, :2], half[0])
    on_side = np.abs(o[2] + side * d[:, 2]) <= half[2]
    side = np.where(on_side, side, np.float32(np.inf))
    cap = (-np.sign(d[:, 2]) * half[2] - o[2]) / d[:, 2]
    at = o[:2] + d[:, :2] * cap[:, None]
    on_cap = np.einsum("ij,ij->i", at, at) <= half[0] * half[0]
    return np.minimum(side, np.where(on_cap, cap, np.float32(np.inf)))


def _box_normal(local: Float32, half: Float32) -> Float32:
    axis = np.abs(local / half).argmax(axis=1)
    rows = np.arange(len(local))
    out = np.zeros_like(local)
    out[rows, axis] = np.sign(local[rows, axis])
    return out


def _ball_normal(local: Float32, half: Float32) -> Float32:
    return np.asarray(local / half[0])


def _cylinder_normal(local: Float32, half: Float32) -> Float32:
    # A thousandth of the height: float32 puts points of the cap a little beside it.
    cap = np.abs(local[:, 2]) > half[2] * np.float32(0.999)
    out: Float32 = local / half[0]
    out[:, 2] = 0.0
    out[cap] = 0.0
    out[cap, 2] = np.sign(local[cap, 2])
    return out


Cast = Callable[[Float32, Float32, Float32], Float32]
NormalAt = Callable[[Float32, Float32], Float32]
_KINDS: dict[str, tuple[Cast, NormalAt]] = {
    "box": (_cast_box, _box_normal),
    "ball": (_cast_ball, _ball_normal),
    "cylinder": (_cast_cylinder, _cylinder_normal),
}
