"""All kinds of sources, and the one function that opens any of them.

To add a kind: one file with a ``KIND``, one entry in :data:`KINDS`
(docs/developing/adding_a_source.md). What this package may not import (rendered drives) is
registered by who opens sources (`cli.common`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from oryx_scene.dump import source as dump_source
from oryx_scene.errors import SourceError
from oryx_scene.file_kind import file_kind, refusal
from oryx_scene.geometry.rig import Rig, load_rig
from oryx_scene.records import FloatArray, Frame
from oryx_scene.sources import euroc, pictures, rgbd_folder, tum, video
from oryx_scene.sources.bags import source as bag_source
from oryx_scene.sources.base import BaseSource, FrameStub, OpenOptions, SourceKind
from oryx_scene.warning import Warning

# The first that recognises a path opens it: what a description file names comes before what only
# looks like pictures.
KINDS: tuple[SourceKind, ...] = (
    dump_source.KIND,
    tum.KIND,
    euroc.KIND,
    rgbd_folder.KIND,
    bag_source.KIND,
    video.KIND,
    pictures.KIND,
)
_registered: list[SourceKind] = []


def register_kind(kind: SourceKind) -> None:
    """Let :func:`open_source` ask a kind that this package may not import, before all others.

    Registering a kind of the same name again replaces it.
    """
    _registered[:] = [*(other for other in _registered if other.name != kind.name), kind]


def kinds() -> tuple[SourceKind, ...]:
    """All kinds in the order in which they are asked."""
    return (*_registered, *KINDS)


def open_source(
    path: str | Path,
    *,
    rig: str | Path | Rig | None = None,
    fixed_frame: str = "map",
    cameras: Sequence[str] = (),
) -> BaseSource:
    """Open a recording of any kind in :func:`kinds`.

    Args:
        path: a file or folder; what is read is listed in docs/sources.md.
        rig: calibration that fills in or overrides what the recording lacks.
        fixed_frame: coordinate frame of poses.
        cameras: only these; all if empty.

    Raises:
        SourceError: nothing there, damaged, or without a picture; also for unknown cameras.
        CalibrationError: the rig file cannot be used.
    """
    path = Path(path)
    calibration = load_rig(rig) if isinstance(rig, str | Path) else rig
    if not path.exists():
        raise SourceError(path, "no such file or folder.", hint="check the path")
    for kind in kinds():
        if kind.recognises(path):
            source = kind.open(path, OpenOptions(calibration, fixed_frame))
            return _Selected(source, tuple(cameras), path) if cameras else source
    raise _refusal(path)


def _refusal(path: Path) -> SourceError:
    """What lies there instead of a source."""
    if not path.is_dir():
        return refusal(path, file_kind(path))
    files = [item for item in sorted(path.iterdir()) if item.is_file()]
    found = Counter(file_kind(file) for file in files if not file.name.startswith("."))
    inside = "; ".join(f"{count} x {kind.description}" for kind, count in found.most_common(4))
    hint = next((kind.hint for kind, _ in found.most_common() if kind.hint), "")
    folders = [item for item in sorted(path.iterdir()) if item.is_dir()]
    below = [item.name for item in folders if any(kind.recognises(item) for kind in kinds())]
    if below:
        hint = f"give one of the folders in it: {', '.join(below[:5])}"
    return SourceError(
        path,
        f"neither a bag, nor a posed RGB-D folder, nor pictures ({inside or 'no file'}).",
        hint=hint or "see docs/sources.md for what can be read",
    )


class _Selected(BaseSource):
    """A source of which only some cameras are used."""

    def __init__(self, source: BaseSource, cameras: tuple[str, ...], path: Path) -> None:
        unknown = [name for name in cameras if name not in source.cameras]
        if unknown:
            raise SourceError(
                path,
                f"there is no camera '{unknown[0]}'.",
                hint=f"there are: {', '.join(source.cameras) or 'none'}",
            )
        stubs = [stub for stub in source.stubs() if stub.camera in cameras]
        super().__init__(
            stubs,
            synthetic=source.synthetic,
            stills=source.stills,
            counted=source.counted,
        )
        self._source = source

    @property
    def warnings(self) -> tuple[Warning, ...]:
        return tuple(dict.fromkeys((*self._source.warnings, *self._warnings)))

    def load(self, stub: FrameStub) -> Frame:
        return self._source.load(stub)

    def pose(self, stub: FrameStub) -> FloatArray | None:
        return self._source.pose(stub)

    def mountings(self) -> Mapping[str, tuple[str, FloatArray]]:
        return self._source.mountings()

    def begin_pass(self, wanted: Sequence[FrameStub]) -> None:
        self._source.begin_pass(wanted)
