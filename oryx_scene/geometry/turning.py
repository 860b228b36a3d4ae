"""Cameras that are mounted turned: picture, depth, lens and pose are turned upright together.

Degrees are clockwise, as the picture is seen; one of 0, 90, 180 and 270. Nothing is resampled, and
no ray changes: each pixel keeps its content and its ray in the world.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from oryx_scene.errors import CalibrationError
from oryx_scene.geometry.camera import check_intrinsics
from oryx_scene.records import FloatArray, Frame, Intrinsics
from oryx_scene.warning import Warning

TURNS = (0, 90, 180, 270)
# Coefficients of OpenCV's lens model that are vectors of the picture plane, as (x, y) places in D:
# tangential (p2, p1) and thin prism (s1, s3), (s2, s4). What is radial does not turn.
_VECTORS = ((3, 2), (8, 10), (9, 11))
_TILT = slice(12, 14)


def _turn(degrees: int) -> FloatArray:
    """(2, 2) exact: directions (x right, y down) of a picture to those of the turned one."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    return np.array([[cos, -sin], [sin, cos]], dtype=np.float64)


def T_camera_turned(degrees: int) -> FloatArray:
    """(4, 4): takes points of the turned camera's optical frame to the published one's."""
    T = np.eye(4)
    T[:2, :2] = _turn(degrees).T
    return T


def turned_pixels(uv: FloatArray, height: int, width: int, degrees: int) -> FloatArray:
    """Where pixels (N, 2) of a picture (height, width) lie in the turned one: (N, 2)."""
    middle = np.array([width - 1, height - 1]) / 2
    new_middle = middle if degrees % 180 == 0 else middle[::-1]
    return np.asarray((np.asarray(uv, dtype=np.float64) - middle) @ _turn(degrees).T + new_middle)


def turned_intrinsics(intrinsics: Intrinsics, degrees: int, name: str) -> Intrinsics:
    """K and D of the turned picture: ``project(turned, R p) == turned_pixels(project(K, p))``.

    R turns points as :func:`T_camera_turned`'s inverse does.

    Raises:
        CalibrationError: turned by 90 or 270 degrees, skew would need another form of K, and a
            tilted sensor another order of its two angles than the lens model has.
    """
    turn, sideways = _turn(degrees), degrees % 180 != 0
    D = np.array(intrinsics.D, dtype=np.float64)
    if sideways and (intrinsics.K[0, 1] != 0 or np.any(D[_TILT])):
        what = "K with skew" if intrinsics.K[0, 1] != 0 else "a tilted sensor (tau_x, tau_y)"
        raise CalibrationError(
            name,
            f"{what} cannot be turned by {degrees} degrees.",
            hint="rectify the pictures, or leave rotate_deg out",
        )
    if intrinsics.distortion_model != "equidistant":
        for places in (list(pair) for pair in _VECTORS if max(pair) < D.size):
            D[places] = turn @ D[places]
        if degrees == 180:
            D[_TILT] = -D[_TILT]
    K = np.eye(3)
    K[:2, :2] = turn @ intrinsics.K[:2, :2] @ turn.T
    size = (intrinsics.height, intrinsics.width)
    K[:2, 2] = turned_pixels(intrinsics.K[None, :2, 2], *size, degrees)[0]
    height, width = size[::-1] if sideways else size
    found = dataclasses.replace(intrinsics, K=K, D=D, height=height, width=width)
    return check_intrinsics(found, name)


def turned(frame: Frame, degrees: int) -> Frame:
    """The frame as a camera that is mounted upright would have sent it.

    Its frame_id gets an ending of its own ("front_optical_turned_90"): it is not the published
    frame's, and TF does not hold it. A lens that cannot be turned is left out with a warning.
    """
    if not degrees:
        return frame
    intrinsics, said = frame.intrinsics, frame.warnings
    if intrinsics is not None:
        try:
            intrinsics = turned_intrinsics(intrinsics, degrees, frame.camera)
        except CalibrationError as err:
            text = f"{err.message} Calibration left out: no 3D places"
            said += (Warning("calibration_unusable", text, frame.camera, advice=err.hint),)
            intrinsics = None
    quarters, T = -degrees // 90, frame.T_fixed_camera
    rgb = np.ascontiguousarray(np.rot90(frame.rgb, quarters))
    rgb.flags.writeable = False
    depth, labels = frame.depth, frame.labels
    return dataclasses.replace(
        frame,
        rgb=rgb,
        depth=None if depth is None else np.ascontiguousarray(np.rot90(depth, quarters)),
        labels=None if labels is None else np.ascontiguousarray(np.rot90(labels, quarters)),
        intrinsics=intrinsics,
        T_fixed_camera=None if T is None else T @ T_camera_turned(degrees),
        frame_id=turned_frame_id(frame.frame_id, degrees),
        turned_deg=degrees,
        warnings=said,
    )


def turned_frame_id(frame_id: str, degrees: int) -> str:
    """Name of the turned picture's optical frame, "" for ""."""
    return f"{frame_id}{_ending(degrees)}" if frame_id else ""


def published_frame_id(frame: Frame) -> str:
    """The optical frame that the picture was published with."""
    return frame.frame_id.removesuffix(_ending(frame.turned_deg))


def _ending(degrees: int) -> str:
    return f"_turned_{degrees}" if degrees else ""
