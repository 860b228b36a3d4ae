"""Raw image payloads (sensor_msgs/Image) become RGB pixels or depth in metres.

Takes plain values, so that a bag and a live topic give bit-identical pixels; knows nothing of
messages, topics or files. Compressed payloads are in ``compressed``. Every payload that does not
fit its own description is refused with ImageDecodeError: a picture that is quietly skewed,
truncated or of swapped colours would be answered about as if it were the scene.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.errors import ImageDecodeError
from oryx_scene.records import DepthImage, RgbImage

# Anything with the buffer protocol: bytes, memoryview, numpy array, array.array.
Payload = Any
AnyArray = NDArray[Any]

_ZERO_SIZE_HINT = "the driver published an empty picture; drop it, or repair the driver"


@dataclass(frozen=True)
class _Layout:
    """How one encoding lies in memory and becomes RGB.

    ``row_numerator / row_denominator`` rows of samples per image row (3/2 for the 4:2:0 formats).
    """

    dtype: str
    channels: int
    to_rgb: Callable[[AnyArray], AnyArray] | None
    rows: tuple[int, int] = (1, 1)
    even_width: bool = False


def _convert(code: int) -> Callable[[AnyArray], AnyArray]:
    return lambda pixels: np.asarray(cv2.cvtColor(pixels, code))


def stretched(pixels: AnyArray, grey_range: tuple[float, float] | None) -> AnyArray:
    """16-bit samples with ``grey_range`` (low, high) spread over all of 0 to 65535."""
    if grey_range is None or pixels.dtype != np.uint16:
        return pixels
    low, high = grey_range
    spread = (pixels.astype(np.float32) - np.float32(low)) * np.float32(65535 / (high - low))
    return np.asarray(np.clip(np.rint(spread), 0, 65535), dtype=np.uint16)


def _to_8bit(pixels: AnyArray) -> AnyArray:
    # 65535 / 255 = 257 exactly; integer rounding is the same on every machine.
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _from_16bit(convert: Callable[[AnyArray], AnyArray]) -> Callable[[AnyArray], AnyArray]:
    return lambda pixels: _to_8bit(convert(pixels))


def _bayer(pattern: str) -> Callable[[AnyArray], AnyArray]:
    # OpenCV names a mosaic by the second row's second and third pixel, ROS by the first two rows.
    code = {
        "rggb": cv2.COLOR_BayerBG2RGB,
        "bggr": cv2.COLOR_BayerRG2RGB,
        "gbrg": cv2.COLOR_BayerGR2RGB,
        "grbg": cv2.COLOR_BayerGB2RGB,
    }[pattern]
    return _convert(code)


def _keep(pixels: AnyArray) -> AnyArray:
    return pixels


_GRAY, _BGR = _convert(cv2.COLOR_GRAY2RGB), _convert(cv2.COLOR_BGR2RGB)
_RGBA, _BGRA = _convert(cv2.COLOR_RGBA2RGB), _convert(cv2.COLOR_BGRA2RGB)
_UYVY = _Layout("u1", 2, _convert(cv2.COLOR_YUV2RGB_UYVY), even_width=True)
_YUYV = _Layout("u1", 2, _convert(cv2.COLOR_YUV2RGB_YUY2), even_width=True)

_LAYOUTS: dict[str, _Layout] = {
    "rgb8": _Layout("u1", 3, _keep),
    "bgr8": _Layout("u1", 3, _BGR),
    "rgba8": _Layout("u1", 4, _RGBA),
    "bgra8": _Layout("u1", 4, _BGRA),
    "mono8": _Layout("u1", 1, _GRAY),
    "8UC1": _Layout("u1", 1, _GRAY),
    "8UC3": _Layout("u1", 3, _BGR),
    "8UC4": _Layout("u1", 4, _BGRA),
    "mono16": _Layout("u2", 1, _from_16bit(_GRAY)),
    "rgb16": _Layout("u2", 3, _to_8bit),
    "bgr16": _Layout("u2", 3, _from_16bit(_BGR)),
    "rgba16": _Layout("u2", 4, _from_16bit(_RGBA)),
    "bgra16": _Layout("u2", 4, _from_16bit(_BGRA)),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": _Layout("u1", 1, _convert(cv2.COLOR_YUV2RGB_NV12), rows=(3, 2), even_width=True),
    "nv21": _Layout("u1", 1, _convert(cv2.COLOR_YUV2RGB_NV21), rows=(3, 2), even_width=True),
    "16UC1": _Layout("u2", 1, None),
    "32FC1": _Layout("f4", 1, None),
}
for _pattern in ("rggb", "bggr", "gbrg", "grbg"):
    _LAYOUTS[f"bayer_{_pattern}8"] = _Layout("u1", 1, _bayer(_pattern))
    _LAYOUTS[f"bayer_{_pattern}16"] = _Layout("u2", 1, _from_16bit(_bayer(_pattern)))

# The largest 16-bit number is no measurement: a sensor's "invalid", or saturation.
UNKNOWN_STEPS = 65535
DEPTH_ENCODINGS = ("16UC1", "32FC1")
PICTURE_ENCODINGS = tuple(name for name, layout in _LAYOUTS.items() if layout.to_rgb is not None)

_DOUBTS = {
    "8UC3": "encoding '8UC3' names no colour order; taken as blue, green, red (OpenCV's order)",
    "8UC4": "encoding '8UC4' names no colour order; taken as blue, green, red, alpha",
}


def knows_encoding(encoding: str) -> bool:
    """Whether raw pictures of this encoding can be decoded."""
    return encoding in _LAYOUTS


def encoding_doubt(encoding: str) -> str:
    """Say in one sentence what a picture's encoding leaves open, "" where it is clear."""
    return _DOUBTS.get(encoding, "")


def _payload_bytes(name: str, data: Payload) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(data, dtype=np.uint8)
    except (TypeError, ValueError) as err:
        if not isinstance(data, np.ndarray) and len(data) == 0:
            return np.zeros(0, dtype=np.uint8)
        raise ImageDecodeError(
            name, f"the payload is no readable buffer ({err})", hint="pass the message's data field"
        ) from err


def _check_size(name: str, layout: _Layout, encoding: str, height: int, width: int) -> int:
    """Return the number of sample rows, or refuse sizes that the encoding cannot have."""
    if height <= 0 or width <= 0:
        raise ImageDecodeError(name, f"its size is {width}x{height} pixels", hint=_ZERO_SIZE_HINT)
    numerator, denominator = layout.rows
    if (layout.even_width and width % 2) or height % denominator:
        raise ImageDecodeError(
            name,
            f"'{encoding}' shares colour between neighbouring pixels and needs even sizes, "
            f"but the picture is {width}x{height}",
            hint="check the driver's width, height and encoding",
        )
    return height * numerator // denominator


def check_raw_size(
    name: str, height: int, width: int, encoding: str, step: int, size: int
) -> tuple[int, int]:
    """Check that a payload of ``size`` bytes can be what its header says; looks at no pixel.

    Returns:
        (rows of samples, bytes of one row without padding).

    Raises:
        ImageDecodeError: unknown encoding, empty or impossible size, wrong step, truncated data.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise ImageDecodeError(
            name,
            f"unknown encoding '{encoding}'",
            hint=f"known are {', '.join(_LAYOUTS)}; convert in the driver or with image_proc",
        )
    rows = _check_size(name, layout, encoding, height, width)
    dtype = np.dtype(layout.dtype)
    row_bytes = width * layout.channels * dtype.itemsize
    if step < row_bytes:
        raise ImageDecodeError(
            name,
            f"step is {step} bytes, but {width} pixels of '{encoding}' take {row_bytes}",
            hint="the driver sets step, width or encoding wrongly",
        )
    if size != step * rows:
        state = "truncated" if size < step * rows else "too long"
        raise ImageDecodeError(
            name,
            f"expected {rows} rows of {step} bytes = {step * rows} bytes of '{encoding}', "
            f"got {size} ({state})",
            hint="the message is damaged, or the driver sets height or step wrongly",
        )
    return rows, row_bytes


def _samples(
    name: str, height: int, width: int, encoding: str, step: int, data: Payload, big: bool
) -> AnyArray:
    """Return the samples (rows, width[, channels]) in native byte order, row padding removed."""
    flat = _payload_bytes(name, data)
    rows, row_bytes = check_raw_size(name, height, width, encoding, step, flat.size)
    layout = _LAYOUTS[encoding]
    dtype = np.dtype(layout.dtype)
    table = flat.reshape(rows, step)[:, :row_bytes]
    table = table if step == row_bytes else np.ascontiguousarray(table)
    samples = table.view(dtype.newbyteorder(">" if big else "<"))
    if dtype.itemsize > 1 and not samples.dtype.isnative:
        samples = samples.astype(dtype)
    return samples if layout.channels == 1 else samples.reshape(rows, width, layout.channels)


def decode_image(
    name: str,
    height: int,
    width: int,
    encoding: str,
    step: int,
    data: Payload,
    *,
    is_bigendian: bool = False,
    grey_range: tuple[float, float] | None = None,
) -> RgbImage:
    """Turn the payload of a sensor_msgs/Image into an RGB picture.

    Args:
        name: camera or topic, for errors.
        height, width: pixels.
        encoding: as in sensor_msgs/image_encodings.h.
        step: bytes per row, padding included.
        data: step * height bytes (3/2 of that for nv12 and nv21).
        is_bigendian: byte order of 16-bit samples.
        grey_range: (darkest, brightest) 16-bit sample that is shown as black and as white; None is
            (0, 65535).

    Returns:
        (height, width, 3) uint8 RGB, read only; a view of ``data`` where nothing had to change.
        16-bit samples become round(value / 257). Mosaics are interpolated bilinearly.

    Raises:
        ImageDecodeError: unknown encoding, empty size, wrong step, truncated data, or depth.
    """
    samples = _samples(name, height, width, encoding, step, data, is_bigendian)
    samples = stretched(samples, grey_range)
    to_rgb = _LAYOUTS[encoding].to_rgb
    if to_rgb is None:
        raise ImageDecodeError(
            name, f"encoding '{encoding}' is depth, not a picture", hint="use its topic as depth"
        )
    try:
        rgb: RgbImage = to_rgb(samples)
    except cv2.error as err:
        raise ImageDecodeError(
            name,
            f"{width}x{height} pixels of '{encoding}' cannot be converted ({err.err})",
            hint="check the driver's width, height and encoding",
        ) from err
    rgb.flags.writeable = False
    return rgb


def decode_depth(
    name: str,
    height: int,
    width: int,
    encoding: str,
    step: int,
    data: Payload,
    *,
    is_bigendian: bool = False,
    unit_m: float = 0.001,
) -> DepthImage:
    """Turn the payload of a depth sensor_msgs/Image into metres (REP-118).

    Args:
        name, height, width, step, data, is_bigendian: as in ``decode_image``.
        encoding: "16UC1" (integers of ``unit_m``), "32FC1" (metres), or "mono16", which RealSense
            recordings use for depth; then the same as 16UC1.
        unit_m: metres per integer step; REP-118 says 0.001.

    Returns:
        (height, width) float32 metres along the optical z axis; NaN where the payload holds 0 or
        65535 (saturated, or a sensor's "invalid"), a negative number, an infinity or NaN (REP-117).

    Raises:
        ImageDecodeError: as ``decode_image``; also for an encoding that is no depth.
    """
    if encoding in _LAYOUTS and encoding not in (*DEPTH_ENCODINGS, "mono16"):
        raise ImageDecodeError(
            name,
            f"encoding '{encoding}' is no depth",
            hint="depth comes as 16UC1 (millimetres) or 32FC1 (metres), see REP-118",
        )
    samples = _samples(name, height, width, encoding, step, data, is_bigendian)
    return depth_from_samples(samples, unit_m)


def depth_from_samples(samples: AnyArray, unit_m: float = 0.001) -> DepthImage:
    """Turn (H, W) uint16 steps of ``unit_m`` or float metres into float32 metres, NaN unknown."""
    if samples.dtype.kind == "f":
        depth = samples.astype(np.float32)
        unknown = ~(np.isfinite(depth) & (depth > 0))
    else:
        depth = samples.astype(np.float32)
        depth *= np.float32(unit_m)
        unknown = (samples == 0) | (samples == UNKNOWN_STEPS)
    depth[unknown] = np.nan
    depth.flags.writeable = False
    return depth
