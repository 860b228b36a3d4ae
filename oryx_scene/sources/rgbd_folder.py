"""Folders of posed RGB-D frames: 3DMatch, 7-Scenes, ScanNet, Redwood, and flat ones.

A camera matrix in a file (`camera-intrinsics.txt`, `intrinsic/intrinsic_color.txt`, ...), pictures
`frame-NNNNNN.color.png` with `.depth.png` and `.pose.txt`, in `seq-*` folders or flat beside the
matrix; or sub-folders `color/`, `depth/` and `pose/`. Depth is uint16 millimetres, 0 and 65535 mean
unknown; a pose takes camera points to the world, metres. Frame numbers count at 30 Hz, which is
said, unless the names are stamps.
"""

from __future__ import annotations

from pathlib import Path

from oryx_scene.errors import SourceError
from oryx_scene.sources.base import OpenOptions, SourceKind
from oryx_scene.sources.camera_file import find_camera_files
from oryx_scene.sources.file_source import FileSource
from oryx_scene.sources.folder_cameras import folder_cameras
from oryx_scene.warning import Warning

FRAME_RATE_HZ = 30


def open_rgbd_folder(path: Path, options: OpenOptions) -> FileSource:
    """Open a folder of posed RGB-D frames; each `seq-*` folder is one moving camera.

    Raises:
        SourceError: no frames, or a camera matrix or pose file that cannot be read.
    """
    found = folder_cameras(path, FRAME_RATE_HZ, options.rig)
    if not found.cameras:
        raise SourceError(
            path,
            "there is no colour picture in it or its seq-* folders.",
            hint="the layout is described in docs/sources.md",
        )
    if found.counted:
        text = f"the pictures have no stamps: {found.counted}"
        found.warnings.append(Warning("no_stamps", text))
    return FileSource(path, found.cameras, options, found.warnings, found.base_trajectory)


def _recognises(path: Path) -> bool:
    if not path.is_dir():
        return False
    matrix, _ = find_camera_files(path)
    return matrix is not None or any(item.is_dir() for item in path.glob("seq-*"))


KIND = SourceKind(
    "posed RGB-D folder (3DMatch, 7-Scenes, ScanNet)",
    "`camera-intrinsics.txt` (or `intrinsic/`), `seq-*/frame-*.{color,depth}.{png,jpg}` and "
    "`.pose.txt`; or flat; or `color/`, `depth/`, `pose/`",
    _recognises,
    open_rgbd_folder,
)
