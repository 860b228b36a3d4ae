"""What every part of the node may ask of it: its state, its clock, and its ways to the outside.

The lifecycle, which fills these fields and empties them again, is in `node`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import State
from oryx_scene_msgs.msg import Answer
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle
from rclpy.executors import (
    Executor,
    ExternalShutdownException,
    ShutdownException,
    SingleThreadedExecutor,
)
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import String

from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import SceneAnswer
from oryx_scene.warning import Warning
from oryx_scene_ros.distribution import has_ended
from oryx_scene_ros.error_codes import Code, NodeError
from oryx_scene_ros.intake.cameras import Intake
from oryx_scene_ros.intake.memory_intake import MemoryIntake
from oryx_scene_ros.intake.memory_writer import MemoryWriter
from oryx_scene_ros.intake.message_buffer import MessageBuffers
from oryx_scene_ros.output.diagnostics import AnswerLog
from oryx_scene_ros.output.publishers import Outputs
from oryx_scene_ros.output.recorder import RecordedAnswer, Recorder
from oryx_scene_ros.parameters.node_parameters import Parameters
from oryx_scene_ros.parameters.settings import NodeSettings
from oryx_scene_ros.queries.query_handler import QueryHandler, Reply
from oryx_scene_ros.queries.query_log import QueryLog, QueryRecord
from oryx_scene_ros.queries.requests import Request
from oryx_scene_ros.queries.scene_store import KeptScene, SceneStore
from oryx_scene_ros.queries.worker import Job, Worker, WorkerClosed

# How often an executor that waits for a model looks whether it is there, or the node is to end.
LOOK_S = 0.05


def spin(executor: Executor, node: LifecycleNode, timeout_s: float | None = None) -> None:
    """Spin until the executor's end, or once; a callback that fails does not end the node."""
    while True:
        try:
            if timeout_s is None:
                executor.spin()
            else:
                executor.spin_once(timeout_sec=timeout_s)
        except (ExternalShutdownException, ShutdownException):
            return
        except InvalidHandle as err:
            # Handlers that are under way find the executor's own handles gone at its end.
            if has_ended(executor):
                return
            node.get_logger().error(f"a callback used something destroyed: {err}")
            if timeout_s is None:
                continue
        except Exception as err:  # noqa: BLE001 - one broken callback must not end the node
            node.get_logger().error(f"a callback failed: {type(err).__name__}: {err}")
            if timeout_s is None:
                continue
        return


def _unanswered(reply: Reply, kept: KeptScene, request: Request) -> SceneAnswer:
    """What a dump holds of a question that failed before the model said anything."""
    said = [] if reply.failure is None else [Warning("question_failed", reply.failure.message)]
    return SceneAnswer(
        request.question,
        "",
        scene=kept.scene.marks.marks,
        evidence=kept.scene.evidence,
        frame_id=kept.scene.frame_id,
        compression=kept.scene.plan.stride.compression,
        stop_reason="error",
        warnings=(*kept.scene.warnings, *said),
    )


class NodeBase(LifecycleNode):  # type: ignore[misc]  # rclpy has no types here
    """State of the node; what is None is not there in the present lifecycle state.

    Args:
        name: of the node.
        arguments: as of ``rclpy.node.Node``.
    """

    parameters: Parameters

    def __init__(self, name: str, **arguments: Any) -> None:
        super().__init__(name, **arguments)
        # get_state and the parameters' services answer while "configure" is under way: in the
        # group that rclpy gives them one waits for the other.
        group = ReentrantCallbackGroup()
        for service in self.services:
            service.callback_group = group
            group.add_entity(service)
        self.closing = threading.Event()
        self.state = State.PRIMARY_STATE_UNCONFIGURED
        self.fault = ""
        self.accepting = False
        self.worker: Worker | None = None
        self.helper: Worker | None = None
        self.desk: QueryHandler | None = None
        self.feeds: MessageBuffers | None = None
        self.memory: MemoryWriter | None = None
        self.memory_intake: MemoryIntake | None = None
        self.intake: Intake | None = None
        self.outputs: Outputs | None = None
        self.recorder: Recorder | None = None
        self.loading = False
        self.load_s = float("nan")
        self.answers = AnswerLog()
        self.store = SceneStore(on_gone=self.scene_gone)
        self.records = QueryLog()
        # Further entries of /diagnostics while the node is active; None where there is none.
        self.entries: list[Callable[[NodeSettings], DiagnosticStatus | None]] = [
            lambda settings: None if self.recorder is None else self.recorder.status()
        ]
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)

    def now_ns(self) -> int:
        """ROS time."""
        return int(self.get_clock().now().nanoseconds)

    def wake(self) -> None:
        """Let the executor look at its futures; from any thread."""
        executor = self.executor
        if executor is not None:
            # An executor that has ended has nobody left to tell.
            with contextlib.suppress(InvalidHandle):
                executor.wake()

    def attend(self, done: threading.Event) -> None:
        """Wait on the executor's thread until ``done``, or the node's end, serving callbacks.

        The node moves to an executor of its own for so long: rclpy's cannot spin within a callback.
        """
        outer = self.executor
        inner = SingleThreadedExecutor(context=self.context)
        inner.add_node(self)
        try:
            while not done.is_set() and not self.closing.is_set() and self.context.ok():
                spin(inner, self, LOOK_S)
        finally:
            inner.remove_node(self)
            if outer is not None:
                with contextlib.suppress(InvalidHandle):
                    outer.add_node(self)
            inner.shutdown(timeout_sec=0)

    def require_active(self) -> None:
        """Refuse what only an active node does.

        Raises:
            NodeError: SHUTTING_DOWN or NOT_ACTIVE.
        """
        if self.closing.is_set():
            raise NodeError(Code.SHUTTING_DOWN, "the node is being ended.")
        if not self.accepting:
            raise NodeError(
                Code.NOT_ACTIVE,
                "the node is not active.",
                hint="ros2 lifecycle set <node> configure, then activate",
            )

    def dump_folder(self) -> Path:
        """Where dumps go."""
        given = str(self.get_parameter("dump.folder").value)
        home = Path(os.environ.get("ROS_HOME") or Path.home() / ".ros")
        folder = Path(given).expanduser() if given else home / "oryx_scene_dumps"
        # Callers do not know the folder that the node was started in.
        return folder.absolute()

    def scene_gone(self, kept: KeptScene) -> None:
        """Let the model give back what it keeps of a scene that nobody can ask about any more."""
        desk, worker = self.desk, self.worker
        if desk is None or worker is None or not kept.prefilled:
            return
        job = Job("forget", lambda job: desk.forget(kept), lambda outcome: None, counted=False)
        with contextlib.suppress(WorkerClosed):
            worker.submit(job, always=True)

    def publish_answer(self, answer: Answer) -> None:
        """Count an answer, and publish it where the node is configured."""
        self.answers.add(answer)
        if self.outputs is not None:
            self.outputs.publish_answer(answer)

    def publish_partial(self, delta: str) -> None:
        """A piece of a running answer."""
        if self.outputs is not None:
            self.outputs.partial.publish(String(data=delta))

    def publish_scene(self, kept: KeptScene, reply: Reply | None = None) -> None:
        """A scene with markers and pictures."""
        if self.outputs is not None:
            self.outputs.publish_scene(kept, reply)

    def _record(self, reply: Reply) -> None:
        recorder = self.recorder
        if recorder is None or reply.request is None:
            return
        failure = reply.failure
        recorder.add(
            RecordedAnswer(
                self.now_ns(),
                reply.request.question.text,
                None if reply.kept is None else reply.kept.scene,
                reply.answer,
                "" if failure is None else f"{failure.code.name}: {failure.message}",
            )
        )

    def after_answer(self, query_id: str, reply: Reply) -> None:
        """What has time until the caller has the answer: recordings, pictures, dumps."""
        self._record(reply)
        if reply.kept is None or reply.request is None:
            return
        self.publish_scene(reply.kept, reply)
        if reply.limits is None:
            return
        assert self.desk is not None
        settings = self.parameters.settings()
        record = QueryRecord(
            query_id=query_id,
            pipeline=ScenePipeline(self.desk.answerer, settings.pipeline),
            scene=reply.kept.scene,
            answer=reply.answer or _unanswered(reply, reply.kept, reply.request),
            limits=reply.limits,
            model_name=settings.text("model.name"),
        )
        self.records.add(record, settings.count("dump.keep"))
