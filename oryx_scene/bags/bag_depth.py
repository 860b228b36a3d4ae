"""Depth of a bag, laid over the colour picture of the same moment, or left out with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oryx_scene.bags.bag_index import BagIndex
from oryx_scene.bags.messages import decode_depth_message, payload_sha256
from oryx_scene.bags.pairing import CameraTopics
from oryx_scene.bags.topics import base_topic, says_registered
from oryx_scene.errors import OryxSceneError, TransformError
from oryx_scene.frames import DepthImage, FloatArray, Intrinsics
from oryx_scene.geometry.camera import register_depth
from oryx_scene.geometry.transforms import invert
from oryx_scene.sources.base import FrameStub
from oryx_scene.warning import Warning

# Depth and colour of one moment; at 30 Hz neighbours are 33 ms apart.
DEPTH_SLOP_S = 0.02


@dataclass(frozen=True)
class Lookups:
    """What depth needs of its bag.

    Attributes:
        message: (topic, serial, camera) -> message.
        info_at: (topic, stub, warnings) -> calibration.
        frame_id_of: camera -> optical frame.
    """

    message: Callable[[str, int, str], Any]
    info_at: Callable[[str, FrameStub, list[Warning]], Intrinsics | None]
    frame_id_of: Callable[[str], str]


class BagDepth:
    """Finds, decodes and registers depth."""

    def __init__(self, index: BagIndex, lookups: Lookups) -> None:
        self._index = index
        self._lookups = lookups
        self._stamps_of: dict[str, NDArray[np.int64]] = {}

    def at(
        self,
        stub: FrameStub,
        topics: CameraTopics,
        intrinsics: Intrinsics | None,
        size: tuple[int, ...],
        warnings: list[Warning],
    ) -> tuple[DepthImage | None, str]:
        """Depth (H, W) float32 metres registered to the picture of ``stub``, and its digest.

        What stands against it is appended to ``warnings``, and None returned.
        """
        if not topics.depth:
            return None, ""
        serial, gap_s = self._nearest(topics.depth, stub.stamp_ns)
        if gap_s > DEPTH_SLOP_S:
            text = f"the nearest depth is {gap_s:.3f} s away and was left out"
            warnings.append(Warning("depth_late", text, topic=topics.depth))
            return None, ""
        try:
            message = self._lookups.message(topics.depth, serial, stub.camera)
            depth = decode_depth_message(stub.camera, message)
            digest = payload_sha256(message)
            return self._registered(stub, topics, depth, intrinsics, size, warnings), digest
        except OryxSceneError as err:
            text = f"depth left out: {err.message}"
            warnings.append(Warning("depth_left_out", text, topic=topics.depth, advice=err.hint))
            return None, ""

    def _nearest(self, topic: str, stamp_ns: int) -> tuple[int, float]:
        if topic not in self._stamps_of:
            entries = self._index.images[topic].entries
            self._stamps_of[topic] = np.array([stamp for stamp, _ in entries], dtype=np.int64)
        gaps = np.abs(self._stamps_of[topic] - stamp_ns)
        serial = int(gaps.argmin())
        return serial, float(gaps[serial]) / 1e9

    def _registered(
        self,
        stub: FrameStub,
        topics: CameraTopics,
        depth: DepthImage,
        color: Intrinsics | None,
        size: tuple[int, ...],
        warnings: list[Warning],
    ) -> DepthImage | None:
        found = self._lookups.info_at(topics.depth_info, stub, warnings)
        same_size = depth.shape == size
        if found is None or color is None:
            if same_size and says_registered(topics.depth):
                return depth
            text = "depth left out: nothing says how it lies over the picture"
            warnings.append(Warning("depth_left_out", text, topic=topics.depth))
            return None
        T = self._color_from_depth(stub, topics)
        if T is None:
            text = "depth left out: no transform from the depth to the colour camera"
            warnings.append(Warning("depth_left_out", text, topic=topics.depth))
            return None
        same_K = same_size and np.allclose(found.K, color.K, rtol=1e-4)
        if same_K and np.allclose(T, np.eye(4), atol=1e-4):
            return depth
        if (found.height, found.width) != depth.shape:
            text = "depth left out: its size is not that of its calibration"
            warnings.append(Warning("depth_left_out", text, topic=topics.depth))
            return None
        return register_depth(depth, found, T, color)

    def _color_from_depth(self, stub: FrameStub, topics: CameraTopics) -> FloatArray | None:
        """T_color_depth from the vendor's extrinsics, the frame ids, or TF; None if unknown."""
        own = [_stream_extrinsics(self._index, topic) for topic in (topics.image, topics.depth)]
        if own[0] is not None and own[1] is not None:
            # librealsense writes reference -> stream for each of the two.
            return own[0] @ invert(own[1])
        color_id = self._lookups.frame_id_of(stub.camera)
        depth_id = self._index.images[topics.depth].frame_id
        if says_registered(topics.depth) or (color_id == depth_id and color_id):
            return np.eye(4)
        try:
            return self._index.transforms.lookup(color_id, depth_id, stub.stamp_ns)
        except TransformError:
            return None


def _stream_extrinsics(index: BagIndex, image_topic: str) -> FloatArray | None:
    stream = base_topic(image_topic).removesuffix("/data").removesuffix("/image")
    found: FloatArray | None = index.extrinsics.get(f"{stream}/tf/0")
    return found
