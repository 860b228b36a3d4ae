"""One pass over a bag: what is in it, without decoding a picture.

Headers are read from the first bytes of each message, so that a bag of many gigabytes is indexed at
the speed of the disk and in little memory. Counts are compared with what the bag says of itself:
readers lose damaged messages silently.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from oryx_scene.errors import CalibrationError, SourceError, TransformError
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.geometry.transforms import from_translation_quaternion
from oryx_scene.warning import Warning

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
TF_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage", "tf/msg/TFMessage")
TRANSFORM_TYPE = "geometry_msgs/msg/Transform"
# ROS 1 puts a counter before the stamp, ROS 2 an encapsulation header: the stamp ends here in both.
STAMP_END = 12
SYNTHETIC_TOPIC = "/oryx_scene/synthetic"


@dataclass
class ImageTopic:
    """What one image topic carries; ``entries`` are (stamp_ns, log_ns) in recorded order."""

    topic: str
    msgtype: str
    encoding: str = ""
    height: int = 0
    width: int = 0
    frame_id: str = ""
    entries: list[tuple[int, int]] = field(default_factory=list)
    zero_stamps: int = 0


@dataclass
class BagIndex:
    """All that one pass over a bag found.

    Attributes:
        images: by topic.
        infos: topic -> (stamp_ns, message), one per change of the numbers.
        transforms: /tf and /tf_static.
        extrinsics: topic of a RealSense stream's `tf/0` -> (4, 4).
        expected, found: messages per topic, as stated and as read.
        synthetic: the bag was written by a synthetic world.
        warnings: what is missing, damaged or doubtful.
    """

    images: dict[str, ImageTopic] = field(default_factory=dict)
    infos: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    info_bodies: dict[str, bytes] = field(default_factory=dict, repr=False)
    transforms: TransformBuffer = field(default_factory=TransformBuffer)
    extrinsics: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    msgtypes: dict[str, str] = field(default_factory=dict)
    synthetic: bool = False
    warnings: list[Warning] = field(default_factory=list)


def open_bag(path: Path) -> Any:
    """An opened rosbags AnyReader on a bag folder or file.

    Raises:
        SourceError: not a bag, damaged, or empty.
    """
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    try:
        paths = _bag_files(path)
        reader = AnyReader(paths, default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    except _damage_errors() as err:
        text = " ".join(str(err).split()) or type(err).__name__
        raise SourceError(
            path, f"the bag cannot be read ({text}).", hint=_repair_hint(path)
        ) from err
    return reader


def _bag_files(path: Path) -> list[Path]:
    if path.is_file() or (path / "metadata.yaml").exists():
        return [path]
    # A recorder that was killed leaves no metadata.yaml; its files can still be read.
    for suffix in (".mcap", ".db3", ".bag"):
        files = sorted(path.glob(f"*{suffix}"))
        if files:
            return files if suffix == ".bag" else files[:1]
    return [path]


def _damage_errors() -> tuple[type[Exception], ...]:
    """What the bag libraries raise on damaged files."""
    import apsw
    from rosbags.highlevel import AnyReaderError

    return (
        AnyReaderError,
        AssertionError,
        apsw.Error,
        OSError,
        ValueError,
        KeyError,
        IndexError,
        struct.error,
        UnicodeDecodeError,
        RuntimeError,
    )


def _repair_hint(path: Path) -> str:
    names = [path.name] + ([item.name for item in path.iterdir()] if path.is_dir() else [])
    if any(name.endswith(".mcap") for name in names):
        return "a recording that was cut off can be repaired with `mcap recover IN -o OUT`"
    if any(name.endswith(".bag") for name in names):
        return "an unindexed or cut-off bag can be repaired with `rosbag reindex`"
    if any(name.endswith(".db3") for name in names):
        return "a damaged database can be saved with `sqlite3 IN .recover | sqlite3 OUT`"
    return "check that the path leads to a bag"


def raw_messages(
    reader: Any, path: Path, warnings: list[Warning], **window: Any
) -> Iterator[tuple[Any, int, bytes]]:
    """Messages of a reader; damage in the middle ends them with a warning."""
    count = 0
    try:
        for item in reader.messages(**window):
            count += 1
            yield item
    except _damage_errors() as err:
        text = " ".join(str(err).split()) or type(err).__name__
        said = f"reading stopped at damage after {count} messages ({text})"
        warnings.append(Warning("recording_damaged", said, topic=path.name))


def index_bag(reader: Any, path: Path) -> BagIndex:
    """Index an opened bag.

    Raises:
        SourceError: the bag holds no message at all.
    """
    index = BagIndex()
    for connection in reader.connections:
        index.expected[connection.topic] = index.expected.get(connection.topic, 0) + int(
            connection.msgcount
        )
        index.msgtypes[connection.topic] = connection.msgtype
    if not reader.connections or not any(index.expected.values()):
        raise SourceError(path, "the bag is empty.", hint="was the recorder's topic list right?")
    for connection, log_ns, data in raw_messages(reader, path, index.warnings):
        index.found[connection.topic] = index.found.get(connection.topic, 0) + 1
        _take(index, reader, connection, log_ns, data)
    _compare_counts(index)
    return index


def _take(index: BagIndex, reader: Any, connection: Any, log_ns: int, data: bytes) -> None:
    msgtype, topic = connection.msgtype, connection.topic
    if msgtype in IMAGE_TYPES:
        _take_image(index, reader, connection, log_ns, data)
    elif msgtype == INFO_TYPE:
        # Drivers repeat the same numbers with every picture; what follows the header decides.
        body = bytes(data[STAMP_END:])
        if index.info_bodies.get(topic) != body:
            index.info_bodies[topic] = body
            message = _deserialise(index, reader, connection, data)
            if message is not None:
                _take_info(index.infos.setdefault(topic, []), message)
    elif msgtype in TF_TYPES:
        message = _deserialise(index, reader, connection, data)
        if message is not None:
            _take_transforms(index, topic, message)
    elif msgtype == TRANSFORM_TYPE and topic.endswith("/tf/0"):
        message = _deserialise(index, reader, connection, data)
        if message is not None:
            index.extrinsics[topic] = _matrix(message)
    elif topic == SYNTHETIC_TOPIC:
        index.synthetic = True


def _deserialise(index: BagIndex, reader: Any, connection: Any, data: bytes) -> Any:
    try:
        return reader.deserialize(data, connection.msgtype)
    except _damage_errors() as err:
        text = f"a message cannot be read ({err})"
        index.warnings.append(Warning("message_unreadable", text, topic=connection.topic))
        return None


def _take_image(index: BagIndex, reader: Any, connection: Any, log_ns: int, data: bytes) -> None:
    topic = connection.topic
    found = index.images.get(topic)
    if found is None:
        found = index.images[topic] = ImageTopic(topic, connection.msgtype)
    if not found.encoding:
        message = _deserialise(index, reader, connection, data)
        if message is not None:
            _describe(found, message)
    stamp_ns = header_stamp(data, reader.is2)
    if stamp_ns == 0:
        found.zero_stamps += 1
        # A picture without a stamp is placed at the moment of its recording, which is said.
        stamp_ns = log_ns
    found.entries.append((stamp_ns, log_ns))


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


def _compare_counts(index: BagIndex) -> None:
    for topic, expected in sorted(index.expected.items()):
        found = index.found.get(topic, 0)
        if found != expected:
            text = f"the bag says {expected} messages, {found} could be read"
            index.warnings.append(Warning("recording_incomplete", text, topic=topic))
