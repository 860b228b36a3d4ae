"""Pinhole cameras with distortion: projecting, unprojecting, and K after scaling or cropping.

Optical frame: z forward, x right, y down (REP-103). Pixel centres are at integers. A point behind
the camera, or so far off axis that the distortion polynomial folds back, becomes NaN.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.errors import CalibrationError
from oryx_scene.records import DepthImage, FloatArray, Intrinsics

# Unknown spellings met in real recordings -> the names of sensor_msgs.
_MODEL_NAMES = {
    "": "none",
    "none": "none",
    "plumb_bob": "plumb_bob",
    "radtan": "plumb_bob",
    "radial_tangential": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "modified_brown_conrady": "plumb_bob",
    "rational_polynomial": "rational_polynomial",
    "rational": "rational_polynomial",
    "equidistant": "equidistant",
    "fisheye": "equidistant",
    "kannala_brandt": "equidistant",
    "kannala_brandt4": "equidistant",
}
# A ray that does not come back onto its pixel within this is not known.
BACK_PX = 1e-7
NEWTON_STEPS = 12
_COEFFICIENTS = {
    "none": (0,),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}


def canonical_distortion_model(name: str, camera: str, D: Sequence[float] = ()) -> str:
    """The sensor_msgs name of a distortion model.

    Spellings of drivers ("Brown Conrady") are understood; a model whose coefficients are all zero
    is "none" whatever it is called (but for a fisheye); one without a name is OpenCV's.

    Raises:
        CalibrationError: a model that is not handled, by name; "none" with coefficients.
    """
    key = "_".join(name.strip().lower().replace("-", " ").replace("_", " ").split())
    known = _MODEL_NAMES.get(key)
    # A fisheye without coefficients still is no pinhole.
    if known != "equidistant" and not np.any(D):
        return "none"
    if not key:
        # Drivers from before the field existed mean OpenCV's model, by its number of coefficients.
        return "plumb_bob" if not np.any(D[5:]) else "rational_polynomial"
    if known == "none":
        raise CalibrationError(
            camera,
            "the distortion model is 'none', but there are coefficients.",
            hint="name the model that they belong to, or give a rig file (--rig)",
        )
    if known is not None:
        return known
    raise CalibrationError(
        camera,
        f"the distortion model '{name}' is not handled.",
        hint="plumb_bob, rational_polynomial or equidistant; or give a rig file (--rig)",
    )


def check_intrinsics(intrinsics: Intrinsics, name: str) -> Intrinsics:
    """Return ``intrinsics`` with float64 arrays, refusing what cannot be a camera.

    Raises:
        CalibrationError: wrong shape, not finite, focal length or size not positive.
    """
    K = np.asarray(intrinsics.K, dtype=np.float64)
    D = np.asarray(intrinsics.D, dtype=np.float64).ravel()
    if K.shape != (3, 3) or not np.isfinite(K).all() or not np.isfinite(D).all():
        raise CalibrationError(name, "K must be 3x3 and, like D, finite.")
    if K[0, 0] <= 0 or K[1, 1] <= 0:
        raise CalibrationError(
            name,
            f"the focal lengths must be positive, got fx {K[0, 0]:g}, fy {K[1, 1]:g}.",
            hint="an uncalibrated driver publishes zeros: give a rig file (--rig)",
        )
    if intrinsics.height < 1 or intrinsics.width < 1:
        size = f"{intrinsics.width}x{intrinsics.height}"
        raise CalibrationError(name, f"the image size {size} of its K is empty.")
    if not np.allclose(K[2], (0, 0, 1)) or K[1, 0] != 0:
        raise CalibrationError(name, f"K is not upper triangular with last row 0 0 1: {K}.")
    model = canonical_distortion_model(intrinsics.distortion_model, name, D.tolist())
    D = _coefficients(model, D, name)
    return dataclasses.replace(intrinsics, K=K, D=D, distortion_model=model)


def _coefficients(model: str, D: FloatArray, name: str) -> FloatArray:
    """As many coefficients as a model has: zeros at the end say nothing, and nothing says zeros."""
    allowed = _COEFFICIENTS[model]
    used = int(np.flatnonzero(D)[-1]) + 1 if np.any(D) else 0
    if used > allowed[-1]:
        wanted = " or ".join(map(str, allowed))
        raise CalibrationError(
            name,
            f"{model} has {wanted} coefficients, got {D.size}, of which number {used} is not zero.",
            hint="name the model that the coefficients belong to, or give a rig file (--rig)",
        )
    count = D.size if D.size in allowed else next(n for n in allowed if n >= used)
    return np.concatenate([D, np.zeros(allowed[-1])])[:count]


def doubts(intrinsics: Intrinsics) -> tuple[str, ...]:
    """What looks odd about valid intrinsics, one sentence each."""
    K, found = intrinsics.K, []
    if not 0.9 < K[0, 0] / K[1, 1] < 1.1:
        found.append(f"fx {K[0, 0]:.1f} and fy {K[1, 1]:.1f} differ by more than 10 %")
    for axis, centre, size in (
        ("cx", K[0, 2], intrinsics.width),
        ("cy", K[1, 2], intrinsics.height),
    ):
        if not 0.25 * size < centre < 0.75 * size:
            found.append(f"{axis} {centre:.1f} is far from the middle of {size} px")
    angle = 2 * np.degrees(np.arctan(intrinsics.width / (2 * K[0, 0])))
    if intrinsics.distortion_model != "equidistant" and not 15 < angle < 150:
        found.append(f"the horizontal angle of view would be {angle:.0f} degrees")
    return tuple(found)


def intrinsics_from_camera_info(
    K: Sequence[float],
    D: Sequence[float],
    model: str,
    height: int,
    width: int,
    name: str,
    *,
    binning: tuple[int, int] = (0, 0),
    roi: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Intrinsics:
    """Intrinsics of the image that belongs to a sensor_msgs/CameraInfo (REP-104).

    As image_geometry's PinholeCameraModel has it: first the region of interest is cut out, then
    binning divides focal lengths and principal point. (A resized picture would move the principal
    point by part of a pixel more; see :func:`scaled_to`.)

    Args:
        K: 9 numbers, row by row, of the full sensor.
        D, model: distortion as published.
        height, width: full sensor size, pixels.
        name: of the camera, for errors.
        binning: (x, y); 0 means 1.
        roi: (x_offset, y_offset, height, width) in full-sensor pixels; zeros mean all of it.

    Raises:
        CalibrationError: numbers that cannot be a camera.
    """
    if len(K) != 9:
        raise CalibrationError(name, f"K has {len(K)} numbers, 9 were expected.")
    found = Intrinsics(
        np.array(K, dtype=np.float64).reshape(3, 3), height, width, model, np.array(D, dtype=float)
    )
    found = check_intrinsics(found, name)
    left, top, roi_height, roi_width = roi
    if any(roi):
        rows = roi_height or found.height - top
        columns = roi_width or found.width - left
        found = cropped(found, top, left, rows, columns)
    bin_x, bin_y = (max(1, int(factor)) for factor in binning)
    if (bin_x, bin_y) != (1, 1):
        found = dataclasses.replace(
            found,
            K=found.K / np.array([[bin_x], [bin_y], [1.0]]),
            height=found.height // bin_y,
            width=found.width // bin_x,
        )
    return check_intrinsics(found, name)


def scaled_to(intrinsics: Intrinsics, height: int, width: int) -> Intrinsics:
    """Intrinsics of the same picture resized to ``height`` x ``width``."""
    su, sv = width / intrinsics.width, height / intrinsics.height
    K = intrinsics.K.copy()
    K[0, :2] *= su
    K[1, 1] *= sv
    K[0, 2] = (K[0, 2] + 0.5) * su - 0.5
    K[1, 2] = (K[1, 2] + 0.5) * sv - 0.5
    return dataclasses.replace(intrinsics, K=K, height=height, width=width)


def same_aspect(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two image sizes (height, width) have one aspect ratio, within a pixel of rounding."""
    return abs(a[0] * b[1] - b[0] * a[1]) <= max(*a, *b) / 2


def scaled_depth(depth: DepthImage, height: int, width: int) -> DepthImage:
    """Depth resized by taking the nearest pixel: a mean of two surfaces lies on neither."""
    rows, columns = (
        ((np.arange(want) + 0.5) * have / want).astype(np.int64)
        for want, have in zip((height, width), depth.shape, strict=True)
    )
    return np.ascontiguousarray(depth[rows[:, None], columns])


def cropped(intrinsics: Intrinsics, top: int, left: int, height: int, width: int) -> Intrinsics:
    """Intrinsics of the part of the picture that begins at (top, left)."""
    K = intrinsics.K.copy()
    K[0, 2] -= left
    K[1, 2] -= top
    return dataclasses.replace(intrinsics, K=K, height=height, width=width)


def _radial_curve(intrinsics: Intrinsics) -> tuple[FloatArray, FloatArray, float]:
    """Radii (n,) of rays and of their pixels, normalised, as far as the lens model grows.

    Returns:
        (undistorted, distorted, limit): from ``limit`` on the polynomial folds back and another ray
        has the same pixel; infinite where it never does.
    """
    D = np.zeros(8)
    D[: min(8, intrinsics.D.size)] = intrinsics.D[:8]
    if intrinsics.distortion_model == "equidistant":
        angle = np.linspace(0.0, np.radians(89.9), 2001)
        r, a2 = np.tan(angle), angle * angle
        bent = angle * (1 + a2 * (D[0] + a2 * (D[1] + a2 * (D[2] + a2 * D[3]))))
    else:
        k1, k2, k3, k4, k5, k6 = D[0], D[1], D[4], D[5], D[6], D[7]
        r = np.linspace(0.0, 10.0, 2001)
        r2 = r * r
        with np.errstate(divide="ignore", invalid="ignore"):
            bent = r * (1 + r2 * (k1 + r2 * (k2 + r2 * k3)))
            bent /= 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    falling = np.flatnonzero(~(np.diff(bent) > 0))
    if not falling.size:
        return r, bent, float("inf")
    last = int(falling[0]) + 1
    return r[:last], bent[:last], float(r[last - 1])


def project(intrinsics: Intrinsics, points: FloatArray) -> FloatArray:
    """Points of the optical frame to pixels.

    Args:
        intrinsics: of the image.
        points: (N, 3) metres.

    Returns:
        (N, 2) pixels (u, v); NaN behind the camera and where the distortion model ends.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    z = points[:, 2]
    usable = z > 1e-6
    with np.errstate(divide="ignore", invalid="ignore"):
        xy = points[:, :2] / z[:, None]
    if intrinsics.distortion_model != "none":
        usable &= np.hypot(xy[:, 0], xy[:, 1]) < _radial_curve(intrinsics)[2]
    uv = np.full((len(points), 2), np.nan)
    if usable.any():
        uv[usable] = _to_pixels(intrinsics, _distorted(intrinsics, xy[usable]))
    return uv


def _to_pixels(intrinsics: Intrinsics, xy: FloatArray) -> FloatArray:
    """(N, 2) pixels of normalised picture coordinates (N, 2); K may have a skew."""
    uv: FloatArray = xy @ intrinsics.K[:2, :2].T + intrinsics.K[:2, 2]
    return uv


def _from_pixels(intrinsics: Intrinsics, uv: FloatArray) -> FloatArray:
    K = intrinsics.K
    y = (uv[:, 1] - K[1, 2]) / K[1, 1]
    return np.column_stack([(uv[:, 0] - K[0, 2] - K[0, 1] * y) / K[0, 0], y])


def _distorted(intrinsics: Intrinsics, xy: FloatArray) -> FloatArray:
    """(N, 2) normalised picture coordinates of rays (x/z, y/z) under the distortion model."""
    if intrinsics.distortion_model == "none":
        return xy
    rays = np.column_stack([xy, np.ones(len(xy))])[:, None]
    zero, unit = np.zeros(3), np.eye(3)
    if intrinsics.distortion_model == "equidistant":
        out, _ = cv2.fisheye.projectPoints(rays, zero, zero, unit, intrinsics.D.reshape(4, 1))
    else:
        out, _ = cv2.projectPoints(rays, zero, zero, unit, intrinsics.D)
    found: FloatArray = np.asarray(out, dtype=np.float64).reshape(-1, 2)
    return found


def normalised_rays(intrinsics: Intrinsics, uv: FloatArray) -> FloatArray:
    """(N, 2) x/z and y/z of the rays through pixels (N, 2).

    NaN where no ray has that pixel: beyond the end of the distortion model, or 90 degrees off axis.
    Every ray was projected back onto its pixel.
    """
    uv = np.asarray(uv, dtype=np.float64).reshape(-1, 2)
    wanted = _from_pixels(intrinsics, uv)
    if intrinsics.distortion_model == "none" or not len(uv):
        return wanted
    rays = _undistorted(intrinsics, wanted)
    left = np.flatnonzero(~_comes_back(intrinsics, rays, uv))
    # Few steps from there, then from the radial curve's inverse for what that did not reach.
    for start, steps in ((rays, 2), (_radial_start(intrinsics, wanted), NEWTON_STEPS)):
        rays[left] = start[left]
        for _ in range(steps):
            if len(left):
                off = wanted[left] - _distorted(intrinsics, rays[left])
                rays[left] += _newton_step(intrinsics, rays[left], off)
                left = left[~_comes_back(intrinsics, rays[left], uv[left])]
    rays[left] = np.nan
    return rays


def _undistorted(intrinsics: Intrinsics, wanted: FloatArray) -> FloatArray:
    """(N, 2) rays after OpenCV's few iterations: fast, nearly right for mild lenses."""
    points, unit = wanted[:, None], np.eye(3)
    if intrinsics.distortion_model == "equidistant":
        found = cv2.fisheye.undistortPoints(points, unit, intrinsics.D.reshape(4, 1))
    else:
        found = cv2.undistortPoints(points, unit, intrinsics.D)
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _comes_back(intrinsics: Intrinsics, rays: FloatArray, uv: FloatArray) -> NDArray[np.bool_]:
    """(N,) whether rays lie within the lens model and project onto their pixels."""
    off = np.abs(_to_pixels(intrinsics, _distorted(intrinsics, rays)) - uv).max(axis=1)
    inside = np.hypot(rays[:, 0], rays[:, 1]) < _radial_curve(intrinsics)[2]
    return np.asarray((off < BACK_PX) & inside)


def _radial_start(intrinsics: Intrinsics, wanted: FloatArray) -> FloatArray:
    """(N, 2) rays that would be right if the distortion were only radial."""
    undistorted, distorted, _ = _radial_curve(intrinsics)
    radius = np.hypot(wanted[:, 0], wanted[:, 1])
    start = np.interp(radius, distorted, undistorted)
    return np.asarray(wanted * (start / np.maximum(radius, 1e-12))[:, None])


def _newton_step(intrinsics: Intrinsics, rays: FloatArray, off: FloatArray) -> FloatArray:
    """(N, 2) by how much to move rays so that their distorted coordinates move by ``off``."""
    here, moved = _distorted(intrinsics, rays), []
    step = 1e-6 * (1.0 + (rays * rays).sum(axis=1))
    for axis in (0, 1):
        aside = rays.copy()
        aside[:, axis] += step
        moved.append((_distorted(intrinsics, aside) - here) / step[:, None])
    (a, c), (b, d) = moved[0].T, moved[1].T
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.column_stack([d * off[:, 0] - b * off[:, 1], a * off[:, 1] - c * off[:, 0]])
        found /= (a * d - b * c)[:, None]
    # Near the end of the model the slope vanishes: no step may leave the neighbourhood.
    most = 0.5 * (0.1 + np.hypot(rays[:, 0], rays[:, 1]))
    length = np.maximum(np.hypot(found[:, 0], found[:, 1]), 1e-300)
    with np.errstate(invalid="ignore"):
        return np.asarray(found * np.minimum(1.0, most / length)[:, None])


def unproject(intrinsics: Intrinsics, uv: FloatArray, depth: FloatArray) -> FloatArray:
    """Pixels with depth to points of the optical frame.

    Args:
        intrinsics: of the image.
        uv: (N, 2) pixels.
        depth: (N,) metres along z.

    Returns:
        (N, 3) metres; NaN where the depth is.
    """
    rays = normalised_rays(intrinsics, uv)
    z = np.asarray(depth, dtype=np.float64).reshape(-1)
    return np.column_stack([rays * z[:, None], z])


def depth_to_points(depth: DepthImage, intrinsics: Intrinsics, stride: int = 1) -> FloatArray:
    """(N, 3) points of the optical frame: every ``stride``-th pixel with known depth and ray."""
    v, u = np.mgrid[0 : depth.shape[0] : stride, 0 : depth.shape[1] : stride]
    z = depth[::stride, ::stride].ravel()
    known = np.isfinite(z) & (z > 0)
    uv = np.column_stack([u.ravel()[known], v.ravel()[known]]).astype(np.float64)
    points = unproject(intrinsics, uv, z[known].astype(np.float64))
    return points[np.isfinite(points[:, 0])]


def register_depth(
    depth: DepthImage,
    depth_intrinsics: Intrinsics,
    T_color_depth: FloatArray,
    color_intrinsics: Intrinsics,
) -> DepthImage:
    """Depth as the colour camera would have measured it.

    Every depth pixel is moved into the colour camera and drawn there as large as it is seen; the
    nearest surface wins. Where nothing falls the depth stays unknown.

    Args:
        depth: (h, w) float32 metres in the depth camera, NaN unknown.
        depth_intrinsics: of ``depth``.
        T_color_depth: takes points of the depth camera to the colour camera.
        color_intrinsics: of the colour image.

    Returns:
        (H, W) float32 metres in the colour camera, NaN unknown.
    """
    points = depth_to_points(depth, depth_intrinsics)
    moved = points @ T_color_depth[:3, :3].T + T_color_depth[:3, 3]
    uv = project(color_intrinsics, moved)
    height, width = color_intrinsics.height, color_intrinsics.width
    seen = np.isfinite(uv).all(axis=1)
    uv, z = uv[seen], moved[seen, 2]
    out = np.full(height * width, np.inf)
    # A depth pixel covers this many colour pixels when the colour camera looks more closely.
    ratio = color_intrinsics.K[0, 0] / depth_intrinsics.K[0, 0]
    reach = max(0, int(np.ceil((ratio - 1) / 2)))
    base = np.floor(uv + 0.5).astype(np.int64)
    for dv in range(-reach, reach + 1):
        for du in range(-reach, reach + 1):
            u, v = base[:, 0] + du, base[:, 1] + dv
            inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
            np.minimum.at(out, v[inside] * width + u[inside], z[inside])
    out[~np.isfinite(out)] = np.nan
    return out.reshape(height, width).astype(np.float32)
