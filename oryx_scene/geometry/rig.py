"""Rig files (calib/*.yaml): intrinsics and mounting of the cameras of one robot.

Each camera is a ROS camera_info YAML block plus `T_base_camera`, which takes points of the camera's
OPTICAL frame to the rig's base frame. Unknown keys are refused by their path. See
docs/calibration.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from oryx_scene.errors import CalibrationError
from oryx_scene.geometry.camera import check_intrinsics
from oryx_scene.geometry.transforms import (
    check_transform,
    from_translation_quaternion,
    from_translation_rpy,
)
from oryx_scene.geometry.turning import TURNS, T_camera_turned, turned_frame_id
from oryx_scene.records import FloatArray, Intrinsics

# Nothing on one robot is further from its base.
MAX_OFFSET_M = 100.0
_INFO_KEYS = {
    "image_width",
    "image_height",
    "camera_name",
    "camera_matrix",
    "distortion_model",
    "distortion_coefficients",
    "rectification_matrix",
    "projection_matrix",
}
_OWN_KEYS = {
    *("frame_id", "T_base_camera", "topic", "depth_topic", "depth_unit_m", "depth_scale"),
    *("grey_range", "rotate_deg"),
}
# What a rig may say of an image topic.
ROLES = ("picture", "depth", "ignored")


@dataclass(frozen=True, eq=False)
class RigCamera:
    """What a rig file says about one camera; None or "" where it says nothing.

    Attributes:
        intrinsics: of the image size given there.
        rotate_deg: by how many degrees clockwise its pictures are turned to stand upright; all else
            here is about them as they are published.
        rectified: the same of a rectified picture, where the file has a projection_matrix.
        T_base_camera: (4, 4) optical frame to base frame.
        frame_id: optical frame that overrides the recorded one.
        topic, depth_topic: which topics this camera is.
        depth_unit_m: metres per step of 16-bit depth; None leaves it to the recording.
        depth_scale: depth is multiplied by it after that, whatever its encoding.
        grey_range: (darkest, brightest) sample of its 16-bit pictures, None for all of the range.
    """

    intrinsics: Intrinsics | None = None
    T_base_camera: FloatArray | None = None
    frame_id: str = ""
    topic: str = ""
    depth_topic: str = ""
    depth_unit_m: float | None = None
    depth_scale: float = 1.0
    grey_range: tuple[float, float] | None = None
    rectified: Intrinsics | None = None
    rotate_deg: int = 0


@dataclass(frozen=True, eq=False)
class Rig:
    """The cameras of one robot by our name for them.

    Attributes:
        base_frame: that T_base_camera leads to.
        cameras: by our name.
        roles: image topic -> one of :data:`ROLES`, where its name and encoding mislead.
    """

    base_frame: str
    cameras: dict[str, RigCamera]
    roles: dict[str, str] = field(default_factory=dict)


def with_turns(rig: Rig | None, turns: Mapping[str, int]) -> Rig | None:
    """A rig whose cameras are turned by ``turns`` (name -> degrees); 0 leaves them as they are."""
    stated = {name: degrees for name, degrees in turns.items() if degrees}
    if not stated:
        return rig
    rig = rig or Rig("base_link", {})
    cameras = {
        name: replace(rig.cameras.get(name) or RigCamera(), rotate_deg=degrees)
        for name, degrees in stated.items()
    }
    return replace(rig, cameras={**rig.cameras, **cameras})


def rig_mountings(
    rig: Rig | None, frame_ids: Mapping[str, str]
) -> dict[str, tuple[str, FloatArray]]:
    """Optical frame -> (base frame, T_base_camera) of the cameras (name -> published frame).

    Of a turned camera it is the optical frame of the turned pictures.
    """
    cameras = {} if rig is None else rig.cameras
    base = "" if rig is None else rig.base_frame
    found = {}
    for name, frame_id in frame_ids.items():
        T = cameras[name].T_base_camera if name in cameras else None
        if T is not None and frame_id != base:
            degrees = cameras[name].rotate_deg
            found[turned_frame_id(frame_id, degrees)] = (base, T @ T_camera_turned(degrees))
    return found


def load_rig(path: str | Path) -> Rig:
    """Read a rig file.

    Raises:
        CalibrationError: not readable, an unknown key, or numbers that cannot be a camera.
    """
    name = str(path)
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as err:
        raise CalibrationError(name, f"the rig file cannot be read: {err.strerror}.") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise CalibrationError(name, f"no YAML: {' '.join(str(err).split())}.") from err
    top = _mapping(values, name)
    _refuse_unknown(top, {"base_frame", "cameras", "roles"}, name)
    roles = _mapping(top.get("roles", {}), f"{name}: roles")
    cameras = _mapping(top.get("cameras", {}), f"{name}: cameras")
    if not cameras and not roles:
        raise CalibrationError(name, "the rig names no camera.")
    return Rig(
        str(top.get("base_frame", "base_link")),
        {str(key): _camera(value, f"cameras.{key}") for key, value in cameras.items()},
        {str(key): _role(value, f"roles.{key}") for key, value in roles.items()},
    )


def _role(value: object, path: str) -> str:
    if value not in ROLES:
        raise CalibrationError(path, f"got {value!r}.", hint=f"one of: {', '.join(ROLES)}")
    return str(value)


def _mapping(value: object, path: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise CalibrationError(path, f"named values were expected, got {type(value).__name__}.")
    return value


def _refuse_unknown(values: dict[Any, Any], known: set[str], path: str) -> None:
    for key in values:
        if key not in known:
            raise CalibrationError(
                path, f"unknown key '{key}'.", hint=f"known here: {', '.join(sorted(known))}"
            )


def _camera(value: object, path: str) -> RigCamera:
    values = _mapping(value, path)
    _refuse_unknown(values, _INFO_KEYS | _OWN_KEYS, path)
    intrinsics = _intrinsics(values, path) if "camera_matrix" in values else None
    pose = values.get("T_base_camera")
    return RigCamera(
        intrinsics,
        None if pose is None else _pose(pose, f"{path}.T_base_camera"),
        str(values.get("frame_id", "")),
        str(values.get("topic", "")),
        str(values.get("depth_topic", "")),
        _positive(values["depth_unit_m"], f"{path}.depth_unit_m")
        if "depth_unit_m" in values
        else None,
        _positive(values.get("depth_scale", 1.0), f"{path}.depth_scale"),
        _grey_range(values.get("grey_range"), f"{path}.grey_range"),
        _rectified(values, intrinsics, path),
        _rotate_deg(values.get("rotate_deg", 0), f"{path}.rotate_deg"),
    )


def _rotate_deg(value: object, path: str) -> int:
    if type(value) is not int or value not in TURNS:
        wanted = ", ".join(map(str, TURNS))
        raise CalibrationError(path, f"one of {wanted} was expected, got {value!r}.")
    return value


def _rectified(
    values: dict[Any, Any], intrinsics: Intrinsics | None, path: str
) -> Intrinsics | None:
    """A rectified picture goes by the first three columns of P, without distortion (REP 104)."""
    if intrinsics is None or "projection_matrix" not in values:
        return None
    P = np.array(_numbers(values["projection_matrix"], 12, f"{path}.projection_matrix"))
    K = P.reshape(3, 4)[:, :3]
    return check_intrinsics(Intrinsics(K, intrinsics.height, intrinsics.width), path)


def _positive(value: object, path: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < float(value) < 1000:  # type: ignore[arg-type]
        raise CalibrationError(path, f"a positive number was expected, got {value!r}.")
    return float(value)  # type: ignore[arg-type]


def _grey_range(value: object, path: str) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = _numbers(value, 2, path)
    if not 0 <= low < high <= 65535:
        raise CalibrationError(path, f"0 <= low < high <= 65535 was expected, got {value!r}.")
    return low, high


def _numbers(value: object, count: int | None, path: str) -> list[float]:
    """A list of numbers, or a ROS matrix block with rows, cols and data."""
    if isinstance(value, dict):
        _refuse_unknown(value, {"rows", "cols", "data"}, path)
        value = value.get("data")
    if not isinstance(value, list) or not all(isinstance(v, int | float) for v in value):
        raise CalibrationError(path, f"a list of numbers was expected, got {value!r}.")
    if count is not None and len(value) != count:
        raise CalibrationError(path, f"{count} numbers were expected, got {len(value)}.")
    return [float(v) for v in value]


def _intrinsics(values: dict[Any, Any], path: str) -> Intrinsics:
    K = np.array(_numbers(values["camera_matrix"], 9, f"{path}.camera_matrix")).reshape(3, 3)
    D = _numbers(values.get("distortion_coefficients", []), None, f"{path}.distortion_coefficients")
    size = []
    for key in ("image_height", "image_width"):
        if not isinstance(values.get(key), int):
            raise CalibrationError(f"{path}.{key}", f"pixels expected, got {values.get(key)!r}.")
        size.append(int(values[key]))
    model = str(values.get("distortion_model", "plumb_bob" if D else "none"))
    return check_intrinsics(Intrinsics(K, size[0], size[1], model, np.array(D)), path)


def _pose(value: object, path: str) -> FloatArray:
    """(4, 4) from a 16-number matrix, or xyz with quaternion_xyzw or rpy."""
    if isinstance(value, list):
        flat = [v for row in value for v in (row if isinstance(row, list) else [row])]
        T = np.array(_numbers(flat, 16, path)).reshape(4, 4)
    else:
        values = _mapping(value, path)
        _refuse_unknown(values, {"xyz", "quaternion_xyzw", "rpy"}, path)
        xyz = _numbers(values.get("xyz"), 3, f"{path}.xyz")
        if ("quaternion_xyzw" in values) == ("rpy" in values):
            raise CalibrationError(path, "give either quaternion_xyzw or rpy (radians).")
        if "rpy" in values:
            T = from_translation_rpy(xyz, _numbers(values["rpy"], 3, f"{path}.rpy"))
        else:
            q = _numbers(values["quaternion_xyzw"], 4, f"{path}.quaternion_xyzw")
            T = from_translation_quaternion(xyz, q)
    T = check_transform(T, path)
    offset = float(np.linalg.norm(T[:3, 3]))
    if offset > MAX_OFFSET_M:
        raise CalibrationError(
            path, f"the camera would be {offset:.0f} m from its base.", hint="metres, not mm"
        )
    return T
