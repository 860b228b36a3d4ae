"""Picture and depth files become pixels or metres; which files of a folder are pictures.

Decided by first bytes, never by the suffix. PNG and JPEG are checked for completeness; other
formats (bmp, tiff, webp, pgm, ppm) are decoded as OpenCV does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from oryx_scene.errors import ImageDecodeError, SourceError
from oryx_scene.file_kind import HEAD_BYTES, FileKind, file_kind, kind_of_bytes
from oryx_scene.records import DepthImage, RgbImage
from oryx_scene.sources.bags.compressed import check_complete, decode_compressed_image
from oryx_scene.sources.bags.decode import AnyArray, depth_from_samples
from oryx_scene.sources.file_names import natural_key, readable_name

# Taken for a picture by a reader; files of other suffixes are taken where their first bytes say so.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
# What a user may think is a picture: named when it is passed over.
_LOOKS_LIKE_PICTURE = (
    *PICTURE_SUFFIXES,
    *(".heic", ".heif", ".avif", ".gif", ".jp2", ".exr", ".hdr", ".psd", ".svg"),
    *(".dng", ".cr2", ".nef", ".arw", ".raw"),
)
_RAW_SUFFIXES = (".dng", ".cr2", ".nef", ".arw")


@dataclass(frozen=True)
class Listing:
    """The pictures of one folder.

    Attributes:
        pictures: in natural order of their names.
        passed_over: name of a file that looks like a picture -> why it is none.
    """

    pictures: tuple[Path, ...]
    passed_over: dict[str, str]


def list_pictures(folder: Path) -> Listing:
    """The pictures that lie directly in a folder; hidden files do not count.

    Raises:
        SourceError: the folder cannot be read.
    """
    try:
        items = sorted(folder.iterdir(), key=lambda item: natural_key(item.name))
    except OSError as err:
        raise SourceError(folder, f"cannot be read: {err.strerror}.") from err
    pictures, passed_over = [], {}
    for item in items:
        if item.name.startswith(".") or item.is_dir():
            continue
        looks = item.suffix.lower() in _LOOKS_LIKE_PICTURE
        problem = _problem(item)
        if not problem:
            pictures.append(item)
        elif looks:
            passed_over[readable_name(item.name)] = problem
    return Listing(tuple(pictures), passed_over)


def has_picture(folder: Path) -> bool:
    """Whether a picture lies directly in a folder; reads no further than the first."""
    return any(
        not item.name.startswith(".") and not item.is_dir() and not _problem(item)
        for item in folder.iterdir()
    )


def _problem(item: Path) -> str:
    """Why a file is no picture that can be read; "" where it is one."""
    if not item.exists():
        return "a link that leads nowhere"
    try:
        kind = file_kind(item)
    except SourceError as err:
        return err.message.removeprefix(f"{item}: ").rstrip(".")
    if kind.role == "picture" and item.suffix.lower() not in _RAW_SUFFIXES:
        return ""
    return kind.description


def read_file(camera: str, file: Path) -> bytes:
    """All bytes of a file.

    Raises:
        ImageDecodeError: it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as err:
        raise ImageDecodeError(camera, f"{file.name} cannot be read: {err.strerror}") from err


def decode_picture(name: str, data: bytes, *, turn_upright: bool = False) -> RgbImage:
    """Turn the bytes of a picture file into RGB.

    Args:
        name: camera or file, for errors.
        data: the whole file.
        turn_upright: obey an EXIF orientation.

    Returns:
        (height, width, 3) uint8 RGB, read only; deeper samples keep their high byte.

    Raises:
        ImageDecodeError: broken, cut off, or no picture.
    """
    kind = _picture_kind(name, data)
    if kind.name in ("png", "jpeg"):
        return decode_compressed_image(name, "", data, turn_upright=turn_upright)
    flags = cv2.IMREAD_COLOR if turn_upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    rgb: RgbImage = cv2.cvtColor(_decode(name, kind, data, flags), cv2.COLOR_BGR2RGB)
    rgb.flags.writeable = False
    return rgb


def decode_depth_file(name: str, data: bytes, unit_m: float) -> DepthImage:
    """Turn the bytes of a depth file into metres.

    Args:
        name: camera or file, for errors.
        data: a picture of one channel: 16-bit steps (0 and 65535 are no measurement), or float
            metres (tiff).
        unit_m: metres per step.

    Returns:
        (height, width) float32 metres along the optical z axis, NaN where unknown.

    Raises:
        ImageDecodeError: broken, cut off, or not such a picture.
    """
    kind = _picture_kind(name, data)
    steps = _decode(name, kind, data, cv2.IMREAD_UNCHANGED)
    if steps.ndim != 2 or steps.dtype not in (np.uint16, np.float32):
        raise ImageDecodeError(
            name,
            f"expected 16-bit depth of one channel, got {steps.dtype} of shape {steps.shape}",
            hint="a lossy or coloured picture of depth holds no measured depth",
        )
    return depth_from_samples(steps, unit_m)


def _picture_kind(name: str, data: bytes) -> FileKind:
    kind = kind_of_bytes(data[:HEAD_BYTES])
    if kind.role != "picture":
        raise ImageDecodeError(name, f"this is {kind.description}", hint=kind.hint)
    return kind


def _decode(name: str, kind: FileKind, data: bytes, flags: int) -> AnyArray:
    if kind.name in ("png", "jpeg"):
        check_complete(name, data)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as err:
        raise ImageDecodeError(name, f"the decoder refuses it ({err.err})") from err
    if pixels is None or pixels.size == 0:
        raise ImageDecodeError(name, f"the decoder finds no picture in {kind.description}")
    return np.asarray(pixels)
