"""One pass over a recording: what is in it, without decoding or even reading a picture.

Of a picture only the header is read; where it lies is kept, so that it is read once, when it is
wanted. Counts are compared with what the recording says of itself: a lost message is not silent.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from oryx_scene.bags.data_file import Channel
from oryx_scene.bags.mcap_file import ros2_name
from oryx_scene.bags.message_types import TF_TYPES
from oryx_scene.bags.recording import Message, Recording
from oryx_scene.errors import CalibrationError, SourceError, TransformError
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.geometry.transforms import from_translation_quaternion
from oryx_scene.warning import Warning

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
TRANSFORM_TYPE = "geometry_msgs/msg/Transform"
# ROS 1 puts a counter before the stamp, ROS 2 an encapsulation header: the stamp ends here in both.
STAMP_END = 12
# Of one kind of damage on one topic this many are said.
MOST_ALIKE = 3
SYNTHETIC_TOPIC = "/oryx_scene/synthetic"


@dataclass
class ImageTopic:
    """What one image topic carries.

    Attributes:
        entries: (stamp_ns, log_ns) in the order of recording.
        messages: where each of them lies; empty in a live node.
    """

    topic: str
    msgtype: str
    encoding: str = ""
    height: int = 0
    width: int = 0
    frame_id: str = ""
    entries: list[tuple[int, int]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list, repr=False)
    zero_stamps: int = 0


@dataclass
class BagIndex:
    """All that one pass over a bag found.

    Attributes:
        images: by topic.
        infos: topic -> (stamp_ns, message), one per change of the numbers.
        transforms: /tf and /tf_static.
        extrinsics: topic of a RealSense stream's `tf/0` -> (4, 4).
        found: (topic, message type) -> messages.
        channels: each with the time of recording of its first message, nanoseconds.
        synthetic: the bag was written by a synthetic world.
        warnings: what is missing, damaged or doubtful.
    """

    images: dict[str, ImageTopic] = field(default_factory=dict)
    infos: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    info_bodies: dict[str, bytes] = field(default_factory=dict, repr=False)
    transforms: TransformBuffer = field(default_factory=TransformBuffer)
    extrinsics: dict[str, Any] = field(default_factory=dict)
    found: dict[tuple[str, str], int] = field(default_factory=dict)
    channels: dict[Channel, int] = field(default_factory=dict)
    synthetic: bool = False
    warnings: list[Warning] = field(default_factory=list)
    _said: Counter[tuple[str, str]] = field(default_factory=Counter, repr=False)

    def warn(self, code: str, text: str, topic: str) -> None:
        """Remember a warning; of the many alike that damage gives, the first of each topic."""
        self._said[code, topic] += 1
        if self._said[code, topic] <= MOST_ALIKE:
            self.warnings.append(Warning(code, text, topic=topic))


def index_bag(recording: Recording, path: Path) -> BagIndex:
    """Index a recording.

    Raises:
        SourceError: it holds no message at all.
    """
    index = BagIndex()
    for message in recording.scan():
        channel = message.channel
        name = (channel.topic, channel.msgtype)
        index.found[name] = index.found.get(name, 0) + 1
        index.channels.setdefault(channel, message.log_ns)
        if channel.understood:
            _take(index, recording, message)
    index.warnings = [*recording.warnings, *index.warnings]
    if not index.found:
        raise _empty(index, path)
    _sort_by_time(index)
    _compare_counts(index, recording)
    _say_foreign(index)
    return index


def _empty(index: BagIndex, path: Path) -> SourceError:
    problems = [item for item in index.warnings if item.severity == "problem"]
    if problems:
        first = problems[0]
        return SourceError(path, f"no message can be read: {first.text}.", hint=first.advice)
    return SourceError(path, "the bag is empty.", hint="was the recorder's topic list right?")


def _take(index: BagIndex, recording: Recording, message: Message) -> None:
    channel = message.channel
    topic, msgtype = channel.topic, ros2_name(channel.msgtype)
    if msgtype in IMAGE_TYPES:
        _take_image(index, recording, message)
    elif msgtype == INFO_TYPE:
        # Drivers repeat the same numbers with every picture; what follows the header decides.
        data = _read(index, recording, message)
        body = data[STAMP_END:]
        if data and index.info_bodies.get(topic) != body:
            index.info_bodies[topic] = body
            info = _deserialise(index, recording, message, data)
            if info is not None:
                _take_info(index.infos.setdefault(topic, []), info)
    elif msgtype in TF_TYPES:
        transforms = _deserialise(index, recording, message)
        if transforms is not None:
            _take_transforms(index, topic, transforms)
    elif msgtype == TRANSFORM_TYPE and topic.endswith("/tf/0"):
        transform = _deserialise(index, recording, message)
        if transform is not None:
            index.extrinsics[topic] = _matrix(transform)
    elif topic == SYNTHETIC_TOPIC:
        index.synthetic = True


def _read(
    index: BagIndex, recording: Recording, message: Message, size: int | None = None
) -> bytes:
    """The bytes of a message, empty where they cannot be read, which is said."""
    try:
        return recording.read(message.place, size)
    except (ValueError, OSError) as err:
        index.warn("message_unreadable", str(err), message.channel.topic)
        return b""


def _deserialise(
    index: BagIndex, recording: Recording, message: Message, data: bytes | None = None
) -> Any:
    data = _read(index, recording, message) if data is None else data
    if not data:
        return None
    try:
        return recording.deserialize(data, message.channel)
    except ValueError as err:
        index.warn("message_unreadable", str(err), message.channel.topic)
        return None


def _take_image(index: BagIndex, recording: Recording, message: Message) -> None:
    channel = message.channel
    found = index.images.get(channel.topic)
    if found is None:
        found = index.images[channel.topic] = ImageTopic(channel.topic, channel.msgtype)
    if not found.encoding:
        first = _deserialise(index, recording, message)
        if first is not None:
            _describe(found, first)
    head = _read(index, recording, message, STAMP_END)
    stamp_ns = header_stamp(head, channel.encoding == "cdr")
    if stamp_ns == 0:
        found.zero_stamps += 1
        # A picture without a stamp is placed at the moment of its recording, which is said.
        stamp_ns = message.log_ns
    found.entries.append((stamp_ns, message.log_ns))
    found.messages.append(message)


def _sort_by_time(index: BagIndex) -> None:
    """Files may overlap in time, and some recorders write out of order."""
    for found in index.images.values():
        order = sorted(range(len(found.entries)), key=lambda place: found.entries[place][1])
        found.entries = [found.entries[place] for place in order]
        found.messages = [found.messages[place] for place in order]
    for infos in index.infos.values():
        infos.sort(key=lambda item: item[0])


def _describe(topic: ImageTopic, message: Any) -> None:
    topic.frame_id = str(message.header.frame_id).lstrip("/")
    if hasattr(message, "encoding"):
        topic.encoding = str(message.encoding)
        topic.height, topic.width = int(message.height), int(message.width)
    else:
        topic.encoding = str(message.format) or "compressed"


def header_stamp(data: bytes, is2: bool) -> int:
    """Header stamp in nanoseconds from the first bytes of a serialised stamped message."""
    try:
        if is2:
            order = "<" if data[1] & 1 else ">"
            seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
        else:
            seconds, nanoseconds = struct.unpack_from("<II", data, 4)
    except (struct.error, IndexError):
        return 0
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def stamp_ns_of(header: Any) -> int:
    """Nanoseconds of a std_msgs/Header."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def _take_info(kept: list[tuple[int, Any]], message: Any) -> None:
    """Keep a CameraInfo only where its numbers differ from the one before."""
    if kept:
        last = kept[-1][1]
        same_size = (last.height, last.width) == (message.height, message.width)
        if same_size and np.array_equal(_K(last), _K(message)):
            return
    kept.append((stamp_ns_of(message.header), message))


def _K(message: Any) -> Any:
    # ROS 1 spells it K, ROS 2 k.
    return message.K if hasattr(message, "K") else message.k


def _matrix(transform: Any) -> Any:
    t, q = transform.translation, transform.rotation
    return from_translation_quaternion((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def _take_transforms(index: BagIndex, topic: str, message: Any) -> None:
    static = topic.endswith("tf_static")
    for item in message.transforms:
        parent, child = item.header.frame_id, item.child_frame_id
        try:
            if static:
                index.transforms.add_static(parent, child, _matrix(item.transform))
            else:
                stamp_ns = stamp_ns_of(item.header)
                index.transforms.add(parent, child, stamp_ns, _matrix(item.transform))
        except (CalibrationError, TransformError) as err:
            text = f"left out a transform: {err.message}"
            warning = Warning("transform_left_out", text, topic=topic)
            if warning not in index.warnings and len(index.warnings) < 50:
                index.warnings.append(warning)


def _compare_counts(index: BagIndex, recording: Recording) -> None:
    """Fewer messages than stated are lost; if metadata.yaml says fewer than there are, it errs."""
    stated = recording.counts
    for name, expected in sorted(stated.items()):
        found = index.found.get(name, 0)
        if found < expected:
            text = f"the recording says {expected} messages, {found} could be read"
            index.warn("recording_incomplete", text, name[0])
    described = recording.metadata.counts
    wrong = [
        topic
        for (topic, msgtype), number in index.found.items()
        if described and number > described.get((topic, msgtype), 0)
    ]
    if wrong:
        text = f"it counts fewer messages than the data files hold, e.g. of {wrong[0]}"
        index.warn("metadata_wrong", text, "metadata.yaml")


def _say_foreign(index: BagIndex) -> None:
    """Channels that are left out for their encoding, and topics of several types."""
    types: dict[str, list[str]] = {}
    for channel in index.channels:
        if not channel.understood:
            text = f"left out: {channel.msgtype or 'no type'} encoded as '{channel.encoding}'"
            index.warn("foreign_channel", text, channel.topic)
        named = types.setdefault(channel.topic, [])
        if channel.msgtype not in named:
            named.append(channel.msgtype)
    for topic, several in types.items():
        if len(several) > 1:
            text = f"messages of several types: {', '.join(several)}"
            index.warn("topic_of_several_types", text, topic)
