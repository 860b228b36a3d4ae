"""A rosbag as a source of frames: pictures with their depth, calibration and pose.

Pairs topics (``topics``), lists what could be decoded, and finds a message again when it is wanted;
what becomes of messages that belong together is in ``assemble``.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oryx_scene.bags.assemble import FrameAssembler, add_rig_transforms, choose_fixed_frame
from oryx_scene.bags.bag_depth import DEPTH_SLOP_S
from oryx_scene.bags.bag_index import BagIndex, index_bag, open_bag, raw_messages
from oryx_scene.bags.pairing import pair_topics
from oryx_scene.bags.read_ahead import ReadAhead
from oryx_scene.errors import ImageDecodeError
from oryx_scene.frames import FloatArray, Frame
from oryx_scene.geometry.rig import Rig
from oryx_scene.sources.base import BaseSource, FrameStub, SourceKind
from oryx_scene.warning import Warning

BAG_SUFFIXES = (".bag", ".mcap", ".db3")


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
        self._path = path
        self._rig = rig
        self._reader = open_bag(path)
        self.index: BagIndex = index_bag(self._reader, path)
        self._connections: dict[str, list[Any]] = {}
        for connection in self._reader.connections:
            self._connections.setdefault(connection.topic, []).append(connection)
        self._ahead: ReadAhead | None = None
        self.topics = pair_topics(self.index, rig, path)
        super().__init__(self._list_stubs(), synthetic=self.index.synthetic)
        self._warnings += [*self.index.warnings, *self._unstamped()]
        self._assembler = FrameAssembler(self.index, self.topics, rig, self._message)
        add_rig_transforms(rig, self._frame_ids(), self.index.transforms)
        self._assembler.fixed_frame = self._choose_fixed_frame(fixed_frame)

    @property
    def fixed_frame(self) -> str:
        """Coordinate frame of poses, "" for none."""
        return self._assembler.fixed_frame

    def close(self) -> None:
        """Close the bag's files."""
        self._reader.close()

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

    def _frame_ids(self) -> dict[str, str]:
        return {name: self._assembler.frame_id_of(name) for name in self.topics}

    def _choose_fixed_frame(self, wanted: str) -> str:
        chosen, said = choose_fixed_frame(
            wanted, self._frame_ids(), self.index.transforms, "the bag"
        )
        if said is not None:
            self._warnings.append(said)
        return chosen

    # -- loading -------------------------------------------------------------------------------

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame with its depth, calibration and pose.

        Raises:
            ImageDecodeError: its payload is broken or cannot be found again.
        """
        return self._assembler.load(stub)

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame without decoding it; None where TF does not know."""
        return self._assembler.pose(stub)

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

    def begin_pass(self, wanted: Sequence[FrameStub]) -> None:
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


def _recognises(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() in BAG_SUFFIXES
    inside = any(item.suffix.lower() in BAG_SUFFIXES for item in path.iterdir())
    return inside or (path / "metadata.yaml").exists()


KIND = SourceKind(
    "bag",
    "rosbag2 folder, `.mcap`, `.db3`, ROS 1 `.bag`",
    _recognises,
    lambda path, options: BagSource(path, options.rig, options.fixed_frame),
)
