"""Messages that belong together become one Frame: pixels, depth, calibration and pose.

Works on an index of messages, wherever they are kept (a bag's file, a live node's memory), so that
both give bit-identical frames. What is not known is left out with a warning, never assumed.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from typing import Any

from oryx_scene.bags.bag_depth import BagDepth, Lookups
from oryx_scene.bags.bag_index import BagIndex
from oryx_scene.bags.messages import decode_image_message, info_to_intrinsics, payload_sha256
from oryx_scene.bags.pairing import CameraTopics, rig_camera
from oryx_scene.errors import CalibrationError, TransformError
from oryx_scene.frames import FloatArray, Frame, Intrinsics
from oryx_scene.geometry.rig import Rig
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.sources.base import FrameStub
from oryx_scene.warning import Warning

# Where the asked fixed frame does not exist these are taken, said in a warning.
OTHER_FIXED_FRAMES = ("map", "odom", "world")


class FrameAssembler:
    """Turns indexed messages into frames.

    Args:
        index: stamps per topic, calibrations and transforms.
        topics: our name of a camera -> its topics.
        rig: calibration that wins over the messages'.
        message: (topic, serial, camera) -> message; raises ImageDecodeError where it is damaged.

    Attributes:
        fixed_frame: coordinate frame of poses, "" for none; see :func:`choose_fixed_frame`.
    """

    def __init__(
        self,
        index: BagIndex,
        topics: Mapping[str, CameraTopics],
        rig: Rig | None,
        message: Callable[[str, int, str], Any],
    ) -> None:
        self._index = index
        self._topics = topics
        self._rig = rig
        self._message = message
        self._intrinsics_of: dict[tuple[str, int], Intrinsics] = {}
        self._depth = BagDepth(index, Lookups(message, self._info_at, self.frame_id_of))
        self.fixed_frame = ""

    def frame_id_of(self, camera: str) -> str:
        """Optical frame of a camera: the rig's word, else the recorded one."""
        recorded = self._index.images[self._topics[camera].image].frame_id
        return rig_camera(self._rig, camera).frame_id or recorded

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame with its depth, calibration and pose.

        Raises:
            ImageDecodeError: its payload is broken or cannot be found again.
        """
        topics = self._topics[stub.camera]
        warnings: list[Warning] = []
        message = self._message(stub.topic, stub.serial, stub.camera)
        rgb = decode_image_message(stub.camera, message)
        intrinsics = self._intrinsics(stub, topics, rgb.shape[:2], warnings)
        depth, depth_hash = self._depth.at(stub, topics, intrinsics, rgb.shape[:2], warnings)
        frame_id = self.frame_id_of(stub.camera)
        pose = self._pose(frame_id, stub.stamp_ns, warnings)
        return Frame(
            camera=stub.camera,
            stamp_ns=stub.stamp_ns,
            frame_id=frame_id,
            rgb=rgb,
            sha256=payload_sha256(message),
            topic=stub.topic,
            encoding=str(getattr(message, "encoding", "") or getattr(message, "format", "")),
            depth=depth,
            depth_sha256=depth_hash,
            intrinsics=intrinsics,
            T_fixed_camera=pose,
            fixed_frame=self.fixed_frame if pose is not None else "",
            warnings=tuple(warnings),
        )

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame without decoding it; None where TF does not know."""
        return self._pose(self.frame_id_of(stub.camera), stub.stamp_ns, [])

    def _intrinsics(
        self, stub: FrameStub, topics: CameraTopics, size: tuple[int, ...], warnings: list[Warning]
    ) -> Intrinsics | None:
        found = rig_camera(self._rig, stub.camera).intrinsics
        if found is None:
            found = self._info_at(topics.info, stub, warnings)
        if found is None:
            if not self._index.infos.get(topics.info):
                warnings.append(
                    Warning(
                        "no_camera_info", "there is no CameraInfo: no 3D places", topic=topics.info
                    )
                )
            return None
        if (found.height, found.width) != size:
            text = (
                f"calibration is for {found.width}x{found.height}, the picture is "
                f"{size[1]}x{size[0]}: calibration left out"
            )
            warnings.append(Warning("calibration_of_other_size", text))
            return None
        return found

    def _info_at(self, topic: str, stub: FrameStub, warnings: list[Warning]) -> Intrinsics | None:
        infos = self._index.infos.get(topic, [])
        if not infos:
            return None
        stamps = [stamp_ns for stamp_ns, _ in infos]
        place = max(0, bisect.bisect_right(stamps, stub.stamp_ns) - 1)
        key = (topic, place)
        try:
            if key not in self._intrinsics_of:
                self._intrinsics_of[key] = info_to_intrinsics(infos[place][1], stub.camera)
            return self._intrinsics_of[key]
        except CalibrationError as err:
            text = f"{err.message} Calibration left out: no 3D places"
            warnings.append(Warning("calibration_unusable", text, topic=topic, advice=err.hint))
            return None

    def _pose(self, frame_id: str, stamp_ns: int, warnings: list[Warning]) -> FloatArray | None:
        if not self.fixed_frame:
            return None
        try:
            return self._index.transforms.lookup(self.fixed_frame, frame_id, stamp_ns)
        except TransformError as err:
            warnings.append(Warning("no_pose", f"{err.message} No 3D places"))
            return None


def add_rig_transforms(
    rig: Rig | None, frame_ids: Mapping[str, str], transforms: TransformBuffer
) -> None:
    """Put the mounting of a rig's cameras (name -> optical frame) among the transforms; it wins."""
    if rig is None:
        return
    for name, found in frame_ids.items():
        T = rig_camera(rig, name).T_base_camera
        frame_id = found or f"{name}_optical_frame"
        if T is not None and frame_id != rig.base_frame:
            transforms.pin(rig.base_frame, frame_id, T)


def choose_fixed_frame(
    wanted: str, frame_ids: Mapping[str, str], transforms: TransformBuffer, source: str
) -> tuple[str, Warning | None]:
    """The coordinate frame of all places, and what must be said about the choice.

    Args:
        wanted: taken where TF knows it.
        frame_ids: optical frame of each camera; a root above them comes next after the usual names.
        transforms: what is known.
        source: "the bag", for the sentence.

    Returns:
        (frame, warning); frame "" means no 3D places, warning None that ``wanted`` was taken.
    """
    known = transforms.known_frames()
    if wanted in known:
        return wanted, None
    if not known:
        return "", Warning("no_tf", f"{source} holds no TF: no poses, so no 3D places")
    roots = {transforms.root_of(frame_id) for frame_id in frame_ids.values()}
    for other in (*OTHER_FIXED_FRAMES, *sorted(roots & known)):
        if other in known:
            text = f"there is no frame '{wanted}' in TF; places are given in '{other}'"
            return other, Warning("other_fixed_frame", text)
    return "", Warning("no_fixed_frame", f"there is no frame '{wanted}' in TF: no 3D places")
