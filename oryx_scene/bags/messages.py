"""Messages with ROS's field names -> pixels, depth and intrinsics.

Takes any object with the fields of sensor_msgs (rosbags' or rclpy's), so that a bag and a live
topic are decoded by the same code.
"""

from __future__ import annotations

import hashlib
from typing import Any

from oryx_scene.bags.compressed import (
    check_complete,
    decode_compressed_depth,
    decode_compressed_image,
    depth_header,
)
from oryx_scene.bags.decode import check_raw_size, decode_depth, decode_image
from oryx_scene.frames import DepthImage, Intrinsics, RgbImage
from oryx_scene.geometry.camera import intrinsics_from_camera_info


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


def decode_depth_message(name: str, message: Any) -> DepthImage:
    """sensor_msgs/Image or CompressedImage of depth -> (H, W) float32 metres, NaN unknown.

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
        )
    return decode_compressed_depth(name, str(message.format), message.data)


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


def info_to_intrinsics(message: Any, name: str) -> Intrinsics:
    """sensor_msgs/CameraInfo of ROS 1 or 2 -> intrinsics of the image beside it.

    Raises:
        CalibrationError: numbers that cannot be a camera.
    """
    K = message.K if hasattr(message, "K") else message.k
    D = message.D if hasattr(message, "D") else message.d
    roi = message.roi
    return intrinsics_from_camera_info(
        [float(v) for v in K],
        [float(v) for v in D],
        str(message.distortion_model),
        int(message.height),
        int(message.width),
        name,
        binning=(int(message.binning_x), int(message.binning_y)),
        roi=(int(roi.x_offset), int(roi.y_offset), int(roi.height), int(roi.width)),
    )


def payload_sha256(message: Any) -> str:
    """Hex digest of a message's data field, as received."""
    return hashlib.sha256(memoryview(message.data).cast("B")).hexdigest()
