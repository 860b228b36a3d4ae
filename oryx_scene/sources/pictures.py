"""Plain picture files as views: no depth, no pose, and no stamps that mean anything."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from oryx_scene.bags.compressed import decode_compressed_image
from oryx_scene.errors import ImageDecodeError, SourceError
from oryx_scene.frames import Frame
from oryx_scene.geometry.rig import Rig
from oryx_scene.sources.base import BaseSource, FrameStub, OpenOptions, SourceKind
from oryx_scene.warning import Warning

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

# Pictures of one folder are taken as one moment, a millisecond apart so that they have an order.
SPACING_NS = 1_000_000


class PictureSource(BaseSource):
    """Pictures, each a camera of its own named after its file.

    Args:
        path: what the user gave, for errors.
        files: the pictures in order.
        rig: intrinsics by camera name.

    Raises:
        SourceError: two files of one name, or none.
    """

    def __init__(self, path: Path, files: Sequence[Path], rig: Rig | None) -> None:
        names = [file.stem for file in files]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(path, f"several pictures are called {', '.join(twice)}.")
        self._files = {file.stem: file for file in files}
        self._rig = rig
        super().__init__(
            [
                FrameStub(name, index * SPACING_NS, index * SPACING_NS, str(file.name), 0)
                for index, (name, file) in enumerate(self._files.items())
            ]
        )
        text = "plain pictures have no stamps: all are taken as one moment, and ages mean nothing"
        self._warnings.append(Warning("no_stamps", text))

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


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [item for item in sorted(path.iterdir()) if item.suffix.lower() in PICTURE_SUFFIXES]


def _open(path: Path, options: OpenOptions) -> PictureSource:
    return PictureSource(path, _files(path), options.rig)


KIND = SourceKind(
    "pictures",
    "a picture, or a folder of them",
    lambda path: bool(_files(path)),
    _open,
)
