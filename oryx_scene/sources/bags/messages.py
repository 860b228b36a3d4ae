"""Messages with ROS's field names -> pixels and depth.

Takes any object with the fields of sensor_msgs (rosbags' or rclpy's), so that a bag and a live
topic are decoded by the same code.
"""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np

from oryx_scene.records import DepthImage, RgbImage
from oryx_scene.sources.bags.compressed import (
    check_complete,
    decode_compressed_depth,
    decode_compressed_image,
    depth_header,
)
from oryx_scene.sources.bags.decode import (
    check_raw_size,
    decode_depth,
    decode_image,
    encoding_doubt,
)
from oryx_scene.warning import Warning

# Pictures of one camera, raw and rectified, correlate by more than this; those of two by less.
SAME_PICTURE = 0.9
# A picture of 16 bits that shows fewer grey values than this is one of 10 to 13 bits.
FEWEST_GREY_VALUES = 32


def decode_image_message(
    name: str, message: Any, grey_range: tuple[float, float] | None = None
) -> RgbImage:
    """sensor_msgs/Image or CompressedImage -> (H, W, 3) uint8 RGB.

    Args:
        name: camera, for errors.
        message: with ROS's field names.
        grey_range: (darkest, brightest) 16-bit sample; None is all of 0 to 65535.

    Raises:
        ImageDecodeError: the payload does not fit its own description.
    """
    if hasattr(message, "encoding"):
        return decode_image(
            name,
            int(message.height),
            int(message.width),
            str(message.encoding),
            int(message.step),
            message.data,
            is_bigendian=bool(message.is_bigendian),
            grey_range=grey_range,
        )
    return decode_compressed_image(name, str(message.format), message.data, grey_range=grey_range)


def grey_range_doubt(name: str, message: Any, rgb: RgbImage) -> tuple[Warning, ...]:
    """Say that a picture of 16-bit samples uses a small part of their range: it is nearly black.

    Thermal and infrared cameras put 10 to 14 bits into 16.
    """
    if hasattr(message, "encoding"):
        deep = str(message.encoding).endswith("16")
    else:
        head = bytes(message.data[:25])
        deep = head.startswith(b"\x89PNG") and head[24:] == b"\x10"
    if not deep:
        return ()
    low, high = (float(value) for value in np.percentile(rgb[::4, ::4], (1, 99)))
    if high - low >= FEWEST_GREY_VALUES:
        return ()
    text = (
        f"a 16-bit picture uses grey values {low:.0f} to {high:.0f} of 255 only: nearly one colour "
        f"to the model; in its own range, grey_range: [{low * 257:.0f}, {high * 257 + 257:.0f}]"
    )
    return (Warning("picture_range_unused", text, camera=name),)


def colour_order_doubt(name: str, message: Any) -> tuple[Warning, ...]:
    """Say that an encoding without a colour order (8UC3, 8UC4) was read in OpenCV's."""
    text = encoding_doubt(str(getattr(message, "encoding", "")))
    return (Warning("encoding_assumed", text, camera=name),) if text else ()


def decode_depth_message(name: str, message: Any, unit_m: float = 0.001) -> DepthImage:
    """sensor_msgs/Image or CompressedImage of depth -> (H, W) float32 metres, NaN unknown.

    Args:
        name: of the camera, for errors.
        message: as received.
        unit_m: metres per step of 16-bit depth; REP-118 says 0.001.

    Raises:
        ImageDecodeError: the payload does not fit its own description.
    """
    if hasattr(message, "encoding"):
        return decode_depth(
            name,
            int(message.height),
            int(message.width),
            str(message.encoding),
            int(message.step),
            message.data,
            is_bigendian=bool(message.is_bigendian),
            unit_m=unit_m,
        )
    return decode_compressed_depth(name, str(message.format), message.data, unit_m)


def check_image_message(name: str, message: Any) -> None:
    """Refuse an Image or CompressedImage that cannot be what it says, without decoding it.

    Cheap enough for every message of a live topic; what only decoding can find is found then.

    Raises:
        ImageDecodeError: as the decoders.
    """
    if hasattr(message, "encoding"):
        size = memoryview(message.data).nbytes
        check_raw_size(
            name,
            int(message.height),
            int(message.width),
            str(message.encoding),
            int(message.step),
            size,
        )
        return
    data = bytes(message.data)
    is_depth = "compressedDepth" in str(message.format)
    check_complete(name, data[len(depth_header(data)) :] if is_depth else data)


def same_picture(a: RgbImage, b: RgbImage) -> bool:
    """Whether two pictures (H, W, 3) are one, processed or not: their brightness correlates."""
    small = []
    for rgb in (a, b):
        grey = cv2.resize(rgb, (32, 24), interpolation=cv2.INTER_AREA).mean(axis=2)
        small.append((grey - grey.mean()).ravel())
    lengths = float(np.linalg.norm(small[0]) * np.linalg.norm(small[1]))
    if lengths < 1e-6:
        return bool(np.array_equal(a, b))
    return float(small[0] @ small[1]) / lengths > SAME_PICTURE


def payload_sha256(message: Any) -> str:
    """Hex digest of a message's data field, as received."""
    return hashlib.sha256(memoryview(message.data).cast("B")).hexdigest()
