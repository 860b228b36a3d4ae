"""~/status on every change, /diagnostics at a steady pace (also while simulated time stands)."""

from __future__ import annotations

import sys

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State
from oryx_scene_msgs.msg import Status
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.exceptions import InvalidHandle

from oryx_scene_ros.base import NodeBase
from oryx_scene_ros.convert import time_message
from oryx_scene_ros.distribution import RCLError
from oryx_scene_ros.output.diagnostics import (
    ERROR,
    OK,
    CameraReport,
    map_status,
    queue_status,
    status,
    tf_status,
)
from oryx_scene_ros.output.publishers import latched

FIRST_PERIOD_S = 1.0


class Reports:
    """What the node says of itself."""

    def __init__(self, node: NodeBase) -> None:
        self._node = node
        self._cameras = CameraReport()
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._status = node.create_publisher(Status, "~/status", latched())
        # In a group of its own it goes on while "configure" loads a model.
        self._timer = node.create_timer(
            FIRST_PERIOD_S,
            self._tick,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=node.steady,
        )

    def set_period(self, period_s: float) -> None:
        """How often."""
        self._timer.timer_period_ns = round(period_s * 1e9)

    def _tick(self) -> None:
        self._node.store.expire(self._node.now_ns())
        self.publish_status()
        self.publish_diagnostics()

    def publish_status(self) -> None:
        """The latched status; from any thread."""
        try:
            self._status.publish(self.status())
        except InvalidHandle:
            # The engine thread may have news while the node is being taken down,
            return
        except RCLError:
            # or its context.
            if self._node.context.ok():
                raise

    def status(self) -> Status:
        """The node in one message."""
        node, now_ns = self._node, self._node.now_ns()
        message = Status(stamp=time_message(now_ns), state=node.state, engine=self._engine())
        worker = node.worker
        if worker is not None:
            running = worker.running
            message.queue_length = len(worker.waiting())
            message.queue_capacity = worker.capacity
            message.active_query = running.name if running is not None else ""
            message.estimated_wait_s = worker.expected_wait_s()
        feeds = node.feeds
        if feeds is not None:
            bad = feeds.bad_counts()
            for name, feed in feeds.cameras.items():
                newest = feed.newest_ns
                age_s = float("nan") if newest is None else (now_ns - newest) / 1e9
                message.cameras.append(name)
                message.camera_age_s.append(age_s)
                message.bad_images.append(bad[name])
        return message

    def _engine(self) -> int:
        node = self._node
        if node.loading:
            return int(Status.ENGINE_LOADING)
        if node.desk is None:
            return int(Status.ENGINE_FAULT if node.fault else Status.ENGINE_NONE)
        busy = node.worker is not None and node.worker.running is not None
        return int(Status.ENGINE_BUSY if busy else Status.ENGINE_READY)

    def publish_diagnostics(self) -> None:
        """One DiagnosticArray of everything."""
        node = self._node
        array = DiagnosticArray()
        array.header.stamp = time_message(node.now_ns())
        array.status = [
            self._model(),
            queue_status(node.worker),
            status("answers", OK, "", node.answers.values()),
        ]
        if node.desk is not None:
            array.status.append(map_status(node.desk))
        if node.intake is not None and node.feeds is not None:
            settings = node.parameters.settings()
            array.status.append(tf_status(node.intake, settings.pipeline.fixed_frame))
            entries = [entry(settings) for entry in node.entries]
            array.status += [entry for entry in entries if entry is not None]
            now_ns = node.now_ns()
            array.status += [
                self._cameras.status(name, feed, node.intake, settings, now_ns)
                for name, feed in node.feeds.cameras.items()
            ]
        who = node.get_fully_qualified_name()
        for item in array.status:
            # As diagnostic_updater names them, so that two robots' entries stay apart.
            item.name, item.hardware_id = f"{who}: {item.name}", who
        self._diagnostics.publish(array)

    def _model(self) -> DiagnosticStatus:
        node = self._node
        values: dict[str, object] = {"lifecycle": node.state, "load_s": f"{node.load_s:.2f}"}
        if node.fault:
            return status("model", ERROR, node.fault, values)
        if node.desk is None:
            unconfigured = node.state == State.PRIMARY_STATE_UNCONFIGURED
            return status("model", OK, "not configured" if unconfigured else "loading", values)
        card = node.desk.answerer.card
        values |= {
            "model": card.name,
            "revision": card.revision,
            "device": card.device,
            "dtype": card.dtype,
            "quantization": card.quantization,
            "questions_on_fresh_scenes": node.desk.counters["fresh"],
            "questions_on_frozen_scenes": node.desk.counters["reused"],
        }
        counters = getattr(node.desk.answerer, "counters", None)
        if counters is not None:
            values |= {f"engine_{name}": number for name, number in counters().items()}
        values |= _gpu_memory()
        said = "" if card.trained else "random weights: answers mean nothing"
        return status("model", OK, said, values)


def _gpu_memory() -> dict[str, object]:
    """Memory of the CUDA device in MiB, where one is in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    free, total = torch.cuda.mem_get_info()
    return {
        "gpu_used_mib": round(torch.cuda.memory_allocated() / 2**20, 1),
        "gpu_peak_mib": round(torch.cuda.max_memory_allocated() / 2**20, 1),
        "gpu_free_mib": round(free / 2**20, 1),
        "gpu_total_mib": round(total / 2**20, 1),
    }
