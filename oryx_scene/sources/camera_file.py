"""Camera matrices as folders of pictures carry them: text, YAML or JSON, with or without a size.

Known are a 3x3 or 4x4 matrix of numbers (3DMatch, 7-Scenes, ScanNet), one line `fx fy cx cy` with
distortion coefficients behind it, a ROS camera_info YAML, and Open3D's PinholeCameraIntrinsic JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from oryx_scene.errors import CalibrationError, SourceError
from oryx_scene.geometry.camera import check_intrinsics
from oryx_scene.records import FloatArray, Intrinsics
from oryx_scene.sources.file_names import is_depth_name, natural_key, words_of
from oryx_scene.warning import Warning

_SUFFIXES = (".txt", ".yaml", ".yml", ".json")
_WORDS = frozenset({"intrinsic", "intrinsics", "camerainfo", "calibration"})


@dataclass(frozen=True, eq=False)
class StatedCamera:
    """A camera matrix and what its file says about it.

    Attributes:
        K: (3, 3) pixels.
        file: where it stands.
        height, width: of the pictures it belongs to, 0 where the file does not say.
        distortion_model, D: as in ``frames.Intrinsics``.
    """

    K: FloatArray
    file: Path
    height: int = 0
    width: int = 0
    distortion_model: str = "none"
    D: FloatArray = field(default_factory=lambda: np.zeros(0))

    def centred_in(self, height: int, width: int) -> bool:
        """Whether the optical axis meets the middle half of a picture of this size."""
        cx, cy = self.K[0, 2] / width, self.K[1, 2] / height
        return bool(0.25 < cx < 0.75 and 0.25 < cy < 0.75)

    def at(self, height: int, width: int) -> Intrinsics:
        """Intrinsics of a picture of this size.

        Raises:
            CalibrationError: the matrix belongs to another size, or can be no camera's.
        """
        stated = (self.height or height, self.width or width)
        if stated != (height, width):
            raise CalibrationError(
                self.file.name,
                f"it is for {self.width}x{self.height}, the picture is {width}x{height}.",
                hint="write the matrix of this picture size",
            )
        found = Intrinsics(self.K, height, width, self.distortion_model, self.D)
        found = check_intrinsics(found, self.file.name)
        if not (0 < found.K[0, 2] < width and 0 < found.K[1, 2] < height):
            raise CalibrationError(
                self.file.name,
                f"its centre ({found.K[0, 2]:.1f}, {found.K[1, 2]:.1f}) lies outside the picture "
                f"of {width}x{height}: it belongs to another size.",
                hint="write the matrix of this picture size",
            )
        return found


def find_camera_files(folder: Path) -> tuple[Path | None, Path | None]:
    """The files with the colour and the depth camera's matrix in a folder or its `intrinsic/`.

    `camera-intrinsics.txt`, `intrinsic_color.txt`, `depth_intrinsics.json` and the like; None where
    there is none.
    """
    places = [folder, *(folder / name for name in ("intrinsic", "intrinsics", "calibration"))]
    files = [file for place in places for file in _candidates(place)]
    depth = [file for file in files if is_depth_name(file.stem)]
    color = [file for file in files if not is_depth_name(file.stem)]
    return (color[0] if color else None), (depth[0] if depth else None)


def _candidates(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = []
    for file in folder.iterdir():
        words = words_of(file.stem)
        named = not _WORDS.isdisjoint(words) or words == ("camera", "info") or file.stem == "K"
        hidden = file.name.startswith(".")
        if named and not hidden and file.suffix.lower() in _SUFFIXES and file.is_file():
            found.append(file)
    return sorted(found, key=lambda file: natural_key(file.name))


def read_camera_file(file: Path) -> StatedCamera:
    """Read a camera matrix.

    Raises:
        SourceError: not readable, or no camera matrix in a known notation.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise SourceError(file, f"cannot be read ({err}).") from err
    if file.suffix.lower() == ".txt":
        return _from_text(file, text)
    try:
        values = json.loads(text) if file.suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as err:
        raise SourceError(file, f"neither JSON nor YAML: {' '.join(str(err).split())}.") from err
    if not isinstance(values, dict):
        raise _no_matrix(file, "no named values")
    return _from_names(file, values)


def usable_camera_file(file: Path | None, warnings: list[Warning]) -> StatedCamera | None:
    """The camera matrix of a file; None without one, or with the reason where it is none."""
    try:
        return None if file is None else read_camera_file(file)
    except SourceError as err:
        assert file is not None
        text = f"{err.message.removeprefix(f'{file}: ')} Calibration left out: no 3D places"
        warnings.append(Warning("calibration_unusable", text, topic=file.name, advice=err.hint))
        return None


def number_rows(text: str) -> list[list[float]]:
    """Rows of numbers of a text; "#" begins a comment; commas, semicolons and brackets separate.

    Raises:
        ValueError: something else stands there.
    """
    lines = (re.sub(r"[,;\[\]()]", " ", line.partition("#")[0]) for line in text.splitlines())
    return [[float(word) for word in line.split()] for line in lines if line.strip()]


def _no_matrix(file: Path, why: str) -> SourceError:
    return SourceError(
        file,
        f"a 3x3 camera matrix was expected, got {why}.",
        hint="write 3 lines of 3 numbers: fx 0 cx / 0 fy cy / 0 0 1",
    )


def _from_text(file: Path, text: str) -> StatedCamera:
    try:
        rows = number_rows(text)
    except ValueError as err:
        raise _no_matrix(file, f"no numbers ({err})") from err
    shape = (len(rows), *sorted({len(row) for row in rows}))
    if shape in ((3, 3), (4, 4), (3, 4)):
        return StatedCamera(np.array(rows)[:3, :3], file)
    numbers = [value for row in rows for value in row]
    if len(numbers) == 9 and numbers[6:] == [0.0, 0.0, 1.0]:
        return StatedCamera(np.array(numbers).reshape(3, 3), file)
    if len(rows) == 1 and len(numbers) in (4, 8, 9):
        fx, fy, cx, cy = numbers[:4]
        D = np.array(numbers[4:])
        model = "plumb_bob" if D.size else "none"
        return StatedCamera(_matrix(fx, fy, cx, cy), file, distortion_model=model, D=D)
    raise _no_matrix(
        file, f"{len(rows)} lines of {' or '.join(map(str, shape[1:])) or 'no'} numbers"
    )


def _matrix(fx: float, fy: float, cx: float, cy: float) -> FloatArray:
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _from_names(file: Path, values: dict[Any, Any]) -> StatedCamera:
    """ROS camera_info, Open3D PinholeCameraIntrinsic, or fx, fy, cx, cy by name."""
    inner = values.get("camera")
    if isinstance(inner, dict):
        values = inner
    height, width = (
        _size(values, *names) for names in (("image_height", "height"), ("image_width", "width"))
    )
    try:
        if "intrinsic_matrix" in values:  # Open3D writes it column by column
            K = np.array(values["intrinsic_matrix"], dtype=float).reshape(3, 3).T
        elif "camera_matrix" in values:
            K = np.array(_data(values["camera_matrix"]), dtype=float).reshape(3, 3)
        else:
            K = _matrix(*(float(values[key]) for key in ("fx", "fy", "cx", "cy")))
        D = np.array(_data(values.get("distortion_coefficients", [])), dtype=float).ravel()
    except (KeyError, TypeError, ValueError) as err:
        raise _no_matrix(file, f"the names {', '.join(map(str, values)) or '(none)'}") from err
    model = str(values.get("distortion_model", "plumb_bob" if D.size else "none"))
    return StatedCamera(K, file, height, width, model, D)


def _size(values: dict[Any, Any], *names: str) -> int:
    found = next((values[name] for name in names if isinstance(values.get(name), int)), 0)
    return int(found)


def _data(value: Any) -> Iterable[Any]:
    found: Iterable[Any] = value["data"] if isinstance(value, dict) else value
    return found
