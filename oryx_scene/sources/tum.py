"""TUM RGB-D sequences: `rgb.txt`, `depth.txt` and `groundtruth.txt` beside their pictures.

Depth is 5000 steps a metre and lies over the colour picture; it goes with the colour picture of the
nearest stamp. Poses are those of the colour camera's optical frame (Sturm et al., IROS 2012). The
sequences state no camera matrix: a rig file or `camera-intrinsics.txt` must.
"""

from __future__ import annotations

from pathlib import Path

from oryx_scene.errors import SourceError
from oryx_scene.sources.base import OpenOptions, SourceKind
from oryx_scene.sources.camera_file import find_camera_files, usable_camera_file
from oryx_scene.sources.file_source import FileCamera, FileFrame, FileSource, nearest_file
from oryx_scene.sources.pose_file import stamp_ns, usable_poses
from oryx_scene.warning import Warning

DEPTH_UNIT_M = 1 / 5000


def open_tum(path: Path, options: OpenOptions) -> FileSource:
    """Open a sequence.

    Raises:
        SourceError: a list that is no list of stamps and files, or no picture of it is there.
    """
    warnings: list[Warning] = []
    colors = _listed(path / "rgb.txt", warnings)
    color, depth = (usable_camera_file(file, warnings) for file in find_camera_files(path))
    poses = path / "groundtruth.txt" if (path / "groundtruth.txt").exists() else None
    depths = _depths(path / "depth.txt", warnings)
    camera = FileCamera(
        "camera",
        tuple(FileFrame(stamp, file, nearest_file(depths, stamp)) for stamp, file in colors),
        color,
        depth,
        DEPTH_UNIT_M,
        usable_poses(poses, [stamp for stamp, _ in colors], "", warnings),
    )
    return FileSource(path, [camera], options, warnings)


def _depths(file: Path, warnings: list[Warning]) -> list[tuple[int, Path]]:
    try:
        return _listed(file, warnings) if file.exists() else []
    except SourceError as err:
        text = f"depth left out: {err.message.removeprefix(f'{file}: ')}"
        warnings.append(Warning("depth_left_out", text, topic=file.name, advice=err.hint))
        return []


def _listed(file: Path, warnings: list[Warning]) -> list[tuple[int, Path]]:
    """(stamp_ns, file) of every line, in order of time; files that are not there are said."""
    try:
        lines = [line.split() for line in file.read_text(encoding="utf-8-sig").splitlines()]
        entries = [(stamp_ns(words[0]), " ".join(words[1:])) for words in lines if _is_entry(words)]
    except (OSError, UnicodeDecodeError, ValueError) as err:
        raise SourceError(
            file, f"no list of stamps and files ({err}).", hint="one `timestamp file` per line"
        ) from err
    found = [(stamp, file.parent / name) for stamp, name in entries]
    there = sorted((stamp, item) for stamp, item in found if item.is_file())
    if len(there) < len(found):
        text = f"{len(found) - len(there)} of its {len(found)} files are not there"
        warnings.append(Warning("files_missing", text, topic=file.name))
    return there


def _is_entry(words: list[str]) -> bool:
    return bool(words) and not words[0].startswith("#")


KIND = SourceKind(
    "TUM RGB-D sequence",
    "`rgb.txt`, `depth.txt`, `groundtruth.txt`; depth 5000 steps a metre",
    lambda path: (path / "rgb.txt").is_file(),
    open_tum,
)
