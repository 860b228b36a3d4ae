"""Messages with ROS's field names -> pixels and depth.

Takes any object with the fields of sensor_msgs (rosbags' or rclpy's), so that a bag and a live
topic are decoded by the same code.
"""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np

from oryx_scene.bags.compressed import (
    check_complete,
    decode_compressed_depth,
    decode_compressed_image,
    depth_header,
)
from oryx_scene.bags.decode import check_raw_size, decode_depth, decode_image
from oryx_scene.frames import DepthImage, RgbImage

# Pictures of one camera, raw and rectified, correlate by more than this; those of two by less.
SAME_PICTURE = 0.9


def decode_image_message(name: str, message: Any) -> RgbImage:
    """sensor_msgs/Image or CompressedImage -> (H, W, 3) uint8 RGB.

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
        )
    return decode_compressed_image(name, str(message.format), message.data)


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
