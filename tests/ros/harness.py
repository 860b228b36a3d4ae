"""A node with a fake model, and a caller beside it, each with an executor thread of its own."""

from __future__ import annotations

import itertools
import threading
import time
from array import array
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from fake_answerer import FakeAnswerer
from geometry_msgs.msg import TransformStamped
from oryx_scene_msgs.action import AskScene
from oryx_scene_msgs.msg import Answer
from oryx_scene_msgs.srv import Ask
from oryx_scene_ros.base import spin
from oryx_scene_ros.node import SceneNode
from oryx_scene_ros.queries.questions import SERVICE_QOS
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

WAIT_S = 20.0
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_numbers = itertools.count(1)


def wait_until(condition, what: str, timeout_s: float = WAIT_S) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"waited {timeout_s:g} s in vain for: {what}"
        time.sleep(0.005)


def result_of(future, what: str = "a reply", timeout_s: float = WAIT_S) -> Any:
    """The result of an rclpy future that another thread's executor serves."""
    ready = threading.Event()
    future.add_done_callback(lambda _: ready.set())
    assert ready.wait(timeout_s), f"waited {timeout_s:g} s in vain for {what}"
    return future.result()


def time_of(stamp_ns: int) -> Time:
    return Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


def image(
    stamp_ns: int,
    *,
    height=48,
    width=64,
    value=90,
    thing=True,
    frame_id="front_optical",
    **changes,
):
    pixels = np.full((height, width, 3), value, dtype=np.uint8)
    if thing:
        pixels[height // 4 : height // 2, width // 4 : width // 2] = (200, 30, 30)
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.stamp, message.header.frame_id = time_of(stamp_ns), frame_id
    message.data = array("B", pixels.tobytes())
    for name, changed in changes.items():
        setattr(message, name, changed)
    return message


def camera_info(stamp_ns: int, *, height=48, width=64, frame_id="front_optical"):
    message = CameraInfo(height=height, width=width, distortion_model="plumb_bob")
    message.header.stamp, message.header.frame_id = time_of(stamp_ns), frame_id
    focal = 60.0 * width / 64
    message.k = [focal, 0.0, width / 2 - 0.5, 0.0, focal, height / 2 - 0.5, 0.0, 0.0, 1.0]
    message.d = [0.0] * 5
    return message


def depth_image(
    stamp_ns: int,
    *,
    encoding="16UC1",
    height=48,
    width=64,
    thing_m=1.5,
    frame_id="front_optical",
):
    metres = np.full((height, width), 3.0, dtype=np.float32)
    if thing_m is not None:
        metres[height // 4 : height // 2, width // 4 : width // 2] = thing_m
    data = (metres * 1000).astype("<u2") if encoding == "16UC1" else metres.astype("<f4")
    message = Image(height=height, width=width, encoding=encoding, step=data[0].nbytes)
    message.header.stamp, message.header.frame_id = time_of(stamp_ns), frame_id
    message.data = array("B", data.tobytes())
    return message


def transform(parent: str, child: str, stamp_ns: int, x: float = 0.0) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = time_of(stamp_ns), parent
    message.transform.translation.x = x
    message.transform.rotation.w = 1.0
    return message


class Spinner:
    """An executor thread of one node."""

    def __init__(self, node) -> None:
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.thread = threading.Thread(target=spin, args=(self.executor, node), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.executor.shutdown(timeout_sec=2.0)
        self.thread.join(timeout=2.0)


def action_client(node, name: str) -> ActionClient:
    """A client that may send many goals at once."""
    return ActionClient(
        node,
        AskScene,
        name,
        goal_service_qos_profile=SERVICE_QOS,
        result_service_qos_profile=SERVICE_QOS,
        cancel_service_qos_profile=SERVICE_QOS,
    )


class Goal:
    """One goal of the action on its way.

    Args:
        client: to send it with.
        goal: to send.
        result_at_once: ask for the result now, not in :meth:`result`. rclpy throws away feedback
            that it has not handed on when the result comes: who wants all of it asks late.
    """

    def __init__(
        self, client: ActionClient, goal: AskScene.Goal, result_at_once: bool = True
    ) -> None:
        self.feedback: list[AskScene.Feedback] = []
        self.handle = result_of(
            client.send_goal_async(goal, lambda m: self.feedback.append(m.feedback)), "acceptance"
        )
        self._result: Any = None
        self.got_at = 0.0
        if result_at_once and self.handle.accepted:
            self._ask_for_result()

    def _ask_for_result(self) -> None:
        self._result = self.handle.get_result_async()
        self._result.add_done_callback(self._got)

    def _got(self, _) -> None:
        self.got_at = time.monotonic()

    def wait_for_text(self, text: str) -> None:
        """Until the deltas make up ``text``."""
        wait_until(lambda: "".join(item.delta for item in self.feedback) == text, f"all of {text}")

    def cancel(self) -> None:
        result_of(self.handle.cancel_goal_async(), "the cancel reply")

    def result(self, timeout_s: float = WAIT_S) -> tuple[int, Answer]:
        """Goal status and answer."""
        if self._result is None:
            self._ask_for_result()
        found = result_of(self._result, "the result", timeout_s)
        return found.status, found.result.answer

    @property
    def stages(self) -> list[int]:
        return [item.stage for item in self.feedback]


class Bench:
    """A node, its fake model, and a caller with publishers and clients."""

    def __init__(
        self,
        *,
        cameras=("front",),
        activate=True,
        answerer: Any = None,
        load=None,
        use_sim_time=False,
        name="",
        cli_args=None,
        **parameters,
    ) -> None:
        self.answerer = answerer or FakeAnswerer()
        number = next(_numbers)
        self.name = name or f"scene_{number}"
        # Nothing goes stale on a starved test machine, unless a test is about that.
        given = {
            "cameras": list(cameras),
            "views__max_age_s": 60.0,
            **parameters,
            "use_sim_time": use_sim_time,
        }
        self.node = SceneNode(
            load or self._load,
            name=self.name,
            cli_args=cli_args,
            parameter_overrides=[
                Parameter(key.replace("__", "."), value=value) for key, value in given.items()
            ],
        )
        self.caller = rclpy.create_node(f"caller_{number}")
        self.spinners = [Spinner(self.node), Spinner(self.caller)]
        self.publishers: dict[Any, Any] = {}
        self._clients: dict[Any, Any] = {}
        self._action = action_client(self.caller, f"/{self.name}/ask_scene")
        if activate:
            self.transition("configure")
            self.transition("activate")

    def _load(self, model, *, device=None, dtype=None, quantization=None):
        return self.answerer

    def close(self) -> None:
        self.answerer.holding.clear() if hasattr(self.answerer, "holding") else None
        self.node.close(3.0)
        for spinner in self.spinners:
            spinner.stop()
        self._action.destroy()
        self.caller.destroy_node()
        self.node.destroy_node()

    # -- lifecycle ---------------------------------------------------------------------------------

    def transition(self, name: str) -> bool:
        """A transition on the node's own executor thread; whether it worked."""
        trigger = getattr(self.node, f"trigger_{name}")
        done = result_of(self.spinners[0].executor.create_task(trigger), f"the transition {name}")
        return done.name == "SUCCESS"

    # -- publishing --------------------------------------------------------------------------------

    def now(self) -> int:
        return int(self.node.now_ns())

    def publish(self, topic: str, message, qos=RELIABLE) -> None:
        """Publish on a topic; the first time wait until the node listens."""
        key = (topic, type(message))
        if key not in self.publishers:
            publisher = self.caller.create_publisher(type(message), topic, qos)
            self.publishers[key] = publisher
            wait_until(lambda: publisher.get_subscription_count() > 0, f"a listener on {topic}")
        self.publishers[key].publish(message)

    def show(self, camera="front", stamp_ns=None, *, topic=None, **changes) -> int:
        """Publish one picture and wait until the node has it; its stamp."""
        stamp_ns = self.now() if stamp_ns is None else stamp_ns
        before = self.received(camera)
        changes.setdefault("frame_id", f"{camera}_optical")
        self.publish(topic or f"/{camera}/image_raw", image(stamp_ns, **changes))
        wait_until(lambda: self.received(camera) > before, f"the node to receive from {camera}")
        return stamp_ns

    def received(self, camera="front") -> int:
        return self.node.feeds.cameras[camera].received

    def tf(self, *transforms, static=False) -> None:
        qos = QoSProfile(
            depth=100,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if static else DurabilityPolicy.VOLATILE,
        )
        before = self.node.intake.last_tf
        self.publish("/tf_static" if static else "/tf", TFMessage(transforms=transforms), qos)
        wait_until(lambda: self.node.intake.last_tf != before, "the node to receive transforms")

    # -- asking ------------------------------------------------------------------------------------

    def goal(self, question="What is here?", *, result_at_once=True, **fields) -> Goal:
        fields.setdefault("feedback", True)
        if not self._action.server_is_ready():
            assert self._action.wait_for_server(WAIT_S)
        return Goal(self._action, AskScene.Goal(question=question, **fields), result_at_once)

    def ask(self, question="What is here?", **fields) -> Answer:
        """The answer of a goal."""
        return self.goal(question, **fields).result()[1]

    def call(self, kind, name: str, wait_s: float = WAIT_S, **fields):
        """A service reply."""
        if name not in self._clients:
            self._clients[name] = self.caller.create_client(kind, f"/{self.name}/{name}")
            assert self._clients[name].wait_for_service(WAIT_S)
        return result_of(self._clients[name].call_async(kind.Request(**fields)), name, wait_s)

    def ask_service(self, question="What is here?", **fields) -> Answer:
        return self.call(Ask, "ask", question=question, **fields).answer

    def set_parameter(self, name: str, value) -> str:
        """ "" if it was taken, else the reason against it."""
        results = self.node.set_parameters([Parameter(name, value=value)])
        return "" if results[0].successful else results[0].reason

    def listen(self, kind, topic: str, qos=LATCHED) -> list:
        """Messages of a topic as they come."""
        found: list = []
        self.caller.create_subscription(kind, topic, found.append, qos)
        return found
