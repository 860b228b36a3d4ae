"""Plain pictures: one file, a folder that is one camera, or sub-folders that are several.

Stamps are read from the names where all of them are stamps; else the pictures count at 1 Hz in
natural order, which is said, and no window of time applies to them. `1_depth.png` goes with its
colour picture, a pose file (TUM format or 4x4) gives places.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from oryx_scene.errors import SourceError
from oryx_scene.file_kind import file_kind
from oryx_scene.sources.base import OpenOptions, SourceKind
from oryx_scene.sources.file_source import FileCamera, FileFrame, FileSource
from oryx_scene.sources.folder_cameras import (
    camera_name,
    folder_cameras,
    frame_stamps,
    has_pictures,
)
from oryx_scene.warning import Warning

RATE_HZ = 1


def open_pictures(path: Path, options: OpenOptions) -> FileSource:
    """Open a picture, or a folder of them.

    Raises:
        SourceError: no picture, or a camera matrix or pose file that cannot be read.
    """
    if path.is_file():
        stamps = frame_stamps([path], RATE_HZ).stamps_ns
        camera = FileCamera(
            camera_name(path.stem), (FileFrame(stamps[0], path),), turn_upright=True
        )
        return FileSource(path, [camera], options, stills=True, counted=True)
    found = folder_cameras(path, RATE_HZ, options.rig)
    if not found.cameras:
        raise SourceError(path, "there is no picture in it.", hint="see docs/sources.md")
    if found.counted:
        text = f"the pictures have no stamps: {found.counted}, and ages mean nothing"
        found.warnings.append(Warning("no_stamps", text))
    cameras = [dataclasses.replace(camera, turn_upright=True) for camera in found.cameras]
    return FileSource(
        path,
        cameras,
        options,
        found.warnings,
        found.base_trajectory,
        stills=True,
        counted=bool(found.counted),
    )


def _recognises(path: Path) -> bool:
    if path.is_file():
        return file_kind(path).role == "picture"
    return path.is_dir() and has_pictures(path)


KIND = SourceKind(
    "pictures",
    "a picture; a folder of them (one camera); sub-folders of them (several cameras)",
    _recognises,
    open_pictures,
)
