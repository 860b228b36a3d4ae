"""A rosbag as a source of frames: pictures with their depth, calibration and pose.

Pairs topics (``topics``), finds the pose at the header stamp, and registers depth to colour where
the two cameras are known; what is not known is left out with a warning, never assumed.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from oryx_scene.bags.bag_depth import DEPTH_SLOP_S, BagDepth, Lookups
from oryx_scene.bags.bag_index import BagIndex, index_bag, open_bag, raw_messages
from oryx_scene.bags.messages import (
    decode_image_message,
    info_to_intrinsics,
    payload_sha256,
)
from oryx_scene.bags.pairing import CameraTopics, pair_topics, rig_camera
from oryx_scene.bags.read_ahead import ReadAhead
from oryx_scene.bags.source import FrameStub
from oryx_scene.errors import (
    CalibrationError,
    ImageDecodeError,
    OryxSceneError,
    TransformError,
)
from oryx_scene.frames import FloatArray, Frame, Intrinsics
from oryx_scene.geometry.rig import Rig

# Where the asked fixed frame does not exist these are taken, said in a warning.
OTHER_FIXED_FRAMES = ("map", "odom", "world")


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
        self._intrinsics_of: dict[tuple[str, int], Intrinsics] = {}
        self._ahead: ReadAhead | None = None
        self._depth = BagDepth(self.index, Lookups(self._message, self._info_at, self.frame_id_of))
        self.topics = pair_topics(self.index, rig, path)
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
        return rig_camera(self._rig, camera).frame_id or recorded

    def _add_rig_transforms(self) -> None:
        if self._rig is None:
            return
        for name in self.topics:
            T = rig_camera(self._rig, name).T_base_camera
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

    def _message(self, topic: str, serial: int, camera: str) -> Any:
        """The ``serial``-th message of a topic."""
        found = self._ahead.take(topic, serial) if self._ahead else None
        connection, data = found or self._find_message(topic, serial, camera)
        from rosbags.highlevel import AnyReaderError

        try:
            return self._reader.deserialize(data, connection.msgtype)
        except (AnyReaderError, ValueError, IndexError, RuntimeError) as err:
            raise ImageDecodeError(
                camera, f"the message is damaged ({err})", hint="leave this frame out"
            ) from err

    def _find_message(self, topic: str, serial: int, camera: str) -> tuple[Any, bytes]:
        """Connection and bytes of a message, found again by its time of recording."""
        # The readers share one file position: a pass that is under way ends here.
        self._ahead = None
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
                return connection, data
        raise ImageDecodeError(
            camera, f"message {serial} of {topic} cannot be read again", hint="the bag is damaged"
        )

    def _intrinsics(
        self, stub: FrameStub, topics: CameraTopics, size: tuple[int, ...], warnings: list[str]
    ) -> Intrinsics | None:
        found = rig_camera(self._rig, stub.camera).intrinsics
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
        key = (topic, place)
        try:
            if key not in self._intrinsics_of:
                self._intrinsics_of[key] = info_to_intrinsics(infos[place][1], stub.camera)
            return self._intrinsics_of[key]
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

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        """Decode frames one after the other; broken ones are left out and counted."""
        wanted = [
            stub
            for stub in self._stubs
            if (start_ns is None or stub.stamp_ns >= start_ns)
            and (end_ns is None or stub.stamp_ns <= end_ns)
        ]
        self._start_reading_ahead(wanted)
        for stub in wanted:
            try:
                yield self.load(stub)
            except OryxSceneError as err:
                self._warnings.append(f"left out a frame of '{stub.camera}': {err.message}")

    def _start_reading_ahead(self, wanted: Sequence[FrameStub]) -> None:
        """Begin one pass from the first wanted frame on; a moment earlier for its depth."""
        if not wanted:
            return
        start_ns = min(stub.log_ns for stub in wanted) - round(DEPTH_SLOP_S * 1e9)
        topics = {
            name for item in self.topics.values() for name in (item.image, item.depth) if name
        }
        first = {
            topic: bisect.bisect_left(
                [log for _, log in self.index.images[topic].entries], start_ns
            )
            for topic in topics
        }
        connections = [item for topic in sorted(topics) for item in self._connections[topic]]
        messages = raw_messages(
            self._reader, self._path, self._warnings, connections=connections, start=start_ns
        )
        self._ahead = ReadAhead(messages, first)
