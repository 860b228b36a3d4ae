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

from oryx_scene.errors import CalibrationError, ImageDecodeError, SourceError, TransformError
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.geometry.tf_trees import TransformTrees, tf_namespace
from oryx_scene.geometry.transforms import from_translation_quaternion
from oryx_scene.records import FloatArray
from oryx_scene.sources.bags.camera_info import numbers_of
from oryx_scene.sources.bags.compressed import PICTURE_ENDS, is_png16
from oryx_scene.sources.bags.data_file import Channel
from oryx_scene.sources.bags.mcap_file import ros2_name
from oryx_scene.sources.bags.message_types import TF_TYPES
from oryx_scene.sources.bags.messages import check_image_message
from oryx_scene.sources.bags.pose_topics import POSE_TYPES, PoseTrack, take_pose
from oryx_scene.sources.bags.recording import Message, Recording
from oryx_scene.sources.bags.topics import parts_of
from oryx_scene.warning import Warning

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
TRANSFORM_TYPE = "geometry_msgs/msg/Transform"
# ROS 1 puts a counter before the stamp, ROS 2 an encapsulation header: the stamp ends here in both.
STAMP_END = 12
# The end of a compressed picture lies within these, before padding.
TAIL_BYTES = 32
# Of one kind of damage on one topic this many are said.
MOST_ALIKE = 3
SYNTHETIC_TOPIC = "/oryx_scene/synthetic"
# A RealSense SDK recording states the depth unit of a sensor as one of its options.
FLOAT_TYPE = "std_msgs/msg/Float32"
DEPTH_UNITS = "/option/Depth Units/value"


@dataclass
class ImageTopic:
    """What one image topic carries.

    Attributes:
        entries: (stamp_ns, log_ns) in the order of recording.
        messages: where each of them lies; empty in a live node.
        size: bytes of the last message that was looked at and whole.
        damaged, first_damage: pictures that cannot be decoded, and why the first cannot.
    """

    topic: str
    msgtype: str
    encoding: str = ""
    height: int = 0
    width: int = 0
    frame_id: str = ""
    png16: bool = False
    entries: list[tuple[int, int]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list, repr=False)
    zero_stamps: int = 0
    size: int = 0
    damaged: int = 0
    first_damage: str = ""


@dataclass
class BagIndex:
    """All that one pass over a bag found.

    Attributes:
        images: by topic.
        infos: topic -> (stamp_ns, message), one per change of the numbers.
        transforms: /tf and /tf_static.
        tf: the transforms of namespaced TF topics, by namespace; /tf and /tf_static are "".
        extrinsics: topic of a RealSense stream's `tf/0` -> (4, 4).
        depth_units: topic of a RealSense sensor -> metres per step of its depth.
        poses: by topic of Odometry, PoseStamped and the like.
        found: (topic, message type) -> messages.
        channels: each with the time of recording of its first message, nanoseconds.
        synthetic: the bag was written by a synthetic world.
        warnings: what is missing, damaged or doubtful.
    """

    images: dict[str, ImageTopic] = field(default_factory=dict)
    infos: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    info_bodies: dict[str, bytes] = field(default_factory=dict, repr=False)
    transforms: TransformBuffer = field(default_factory=TransformBuffer)
    tf: TransformTrees = field(init=False)
    extrinsics: dict[str, Any] = field(default_factory=dict)
    depth_units: dict[str, float] = field(default_factory=dict)
    poses: dict[str, PoseTrack] = field(default_factory=dict)
    found: dict[tuple[str, str], int] = field(default_factory=dict)
    channels: dict[Channel, int] = field(default_factory=dict)
    synthetic: bool = False
    warnings: list[Warning] = field(default_factory=list)
    _said: Counter[tuple[str, str]] = field(default_factory=Counter, repr=False)

    def __post_init__(self) -> None:
        self.tf = TransformTrees(self.transforms)

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
                stamp_ns = stamp_ns_of(info.header) or message.log_ns
                keep_info(index.infos.setdefault(topic, []), stamp_ns, info)
    elif msgtype in TF_TYPES:
        transforms = _deserialise(index, recording, message)
        if transforms is not None:
            _take_transforms(index, topic, transforms)
    elif msgtype == TRANSFORM_TYPE and topic.endswith("/tf/0"):
        transform = _deserialise(index, recording, message)
        if transform is not None:
            index.extrinsics[topic] = matrix_of(transform)
    elif msgtype in POSE_TYPES:
        _take_pose(index, recording, message)
    elif topic == SYNTHETIC_TOPIC:
        index.synthetic = True
    elif msgtype == FLOAT_TYPE and topic.endswith(DEPTH_UNITS):
        option = _deserialise(index, recording, message)
        if option is not None:
            index.depth_units[topic.removesuffix(DEPTH_UNITS)] = float(option.data)


def _take_pose(index: BagIndex, recording: Recording, message: Message) -> None:
    pose = _deserialise(index, recording, message)
    if pose is None:
        return
    topic = message.channel.topic
    try:
        take_pose(index.poses, topic, stamp_ns_of(pose.header) or message.log_ns, pose)
    except CalibrationError as err:
        index.warn("transform_left_out", f"left out a pose: {err.message}", topic)


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
    _check_image(index, recording, found, message)
    head = _read(index, recording, message, STAMP_END)
    stamp_ns = header_stamp(head, channel.encoding == "cdr")
    if stamp_ns == 0:
        found.zero_stamps += 1
        # A picture without a stamp is placed at the moment of its recording, which is said.
        stamp_ns = message.log_ns
    found.entries.append((stamp_ns, message.log_ns))
    found.messages.append(message)


def _check_image(
    index: BagIndex, recording: Recording, found: ImageTopic, message: Message
) -> None:
    """Look at a picture, without decoding it, where it may be damaged.

    Raw pictures of one topic are of one size: another one is suspicious, as is a compressed one
    without its codec's end.
    """
    try:
        if found.encoding and _seems_whole(recording, found, message):
            return
        picture = recording.deserialize(recording.read(message.place), message.channel)
        if not found.encoding:
            _describe(found, picture)
        check_image_message(found.topic, picture)
        found.size = message.size
    except (ValueError, OSError, ImageDecodeError) as err:
        found.damaged += 1
        found.first_damage = found.first_damage or getattr(err, "message", str(err))


def _seems_whole(recording: Recording, found: ImageTopic, message: Message) -> bool:
    if message.channel.msgtype.endswith("/Image"):
        return message.size == found.size
    tail = recording.tail(message.place, TAIL_BYTES)
    return any(end in tail for end in PICTURE_ENDS)


def _sort_by_time(index: BagIndex) -> None:
    """Files may overlap in time, and some recorders write out of order."""
    for found in index.images.values():
        order = sorted(range(len(found.entries)), key=lambda place: found.entries[place][1])
        order = _without_copies(index, found, order)
        found.entries = [found.entries[place] for place in order]
        found.messages = [found.messages[place] for place in order]
    for infos in index.infos.values():
        infos.sort(key=lambda item: item[0])


def _without_copies(index: BagIndex, found: ImageTopic, order: list[int]) -> list[int]:
    """Leave out messages that an earlier file holds, too: a file and its copy or repaired twin."""
    seen: dict[tuple[int, int], int] = {}
    kept = []
    for place in order:
        file = found.messages[place].place[0]
        if seen.setdefault(found.entries[place], file) == file:
            kept.append(place)
    if len(kept) < len(order):
        text = f"{len(order) - len(kept)} messages lie in two files of the recording: used once"
        index.warn("recording_duplicated", text, found.topic)
    return kept


def _describe(topic: ImageTopic, message: Any) -> None:
    topic.frame_id = str(message.header.frame_id).lstrip("/")
    if hasattr(message, "encoding"):
        topic.encoding = str(message.encoding)
        topic.height, topic.width = int(message.height), int(message.width)
    else:
        topic.encoding = str(message.format) or "compressed"
        topic.png16 = is_png16(bytes(message.data[:32]))


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


def keep_info(kept: list[tuple[int, Any]], stamp_ns: int, message: Any) -> None:
    """Keep a CameraInfo only where anything after its header differs from the one before."""
    if not kept or numbers_of(kept[-1][1]) != numbers_of(message):
        kept.append((stamp_ns, message))


def matrix_of(transform: Any) -> FloatArray:
    """(4, 4) of a geometry_msgs/Transform.

    Raises:
        CalibrationError: the quaternion is no rotation.
    """
    t, q = transform.translation, transform.rotation
    return from_translation_quaternion((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def take_transforms(tf: TransformTrees, topic: str, message: Any) -> list[str]:
    """Store the transforms of a tf2_msgs/TFMessage; returns what was left out and why.

    Args:
        tf: one tree per namespace.
        topic: expanded; "/robot1/tf" belongs to the tree of "/robot1". One whose last component
            begins with tf_static carries static transforms.
        message: of rosbags or rclpy.
    """
    transforms = tf.tree(tf_namespace(topic))
    static = parts_of(topic)[-1].startswith("tf_static")
    problems = []
    for item in message.transforms:
        parent, child = item.header.frame_id, item.child_frame_id
        stamp_ns = stamp_ns_of(item.header)
        try:
            T = matrix_of(item.transform)
            if static:
                transforms.add_static(parent, child, T, stamp_ns)
            else:
                transforms.add(parent, child, stamp_ns, T)
        except (CalibrationError, TransformError) as err:
            problems.append(f"{parent} -> {child}: {err.message}")
    return problems


def _take_transforms(index: BagIndex, topic: str, message: Any) -> None:
    for problem in take_transforms(index.tf, topic, message):
        warning = Warning("transform_left_out", f"left out a transform: {problem}", topic=topic)
        if warning not in index.warnings and len(index.warnings) < 50:
            index.warnings.append(warning)
