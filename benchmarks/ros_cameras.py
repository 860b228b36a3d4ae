"""Publishes cameras into topics, for benchmarks and by hand: pictures, camera_info, depth, TF.

`python benchmarks/ros_cameras.py --cameras front left back right --hz 30 --seconds 20`. Pictures
are made once; only stamps and one pixel change. The last line is JSON: what was sent, and the
process's CPU time.
"""

from __future__ import annotations

import argparse
import json
import time
from array import array
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

NAMES = ("front", "left", "back", "right")


class Camera:
    """One simulated camera with its publishers.

    Args:
        node: owner.
        name: of the camera; topics are /<name>/image_raw, camera_info and depth/image_raw.
        size: (height, width) pixels.
        depth: publish 16UC1 depth, too.
        reliable: QoS of the pictures, keep last 1.
    """

    def __init__(
        self, node: Node, name: str, size: tuple[int, int], *, depth: bool, reliable: bool
    ) -> None:
        self.name = name
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=1, reliability=policy)
        base = f"/{name}"
        self._frame_id = f"{name}_optical"
        self._image = self._picture(size, name)
        self._info = self._calibration(size)
        self._out: list[tuple[Any, Any]] = [
            (node.create_publisher(CameraInfo, f"{base}/camera_info", qos), self._info),
            (node.create_publisher(Image, f"{base}/image_raw", qos), self._image),
        ]
        if depth:
            topic = f"{base}/depth/image_raw"
            self._out.append((node.create_publisher(Image, topic, qos), self._depth(size)))
        self.sent = 0

    @property
    def listeners(self) -> int:
        """Subscriptions matched to the pictures."""
        return int(self._out[1][0].get_subscription_count())

    def send(self, stamp: Time) -> None:
        """Publish one set with this stamp."""
        # No two pictures are equal, or a model would take a later one for a scene that it knows.
        for place in range(3):
            self._image.data[place] = (self.sent >> (8 * place)) & 255
        for publisher, message in self._out:
            message.header.stamp = stamp
            publisher.publish(message)
        self.sent += 1

    def _picture(self, size: tuple[int, int], name: str) -> Image:
        rng = np.random.default_rng(NAMES.index(name) if name in NAMES else 9)
        small = rng.integers(0, 255, (size[0] // 16 + 1, size[1] // 16 + 1, 3), np.uint8)
        pixels = small.repeat(16, axis=0).repeat(16, axis=1)[: size[0], : size[1]]
        return self._message(pixels, "rgb8", 3)

    def show(self, frame: Any) -> None:
        """Publish a rendered frame's picture, depth and calibration from now on."""
        millimetres = np.nan_to_num(frame.depth * 1000.0).round().astype("<u2")
        self._image.data = self._message(frame.rgb, "rgb8", 3).data
        self._info.k = frame.intrinsics.K.ravel().tolist()
        for _, message in self._out[2:]:
            message.data = self._message(millimetres, "16UC1", 2).data

    def _depth(self, size: tuple[int, int]) -> Image:
        """A wall at 3 m with two boxes before it, millimetres."""
        depth = np.full(size, 3000, "<u2")
        height, width = size
        depth[height // 2 : height * 3 // 4, width // 8 : width * 3 // 8] = 1500
        depth[height // 3 : height * 3 // 4, width * 5 // 8 : width * 7 // 8] = 2000
        return self._message(depth, "16UC1", 2)

    def _message(self, pixels: np.ndarray, encoding: str, item: int) -> Image:
        height, width = pixels.shape[:2]
        message = Image(height=height, width=width, encoding=encoding, step=width * item)
        message.header.frame_id = self._frame_id
        message.data = array("B", np.ascontiguousarray(pixels).tobytes())
        return message

    def _calibration(self, size: tuple[int, int]) -> CameraInfo:
        height, width = size
        message = CameraInfo(height=height, width=width, distortion_model="plumb_bob")
        message.header.frame_id = self._frame_id
        focal, u, v = 0.8 * width, width / 2 - 0.5, height / 2 - 0.5
        message.k = [focal, 0.0, u, 0.0, focal, v, 0.0, 0.0, 1.0]
        message.d = [0.0] * 5
        return message


def rendered(cameras: list[Camera], size: tuple[int, int]) -> TFMessage:
    """Let the cameras show a synthetic room from all sides; the transforms that belong to it."""
    from oryx_scene.geometry.transforms import rotation_to_quaternion
    from oryx_scene.lab.synth.render import render_views
    from oryx_scene.lab.synth.rigs import RigConfig, make_poses
    from oryx_scene.lab.synth.world import make_world

    world = make_world(3)
    rig = RigConfig(kind="ring", views=len(cameras), height=size[0], width=size[1])
    found = []
    for camera, frame in zip(cameras, render_views(world, make_poses(world, rig)), strict=True):
        camera.show(frame)
        item = TransformStamped(child_frame_id=f"{camera.name}_optical")
        item.header.frame_id = "map"
        at, turned, T = item.transform.translation, item.transform.rotation, frame.T_fixed_camera
        at.x, at.y, at.z = map(float, T[:3, 3])
        turned.x, turned.y, turned.z, turned.w = map(float, rotation_to_quaternion(T[:3, :3]))
        found.append(item)
    return TFMessage(transforms=found)


def static_transforms(names: list[str]) -> TFMessage:
    """Cameras looking to the four sides from half a metre above the map's origin."""
    turns = {"front": 0.0, "left": np.pi / 2, "back": np.pi, "right": -np.pi / 2}
    found = []
    for name in names:
        item = TransformStamped(child_frame_id=f"{name}_optical")
        item.header.frame_id = "map"
        item.transform.translation.z = 0.5
        # Yaw, then from x forward, z up to the optical frame's z forward, y down.
        half = turns.get(name, 0.0) / 2
        c, s = float(np.cos(half)) / 2, float(np.sin(half)) / 2
        rotation = item.transform.rotation
        rotation.x, rotation.y, rotation.z, rotation.w = -c - s, c - s, -c + s, c + s
        found.append(item)
    return TFMessage(transforms=found)


def publish(args: argparse.Namespace) -> dict[str, Any]:
    """Publish until the time is over; what was sent."""
    # SIGTERM ends the process at once; there is nothing to save.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("cameras")
    size = (args.height, args.width)
    cameras = [
        Camera(node, name, size, depth=args.depth, reliable=args.reliable) for name in args.cameras
    ]
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    transforms = node.create_publisher(TFMessage, "/tf_static", latched)
    if args.room:
        transforms.publish(rendered(cameras, size))
    else:
        transforms.publish(static_transforms(args.cameras))
    clock = node.create_publisher(Clock, "/clock", 10) if args.clock_rate else None
    until = time.monotonic() + 60.0
    while any(camera.listeners == 0 for camera in cameras) and time.monotonic() < until:
        time.sleep(0.02)
    begin, cpu = time.monotonic(), time.process_time()
    simulated = 1_000_000_000
    for tick in range(round(args.seconds * args.hz)):
        time.sleep(max(0.0, begin + tick / args.hz - time.monotonic()))
        if clock is None:
            stamp = node.get_clock().now().to_msg()
        else:
            now_ns = simulated + round(tick / args.hz * args.clock_rate * 1e9)
            stamp = Time(sec=now_ns // 10**9, nanosec=now_ns % 10**9)
            clock.publish(Clock(clock=stamp))
        for camera in cameras:
            camera.send(stamp)
    wall = time.monotonic() - begin
    result = {
        "sent": {camera.name: camera.sent for camera in cameras},
        "seconds": wall,
        "cpu": (time.process_time() - cpu) / wall,
    }
    time.sleep(0.5)
    node.destroy_node()
    rclpy.try_shutdown()
    return result


def main() -> None:
    """Parse, publish, say what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", nargs="+", default=list(NAMES))
    parser.add_argument("--hz", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--depth", action="store_true")
    parser.add_argument(
        "--room", action="store_true", help="a rendered room instead of coloured squares"
    )
    parser.add_argument("--reliable", action="store_true")
    parser.add_argument(
        "--clock-rate", type=float, default=0.0, help="publish /clock at this pace of real time"
    )
    print(json.dumps(publish(parser.parse_args())))


if __name__ == "__main__":
    main()
