"""Folders told by file names: which files are one camera's, with depth, poses, stamps and matrix.

Posed RGB-D folders and plain pictures are read by this; they differ in what is known of time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from oryx_scene.geometry.rig import Rig
from oryx_scene.sources.camera_file import StatedCamera, find_camera_files, usable_camera_file
from oryx_scene.sources.file_names import (
    DEPTH_WORDS,
    POSE_WORDS,
    is_depth_name,
    natural_key,
    pair_key,
    stamps_from_names,
    words_of,
)
from oryx_scene.sources.file_source import FileCamera, FileFrame
from oryx_scene.sources.picture_file import list_pictures
from oryx_scene.sources.pose_file import Trajectory, find_pose_file, usable_poses
from oryx_scene.warning import Warning

# Sub-folders of one camera that hold its colour pictures.
COLOR_FOLDERS = ("color", "colour", "rgb", "image", "images", "img", "frames", "data", "results")
# Names in a warning; more are counted.
_MOST_NAMES = 3


@dataclass
class PictureFiles:
    """The files of one camera.

    Attributes:
        color: in natural order.
        depth, pose: by the same key as the picture they belong to.
        passed_over: file that looks like a picture -> why it is none.
    """

    color: list[Path] = field(default_factory=list)
    depth: dict[tuple[str, ...], Path] = field(default_factory=dict)
    pose: dict[tuple[str, ...], Path] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)

    def frames(self, stamps_ns: Sequence[int]) -> tuple[FileFrame, ...]:
        """One frame per picture."""
        keys = [pair_key(file.stem) for file in self.color]
        return tuple(
            FileFrame(stamp_ns, file, self.depth.get(key), self.pose.get(key))
            for stamp_ns, file, key in zip(stamps_ns, self.color, keys, strict=True)
        )


def picture_files(folder: Path) -> PictureFiles:
    """The files of one camera: in a folder itself, or in its `color/`, `depth/` and `pose/`."""
    found = PictureFiles()
    color_folder = _color_folder(folder)
    _take(found, color_folder)
    for item in sorted(folder.iterdir(), key=lambda item: natural_key(item.name)):
        words = words_of(item.name)
        hidden = item.name.startswith(".")
        if hidden or item == color_folder or not item.is_dir():
            continue
        if not DEPTH_WORDS.isdisjoint(words):
            listing = list_pictures(item)
            found.depth |= {pair_key(file.stem): file for file in listing.pictures}
            found.passed_over |= listing.passed_over
        elif not POSE_WORDS.isdisjoint(words):
            found.pose |= {pair_key(file.stem): file for file in _texts(item)}
    return found


def _color_folder(folder: Path) -> Path:
    """Where the colour pictures of a camera's folder lie."""
    if list_pictures(folder).pictures:
        return folder
    inside = [folder / name for name in COLOR_FOLDERS if (folder / name).is_dir()]
    return next((item for item in inside if list_pictures(item).pictures), folder)


def _take(found: PictureFiles, folder: Path) -> None:
    """Colour, depth and poses that lie in one folder, told apart by their names."""
    listing = list_pictures(folder)
    found.passed_over |= listing.passed_over
    for file in listing.pictures:
        if is_depth_name(file.stem):
            found.depth[pair_key(file.stem)] = file
        else:
            found.color.append(file)
    for file in _texts(folder):
        if not POSE_WORDS.isdisjoint(words_of(file.stem)):
            found.pose[pair_key(file.stem)] = file


def _texts(folder: Path) -> list[Path]:
    """Text files with a number in their name: the pose of one picture."""
    return [
        file
        for file in folder.iterdir()
        if file.suffix.lower() == ".txt"
        and not file.name.startswith(".")
        and any(word.isdecimal() for word in words_of(file.stem))
    ]


def frame_stamps(
    files: Sequence[Path], rate_hz: int, *, read: bool = True
) -> tuple[list[int], str]:
    """Stamps of pictures in their order, and how they were counted ("" where the names hold them).

    Names that are stamps are read; numbers in the names count at ``rate_hz``; where the names have
    none, the order of the names does. Stamp zero means "not stamped" in ROS: counting begins at one
    second.
    """
    found = stamps_from_names([file.stem for file in files]) if read else None
    if found is not None:
        return found, ""
    numbers = _numbers(files)
    if numbers is not None:
        how = f"the numbers in their names are counted at {rate_hz} Hz"
    else:
        numbers, how = list(range(len(files))), f"they are counted at {rate_hz} Hz by their order"
    return [1_000_000_000 + number * 1_000_000_000 // rate_hz for number in numbers], how


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
    cameras = _cameras_of(path, rig)
    # One clock for all: where one camera has to be counted, all are.
    counted = any(frame_stamps(files.color, rate_hz)[1] for _, _, files in cameras)
    for name, folder, files in cameras:
        stamps, how = frame_stamps(files.color, rate_hz, read=not counted)
        found.counted = found.counted or how
        frames = files.frames(stamps)
        color, depth = _matrices(folder, path, found.warnings)
        where = "" if folder == path else folder.name
        found.warnings += passed_over_warnings(files, where)
        trajectory = usable_poses(find_pose_file(folder), stamps, how, found.warnings)
        found.cameras.append(FileCamera(name, frames, color, depth, trajectory=trajectory))
    _take_common_poses(found, path)
    return found


def _cameras_of(path: Path, rig: Rig | None) -> list[tuple[str, Path, PictureFiles]]:
    """(name, folder, files) of each camera that has a picture."""
    sequences = sorted(item for item in path.glob("seq-*") if item.is_dir())
    own = PictureFiles() if sequences else picture_files(path)
    if own.color:
        by_name = _by_rig(own, rig)
        return [(name, path, files) for name, files in by_name.items()] or [("camera", path, own)]
    folders = sequences or _sub_folders(path)
    several = [(folder, picture_files(folder)) for folder in folders]
    several = [(folder, files) for folder, files in several if files.color]
    names = ["camera"] if len(several) == 1 and sequences else [f.name for f, _ in several]
    return [
        (camera_name(name), folder, files)
        for name, (folder, files) in zip(names, several, strict=True)
    ]


def _sub_folders(path: Path) -> list[Path]:
    found = [item for item in path.iterdir() if item.is_dir()]
    visible = [item for item in found if not item.name.startswith((".", "__"))]
    return sorted(visible, key=lambda item: natural_key(item.name))


def has_pictures(path: Path) -> bool:
    """Whether a colour picture lies in a folder, its sub-folders, or theirs for colour."""
    return bool(_cameras_of(path, None))


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


def passed_over_warnings(found: PictureFiles, where: str) -> list[Warning]:
    """What looks like a picture and is none, by reason; depth without a picture."""
    by_reason: dict[str, list[str]] = {}
    for name, why in found.passed_over.items():
        by_reason.setdefault(why, []).append(name)
    said = [
        Warning("files_passed_over", f"passed over {_named(names)}: {why}", topic=where)
        for why, names in by_reason.items()
    ]
    keys = {pair_key(file.stem) for file in found.color}
    alone = [file.name for key, file in found.depth.items() if key not in keys]
    if alone and found.color:
        text = f"passed over {_named(alone)}: depth without a colour picture of its name"
        said.append(Warning("files_passed_over", text, topic=where))
    return said


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
