"""Poses of a camera in one file: the TUM format, or matrices one after the other.

TUM: `timestamp tx ty tz qx qy qz qw` per line, seconds and metres. Matrices: 4x4 numbers in four
lines (a line of three whole numbers before each is passed over: Redwood's `.log`), or 12 or 16
numbers in one (KITTI, Replica), one per picture in their order. Each takes points of the camera's
optical frame to the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from oryx_scene.errors import CalibrationError, SourceError
from oryx_scene.geometry.transforms import check_transform, from_translation_quaternion
from oryx_scene.records import FloatArray
from oryx_scene.sources.camera_file import number_rows
from oryx_scene.sources.file_names import natural_key, words_of
from oryx_scene.warning import Warning

_WORDS = frozenset(
    {"groundtruth", "trajectory", "traj", "poses", "pose", "odometry", "odom", "keyframetrajectory"}
)
_SUFFIXES = (".txt", ".csv", ".tum", ".log", ".freiburg")


@dataclass(frozen=True)
class Trajectory:
    """Poses in the order of their file.

    Attributes:
        file: where they stand.
        poses: T_world_camera (4, 4), None for one that is no pose.
        stamps_ns: one per pose; empty where the file has none and poses go by number.
    """

    file: Path
    poses: tuple[FloatArray | None, ...]
    stamps_ns: tuple[int, ...] = ()

    @property
    def unusable(self) -> int:
        """How many entries are no pose: not finite, or no rotation."""
        return sum(pose is None for pose in self.poses)


def find_pose_file(folder: Path) -> Path | None:
    """A file of poses for all pictures of a folder: `groundtruth.txt`, `traj.txt`, `poses.txt`."""
    found = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _SUFFIXES
        and not file.name.startswith(".")
        and not _WORDS.isdisjoint(words := words_of(file.stem))
        # The pose of one picture has its number: frame-000012.pose.txt.
        and not any(word.isdecimal() for word in words)
        and file.is_file()
    ]
    return min(found, key=lambda file: natural_key(file.name), default=None)


def read_pose_file(file: Path) -> Trajectory:
    """Read all poses of a file.

    Raises:
        SourceError: not readable, or none of the formats.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows = number_rows(text)
    except (OSError, UnicodeDecodeError, ValueError) as err:
        raise SourceError(
            file, f"it holds no poses ({err}).", hint="TUM format, or 4x4 matrices"
        ) from err
    widths = {len(row) for row in rows}
    if widths == {8}:
        return _stamped(file, text, rows)
    if widths in ({12}, {16}):
        matrices = [np.array(row).reshape(-1, 4) for row in rows]
    elif widths in ({4}, {3, 4}):
        lines = [row for row in rows if len(row) == 4]
        if len(lines) % 4:
            raise SourceError(file, f"{len(lines)} lines of 4 numbers are no 4x4 matrices.")
        matrices = [np.array(lines[i : i + 4]) for i in range(0, len(lines), 4)]
    else:
        counts = ", ".join(map(str, sorted(widths))) or "no"
        raise SourceError(
            file,
            f"poses were expected, got lines of {counts} numbers.",
            hint="8 numbers a line (TUM: timestamp tx ty tz qx qy qz qw), or 4x4 matrices",
        )
    return Trajectory(file, tuple(_checked(matrix, file) for matrix in matrices))


def usable_poses(
    file: Path | None, stamps_ns: Sequence[int], counted: str, warnings: list[Warning]
) -> Trajectory | None:
    """The poses of a file for a camera's pictures; None with the reason where they do not fit.

    Args:
        file: None gives None.
        stamps_ns: of the pictures. Poses with stamps are looked up at these; poses without are
            those of as many pictures, in their order.
        counted: how the pictures' stamps were counted, "" where they are times.
        warnings: the reason is appended.
    """
    if file is None:
        return None
    try:
        poses = read_pose_file(file)
    except SourceError as err:
        text = f"{err.message.removeprefix(f'{file}: ')} Its poses were left out"
        warnings.append(Warning("pose_file_unused", text, topic=file.name, advice=err.hint))
        return None
    if poses.stamps_ns and not counted:
        return poses
    if poses.stamps_ns:
        text = "it has stamps, and the pictures have none: its poses were left out"
    elif len(poses.poses) == len(stamps_ns):
        return replace(poses, stamps_ns=tuple(sorted(stamps_ns)))
    else:
        text = (
            f"it holds {len(poses.poses)} poses for {len(stamps_ns)} pictures and no stamps: its "
            "poses were left out"
        )
    advice = "write one pose per picture, or TUM format with the stamps that the names hold"
    warnings.append(Warning("pose_file_unused", text, topic=file.name, advice=advice))
    return None


def read_pose_matrix(file: Path) -> FloatArray:
    """The 4x4 (or 3x4) matrix of one picture's pose file.

    Raises:
        SourceError: not readable, or no such matrix.
        CalibrationError: not finite, or no rotation.
    """
    try:
        values = np.array([v for row in number_rows(file.read_text()) for v in row])
    except (OSError, UnicodeDecodeError, ValueError) as err:
        raise SourceError(file, f"no pose file with 4x4 numbers ({err}).") from err
    if values.size not in (12, 16):
        raise SourceError(file, f"4x4 numbers were expected, got {values.size}.")
    return check_transform(_square(values.reshape(-1, 4)), file.name)


def _square(matrix: FloatArray) -> FloatArray:
    return matrix if len(matrix) == 4 else np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]])


def _checked(matrix: FloatArray, file: Path) -> FloatArray | None:
    try:
        return check_transform(_square(matrix), file.name)
    except CalibrationError:
        return None


def _stamped(file: Path, text: str, rows: list[list[float]]) -> Trajectory:
    lines = (line.partition("#")[0].replace(",", " ").split() for line in text.splitlines())
    stamps = [stamp_ns(words[0]) for words in lines if words]
    return stamped_poses(file, stamps, [row[1:] for row in rows])


def stamped_poses(
    file: Path, stamps_ns: Sequence[int], rows: Sequence[Sequence[float]]
) -> Trajectory:
    """Poses from rows of tx ty tz (metres) qx qy qz qw, one per stamp."""
    poses: list[FloatArray | None] = []
    for row in rows:
        try:
            poses.append(_checked(from_translation_quaternion(row[:3], row[3:7]), file))
        except CalibrationError:
            poses.append(None)
    return Trajectory(file, tuple(poses), tuple(stamps_ns))


def stamp_ns(text: str) -> int:
    """Nanoseconds of "1305031102.175304" (seconds) or of a whole number of nanoseconds, exactly.

    Raises:
        ValueError: no number.
    """
    whole, _, fraction = text.partition(".")
    if whole.isdecimal() and (not fraction or fraction.isdecimal()):
        if len(whole) >= 16:  # whole nanoseconds, as some tools write
            return int(whole)
        return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    value = float(text)
    return round(value * 1e9) if abs(value) < 1e12 else round(value)
