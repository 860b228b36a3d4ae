"""Depth of a bag, laid over the colour picture of the same moment, or left out with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oryx_scene.errors import CalibrationError, OryxSceneError
from oryx_scene.geometry.camera import register_depth, same_aspect, scaled_depth, scaled_to
from oryx_scene.geometry.rig import Rig
from oryx_scene.geometry.transforms import invert
from oryx_scene.records import DepthImage, FloatArray, Intrinsics
from oryx_scene.sources.bags.camera_info import CameraModel
from oryx_scene.sources.bags.index import BagIndex
from oryx_scene.sources.bags.messages import decode_depth_message, payload_sha256
from oryx_scene.sources.bags.pairing import CameraTopics, rig_camera
from oryx_scene.sources.bags.topics import base_topic, says_registered, stem
from oryx_scene.sources.base import FrameStub
from oryx_scene.warning import Warning

# Depth and colour of one moment; at 30 Hz neighbours are 33 ms apart.
DEPTH_SLOP_S = 0.02
# Depth units that a sensor may have, metres per step.
MIN_UNIT_M, MAX_UNIT_M = 1e-6, 0.1


# (topic, serial, camera) -> message
ReadMessage = Callable[[str, int, str], Any]


@dataclass(frozen=True)
class Lookups:
    """What depth needs of its bag; handed over for one frame and not kept.

    Attributes:
        message: (topic, serial, camera) -> message.
        model_at: (CameraInfo topic, image topic, stub, warnings) -> calibration.
        color_from_depth: (stub, whether depth lies over the picture) -> T_color_depth.
    """

    message: ReadMessage
    model_at: Callable[[str, str, FrameStub, list[Warning]], CameraModel | None]
    color_from_depth: Callable[[FrameStub, bool], FloatArray | None]


class BagDepth:
    """Finds, decodes and registers depth.

    Args:
        index: stamps per topic, extrinsics and units.
        rig: unit and scale that win over the recording's.
    """

    def __init__(self, index: BagIndex, rig: Rig | None) -> None:
        self._index = index
        self._rig = rig
        self._stamps_of: dict[str, NDArray[np.int64]] = {}

    def at(
        self,
        stub: FrameStub,
        topics: CameraTopics,
        intrinsics: Intrinsics | None,
        size: tuple[int, ...],
        warnings: list[Warning],
        lookups: Lookups,
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
            message = lookups.message(topics.depth, serial, stub.camera)
            depth = self._metres(stub, topics.depth, message)
            digest = payload_sha256(message)
            registered = self._registered(stub, topics, depth, intrinsics, size, warnings, lookups)
            return registered, digest
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

    def _metres(self, stub: FrameStub, topic: str, message: Any) -> DepthImage:
        """Unit and scale by the rig, else the unit by the recording's own options, else REP-118."""
        stated = rig_camera(self._rig, stub.camera)
        unit_m = stated.depth_unit_m
        if unit_m is None:
            units = [
                value
                for sensor, value in self._index.depth_units.items()
                if topic.startswith(f"{sensor}/")
            ]
            unit_m = units[0] if units else 0.001
        if not MIN_UNIT_M <= unit_m <= MAX_UNIT_M:
            raise CalibrationError(
                stub.camera,
                f"the recording states a depth unit of {unit_m:g} m.",
                hint="state depth_unit_m in a rig file (--rig)",
            )
        depth = decode_depth_message(stub.camera, message, unit_m)
        return depth if stated.depth_scale == 1.0 else depth * np.float32(stated.depth_scale)

    def _registered(
        self,
        stub: FrameStub,
        topics: CameraTopics,
        depth: DepthImage,
        color: Intrinsics | None,
        size: tuple[int, ...],
        warnings: list[Warning],
        lookups: Lookups,
    ) -> DepthImage | None:
        def refuse(text: str) -> None:
            warnings.append(
                Warning("depth_left_out", f"depth left out: {text}", topic=topics.depth)
            )

        model = lookups.model_at(topics.depth_info, topics.depth, stub, warnings)
        lies_over = self._lies_over(topics)
        if model is None or color is None:
            return self._as_it_lies(depth, size, lies_over, topics, warnings)
        T = self._vendor(topics)
        T = lookups.color_from_depth(stub, lies_over) if T is None else T
        if T is None:
            refuse("no transform from the depth to the colour camera")
            return None
        own = self._of_size(model.intrinsics, depth, topics, warnings)
        if own is None:
            refuse("its size is not that of its calibration")
            return None
        # A rig's word about the lens is one about both: what lay over the picture still does.
        recorded = lookups.model_at(topics.info, topics.image, stub, [])
        lenses = [color] if recorded is None else [color, recorded.intrinsics]
        one_place = depth.shape == size and np.allclose(T, np.eye(4), atol=1e-4)
        if one_place and any(same_rays(own, lens) for lens in lenses):
            return depth
        return register_depth(depth, own, T, color)

    def _lies_over(self, topics: CameraTopics) -> bool:
        """Whether the name says that depth is in the optical frame of this very camera."""
        return says_registered(topics.depth) and stem(topics.depth) == stem(topics.image)

    def _as_it_lies(
        self,
        depth: DepthImage,
        size: tuple[int, ...],
        lies_over: bool,
        topics: CameraTopics,
        warnings: list[Warning],
    ) -> DepthImage | None:
        """Depth without a calibration: over the picture where its name or frame_id say so."""
        frame_ids = {self._index.images[topic].frame_id for topic in (topics.image, topics.depth)}
        one_frame = len(frame_ids) == 1 and "" not in frame_ids and topics.info
        if not lies_over and not one_frame:
            text = "depth left out: nothing says how it lies over the picture"
            warnings.append(Warning("depth_left_out", text, topic=topics.depth))
            return None
        if depth.shape == size:
            return depth
        sizes = f"depth is {depth.shape[1]}x{depth.shape[0]}, the picture {size[1]}x{size[0]}"
        if not same_aspect(depth.shape, size):
            text = f"depth left out: {sizes}, and nothing says how it lies over the picture"
            warnings.append(Warning("depth_left_out", text, topic=topics.depth))
            return None
        text = f"{sizes}: it was scaled, as if the fields of view were equal"
        warnings.append(Warning("depth_scaled", text, topic=topics.depth))
        return scaled_depth(depth, size[0], size[1])

    def _of_size(
        self,
        stated: Intrinsics,
        depth: DepthImage,
        topics: CameraTopics,
        warnings: list[Warning],
    ) -> Intrinsics | None:
        """The calibration at the size of the depth image; None where the fields of view differ."""
        if (stated.height, stated.width) == depth.shape:
            return stated
        if not same_aspect(depth.shape, (stated.height, stated.width)):
            return None
        text = (
            f"depth is {depth.shape[1]}x{depth.shape[0]}, its calibration for {stated.width}x"
            f"{stated.height}: it was scaled, as if the fields of view were equal"
        )
        warnings.append(Warning("depth_scaled", text, topic=topics.depth))
        return scaled_to(stated, depth.shape[0], depth.shape[1])

    def _vendor(self, topics: CameraTopics) -> FloatArray | None:
        """T_color_depth from the extrinsics of a RealSense SDK recording, None without them."""
        own = [_stream_extrinsics(self._index, topic) for topic in (topics.image, topics.depth)]
        if own[0] is None or own[1] is None:
            return None
        # librealsense writes reference -> stream for each of the two.
        return own[0] @ invert(own[1])


def same_rays(a: Intrinsics, b: Intrinsics) -> bool:
    """Whether two cameras give each pixel one ray."""
    sizes = (a.height, a.width) == (b.height, b.width)
    lenses = a.distortion_model == b.distortion_model and a.D.shape == b.D.shape
    return (
        sizes
        and lenses
        and np.allclose(a.K, b.K, rtol=1e-4)
        and np.allclose(a.D, b.D, rtol=1e-4, atol=1e-6)
    )


def _stream_extrinsics(index: BagIndex, image_topic: str) -> FloatArray | None:
    stream = base_topic(image_topic).removesuffix("/data").removesuffix("/image")
    found: FloatArray | None = index.extrinsics.get(f"{stream}/tf/0")
    return found
