"""Rigid transforms as 4x4 matrices. ``T_a_b`` takes points in b to a: p_a = T_a_b p_b.

Quaternions are (x, y, z, w) as in ROS messages (REP-103). Pure functions of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oryx_scene.errors import CalibrationError
from oryx_scene.records import FloatArray

# Rotations written with six decimals in a file are off by this much.
ROTATION_TOLERANCE = 1e-3
_EYE = np.eye(3)


def check_transform(T: object, name: str) -> FloatArray:
    """Return ``T`` as a (4, 4) float64 rigid transform.

    Raises:
        CalibrationError: wrong shape, not finite, or no rotation; ``name`` says which.
    """
    matrix = np.asarray(T, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise CalibrationError(name, f"a 4x4 transform was expected, got shape {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise CalibrationError(name, "the transform holds numbers that are not finite.")
    # In plain numbers: TF has thousands of these a second, and small arrays are slow.
    x, y, z, w = matrix[3].tolist()
    if max(abs(x), abs(y), abs(z), abs(w - 1)) > 1e-9:
        raise CalibrationError(name, f"the last row must be 0 0 0 1, got {matrix[3].tolist()}.")
    R = matrix[:3, :3]
    off = float(np.abs(R @ R.T - _EYE).max())
    (a, b, c), (d, e, f), (g, h, i) = R.tolist()
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    if off > ROTATION_TOLERANCE or determinant < 0:
        raise CalibrationError(
            name,
            f"the upper left 3x3 is no rotation (off by {off:.2g}, determinant {determinant:.3f}).",
            hint="a left-handed or scaled matrix, or rows and columns mixed up",
        )
    return matrix


def invert(T: FloatArray) -> FloatArray:
    """Inverse of a rigid transform: T_b_a from T_a_b."""
    inverse = np.eye(4)
    inverse[:3, :3] = T[:3, :3].T
    inverse[:3, 3] = -T[:3, :3].T @ T[:3, 3]
    return inverse


def transform_points(T: FloatArray, points: FloatArray) -> FloatArray:
    """p_a = T_a_b p_b for (N, 3) points."""
    moved: FloatArray = points @ T[:3, :3].T + T[:3, 3]
    return moved


def quaternion_to_rotation(q_xyzw: Sequence[float]) -> FloatArray:
    """(3, 3) rotation of a quaternion; it is normalised first.

    Raises:
        CalibrationError: zero or not finite.
    """
    q = np.asarray(q_xyzw, dtype=np.float64)
    norm = float(np.linalg.norm(q))
    if q.shape != (4,) or not np.isfinite(norm) or norm < 1e-9:
        raise CalibrationError("quaternion", f"{list(q_xyzw)} is no rotation (x, y, z, w).")
    x, y, z, w = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotation_to_quaternion(R: FloatArray) -> FloatArray:
    """(x, y, z, w) of a (3, 3) rotation, w >= 0."""
    # The largest of the four is computed directly, so that nothing is divided by almost zero.
    trace = float(np.trace(R))
    four = np.array([R[0, 0], R[1, 1], R[2, 2], trace])
    largest = int(four.argmax())
    q = np.empty(4)
    if largest == 3:
        q[3] = 1 + trace
        q[:3] = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        q[i] = 1 + R[i, i] - R[j, j] - R[k, k]
        q[j] = R[j, i] + R[i, j]
        q[k] = R[k, i] + R[i, k]
        q[3] = R[k, j] - R[j, k]
    q /= np.linalg.norm(q)
    return q if q[3] >= 0 else -q


def from_translation_quaternion(t: Sequence[float], q_xyzw: Sequence[float]) -> FloatArray:
    """(4, 4) from a translation in metres and a quaternion (x, y, z, w)."""
    T = np.eye(4)
    T[:3, :3] = quaternion_to_rotation(q_xyzw)
    T[:3, 3] = t
    return T


def from_translation_rpy(t: Sequence[float], rpy: Sequence[float]) -> FloatArray:
    """(4, 4) from a translation and fixed-axis roll, pitch, yaw in radians (as in URDF)."""
    roll, pitch, yaw = (float(angle) for angle in rpy)
    cr, sr, cp, sp = np.cos(roll), np.sin(roll), np.cos(pitch), np.sin(pitch)
    cy, sy = np.cos(yaw), np.sin(yaw)
    T = np.eye(4)
    T[:3, :3] = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    T[:3, 3] = t
    return T


def interpolate(T0: FloatArray, T1: FloatArray, alpha: float) -> FloatArray:
    """Between two transforms: linear in translation, slerp in rotation, as tf2 does.

    Args:
        T0, T1: (4, 4).
        alpha: 0 gives T0, 1 gives T1.
    """
    q0, q1 = rotation_to_quaternion(T0[:3, :3]), rotation_to_quaternion(T1[:3, :3])
    dot = float(q0 @ q1)
    if dot < 0:
        q1, dot = -q1, -dot
    if dot > 1 - 1e-12:
        q = q0 + alpha * (q1 - q0)
    else:
        angle = np.arccos(min(dot, 1.0))
        q = (np.sin((1 - alpha) * angle) * q0 + np.sin(alpha * angle) * q1) / np.sin(angle)
    t = (1 - alpha) * T0[:3, 3] + alpha * T1[:3, 3]
    return from_translation_quaternion(t.tolist(), q.tolist())
