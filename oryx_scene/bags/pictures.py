"""Plain picture files as views: no depth, no pose, and no stamps that mean anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from oryx_scene.bags.compressed import decode_compressed_image
from oryx_scene.bags.source import FrameStub
from oryx_scene.errors import ImageDecodeError, OryxSceneError, SourceError
from oryx_scene.frames import Frame
from oryx_scene.geometry.rig import Rig

# Pictures of one folder are taken as one moment, a millisecond apart so that they have an order.
SPACING_NS = 1_000_000


class PictureSource:
    """Pictures, each a camera of its own named after its file.

    Args:
        path: what the user gave, for errors.
        files: the pictures in order.
        rig: intrinsics by camera name.

    Raises:
        SourceError: two files of one name, or none.
    """

    synthetic = False

    def __init__(self, path: Path, files: Sequence[Path], rig: Rig | None) -> None:
        names = [file.stem for file in files]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(path, f"several pictures are called {', '.join(twice)}.")
        self._files = {file.stem: file for file in files}
        self._rig = rig
        self._stubs = tuple(
            FrameStub(name, index * SPACING_NS, index * SPACING_NS, str(file.name), 0)
            for index, (name, file) in enumerate(self._files.items())
        )
        self.cameras = tuple(sorted(self._files))
        self.warnings: tuple[str, ...] = (
            "plain pictures have no stamps: all are taken as one moment, and ages mean nothing",
        )

    def stubs(self) -> Sequence[FrameStub]:
        """All pictures."""
        return self._stubs

    def load(self, stub: FrameStub) -> Frame:
        """Decode one picture, turned upright as its EXIF says."""
        file = self._files[stub.camera]
        try:
            data = file.read_bytes()
        except OSError as err:
            raise ImageDecodeError(stub.camera, f"cannot be read: {err.strerror}") from err
        rgb = decode_compressed_image(stub.camera, "", data, turn_upright=True)
        camera = self._rig.cameras.get(stub.camera) if self._rig else None
        intrinsics = camera.intrinsics if camera else None
        if intrinsics is not None and (intrinsics.height, intrinsics.width) != rgb.shape[:2]:
            raise ImageDecodeError(
                stub.camera,
                f"it is {rgb.shape[1]}x{rgb.shape[0]}, its calibration is for "
                f"{intrinsics.width}x{intrinsics.height}",
            )
        return Frame(
            camera=stub.camera,
            stamp_ns=stub.stamp_ns,
            frame_id=stub.camera,
            rgb=rgb,
            sha256=hashlib.sha256(data).hexdigest(),
            topic=stub.topic,
            encoding=file.suffix.lstrip(".").lower(),
            intrinsics=intrinsics,
        )

    def pose(self, stub: FrameStub) -> None:
        """Nobody knows where a plain picture was taken."""

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        """Decode the pictures one after the other."""
        yield from decode_all(self, start_ns, end_ns)


def decode_all(source: PictureSource, start_ns: int | None, end_ns: int | None) -> Iterator[Frame]:
    """Frames of a source in order; a broken one is left out with a warning of the source."""
    for stub in source.stubs():
        if start_ns is not None and stub.stamp_ns < start_ns:
            continue
        if end_ns is not None and stub.stamp_ns > end_ns:
            continue
        try:
            yield source.load(stub)
        except OryxSceneError as err:
            source.warnings += (f"left out {stub.topic}: {err.message}",)
