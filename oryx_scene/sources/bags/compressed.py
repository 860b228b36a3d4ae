"""Compressed payloads (sensor_msgs/CompressedImage, picture files) become pixels or metres.

Knows jpeg, png and the compressedDepth transport; nothing of messages or topics. OpenCV decodes a
truncated jpeg to a half grey picture without a word, so completeness is checked here first.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.errors import ImageDecodeError
from oryx_scene.records import DepthImage, RgbImage
from oryx_scene.sources.bags.decode import Payload, depth_from_samples, stretched

# A header can claim any size; above this no camera's picture was meant (256 MPx).
MAX_PIXELS = 1 << 28

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_MAGIC = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
PICTURE_ENDS = (_PNG_END, _JPEG_END)
_BROKEN_HINT = "the message is damaged; leave this frame out"


def parse_format(text: str) -> tuple[str, str, str]:
    """Split CompressedImage.format into (encoding before compression, codec, encoding inside).

    "rgb8; jpeg compressed bgr8" gives ("rgb8", "jpeg", "bgr8"); "png" gives ("", "png", "").
    Unknown codecs come back as written, in lower case, so that the caller can name them.
    """
    head, separator, tail = text.partition(";")
    encoding, rest = (head.strip(), tail.strip()) if separator else ("", head.strip())
    words = rest.lower().split()
    inside = words[words.index("compressed") + 1 :] if "compressed" in words else []
    codec = words[0] if words else ""
    if codec == "compresseddepth" and "rvl" in words:
        codec = "compresseddepth rvl"
    return encoding, {"jpg": "jpeg"}.get(codec, codec), inside[0] if inside else ""


def _jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """Return (height, width, offset of the first scan), None if the headers never reach one."""
    size, at = None, 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        is_frame = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if is_frame and at + 9 <= len(data):
            size = struct.unpack_from(">HH", data, at + 5)
        if marker == 0xDA:
            return (*size, at) if size else None
        at += 2 + length
    return None


def check_complete(name: str, data: bytes) -> None:
    """Refuse payloads that are neither jpeg nor png, are cut short, or claim absurd sizes.

    Raises:
        ImageDecodeError: one of these; no pixel has been decoded.
    """
    if data.startswith(_JPEG_MAGIC):
        found = _jpeg_size(data)
        if found is None:
            raise ImageDecodeError(name, "jpeg without picture data", hint=_BROKEN_HINT)
        height, width, scan = found
        # Inside a scan 0xff is always stuffed, so the end marker cannot occur by chance.
        complete = data.find(_JPEG_END, scan) >= 0
    elif data.startswith(_PNG_MAGIC):
        if len(data) < 24:
            raise ImageDecodeError(name, "png cut off in its header", hint=_BROKEN_HINT)
        width, height = struct.unpack_from(">II", data, 16)
        complete = data.rstrip(b"\0").endswith(_PNG_END)
    else:
        start = data[:4].hex(" ") or "nothing"
        raise ImageDecodeError(
            name,
            f"expected a jpeg or png, but {len(data)} bytes begin with {start}",
            hint="other codecs are not read; republish as jpeg, png or raw",
        )
    if not complete:
        raise ImageDecodeError(
            name, f"the picture is cut off after {len(data)} bytes", hint=_BROKEN_HINT
        )
    if height * width > MAX_PIXELS:
        raise ImageDecodeError(
            name, f"its header claims {width}x{height} pixels", hint=_BROKEN_HINT
        )


def _imdecode(name: str, data: bytes, flags: int) -> NDArray[np.generic]:
    check_complete(name, data)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as err:
        raise ImageDecodeError(
            name, f"the decoder refuses it ({err.err})", hint=_BROKEN_HINT
        ) from err
    if pixels is None or pixels.size == 0:
        raise ImageDecodeError(name, "the decoder found no picture", hint=_BROKEN_HINT)
    return np.asarray(pixels)


def decode_compressed_image(
    name: str,
    format_text: str,
    data: Payload,
    *,
    turn_upright: bool = False,
    grey_range: tuple[float, float] | None = None,
) -> RgbImage:
    """Turn a jpeg or png into an RGB picture.

    Args:
        name: camera or topic, for errors.
        format_text: CompressedImage.format; the bytes decide about the codec, the text only about
            the colour order: "...compressed rgb8" says that red and blue were swapped before
            compression (compressed_image_transport), and they are swapped back.
        data: the whole file.
        turn_upright: obey an EXIF orientation. Only for picture files: a camera's K belongs to the
            pixels as they came.
        grey_range: as in ``decode_image``, for pngs of 16 bits.

    Returns:
        (height, width, 3) uint8 RGB, read only. 16-bit pngs keep their high byte.

    Raises:
        ImageDecodeError: broken, truncated or empty picture, or another codec.
    """
    flags = cv2.IMREAD_COLOR if turn_upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    if grey_range is None:
        bgr = _imdecode(name, bytes(data), flags)
    else:
        deep = _imdecode(name, bytes(data), flags | cv2.IMREAD_ANYDEPTH)
        wide = deep.dtype == np.uint16
        bgr = (stretched(deep, grey_range) >> 8).astype(np.uint8) if wide else deep
    swapped = parse_format(format_text)[2].startswith("rgb")
    rgb: RgbImage = bgr if swapped else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
    rgb.flags.writeable = False
    return rgb


def is_png16(data: bytes) -> bool:
    """Whether a payload begins as a png of one 16-bit grey channel: depth, where a name says so."""
    return data.startswith(_PNG_MAGIC) and data[24:26] == b"\x10\x00"


def depth_header(data: bytes) -> bytes:
    """The quantisation header before the png of a compressedDepth payload, b"" without one."""
    return b"" if data.startswith(_PNG_MAGIC) else data[:12]


def decode_compressed_depth(
    name: str, format_text: str, data: Payload, unit_m: float = 0.001
) -> DepthImage:
    """Turn a compressedDepth payload, or a 16-bit png of millimetres, into metres.

    compressedDepth (compressed_depth_image_transport) is a 12-byte header (int32, float32 A,
    float32 B) and a 16-bit png: millimetres for 16UC1, inverse depth for 32FC1, where
    depth = A / (value - B) and 0 means unknown.

    Args:
        name, data: as in ``decode_compressed_image``.
        format_text: CompressedImage.format, e.g. "16UC1; compressedDepth".
        unit_m: metres per step of 16-bit depth.

    Returns:
        (height, width) float32 metres along the optical z axis, NaN where unknown.

    Raises:
        ImageDecodeError: broken payload, a codec other than png, or not 16 bits deep.
    """
    raw = bytes(data)
    encoding, codec, _ = parse_format(format_text)
    if codec == "compresseddepth rvl":
        raise ImageDecodeError(
            name,
            "depth is compressed with rvl, which is not read",
            hint="record with compressedDepth format 'png'",
        )
    header = depth_header(raw)
    steps = _imdecode(name, raw[len(header) :], cv2.IMREAD_UNCHANGED)
    if steps.dtype != np.uint16 or steps.ndim != 2:
        raise ImageDecodeError(
            name,
            f"expected a 16-bit png of one channel, got {steps.dtype} of shape {steps.shape}",
            hint="a lossy or coloured picture of depth holds no measured depth",
        )
    if encoding != "32FC1":
        return depth_from_samples(steps, unit_m)
    if len(header) < 12:
        raise ImageDecodeError(
            name, "32FC1 compressedDepth without its quantisation header", hint=_BROKEN_HINT
        )
    _, a, b = struct.unpack("<iff", header)
    return _from_inverse_depth(name, steps, a, b)


def _from_inverse_depth(name: str, steps: NDArray[np.generic], a: float, b: float) -> DepthImage:
    if not (np.isfinite(a) and np.isfinite(b) and a > 0):
        raise ImageDecodeError(
            name, f"its depth quantisation is impossible (A = {a}, B = {b})", hint=_BROKEN_HINT
        )
    values = steps.astype(np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        depth = np.float32(a) / (values - np.float32(b))
    depth[steps == 0] = np.nan
    return depth_from_samples(depth)
