"""The cameras of a folder told by file names, with stamps, camera matrices and poses.

Posed RGB-D folders and plain pictures are read by this; they differ in what is known of time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from oryx_scene.geometry.rig import Rig
from oryx_scene.sources.camera_file import StatedCamera, find_camera_files, usable_camera_file
from oryx_scene.sources.file_names import (
    holds_pictures,
    is_depth_name,
    natural_key,
    pair_key,
    stamps_from_names,
    words_of,
)
from oryx_scene.sources.file_source import FileCamera
from oryx_scene.sources.picture_file import has_picture, list_pictures
from oryx_scene.sources.picture_folder import (
    PictureFiles,
    color_folder,
    listed_names,
    passed_over_warnings,
    picture_files,
)
from oryx_scene.sources.pose_file import Trajectory, find_pose_file, usable_poses
from oryx_scene.warning import Warning

_STAMP_FILES = ("timestamps", "times", "timestamp")
_BESIDE = "there are more pictures beside"


class Stamps(NamedTuple):
    """Stamps of pictures, ns, and how they were counted: "" where they are times."""

    stamps_ns: list[int]
    counted: str = ""


def frame_stamps(files: Sequence[Path], rate_hz: int, listed: Sequence[int] = ()) -> Stamps:
    """Stamps of pictures in their order.

    Those of a list are taken; names that are stamps are read; numbers in the names count at
    ``rate_hz``; where the names have none, the order of the names does. Stamp zero means "not
    stamped" in ROS: counting begins at one second.
    """
    found = list(listed) or stamps_from_names([file.stem for file in files])
    return Stamps(found) if found else counted_stamps(files, rate_hz)


def counted_stamps(files: Sequence[Path], rate_hz: int) -> Stamps:
    """Stamps that only count the pictures."""
    numbers = _numbers(files)
    if numbers is not None:
        how = f"the numbers in their names are counted at {rate_hz} Hz"
    else:
        numbers, how = list(range(len(files))), f"they are counted at {rate_hz} Hz by their order"
    stamps = [1_000_000_000 + number * 1_000_000_000 // rate_hz for number in numbers]
    return Stamps(stamps, how)


def _listed_stamps(folder: Path, count: int, warnings: list[Warning]) -> list[int]:
    """Stamps of a `timestamps.txt` with one line per picture (KITTI); [] without one."""
    names = [f"{stem}{suffix}" for stem in _STAMP_FILES for suffix in (".txt", ".csv")]
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
        cells = [line.rpartition(",")[2].strip() for line in lines]
        words = [cell for cell in cells if cell and not cell.startswith("#")]
        stamps = stamps_from_names(words) or [round(float(word) * 1e9) for word in words]
        problem = f"it holds {len(stamps)} stamps for {count} pictures"
    except (OSError, ValueError, OverflowError) as err:
        stamps, problem = [], f"it is no list of stamps ({err})"
    if len(stamps) == count and len(set(stamps)) == count and min(stamps) >= 0:
        return stamps
    warnings.append(Warning("stamp_file_unused", f"{problem}: it was left out", topic=file.name))
    return []


def _numbers(files: Sequence[Path]) -> list[int] | None:
    """The last number in each name where all have one, all different and of a sane size."""
    numbers = []
    for file in files:
        digits = [word for word in words_of(file.stem) if word.isdecimal()]
        if not digits or len(digits[-1]) > 9:
            return None
        numbers.append(int(digits[-1]))
    return numbers if len(set(numbers)) == len(numbers) else None


@dataclass
class FolderCameras:
    """The cameras of a folder.

    Attributes:
        cameras: with at least one frame each.
        counted: how stamps were counted, "" where all were read from names.
        base_trajectory: poses beside several cameras: of the rig's base, not of one camera.
        warnings: what was passed over, and what cannot be used.
    """

    cameras: list[FileCamera] = field(default_factory=list)
    counted: str = ""
    base_trajectory: Trajectory | None = None
    warnings: list[Warning] = field(default_factory=list)


def folder_cameras(path: Path, rate_hz: int, rig: Rig | None = None) -> FolderCameras:
    """All cameras of a folder: its `seq-*` folders, else itself, else its sub-folders.

    Args:
        path: the folder.
        rate_hz: at which pictures without stamps are counted.
        rig: pictures of one folder that are named after its cameras are these cameras'.
    """
    found = FolderCameras()
    cameras = _cameras_of(path, rig, found.warnings)
    stamps = [
        frame_stamps(files.color, rate_hz, _listed_stamps(folder, len(files.color), found.warnings))
        for _, folder, files in cameras
    ]
    if any(item.counted for item in stamps):
        # One clock for all: where one camera has to be counted, all are.
        stamps = [counted_stamps(files.color, rate_hz) for _, _, files in cameras]
        found.counted = stamps[0].counted
    for (name, folder, files), (stamps_ns, counted) in zip(cameras, stamps, strict=True):
        frames = files.frames(stamps_ns, counted=bool(counted))
        color, depth = _matrices(folder, path, found.warnings)
        found.warnings += passed_over_warnings(files, "" if folder == path else folder.name)
        trajectory = usable_poses(find_pose_file(folder), stamps_ns, counted, found.warnings)
        found.cameras.append(FileCamera(name, frames, color, depth, trajectory=trajectory))
    _take_common_poses(found, path)
    return found


_Camera = tuple[str, Path, PictureFiles]


def _cameras_of(path: Path, rig: Rig | None, warnings: list[Warning]) -> list[_Camera]:
    """(name, folder, files) of each camera that has a picture; nothing is passed over unsaid."""
    sequences = sorted(item for item in path.glob("seq-*") if item.is_dir())
    if sequences:
        several = [(item, files) for item in sequences if (files := picture_files(item)).color]
        names = ["camera"] if len(several) == 1 else [folder.name for folder, _ in several]
        return _named(names, several)
    own, below = picture_files(path), _below(path, warnings)
    count = sum(len(files.color) for _, files in below)
    if len(own.color) >= count:
        if count:
            text = f"passed over the folders {listed_names([f.name for f, _ in below])}: {_BESIDE}"
            warnings.append(Warning("files_passed_over", text))
        by_name = _by_rig(own, rig) or ({"camera": own} if own.color else {})
        return [(name, path, files) for name, files in by_name.items()]
    if own.color:
        text = f"passed over {listed_names([file.name for file in own.color])}: {_BESIDE}"
        warnings.append(Warning("files_passed_over", text))
    return _named([folder.name for folder, _ in below], below)


def _below(path: Path, warnings: list[Warning]) -> list[tuple[Path, PictureFiles]]:
    """Sub-folders that are cameras, with the depth of folders named after them."""
    color = color_folder(path)
    folders = [item for item in _sub_folders(path) if item != color]
    cameras = [(item, picture_files(item)) for item in folders if holds_pictures(item.name)]
    cameras = [(item, files) for item, files in cameras if files.color]
    for item in folders:
        if not is_depth_name(item.name) or color != path:
            continue
        listing = list_pictures(item)
        owner = next((f for c, f in cameras if pair_key(c.name) == pair_key(item.name)), None)
        if owner is not None:
            owner.add_depth(listing)
        elif listing.pictures and cameras:
            text = "its depth belongs to no camera's folder by its name"
            warnings.append(Warning("depth_unused", text, topic=item.name))
    return cameras


def _named(names: Sequence[str], several: Sequence[tuple[Path, PictureFiles]]) -> list[_Camera]:
    """Cameras with names of their own, also where folders differ by a space only."""
    taken: list[str] = []
    for text in names:
        name = camera_name(text)
        taken.append(name if name not in taken else f"{name}_{len(taken) + 1}")
    return [(name, *item) for name, item in zip(taken, several, strict=True)]


def _sub_folders(path: Path) -> list[Path]:
    found = [item for item in path.iterdir() if item.is_dir()]
    visible = [item for item in found if not item.name.startswith((".", "__"))]
    return sorted(visible, key=lambda item: natural_key(item.name))


def has_pictures(path: Path) -> bool:
    """Whether a picture lies in a folder, its sub-folders, or theirs for colour."""
    return any(has_picture(color_folder(folder)) for folder in (path, *_sub_folders(path)))


def camera_name(text: str) -> str:
    """A name that can be a part of a ROS topic."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower() or "camera"
    return name if name[0].isalpha() else f"camera_{name}"


def _by_rig(files: PictureFiles, rig: Rig | None) -> dict[str, PictureFiles]:
    """Pictures of one folder by the rig's camera that each is named after; {} if not all are."""
    found: dict[str, PictureFiles] = {}
    for file in files.color:
        name = next((n for n in (rig.cameras if rig else ()) if _is_named(file.stem, n)), None)
        if name is None:
            return {}
        own = found.setdefault(name, PictureFiles([], files.depth, files.pose))
        own.color.append(file)
    return found


def _is_named(stem: str, camera: str) -> bool:
    """Whether a file name is a camera's name, with or without a number or stamp behind it."""
    rest = stem[len(camera) :]
    return stem.startswith(camera) and not any(word.isalpha() for word in words_of(rest))


def _matrices(
    folder: Path, path: Path, warnings: list[Warning]
) -> tuple[StatedCamera | None, StatedCamera | None]:
    """Of the camera's folder, else of the folder above that the user gave."""
    own, above = find_camera_files(folder), find_camera_files(path)
    color, depth = (
        usable_camera_file(mine or common, warnings)
        for mine, common in zip(own, above, strict=True)
    )
    return color, depth


def _take_common_poses(found: FolderCameras, path: Path) -> None:
    """A pose file beside the folders of several cameras."""
    posed = any(camera.trajectory for camera in found.cameras)
    file = None if posed else find_pose_file(path)
    if file is None or not found.cameras:
        return
    stamps = [frame.stamp_ns for frame in found.cameras[0].frames]
    poses = usable_poses(file, stamps, found.counted, found.warnings)
    if len(found.cameras) == 1:
        found.cameras[0] = replace(found.cameras[0], trajectory=poses)
    else:
        found.base_trajectory = poses
