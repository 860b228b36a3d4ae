"""EuRoC-like folders (EuRoC MAV, TUM-VI): `mav0/cam*/data.csv` with `sensor.yaml`, ground truth.

Stamps are nanoseconds; `sensor.yaml` holds matrix, distortion and mounting (T_BS takes points of
the camera to the body); ground truth gives poses of the body (Burri et al., IJRR 2016). What a rig
file says wins over `sensor.yaml`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from oryx_scene.errors import CalibrationError, SourceError
from oryx_scene.geometry.camera import check_intrinsics
from oryx_scene.geometry.rig import Rig, RigCamera
from oryx_scene.geometry.transforms import check_transform
from oryx_scene.records import Intrinsics
from oryx_scene.sources.base import OpenOptions, SourceKind
from oryx_scene.sources.file_source import FileCamera, FileFrame, FileSource
from oryx_scene.sources.pose_file import Trajectory, stamped_poses
from oryx_scene.warning import Warning

BODY = "body"
# The first that is there; state estimates are denser than the tracker's.
_TRUTH = ("state_groundtruth_estimate0", "mocap0", "vicon0")


def open_euroc(path: Path, options: OpenOptions) -> FileSource:
    """Open a sequence; a camera or ground truth that cannot be read is left out and said.

    Raises:
        SourceError: no camera of it can be read.
    """
    root = _root(path)
    warnings: list[Warning] = []
    cameras, sensors = [], {}
    for folder in sorted(item for item in root.glob("cam*") if item.is_dir()):
        try:
            cameras.append(FileCamera(folder.name, _frames(folder, warnings)))
            sensors[folder.name] = _sensor(folder / "sensor.yaml")
        except (SourceError, CalibrationError) as err:
            code = "files_missing" if isinstance(err, SourceError) else "calibration_unusable"
            text = f"left out: {err.message.removeprefix(f'{root}/')}"
            warnings.append(Warning(code, text, camera=folder.name, advice=err.hint))
    if not cameras:
        text = "; ".join(map(str, warnings)) or "there is no cam*/data.csv"
        raise SourceError(path, f"no camera of it can be read ({text}).")
    rig = _merged(options.rig, Rig(BODY, sensors))
    options = dataclasses.replace(options, rig=rig)
    return FileSource(path, cameras, options, warnings, _truth(root, warnings))


def _root(path: Path) -> Path:
    return path / "mav0" if (path / "mav0").is_dir() else path


def _rows(file: Path) -> list[list[str]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise SourceError(file, f"cannot be read ({err}).") from err
    cells = ([cell.strip() for cell in line.split(",")] for line in lines)
    return [row for row in cells if row[0] and not row[0].startswith("#")]


def _frames(folder: Path, warnings: list[Warning]) -> tuple[FileFrame, ...]:
    file = folder / "data.csv"
    try:
        listed = [FileFrame(int(row[0]), folder / "data" / row[1]) for row in _rows(file)]
    except (ValueError, IndexError) as err:
        raise SourceError(
            file, f"no list of stamps and files ({err}).", hint="`timestamp [ns],filename` per line"
        ) from err
    there = tuple(frame for frame in listed if frame.color.is_file())
    if not there:
        raise SourceError(file, f"none of its {len(listed)} files is there.", hint="copy all of it")
    if len(there) < len(listed):
        text = f"{len(listed) - len(there)} of its {len(listed)} files are not there"
        topic = f"{folder.name}/data.csv"
        warnings.append(Warning("files_missing", text, camera=folder.name, topic=topic))
    return there


def _sensor(file: Path) -> RigCamera:
    if not file.exists():
        return RigCamera()
    name = f"{file.parent.name}/{file.name}"
    try:
        values: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
        fx, fy, cx, cy = (float(value) for value in values["intrinsics"])
        width, height = (int(value) for value in values["resolution"])
        D = np.array(values.get("distortion_coefficients", []), dtype=float)
        model = str(values.get("distortion_model", "none"))
        mounting = values.get("T_BS")
        T = None if mounting is None else np.array(mounting["data"], dtype=float).reshape(4, 4)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as err:
        text = f"no EuRoC sensor description ({' '.join(str(err).split())})."
        raise CalibrationError(name, text) from err
    K = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    intrinsics = check_intrinsics(Intrinsics(K, height, width, model, D), name)
    return RigCamera(intrinsics, None if T is None else check_transform(T, name))


def _merged(user: Rig | None, own: Rig) -> Rig:
    """The layout's rig, with what the user's says in place of it, field by field."""
    if user is None:
        return own
    cameras = dict(own.cameras)
    for name, camera in user.cameras.items():
        values = {item.name: getattr(camera, item.name) for item in dataclasses.fields(camera)}
        said = {
            key: value
            for key, value in values.items()
            if value is not None and not (isinstance(value, str) and not value)
        }
        cameras[name] = dataclasses.replace(cameras.get(name, RigCamera()), **said)
    return Rig(user.base_frame, cameras)


def _truth(root: Path, warnings: list[Warning]) -> Trajectory | None:
    file = next((f for name in _TRUTH if (f := root / name / "data.csv").is_file()), None)
    if file is None:
        return None
    try:
        rows = [(int(row[0]), [float(cell) for cell in row[1:8]]) for row in _rows(file)]
        if not rows or any(len(numbers) < 7 for _, numbers in rows):
            raise ValueError("7 numbers after each stamp were expected")
    except (ValueError, SourceError) as err:
        text = f"it holds no poses ({err}): they were left out"
        topic = f"{file.parent.name}/data.csv"
        warnings.append(Warning("pose_file_unused", text, topic=topic))
        return None
    # EuRoC writes the quaternion's real part first.
    tum = [[x, y, z, qx, qy, qz, qw] for _, (x, y, z, qw, qx, qy, qz) in rows]
    return stamped_poses(file, [stamp for stamp, _ in rows], tum)


KIND = SourceKind(
    "EuRoC sequence",
    "`mav0/cam*/data.csv` and `sensor.yaml`, `state_groundtruth_estimate0/` or `mocap0/`",
    lambda path: path.is_dir() and any(_root(path).glob("cam*/data.csv")),
    open_euroc,
)
