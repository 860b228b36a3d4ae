"""Recorded messages into topics: payloads byte for byte as recorded, at the recording's own pace.

What is not a ROS 2 bag (ROS 1 bag, posed RGB-D folder, dumped question, pictures) becomes one
first, so that there is only one way. Knows the middleware, but neither the node nor the command
line.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock

from oryx_scene.errors import SourceError
from oryx_scene.sources.bags.data_file import Channel
from oryx_scene.sources.bags.recording import Recording as BagRecording
from oryx_scene.sources.bags.recording_files import is_recording
from oryx_scene.sources.bags.writer import write_source
from oryx_scene.sources.registry import open_source

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
PLAYED_TYPES = (*IMAGE_TYPES, "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage")
TF_STATIC = "/tf_static"
# Between messages the clock goes on in steps of this length of the recording.
CLOCK_STEP_NS = 10_000_000
SETTLE_S = 0.2


@dataclass(frozen=True)
class RecordedMessage:
    """One message of a recording.

    Attributes:
        log_ns: when it was recorded.
        topic, msgtype: as recorded.
        data: CDR bytes.
    """

    log_ns: int
    topic: str
    msgtype: str
    data: bytes


class RecordedTopics:
    """A ROS 2 bag opened for playing; use as a context manager.

    Args:
        path: anything that ``open_source`` opens.

    Raises:
        SourceError: it cannot be read, or holds nothing that can be played.
    """

    def __init__(self, path: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="oryx_scene_play_")
        self._reader = _open_ros2(path, Path(self._folder.name))
        self.types: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self._begin = 2**63
        for message in self._reader.scan():
            channel = message.channel
            self._begin = min(self._begin, message.log_ns)
            kept = _is_played(channel)
            (self.types if kept else self.left_out)[channel.topic] = channel.msgtype
        if not any(msgtype in IMAGE_TYPES for msgtype in self.types.values()):
            self.close()
            raise SourceError(path, "it holds no picture to play.", hint="see `oryx-scene check`")

    def __enter__(self) -> RecordedTopics:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._reader.close()
        self._folder.cleanup()

    def messages(self, start_s: float = 0.0) -> Iterator[RecordedMessage]:
        """Messages in the order of recording, from ``start_s`` seconds after the first on.

        /tf_static comes whole, whatever the start: without it no camera has a place.
        """
        begin = self._begin + round(start_s * 1e9)
        for channel, log_ns, data in self._reader.messages(_is_played):
            if log_ns >= begin or channel.topic == TF_STATIC:
                yield RecordedMessage(max(log_ns, begin), channel.topic, channel.msgtype, data)


def _is_played(channel: Channel) -> bool:
    return channel.encoding == "cdr" and channel.msgtype in PLAYED_TYPES


def _open_ros2(path: Path, scratch: Path) -> BagRecording:
    """An open recording of ``path``, or of a ROS 2 bag in ``scratch`` made of it."""
    if not path.exists():
        raise SourceError(path, "no such file or folder.", hint="check the path")
    if is_recording(path):
        opened = BagRecording(path)
        if any(_is_played(message.channel) for message in opened.scan()):
            return opened
        opened.close()
    bag = scratch / "bag"
    write_source(open_source(path), bag)
    return BagRecording(bag)


def message_class(msgtype: str) -> Any:
    """The class of a message type.

    Raises:
        SourceError: its package is not installed.
    """
    package, _, name = msgtype.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as err:
        raise SourceError(
            msgtype, "this message type is not installed.", hint=f"pip install ./ros/{package}_min"
        ) from err


def _profile(topic: str) -> QoSProfile:
    """As drivers and tf2 broadcasters publish: reliable; late subscribers get all of /tf_static."""
    latched = topic == TF_STATIC
    return QoSProfile(
        depth=1000 if topic in ("/tf", TF_STATIC) else 10,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


class Player:
    """Publishes recordings from one node.

    Args:
        node: that owns the publishers; it need not spin.
        types: topic -> message type.
        clock: publish /clock with the recording's time, for nodes with use_sim_time.
        shift_ns: added to every stamp, and to the clock. Payloads stay as they are.
    """

    def __init__(
        self, node: Node, types: dict[str, str], *, clock: bool = False, shift_ns: int = 0
    ) -> None:
        self._classes = {topic: message_class(msgtype) for topic, msgtype in types.items()}
        self._publishers = {
            topic: node.create_publisher(kind, topic, _profile(topic))
            for topic, kind in self._classes.items()
        }
        self._images = [topic for topic, msgtype in types.items() if msgtype in IMAGE_TYPES]
        self._clock = node.create_publisher(Clock, "/clock", 10) if clock else None
        self.shift_ns = shift_ns
        self.sent: dict[str, int] = dict.fromkeys(types, 0)

    def wait_for_listeners(self, timeout_s: float) -> list[str]:
        """Wait until somebody listens to a picture; the picture topics without a listener."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if any(self._publishers[topic].get_subscription_count() for topic in self._images):
                # The other topics of the same listener follow at once.
                time.sleep(SETTLE_S)
                break
            time.sleep(0.02)
        return [t for t in self._images if not self._publishers[t].get_subscription_count()]

    def send(self, message: RecordedMessage) -> None:
        """Publish one message now; without a shift its very bytes."""
        if self._clock is not None:
            self.tick(message.log_ns)
        publisher = self._publishers[message.topic]
        if self.shift_ns:
            kind = self._classes[message.topic]
            publisher.publish(_shifted(deserialize_message(message.data, kind), self.shift_ns))
        else:
            publisher.publish(bytes(message.data))
        self.sent[message.topic] += 1

    def tick(self, recorded_ns: int) -> None:
        """Publish /clock, where that was asked for."""
        if self._clock is not None:
            tick = Clock()
            _set_time(tick.clock, recorded_ns + self.shift_ns)
            self._clock.publish(tick)

    def _begin(self, first_ns: int) -> None:
        """Nodes that take up the recording's clock forget what they have: before, not after."""
        if self._clock is not None:
            self.tick(first_ns)
            time.sleep(SETTLE_S)

    def play(
        self,
        messages: Iterator[RecordedMessage],
        rate: float = 1.0,
        stopped: Callable[[], bool] = lambda: False,
    ) -> int:
        """Publish messages at ``rate`` times the recording's pace; the last one's log time."""
        started, first, last = time.monotonic(), 0, 0
        for message in messages:
            if not first:
                first = last = message.log_ns
                self._begin(first)
                started = time.monotonic()
            while not stopped():
                # Ticks and waits between two messages, none longer than one step of the clock.
                now = first + int((time.monotonic() - started) * rate * 1e9)
                if now >= message.log_ns:
                    break
                last = min(now, message.log_ns)
                self.tick(last)
                ahead = min(message.log_ns - now, CLOCK_STEP_NS)
                time.sleep(ahead / 1e9 / rate)
            if stopped():
                break
            self.send(message)
            last = message.log_ns
        return last


def _set_time(field: Any, stamp_ns: int) -> None:
    field.sec, field.nanosec = divmod(stamp_ns, 1_000_000_000)


def _shifted(message: Any, shift_ns: int) -> Any:
    """``message`` with every header stamp moved; an unset stamp stays unset."""
    headers = [item.header for item in getattr(message, "transforms", ())]
    if hasattr(message, "header"):
        headers.append(message.header)
    for header in headers:
        stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        if stamp_ns:
            _set_time(header.stamp, stamp_ns + shift_ns)
    return message
