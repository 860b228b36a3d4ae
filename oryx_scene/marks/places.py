"""Where a thing is and how sure that is: a point and its 3x3 covariance, from rays or from depth.

Both follow from baselines, pixel noise and pose noise. A point that rays determine is estimated by
maximum likelihood in inverse depth (Civera, Davison, Montiel, IEEE T-RO 2008), where errors are
nearly normal: nothing pulls it to the cameras. Views from nearly one place share their pose's
error: many of them are no better than one. Without parallax there is no place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oryx_scene.config import MarksConfig
from oryx_scene.records import Covariance, FloatArray, Mark

# Views nearer to each other than this many times the error of their places share that error.
SHARED_REACH = 2.0
# A place is stated where its inverse distance is known to this many 1/m, whatever the estimate says
# (2.5 m to a tenth; choosing by the estimate would choose those that are wrong towards the camera),
# and where the inverse distance exceeds this many of its standard deviations.
LEAST_INVERSE_STD = 0.04
LEAST_RATIO = 5.0
# The far end of a distance is where its inverse is smaller by this many standard deviations.
SIGMAS = 2.0
# Depth sensors are off by about this share of z over a whole thing, whatever is averaged.
DEPTH_SHARE = 0.01
# Mean of unit rays to a thing: below the first its views are from several sides, above the second
# from one. Seen from one side, a thing is about this many times as deep as it is wide, give or take
# this share of its width (measured on synthetic rooms). What is flatter than the first share of its
# width may have no depth at all, what is thicker than the second shows several faces.
ONE_SIDED = (0.85, 0.98)
DEEP, DEEP_STD = 1.2, 0.15
FLAT, SOLID = 0.1, 0.25
# What the cut between a thing and its neighbours leaves uncertain of a middle: metres, and a share
# of its extent; and of the whole extent, as often as its outline is not its own.
FACE_STD_M, CUT_SHARE, UNSEEN_SHARE = 0.01, 0.08, 1.0
# Iterations of Gauss-Newton; the start is the point nearest to all rays.
ITERATIONS = 12


@dataclass(frozen=True)
class PoseNoise:
    """How wrong a pose may be.

    Attributes:
        shift_m: root mean square of the length by which it is shifted.
        turn_rad: standard deviation of the angle by which it is turned about the camera.
    """

    shift_m: float
    turn_rad: float

    @property
    def shift_var(self) -> float:
        """Along each axis, square metres."""
        return self.shift_m**2 / 3.0

    @property
    def turn_var(self) -> float:
        """About each axis, rad squared."""
        return self.turn_rad**2 / 3.0


def assumed_noise(config: MarksConfig) -> PoseNoise:
    """Of poses about which their source says nothing."""
    return PoseNoise(config.pose_shift_m, math.radians(config.pose_turn_deg))


def pose_noise(pose_std: tuple[float, float] | None, default: PoseNoise) -> PoseNoise:
    """What a frame's source says about its pose (``Frame.pose_std``), else ``default``."""
    return default if pose_std is None else PoseNoise(*pose_std)


def covariance_of(mark: Mark) -> FloatArray:
    """(3, 3) of a mark's place, square metres; NaN where nothing is known."""
    if mark.covariance is not None:
        return np.array(mark.covariance, dtype=np.float64)
    # Unknown stays unknown between the axes too: NaN times zero is NaN.
    return np.asarray(np.eye(3) * mark.position_std**2)


def as_covariance(matrix: FloatArray) -> Covariance:
    """A symmetric (3, 3) array as records keep it."""
    even = (matrix + matrix.T) / 2.0
    a, b, c = (tuple(float(value) for value in row) for row in even)
    return (a, b, c)  # type: ignore[return-value]


def isotropic(std: float) -> Covariance:
    """Covariance of a place that is as uncertain in every direction, metres."""
    return as_covariance(np.eye(3) * std**2)


def largest_std(covariance: Covariance | None) -> float:
    """Standard deviation along the least certain direction, metres; NaN where unknown."""
    if covariance is None:
        return float("nan")
    return float(np.sqrt(max(0.0, np.linalg.eigvalsh(np.array(covariance))[-1])))


def std_along(covariance: FloatArray, direction: FloatArray) -> float:
    """Standard deviation of a place along a direction (3,) of any length, metres."""
    length = float(np.linalg.norm(direction))
    unit = direction / length if length > 0 else np.eye(3)[0]
    return (
        float(np.sqrt(max(0.0, unit @ covariance @ unit)))
        if np.isfinite(covariance).all()
        else (float("nan"))
    )


def sharing(origins: FloatArray, noise: Sequence[PoseNoise]) -> FloatArray:
    """(n,) how many of the views (itself too) share each view's pose error."""
    apart = np.linalg.norm(origins[:, None] - origins[None, :], axis=-1)
    reach = SHARED_REACH * np.array([item.shift_m for item in noise])
    return np.asarray((apart <= np.maximum(reach[:, None], reach[None, :])).sum(axis=1), float)


@dataclass(frozen=True, eq=False)
class RayPlace:
    """The point that rays determine.

    Attributes:
        point: (3,) fixed frame.
        covariance: (3, 3) square metres; infinite along the ray without parallax.
        along: (n,) distance from each origin.
        off: (n,) angle by which each ray misses the point, rad.
        misfit: (n,) the same in squared standard deviations.
        known: whether the parallax tells a distance at all.
    """

    point: FloatArray
    covariance: FloatArray
    along: FloatArray
    off: FloatArray
    misfit: FloatArray
    known: bool


def triangulate(
    origins: FloatArray, rays: FloatArray, ray_std: FloatArray, noise: Sequence[PoseNoise]
) -> RayPlace:
    """The most likely point of rays that are wrong by pixels and by poses.

    Args:
        origins: (n, 3) of the cameras, fixed frame, metres.
        rays: (n, 3) unit.
        ray_std: (n,) rad, of each ray within its picture, about each axis across it.
        noise: of the n poses.
    """
    middle = origins.mean(axis=0)
    ahead = rays.mean(axis=0) / np.linalg.norm(rays.mean(axis=0))
    basis = across(ahead)
    step = np.concatenate(
        [np.broadcast_to(basis, (len(rays), 3, 2)), (middle - origins)[..., None]], 2
    )
    sides = np.stack([across(ray) for ray in rays])
    shared = sharing(origins, noise)
    state = np.array([0.0, 0.0, _first_inverse(origins, rays, middle, ahead)])
    for _ in range(ITERATIONS):
        miss, slope, weight = _linear(state, ahead, basis, step, sides, rays)
        variance = _variance(ray_std, noise, shared, weight, state[2])
        normal = np.einsum("nki,nkj->ij", slope, slope / variance[:, None, None])
        pull = np.einsum("nki,nk->i", slope, miss / variance[:, None])
        # A hair of damping: without a baseline nothing determines the inverse depth.
        change = np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(3), pull)
        state = state - change
        state[2] = max(state[2], 1e-4)
    miss, slope, weight = _linear(state, ahead, basis, step, sides, rays)
    variance = _variance(ray_std, noise, shared, weight, state[2])
    off = np.linalg.norm(miss, axis=1)
    normal = np.einsum("nki,nkj->ij", slope, slope / variance[:, None, None])
    point = middle + (ahead + basis @ state[:2]) / state[2]
    along = np.einsum("ij,ij->i", point - origins, rays)
    cov, known = _cartesian(normal, ahead + basis @ state[:2], basis, state[2])
    alone = float((1.0 / shared).sum())
    cov = cov + np.eye(3) * float(np.mean([item.shift_var for item in noise])) / alone
    return RayPlace(point, cov, along, off, off**2 / variance, known and bool(along.min() > 0))


def across(ray: FloatArray) -> FloatArray:
    """(3, 2) two unit directions across a unit ray."""
    helper = np.eye(3)[int(np.argmin(np.abs(ray)))]
    first = np.cross(ray, helper)
    first /= np.linalg.norm(first)
    return np.column_stack([first, np.cross(ray, first)])


def _first_inverse(
    origins: FloatArray, rays: FloatArray, middle: FloatArray, ahead: FloatArray
) -> float:
    """Inverse depth of the point nearest to all lines; of none in front, that of 10 m."""
    off = np.eye(3)[None] - rays[:, :, None] * rays[:, None, :]
    point = np.linalg.lstsq(off.sum(axis=0), np.einsum("nij,nj->i", off, origins), rcond=None)[0]
    depth = float((point - middle) @ ahead)
    return 1.0 / depth if depth > 0.1 else 0.1


def _linear(
    state: FloatArray,
    ahead: FloatArray,
    basis: FloatArray,
    step: FloatArray,
    sides: FloatArray,
    rays: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Angles (n, 2) by which the point is off each ray, their slopes (n, 2, 3), and lengths (n,).

    The point seen from camera i is h = ahead + basis (a, b) + inverse depth * (middle - origin).
    """
    h = ahead + basis @ state[:2] + state[2] * step[:, :, 2]
    front = np.maximum(np.einsum("ni,ni->n", rays, h), 1e-6)
    miss = np.einsum("nik,ni->nk", sides, h) / front[:, None]
    slope = np.einsum("nik,nij->nkj", sides, step) / front[:, None, None]
    slope -= (
        miss[:, :, None] * np.einsum("ni,nij->nj", rays, step)[:, None, :] / front[:, None, None]
    )
    return miss, slope, np.linalg.norm(h, axis=1)


def _variance(
    ray_std: FloatArray,
    noise: Sequence[PoseNoise],
    shared: FloatArray,
    length: FloatArray,
    inverse: float,
) -> FloatArray:
    """(n,) of each ray's angle, rad squared: pixels, and the pose as often as views share it."""
    turn = np.array([item.turn_var for item in noise])
    shift = np.array([item.shift_var for item in noise])
    return np.asarray(ray_std**2 + shared * (turn + shift * (inverse / length) ** 2) + 1e-14)


def _cartesian(
    normal: FloatArray, ahead: FloatArray, basis: FloatArray, inverse: float
) -> tuple[FloatArray, bool]:
    """(3, 3) covariance of the point, and whether its distance is known.

    The distance lies between 1 / (inverse + 2 std) and 1 / (inverse - 2 std); its standard
    deviation is half of what the further end is away, which has no bound.
    """
    sideways = np.linalg.inv(normal[:2, :2])
    told = float(normal[2, 2] - normal[2, :2] @ sideways @ normal[:2, 2])
    std = 1.0 / np.sqrt(told) if told > 1e-12 * max(1.0, normal[2, 2]) else np.inf
    if std > LEAST_INVERSE_STD or LEAST_RATIO * std > inverse:
        unknown = np.outer(ahead, ahead) * 1e12
        return unknown + basis @ sideways @ basis.T / inverse**2, False
    both = np.linalg.inv(normal)
    stretch = np.array([1.0, 1.0, 1.0 / (1.0 - SIGMAS * std / inverse)])
    both = both * np.outer(stretch, stretch)
    to_point = np.column_stack([basis / inverse, -ahead / inverse**2])
    return to_point @ both @ to_point.T, True


@dataclass(frozen=True, eq=False)
class MeasuredPlace:
    """A thing that depth cameras measured: middle (3,), size (3,), covariance of the middle."""

    middle: FloatArray
    size: FloatArray
    covariance: FloatArray


def measured_place(
    points: FloatArray, origins: FloatArray, noise: Sequence[PoseNoise], unseen: float = 0.0
) -> MeasuredPlace:
    """Middle and size of a thing from points of its seen surface.

    What all cameras look at from one side has a hidden back: a thing that shows several faces is
    taken to be about as deep as it is wide, else its middle would be its front.

    Args:
        points: (n, 3) on its surface, fixed frame, metres.
        origins: (m, 3) of the cameras that see it.
        noise: of their poses.
        unseen: share of its outline, in the view that shows it best, where something in front of it
            or the picture's border ends it.
    """
    low, high = np.percentile(points, (2, 98), axis=0)
    away = (low + high) / 2.0 - origins
    ahead = (away / np.linalg.norm(away, axis=1, keepdims=True).clip(1e-9)).mean(axis=0)
    length = float(np.linalg.norm(ahead))
    sides = np.column_stack([across(ahead / length), ahead / length]) if length > 0 else np.eye(3)
    extents = np.ptp(np.percentile(points @ sides, (2, 98), axis=0), axis=0)
    one_sided = float(np.clip((length - ONE_SIDED[0]) / (ONE_SIDED[1] - ONE_SIDED[0]), 0.0, 1.0))
    wide = float(extents[:2].min())
    _, axes = np.linalg.eigh(np.cov(points.T))
    thick = float(np.ptp(np.percentile(points @ axes[:, 0], (2, 98))))
    solid = float(np.clip((thick / max(wide, 1e-9) - FLAT) / (SOLID - FLAT), 0.0, 1.0))
    back = solid * one_sided * max(0.0, DEEP * wide - float(extents[2])) * sides[:, 2]
    low, high = low + np.minimum(back, 0.0), high + np.maximum(back, 0.0)
    middle = (low + high) / 2.0
    spread = np.hypot(
        FACE_STD_M, np.hypot(CUT_SHARE * extents, UNSEEN_SHARE * unseen * extents.max())
    )
    spread[2] = np.hypot(spread[2], one_sided * DEEP_STD * wide)
    covariance = seen_covariance(origins, middle, noise) + sides @ np.diag(spread**2) @ sides.T
    return MeasuredPlace(middle, high - low, covariance)


def seen_covariance(
    origins: FloatArray, point: FloatArray, noise: Sequence[PoseNoise]
) -> FloatArray:
    """(3, 3) of a place from the noise of depth and poses alone."""
    total = np.zeros((3, 3))
    for origin, item in zip(origins, noise, strict=True):
        away = point - origin
        distance = float(np.linalg.norm(away))
        ray = away / max(distance, 1e-9)
        along = np.outer(ray, ray)
        total += (np.eye(3) - along) * (item.shift_var + item.turn_var * distance**2)
        total += along * (item.shift_var + (DEPTH_SHARE * distance) ** 2)
    alone = float((1.0 / sharing(origins, noise)).sum())
    return np.asarray(total / len(origins) / alone)
