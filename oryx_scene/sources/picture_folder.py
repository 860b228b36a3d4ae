"""Which files of a folder are one camera's by name: colour pictures, their depth and poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oryx_scene.sources.file_names import (
    DEPTH_WORDS,
    POSE_WORDS,
    holds_pictures,
    is_depth_name,
    natural_key,
    pair_key,
    stamps_from_names,
    words_of,
)
from oryx_scene.sources.file_source import FileFrame, nearest_file
from oryx_scene.sources.picture_file import Listing, has_picture, list_pictures
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

    def add_depth(self, listing: Listing) -> None:
        """The pictures of a folder of depth."""
        self.depth |= {pair_key(file.stem): file for file in listing.pictures}
        self.passed_over |= listing.passed_over

    def frames(self, stamps_ns: Sequence[int], *, counted: bool) -> tuple[FileFrame, ...]:
        """One frame per picture.

        Depth goes by name; where no name fits and the names of both are stamps, the nearest is
        taken, as in a TUM sequence.
        """
        keys = [pair_key(file.stem) for file in self.color]
        late = [] if counted or not self.depth.keys().isdisjoint(keys) else self._depth_by_stamp()
        return tuple(
            FileFrame(
                stamp_ns,
                file,
                nearest_file(late, stamp_ns) if late else self.depth.get(key),
                self.pose.get(key),
            )
            for stamp_ns, file, key in zip(stamps_ns, self.color, keys, strict=True)
        )

    def _depth_by_stamp(self) -> list[tuple[int, Path]]:
        files = list(self.depth.values())
        return sorted(zip(stamps_from_names([f.stem for f in files]) or [], files, strict=False))


def picture_files(folder: Path) -> PictureFiles:
    """The files of one camera: in a folder itself, or in its `color/`, `depth/` and `pose/`."""
    found = PictureFiles()
    own = color_folder(folder)
    _take(found, own)
    for item in sorted(folder.iterdir(), key=lambda item: natural_key(item.name)):
        words = words_of(item.name)
        hidden = item.name.startswith(".")
        if hidden or item == own or not item.is_dir():
            continue
        if not DEPTH_WORDS.isdisjoint(words):
            found.add_depth(list_pictures(item))
        elif not POSE_WORDS.isdisjoint(words):
            found.pose |= {pair_key(file.stem): file for file in _texts(item)}
    return found


def color_folder(folder: Path) -> Path:
    """Where the colour pictures of a camera's folder lie."""
    if has_picture(folder):
        return folder
    inside = [folder / name for name in COLOR_FOLDERS if (folder / name).is_dir()]
    return next((item for item in inside if has_picture(item)), folder)


def _take(found: PictureFiles, folder: Path) -> None:
    """Colour, depth and poses that lie in one folder, told apart by their names."""
    listing = list_pictures(folder)
    found.passed_over |= listing.passed_over
    for file in listing.pictures:
        if is_depth_name(file.stem):
            found.depth[pair_key(file.stem)] = file
        elif holds_pictures(file.stem):
            found.color.append(file)
        else:
            found.passed_over[file.name] = "a mask, label or the like by its name"
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


def passed_over_warnings(found: PictureFiles, where: str) -> list[Warning]:
    """What looks like a picture and is none, by reason; depth without a picture."""
    by_reason: dict[str, list[str]] = {}
    for name, why in found.passed_over.items():
        by_reason.setdefault(why, []).append(name)
    said = [
        Warning("files_passed_over", f"passed over {listed_names(names)}: {why}", topic=where)
        for why, names in by_reason.items()
    ]
    keys = {pair_key(file.stem) for file in found.color}
    if keys.isdisjoint(found.depth) and stamps_from_names([f.stem for f in found.depth.values()]):
        return said  # paired by stamp
    alone = [file.name for key, file in found.depth.items() if key not in keys]
    if alone and found.color:
        text = f"passed over {listed_names(alone)}: depth without a colour picture of its name"
        said.append(Warning("files_passed_over", text, topic=where))
    return said


def listed_names(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
