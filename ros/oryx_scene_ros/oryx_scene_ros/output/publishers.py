"""Publishers of answers and scenes. Pictures are drawn only while somebody looks at them."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, TransformStamped, Vector3
from oryx_scene_msgs.msg import Answer, ModelInfo, Scene
from rclpy.duration import Duration as RclpyDuration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import ColorRGBA, Header, String
from visualization_msgs.msg import Marker, MarkerArray

from oryx_scene.geometry.turning import T_camera_turned, turned_frame_id
from oryx_scene.records import Frame, RgbImage
from oryx_scene.view.markers import scene_markers
from oryx_scene_ros.convert import scene_message, time_message, transform_message
from oryx_scene_ros.distribution import TFMessage, vision
from oryx_scene_ros.output.vision_objects import detections_message
from oryx_scene_ros.parameters.qos_overrides import QosOverrides
from oryx_scene_ros.queries.query_handler import Reply
from oryx_scene_ros.queries.scene_store import KeptScene

JPEG_QUALITY = 90


def latched(lifespan_s: float = 0.0) -> QoSProfile:
    """Reliable, and a late subscriber gets the last message."""
    profile = QoSProfile(
        depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
    )
    if lifespan_s > 0:
        profile.lifespan = RclpyDuration(nanoseconds=round(lifespan_s * 1e9))
    return profile


class Outputs:
    """What a node publishes besides diagnostics.

    Args:
        node: owner.
        cameras: names, for the marked pictures.
        lifespan_s: of the latched answer, 0 = for ever.
        overrides: of the publishers' QoS.

    Raises:
        ConfigError: an override that is no QoS.
    """

    def __init__(
        self, node: Node, cameras: tuple[str, ...], lifespan_s: float, overrides: QosOverrides
    ) -> None:
        self._node, self._overrides = node, overrides
        self._made: list[Any] = []
        self._turned: dict[str, TransformStamped] = {}
        self._turned_frames: Any = None
        try:
            self._make(cameras, lifespan_s)
        except Exception:
            # Nobody else knows of the ones that were made.
            self.destroy()
            raise

    def _make(self, cameras: tuple[str, ...], lifespan_s: float) -> None:
        self.answer = self._publisher(Answer, "~/answer", latched(lifespan_s))
        self.answer_text = self._publisher(String, "~/answer_text", 10)
        self.watch_answer = self._publisher(Answer, "~/watch/answer", latched(lifespan_s))
        self.partial = self._publisher(String, "~/partial", 50)
        self.scene = self._publisher(Scene, "~/scene", latched())
        self.markers = self._publisher(MarkerArray, "~/markers", latched())
        self.objects = None
        if vision is not None:
            self.objects = self._publisher(vision.Detection3DArray, "~/objects", latched())
        self.model_info = self._publisher(ModelInfo, "~/model_info", latched())
        self.marked = {
            name: (
                self._publisher(Image, f"~/marked/{name}", 1),
                self._publisher(CompressedImage, f"~/marked/{name}/compressed", 1),
            )
            for name in cameras
        }

    def _publisher(self, kind: Any, topic: str, qos: QoSProfile | int) -> Any:
        options = self._overrides.publisher(topic)
        made = self._node.create_publisher(kind, topic, qos, qos_overriding_options=options)
        self._made.append(made)
        return made

    def destroy(self) -> None:
        """Take every publisher down."""
        while self._made:
            self._node.destroy_publisher(self._made.pop())

    def place_turned(self, frame_id: str, degrees: int) -> None:
        """Publish on /tf_static where the optical frame of upright pictures is, once for each.

        Args:
            frame_id: optical frame of the pictures as published.
            degrees: by which they are turned clockwise; not 0.
        """
        child = turned_frame_id(frame_id, degrees)
        if not frame_id or child in self._turned or TFMessage is None:
            return
        if self._turned_frames is None:
            self._turned_frames = self._publisher(TFMessage, "/tf_static", latched())
        now_ns = self._node.get_clock().now().nanoseconds
        T = T_camera_turned(degrees)
        self._turned[child] = transform_message(frame_id, child, now_ns, T)
        # One message with all of them, as tf2's own broadcaster sends: only the last one is kept.
        self._turned_frames.publish(TFMessage(transforms=list(self._turned.values())))

    def publish_answer(self, message: Answer) -> None:
        """The answer as record and in words; a failure is said, too, after what was answered."""
        self.answer.publish(message)
        error = message.error
        failure = f"{error.message} {error.hint}" if error.code else ""
        text = " ".join(part.strip() for part in (message.text, failure) if part.strip())
        if text:
            self.answer_text.publish(String(data=text))

    def publish_scene(self, kept: KeptScene, reply: Reply | None = None) -> None:
        """Scene, markers and marked pictures of a question or of a freeze."""
        scene = kept.scene
        self.scene.publish(scene_message(kept))
        self.markers.publish(markers_message(kept, reply))
        if self.objects is not None:
            self.objects.publish(detections_message(kept))
        newest: dict[str, int] = {}
        for index, frame in enumerate(scene.views.frames):
            newest[frame.camera] = index
        for name, index in newest.items():
            self._publish_marked(name, scene.views.frames[index], scene.prepared[index])

    def _publish_marked(self, name: str, frame: Frame, picture: RgbImage) -> None:
        if name not in self.marked:
            return
        raw, compressed = self.marked[name]
        if raw.get_subscription_count():
            raw.publish(picture_message(frame, picture))
        if compressed.get_subscription_count():
            compressed.publish(compressed_message(frame, picture))


def _header(frame: Frame) -> Header:
    return Header(stamp=time_message(frame.stamp_ns), frame_id=frame.frame_id)


def picture_message(frame: Frame, rgb: RgbImage) -> Image:
    """The picture that the model saw, with the header of the frame that it was made from."""
    height, width = rgb.shape[:2]
    message = Image(header=_header(frame), height=height, width=width, encoding="rgb8")
    message.step = 3 * width
    message.data = array("B", rgb.tobytes())
    return message


def compressed_message(frame: Frame, rgb: RgbImage) -> CompressedImage:
    """The same as jpeg."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    message = CompressedImage(header=_header(frame), format="rgb8; jpeg compressed bgr8")
    message.data = array("B", data.tobytes())
    return message


def markers_message(kept: KeptScene, reply: Reply | None) -> MarkerArray:
    """Marks and relations for RViz and Foxglove, in the scene's own coordinate frame."""
    scene = kept.scene
    answer = None if reply is None else reply.answer
    found = scene_markers(
        scene.marks.marks,
        scene.marks.relations if answer is None else answer.relations,
        frame_id=scene.frame_id,
        stamp_ns=scene.views.newest_ns,
        named=() if answer is None else [mark.number for mark in answer.marks],
    )
    return MarkerArray(markers=[marker_message(item) for item in found])


def marker_message(marker: dict[str, Any]) -> Marker:
    """visualization_msgs/Marker of a dictionary of ``view.markers``."""
    header = marker["header"]
    lifetime_ns = round(marker["lifetime_s"] * 1e9)
    return Marker(
        header=Header(stamp=time_message(header["stamp_ns"]), frame_id=header["frame_id"]),
        ns=marker["ns"],
        id=marker["id"],
        type=marker["type"],
        action=marker["action"],
        pose=Pose(
            position=_point(marker["position"]),
            orientation=Quaternion(**_named("xyzw", marker["orientation"])),
        ),
        scale=Vector3(**_named("xyz", marker["scale"])),
        color=ColorRGBA(**_named("rgba", marker["color"])),
        lifetime=Duration(sec=lifetime_ns // 1_000_000_000, nanosec=lifetime_ns % 1_000_000_000),
        points=[_point(place) for place in marker["points"]],
        text=marker["text"],
    )


def _point(place: Any) -> Point:
    return Point(**_named("xyz", place))


def _named(names: str, values: Any) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
