"""Subscriptions of cameras and transforms: callbacks only store. Names whoever does not fit."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from oryx_scene.errors import ConfigError
from oryx_scene.geometry.tf_trees import TransformTrees
from oryx_scene.geometry.turning import turned_frame_id
from oryx_scene.sources.bags.index import take_transforms
from oryx_scene.sources.bags.pairing import rig_camera
from oryx_scene_ros import distribution
from oryx_scene_ros.distribution import TFMessage, vision
from oryx_scene_ros.intake.message_buffer import CameraFeed, MessageBuffers
from oryx_scene_ros.parameters.qos_overrides import QosOverrides
from oryx_scene_ros.parameters.settings import CameraSettings

TF_DEPTH = 100
# As ROS's profile for sensors has it.
SENSOR_DEPTH = 5


def camera_qos(reliability: str, depth: int = 1) -> QoSProfile:
    """Newest wins; `best_effort` receives from reliable publishers, too."""
    return QoSProfile(
        depth=depth,
        reliability=distribution.reliability(reliability),
        durability=DurabilityPolicy.VOLATILE,
    )


def make_feed(node: Node, settings: CameraSettings) -> CameraFeed:
    """An empty feed whose topics are fully expanded (namespace, remapping).

    Raises:
        ConfigError: a name that cannot be a topic's.
    """
    topics = settings.topics
    expanded = {
        key: _expanded(node, settings, value)
        for key, value in vars(topics).items()
        if key != "name"
    }
    detections = _expanded(node, settings, settings.detections)
    return CameraFeed(settings, replace(topics, **expanded), detections)


def _expanded(node: Node, settings: CameraSettings, topic: str) -> str:
    try:
        return str(node.resolve_topic_name(topic)) if topic else ""
    except (RuntimeError, ValueError) as err:
        reason = " ".join(str(err).split()).removeprefix("failed to resolve name: ")
        raise ConfigError(
            f"'{topic}' of camera '{settings.name}' cannot be a topic: "
            f"{reason.partition(', at ')[0]}.",
            hint=f"see the parameters camera.{settings.name}.*topic",
        ) from err


@dataclass
class Watched:
    """One subscription for diagnostics."""

    topic: str
    subscription: Any
    type_name: str
    camera: str
    what: str


@dataclass
class Intake:
    """All subscriptions of an active node; made at "activate", gone at "deactivate".

    Attributes:
        place_turned: told the optical frame of a turned camera's pictures and its degrees, at every
            picture.
    """

    node: Node
    feeds: MessageBuffers
    reliability: str
    overrides: QosOverrides
    place_turned: Callable[[str, int], None]
    watched: list[Watched] = field(default_factory=list)
    tf_failures: int = 0
    last_tf: float | None = None
    last_tf_problem: str = ""

    def start(self) -> None:
        """Subscribe to everything."""
        for name, feed in self.feeds.cameras.items():
            self._start_camera(name, feed)
        if TFMessage is None:
            return
        moving = QoSProfile(depth=TF_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        fixed = QoSProfile(
            depth=TF_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._subscribe(TFMessage, "/tf", moving, "", "tf", self._take_tf)
        static = functools.partial(self._take_tf, static=True)
        self._subscribe(TFMessage, "/tf_static", fixed, "", "tf_static", static)

    def _start_camera(self, name: str, feed: CameraFeed) -> None:
        # As given: rclpy expands and remaps them when it subscribes, which must happen once.
        settings, topics = feed.settings, feed.settings.topics
        qos = camera_qos(self.reliability)
        picture = CompressedImage if settings.compressed else Image
        take = functools.partial(self._take_picture, name)
        self._subscribe(picture, topics.image, qos, name, "picture", take)
        for info in sorted({topics.info, topics.depth_info} - {""}):
            expanded = str(self.node.resolve_topic_name(info))
            take_info = functools.partial(self.feeds.add_info, name, expanded)
            self._subscribe(CameraInfo, info, qos, name, "camera_info", take_info)
        if topics.depth:
            kind = CompressedImage if settings.depth_compressed else Image
            take_depth = functools.partial(self.feeds.add_image, name, depth=True)
            self._subscribe(kind, topics.depth, qos, name, "depth", take_depth)
        if feed.detections_topic:
            take_found = functools.partial(self.feeds.add_detections, name)
            sensor = camera_qos("best_effort", SENSOR_DEPTH)
            kind = vision.Detection2DArray
            self._subscribe(kind, settings.detections, sensor, name, "detections", take_found)

    def _subscribe(
        self, kind: Any, topic: str, qos: QoSProfile, camera: str, what: str, take: Any
    ) -> None:
        options = self.overrides.subscription(topic)
        subscription = self.node.create_subscription(
            kind, topic, take, qos, qos_overriding_options=options
        )
        module = kind.__module__.split(".")[0]
        expanded = str(self.node.resolve_topic_name(topic))
        self.watched.append(
            Watched(expanded, subscription, f"{module}/msg/{kind.__name__}", camera, what)
        )

    def stop(self) -> None:
        """Unsubscribe from everything."""
        for item in self.watched:
            self.node.destroy_subscription(item.subscription)
        self.watched.clear()

    def _take_picture(self, name: str, message: Any) -> None:
        self.feeds.add_image(name, message)
        degrees = rig_camera(self.feeds.rig, name).rotate_deg
        if degrees:
            self.place_turned(self._optical_frame(name), degrees)

    def _optical_frame(self, name: str) -> str:
        """Of a camera's pictures as they are published; "" before the first one."""
        feed = self.feeds.cameras[name]
        return rig_camera(self.feeds.rig, name).frame_id or feed.images.frame_id

    def _own_frames(self) -> set[str]:
        """Optical frames of upright pictures: what we say of them comes back to us on /tf_static.

        The pictures' poses are known without it, and a rig file may name another parent.
        """
        turns = {name: rig_camera(self.feeds.rig, name).rotate_deg for name in self.feeds.cameras}
        return {
            turned_frame_id(self._optical_frame(name), degrees)
            for name, degrees in turns.items()
            if degrees
        }

    def _take_tf(self, message: Any, *, static: bool = False) -> None:
        if static and (own := self._own_frames()):
            message.transforms = [t for t in message.transforms if t.child_frame_id not in own]
        # One tree, whatever the topics are remapped to: the node listens to one robot's.
        tree = TransformTrees(self.feeds.transforms)
        for problem in take_transforms(tree, "/tf_static" if static else "/tf", message):
            self.tf_failures += 1
            self.last_tf_problem = problem
        self.last_tf = time.monotonic()
        self.feeds.transforms_changed()

    # -- who does not fit --------------------------------------------------------------------------

    def publishers(self, item: Watched) -> int:
        """How many publish on a topic."""
        return int(self.node.count_publishers(item.topic))

    def _own_qos(self, item: Watched) -> QoSProfile:
        """As DDS has it: `best_available` was decided when the subscription was made."""
        own = (self.node.get_name(), self.node.get_namespace())
        for info in self.node.get_subscriptions_info_by_topic(item.topic):
            if (info.node_name, info.node_namespace) == own:
                return info.qos_profile
        return item.subscription.qos_profile

    def misfits(self, item: Watched) -> list[str]:
        """Publishers on a topic that this subscription cannot receive from, one sentence each."""
        said = []
        wanted = self._own_qos(item)
        for info in self.node.get_publishers_info_by_topic(item.topic):
            who = f"{info.node_namespace.rstrip('/')}/{info.node_name} on {item.topic}"
            if info.topic_type != item.type_name:
                said.append(f"{who} publishes {info.topic_type}, expected {item.type_name}")
                continue
            level, reason = qos_check_compatible(info.qos_profile, wanted)
            if level == QoSCompatibility.ERROR:
                said.append(f"{who} does not fit: {' '.join(reason.split())}")
        return said
