"""Sources of frames: one protocol for bags, posed RGB-D folders and plain pictures.

A source is indexed without decoding anything; pictures are decoded one at a time when they are
asked for, so that memory does not grow with the recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from oryx_scene.errors import SourceError
from oryx_scene.frames import FloatArray, Frame
from oryx_scene.geometry.rig import Rig, load_rig

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
BAG_SUFFIXES = (".bag", ".mcap", ".db3")


@dataclass(frozen=True)
class FrameStub:
    """One frame that could be decoded.

    Attributes:
        camera: our name.
        stamp_ns: capture time from the message header.
        log_ns: when it was recorded; equals ``stamp_ns`` outside bags.
        topic: topic or file.
        serial: running number within its topic.
    """

    camera: str
    stamp_ns: int
    log_ns: int
    topic: str
    serial: int


class FrameSource(Protocol):
    """Where recorded frames come from."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Our names of the cameras, sorted."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing or doubtful about the whole source, one sentence each."""
        ...

    @property
    def synthetic(self) -> bool:
        """Whether the frames were rendered, not recorded."""
        ...

    def stubs(self) -> Sequence[FrameStub]:
        """All frames in the order of their stamps, nothing decoded."""
        ...

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame.

        Raises:
            ImageDecodeError: its payload is broken.
        """
        ...

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame without decoding it; None where it is not known."""
        ...

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        """Decode frames one after the other; broken ones are left out and counted in warnings."""
        ...


def open_source(
    path: str | Path,
    *,
    rig: str | Path | Rig | None = None,
    fixed_frame: str = "map",
    cameras: Sequence[str] = (),
) -> FrameSource:
    """Open a recording.

    Args:
        path: rosbag2 folder, .mcap, .db3, ROS 1 .bag, a folder in the 3DMatch / 7-Scenes layout, a
            dumped question, a picture or a folder of pictures.
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
    source = _open(path, calibration, fixed_frame)
    return _Selected(source, tuple(cameras), path) if cameras else source


def _open(path: Path, rig: Rig | None, fixed_frame: str) -> FrameSource:
    # Imported here: a folder of pictures needs no bag library.
    if path.is_file() and path.suffix.lower() in BAG_SUFFIXES:
        from oryx_scene.bags.bag_source import BagSource

        return BagSource(path, rig, fixed_frame)
    if path.is_file():
        from oryx_scene.bags.pictures import PictureSource

        return PictureSource(path, [path], rig)
    if (path / "camera-intrinsics.txt").exists() or any(path.glob("seq-*")):
        from oryx_scene.bags.rgbd_folder import RgbdFolder

        return RgbdFolder(path, fixed_frame)
    if (path / "dump.json").exists():
        from oryx_scene.dump.source import DumpSource

        return DumpSource(path)
    inside = [item for item in sorted(path.iterdir()) if item.suffix.lower() in BAG_SUFFIXES]
    if (path / "metadata.yaml").exists() or inside:
        from oryx_scene.bags.bag_source import BagSource

        return BagSource(path, rig, fixed_frame)
    files = [item for item in sorted(path.iterdir()) if item.suffix.lower() in PICTURE_SUFFIXES]
    if files:
        from oryx_scene.bags.pictures import PictureSource

        return PictureSource(path, files, rig)
    raise SourceError(
        path,
        "neither a bag, nor a posed RGB-D folder, nor pictures.",
        hint="see docs/sources.md for what can be read",
    )


class _Selected:
    """A source of which only some cameras are used."""

    def __init__(self, source: FrameSource, cameras: tuple[str, ...], path: Path) -> None:
        unknown = [name for name in cameras if name not in source.cameras]
        if unknown:
            raise SourceError(
                path,
                f"there is no camera '{unknown[0]}'.",
                hint=f"there are: {', '.join(source.cameras) or 'none'}",
            )
        self._source = source
        self.cameras = tuple(sorted(set(cameras)))

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._source.warnings

    @property
    def synthetic(self) -> bool:
        return self._source.synthetic

    def stubs(self) -> Sequence[FrameStub]:
        return [stub for stub in self._source.stubs() if stub.camera in self.cameras]

    def load(self, stub: FrameStub) -> Frame:
        return self._source.load(stub)

    def pose(self, stub: FrameStub) -> FloatArray | None:
        return self._source.pose(stub)

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        found = self._source.frames(start_ns, end_ns)
        return (frame for frame in found if frame.camera in self.cameras)
