"""A rosbag as a source of frames: pictures with their depth, calibration and pose.

Pairs topics (``topics``), lists what could be decoded, and finds a message again when it is wanted;
what becomes of messages that belong together is in ``assemble``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oryx_scene.errors import ImageDecodeError
from oryx_scene.geometry.rig import Rig, rig_mountings
from oryx_scene.records import FloatArray, Frame
from oryx_scene.sources.bags.assemble import FrameAssembler, unknown_rig_cameras
from oryx_scene.sources.bags.camera_topics import leave_out_no_cameras
from oryx_scene.sources.bags.index import BagIndex, index_bag
from oryx_scene.sources.bags.index_problems import say_problems
from oryx_scene.sources.bags.pairing import pair_topics
from oryx_scene.sources.bags.recording import Recording
from oryx_scene.sources.bags.recording_files import is_recording
from oryx_scene.sources.base import BaseSource, FrameStub, SourceKind
from oryx_scene.warning import Warning


class BagSource(BaseSource):
    """Frames of a rosbag2 or ROS 1 bag.

    Args:
        path: bag folder or file.
        rig: calibration that wins over the bag's.
        fixed_frame: coordinate frame of poses.

    Raises:
        SourceError: no bag, damaged, empty or without a picture.
    """

    def __init__(self, path: Path, rig: Rig | None, fixed_frame: str) -> None:
        self._recording = Recording(path)
        self.index: BagIndex = index_bag(self._recording, path)
        self._rig = rig
        leave_out_no_cameras(self.index, rig)
        say_problems(self.index, self._recording)
        self.topics = pair_topics(self.index, rig, path)
        super().__init__(self._list_stubs(), synthetic=self.index.synthetic)
        self._warnings += [*self.index.warnings, *self._unstamped()]
        self._assembler = FrameAssembler(self.index, self.topics, rig)
        self._warnings += self._assembler.settle(fixed_frame, "the bag", self._message)
        self._warnings += unknown_rig_cameras(rig, self.topics)

    @property
    def fixed_frame(self) -> str:
        """Coordinate frame of poses, "" for none."""
        return self._assembler.fixed_frame

    def close(self) -> None:
        """Close the bag's files."""
        self._recording.close()

    # -- what belongs together -----------------------------------------------------------------

    def _list_stubs(self) -> list[FrameStub]:
        return [
            FrameStub(name, stamp_ns, log_ns, topics.image, serial)
            for name, topics in self.topics.items()
            for serial, (stamp_ns, log_ns) in enumerate(self.index.images[topics.image].entries)
        ]

    def _unstamped(self) -> list[Warning]:
        counts = {
            topics.image: self.index.images[topics.image].zero_stamps
            for topics in self.topics.values()
        }
        text = "pictures carry no stamp; the time of recording was taken"
        return [
            Warning("picture_without_stamp", f"{count} {text}", topic=topic)
            for topic, count in counts.items()
            if count
        ]

    # -- loading -------------------------------------------------------------------------------

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame with its depth, calibration and pose.

        Raises:
            ImageDecodeError: its payload is broken or cannot be found again.
        """
        return self._assembler.load(stub, self._message)

    def mountings(self) -> Mapping[str, tuple[str, FloatArray]]:
        """Of cameras that the rig places."""
        frame_ids = {name: self._assembler.frame_id_of(name) for name in self.cameras}
        return rig_mountings(self._rig, frame_ids)

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame without decoding it; None where TF does not know."""
        return self._assembler.pose(stub)

    def _message(self, topic: str, serial: int, camera: str) -> Any:
        """The ``serial``-th message of a topic."""
        message = self.index.images[topic].messages[serial]
        try:
            data = self._recording.read(message.place)
            return self._recording.deserialize(data, message.channel)
        except (ValueError, OSError) as err:
            hint = "leave this frame out"
            raise ImageDecodeError(camera, f"the message is damaged ({err})", hint=hint) from err


KIND = SourceKind(
    "bag",
    "rosbag2 folder, MCAP file, `.db3`, ROS 1 `.bag`",
    is_recording,
    lambda path, options: BagSource(path, options.rig, options.fixed_frame),
)
