"""A rosbag as a source of frames: pictures with their depth, calibration and pose.

Pairs topics (``topics``), finds the pose at the header stamp, and registers depth to colour where
the two cameras are known; what is not known is left out with a warning, never assumed.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oryx_scene.bags.bag_index import BagIndex, ImageTopic, index_bag, open_bag, raw_messages
from oryx_scene.bags.messages import (
    decode_depth_message,
    decode_image_message,
    info_to_intrinsics,
    payload_sha256,
)
from oryx_scene.bags.source import FrameStub
from oryx_scene.bags.topics import (
    base_topic,
    camera_names,
    depth_topic,
    info_topic,
    is_depth_topic,
    says_registered,
)
from oryx_scene.errors import (
    CalibrationError,
    ImageDecodeError,
    OryxSceneError,
    SourceError,
    TransformError,
)
from oryx_scene.frames import DepthImage, FloatArray, Frame, Intrinsics
from oryx_scene.geometry.camera import register_depth
from oryx_scene.geometry.rig import Rig, RigCamera
from oryx_scene.geometry.transforms import invert

# Depth and colour of one moment; at 30 Hz neighbours are 33 ms apart.
DEPTH_SLOP_S = 0.02
# Where the asked fixed frame does not exist these are taken, said in a warning.
OTHER_FIXED_FRAMES = ("map", "odom", "world")


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera; "" where there is none."""

    name: str
    image: str
    info: str
    depth: str
    depth_info: str


class BagSource:
    """Frames of a rosbag2 or ROS 1 bag.

    Args:
        path: bag folder or file.
        rig: calibration that wins over the bag's.
        fixed_frame: coordinate frame of poses.

    Raises:
        SourceError: no bag, damaged, empty or without a picture.
    """

    def __init__(self, path: Path, rig: Rig | None, fixed_frame: str) -> None:
        self._path = path
        self._rig = rig
        self._reader = open_bag(path)
        self.index: BagIndex = index_bag(self._reader, path)
        self._connections: dict[str, list[Any]] = {}
        for connection in self._reader.connections:
            self._connections.setdefault(connection.topic, []).append(connection)
        self._warnings = list(self.index.warnings)
        self.topics = self._pair_topics()
        self.cameras = tuple(sorted(self.topics))
        self._stubs = self._list_stubs()
        self._add_rig_transforms()
        self.fixed_frame = self._choose_fixed_frame(fixed_frame)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing or doubtful, one sentence each."""
        return tuple(dict.fromkeys(self._warnings))

    @property
    def synthetic(self) -> bool:
        """Whether a synthetic world wrote this bag."""
        return self.index.synthetic

    def close(self) -> None:
        """Close the bag's files."""
        self._reader.close()

    # -- what belongs together -----------------------------------------------------------------

    def _pair_topics(self) -> dict[str, CameraTopics]:
        images = self.index.images
        depths = [t for t, found in images.items() if _is_depth(found)]
        colors = self._one_transport([t for t in images if t not in depths])
        if not colors:
            what = "only depth" if depths else "no image topic"
            kinds = ", ".join(sorted(set(self.index.msgtypes.values()))[:6])
            raise SourceError(
                self._path, f"the bag holds {what} (types: {kinds}).", hint="record the cameras too"
            )
        names = {**camera_names(colors), **self._rig_names(colors)}
        infos = sorted(self.index.infos)
        found = {}
        for topic in colors:
            camera = self._rig_camera(names[topic])
            depth = camera.depth_topic or depth_topic(topic, sorted(depths), colors)
            found[names[topic]] = CameraTopics(
                names[topic],
                topic,
                info_topic(topic, infos),
                depth if depth in images else "",
                info_topic(depth, infos) if depth else "",
            )
        return found

    def _one_transport(self, topics: list[str]) -> list[str]:
        """Raw before compressed where a camera was recorded both ways."""
        by_base: dict[str, list[str]] = {}
        for topic in topics:
            by_base.setdefault(base_topic(topic), []).append(topic)
        return [min(several, key=len) for _, several in sorted(by_base.items())]

    def _rig_names(self, topics: list[str]) -> dict[str, str]:
        if self._rig is None:
            return {}
        return {c.topic: name for name, c in self._rig.cameras.items() if c.topic in topics}

    def _rig_camera(self, name: str) -> RigCamera:
        return (self._rig.cameras.get(name) if self._rig else None) or RigCamera()

    def _list_stubs(self) -> tuple[FrameStub, ...]:
        stubs = []
        for name, topics in self.topics.items():
            found = self.index.images[topics.image]
            if found.zero_stamps:
                self._warnings.append(
                    f"{topics.image}: {found.zero_stamps} pictures carry no stamp; the time of "
                    "recording was taken"
                )
            stubs += [
                FrameStub(name, stamp_ns, log_ns, topics.image, serial)
                for serial, (stamp_ns, log_ns) in enumerate(found.entries)
            ]
        return tuple(sorted(stubs, key=lambda stub: (stub.stamp_ns, stub.camera, stub.serial)))

    def frame_id_of(self, camera: str) -> str:
        """Optical frame of a camera: the rig's word, else the recorded one."""
        recorded = self.index.images[self.topics[camera].image].frame_id
        return self._rig_camera(camera).frame_id or recorded

    def _add_rig_transforms(self) -> None:
        if self._rig is None:
            return
        for name in self.topics:
            T = self._rig_camera(name).T_base_camera
            frame_id = self.frame_id_of(name) or f"{name}_optical_frame"
            if T is not None and frame_id != self._rig.base_frame:
                self.index.transforms.add_static(self._rig.base_frame, frame_id, T)

    def _choose_fixed_frame(self, wanted: str) -> str:
        known = self.index.transforms.known_frames()
        if wanted in known:
            return wanted
        if not known:
            self._warnings.append("the bag holds no TF: no poses, so no 3D places")
            return ""
        roots = {self.index.transforms.root_of(self.frame_id_of(name)) for name in self.topics}
        for other in (*OTHER_FIXED_FRAMES, *sorted(roots & known)):
            if other in known:
                self._warnings.append(
                    f"there is no frame '{wanted}' in TF; places are given in '{other}'"
                )
                return other
        self._warnings.append(f"there is no frame '{wanted}' in TF: no 3D places")
        return ""

    # -- loading -------------------------------------------------------------------------------

    def stubs(self) -> Sequence[FrameStub]:
        """All frames in the order of their stamps."""
        return self._stubs

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame with its depth, calibration and pose.

        Raises:
            ImageDecodeError: its payload is broken or cannot be found again.
        """
        topics = self.topics[stub.camera]
        warnings: list[str] = []
        message = self._message(stub.topic, stub.serial, stub.camera)
        rgb = decode_image_message(stub.camera, message)
        intrinsics = self._intrinsics(stub, topics, rgb.shape[:2], warnings)
        depth, depth_hash = self._depth(stub, topics, intrinsics, rgb.shape[:2], warnings)
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

    def _message(self, topic: str, serial: int, camera: str) -> Any:
        """The ``serial``-th message of a topic, found again by its time of recording."""
        entries = self.index.images[topic].entries
        log_ns = entries[serial][1]
        # Several messages may share one time of recording: count within it.
        first = serial
        while first and entries[first - 1][1] == log_ns:
            first -= 1
        window = raw_messages(
            self._reader,
            self._path,
            self._warnings,
            connections=self._connections[topic],
            start=log_ns,
            stop=log_ns + 1,
        )
        for position, (connection, _, data) in enumerate(window):
            if position == serial - first:
                from rosbags.highlevel import AnyReaderError

                try:
                    return self._reader.deserialize(data, connection.msgtype)
                except (AnyReaderError, ValueError, IndexError, RuntimeError) as err:
                    raise ImageDecodeError(
                        camera, f"the message is damaged ({err})", hint="leave this frame out"
                    ) from err
        raise ImageDecodeError(
            camera, f"message {serial} of {topic} cannot be read again", hint="the bag is damaged"
        )

    def _intrinsics(
        self, stub: FrameStub, topics: CameraTopics, size: tuple[int, ...], warnings: list[str]
    ) -> Intrinsics | None:
        found = self._rig_camera(stub.camera).intrinsics
        if found is None:
            found = self._info_at(topics.info, stub, warnings)
        if found is None:
            if not topics.info:
                warnings.append("there is no CameraInfo: no 3D places")
            return None
        if (found.height, found.width) != size:
            warnings.append(
                f"calibration is for {found.width}x{found.height}, the picture is "
                f"{size[1]}x{size[0]}: calibration left out"
            )
            return None
        return found

    def _info_at(self, topic: str, stub: FrameStub, warnings: list[str]) -> Intrinsics | None:
        infos = self.index.infos.get(topic, [])
        if not infos:
            return None
        stamps = [stamp_ns for stamp_ns, _ in infos]
        place = max(0, bisect.bisect_right(stamps, stub.stamp_ns) - 1)
        try:
            return info_to_intrinsics(infos[place][1], stub.camera)
        except CalibrationError as err:
            warnings.append(f"{err.message} Calibration left out: no 3D places")
            return None

    def _pose(self, frame_id: str, stamp_ns: int, warnings: list[str]) -> FloatArray | None:
        if not self.fixed_frame:
            return None
        try:
            return self.index.transforms.lookup(self.fixed_frame, frame_id, stamp_ns)
        except TransformError as err:
            warnings.append(f"{err.message} No 3D places")
            return None

    # -- depth ---------------------------------------------------------------------------------

    def _depth(
        self,
        stub: FrameStub,
        topics: CameraTopics,
        intrinsics: Intrinsics | None,
        size: tuple[int, ...],
        warnings: list[str],
    ) -> tuple[DepthImage | None, str]:
        if not topics.depth:
            return None, ""
        serial, gap_s = self._nearest(topics.depth, stub.stamp_ns)
        if gap_s > DEPTH_SLOP_S:
            warnings.append(f"the nearest depth is {gap_s:.3f} s away and was left out")
            return None, ""
        try:
            message = self._message(topics.depth, serial, stub.camera)
            depth = decode_depth_message(stub.camera, message)
            digest = payload_sha256(message)
            return self._registered(stub, topics, depth, intrinsics, size, warnings), digest
        except OryxSceneError as err:
            warnings.append(f"depth left out: {err.message}")
            return None, ""

    def _nearest(self, topic: str, stamp_ns: int) -> tuple[int, float]:
        entries = self.index.images[topic].entries
        serial = min(range(len(entries)), key=lambda i: abs(entries[i][0] - stamp_ns))
        return serial, abs(entries[serial][0] - stamp_ns) / 1e9

    def _registered(
        self,
        stub: FrameStub,
        topics: CameraTopics,
        depth: DepthImage,
        color: Intrinsics | None,
        size: tuple[int, ...],
        warnings: list[str],
    ) -> DepthImage | None:
        found = self._info_at(topics.depth_info, stub, warnings)
        same_size = depth.shape == size
        if found is None or color is None:
            if same_size and says_registered(topics.depth):
                return depth
            warnings.append("depth left out: nothing says how it lies over the picture")
            return None
        T = self._color_from_depth(stub, topics)
        if T is None:
            warnings.append("depth left out: no transform from the depth to the colour camera")
            return None
        same_K = same_size and np.allclose(found.K, color.K, rtol=1e-4)
        if same_K and np.allclose(T, np.eye(4), atol=1e-4):
            return depth
        if (found.height, found.width) != depth.shape:
            warnings.append("depth left out: its size is not that of its calibration")
            return None
        return register_depth(depth, found, T, color)

    def _color_from_depth(self, stub: FrameStub, topics: CameraTopics) -> FloatArray | None:
        """T_color_depth from the vendor's extrinsics, the frame ids, or TF; None if unknown."""
        own = [_stream_extrinsics(self.index, topic) for topic in (topics.image, topics.depth)]
        if own[0] is not None and own[1] is not None:
            # librealsense writes reference -> stream for each of the two.
            return own[0] @ invert(own[1])
        color_id = self.frame_id_of(stub.camera)
        depth_id = self.index.images[topics.depth].frame_id
        if says_registered(topics.depth) or (color_id == depth_id and color_id):
            return np.eye(4)
        try:
            return self.index.transforms.lookup(color_id, depth_id, stub.stamp_ns)
        except TransformError:
            return None

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        """Decode frames one after the other; broken ones are left out and counted."""
        broken = 0
        for stub in self._stubs:
            early = start_ns is not None and stub.stamp_ns < start_ns
            late = end_ns is not None and stub.stamp_ns > end_ns
            if early or late:
                continue
            try:
                yield self.load(stub)
            except OryxSceneError as err:
                broken += 1
                self._warnings.append(f"left out a frame of '{stub.camera}': {err.message}")


def _is_depth(found: ImageTopic) -> bool:
    if found.encoding in ("16UC1", "32FC1") or "compressedDepth" in found.encoding:
        return True
    # RealSense recordings say mono16 for depth.
    return found.encoding == "mono16" and is_depth_topic(found.topic)


def _stream_extrinsics(index: BagIndex, image_topic: str) -> FloatArray | None:
    stream = base_topic(image_topic).removesuffix("/data").removesuffix("/image")
    found: FloatArray | None = index.extrinsics.get(f"{stream}/tf/0")
    return found
