"""The lifecycle node: wires parameters, cameras, the engine thread, questions and reports together.

configure loads the model, activate subscribes to the cameras, deactivate ends all questions,
cleanup frees the memory. One executor thread runs every callback here, one engine thread owns the
model.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import State
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from oryx_scene.errors import OryxSceneError
from oryx_scene.geometry.rig import Rig, load_rig, with_turns
from oryx_scene.model.api import Answerer
from oryx_scene_ros.base import NodeBase
from oryx_scene_ros.convert import model_message
from oryx_scene_ros.distribution import TFMessage, reliability, vision
from oryx_scene_ros.error_codes import Code, NodeError, for_clients
from oryx_scene_ros.intake.cameras import Intake, make_feed
from oryx_scene_ros.intake.detections import LiveDetections
from oryx_scene_ros.intake.map_updater import MapFeeder
from oryx_scene_ros.intake.memory_intake import MemoryIntake
from oryx_scene_ros.intake.memory_writer import MemoryWriter
from oryx_scene_ros.intake.message_buffer import Bounds, LockedTransforms, MessageBuffers
from oryx_scene_ros.output.publishers import Outputs
from oryx_scene_ros.output.recorder import Recorder, RecordLimits
from oryx_scene_ros.output.status import Reports
from oryx_scene_ros.output.vision_objects import MISSING, require_vision
from oryx_scene_ros.parameters.node_parameters import Parameters
from oryx_scene_ros.parameters.qos_overrides import QosOverrides
from oryx_scene_ros.parameters.settings import NodeSettings
from oryx_scene_ros.queries.memory_release import give_back
from oryx_scene_ros.queries.memory_services import MemoryServices
from oryx_scene_ros.queries.model_loading import LoadAnswerer, load_default, load_on
from oryx_scene_ros.queries.query_handler import QueryHandler
from oryx_scene_ros.queries.questions import Questions
from oryx_scene_ros.queries.services import Services
from oryx_scene_ros.queries.watch import Watch
from oryx_scene_ros.queries.worker import Worker

log = logging.getLogger("oryx_scene_ros")

# A running question notices within one token or prefill chunk that it should stop.
DRAIN_S = 4.0
# How long the end of the node waits for a model that is being loaded.
LOADING_S = 0.3
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SceneNode(NodeBase):
    """The node.

    Args:
        load: how the model is loaded.
        name: of the node.
        arguments: as of ``rclpy.node.Node``.
    """

    def __init__(
        self, load: LoadAnswerer = load_default, name: str = "oryx_scene", **arguments: Any
    ) -> None:
        super().__init__(name, **arguments)
        self._load = load
        self.parameters = Parameters(self, self._parameters_changed)
        self.qos_overrides = QosOverrides(self)
        self.reports = Reports(self)
        self.asking = Questions(self)
        self.services_of_scenes = Services(self)
        self.watch = Watch(self, self.asking, self.services_of_scenes)
        self.services_of_memory = MemoryServices(self, self.services_of_scenes)
        self._jump = self.get_clock().create_jump_callback(
            # Every step forward of a simulated clock is a "jump": only large ones count.
            JumpThreshold(
                min_forward=Duration(seconds=60),
                min_backward=Duration(nanoseconds=-1),
                on_clock_change=True,
            ),
            post_callback=self._time_jumped,
        )

    # -- lifecycle ---------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check parameters, load and warm up the model; failure says why and changes nothing."""
        return self._transition("configure", self._configure, self._free)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and accept questions."""
        return self._transition("activate", self._activate, self._stop_accepting)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End every question with SHUTTING_DOWN, let go of the cameras; the model stays."""
        self._stop_accepting()
        self._enter(State.PRIMARY_STATE_INACTIVE)
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the model and all memory."""
        self._free()
        self._enter(State.PRIMARY_STATE_UNCONFIGURED)
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """From any state: end questions, free everything."""
        self._stop_accepting()
        self._free()
        self._enter(State.PRIMARY_STATE_FINALIZED)
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything; the node can be configured again."""
        self._stop_accepting()
        self._free()
        self._enter(State.PRIMARY_STATE_UNCONFIGURED)
        return SUCCESS

    def _transition(
        self, name: str, work: Callable[[], None], undo: Callable[[], None]
    ) -> TransitionCallbackReturn:
        """Run a transition; whatever is raised is said, and undone."""
        self.fault = ""
        try:
            work()
        except OryxSceneError as err:
            self.fault = for_clients(str(err))
        except Exception as err:
            # rclpy itself would turn it into ERROR without a word.
            log.exception("%s failed in a way that nobody foresaw", name)
            self.fault = f"{type(err).__name__}: {' '.join(str(err).split())}"
        if not self.fault:
            return SUCCESS
        self.get_logger().error(f"{name} failed: {self.fault}")
        undo()
        self.reports.publish_status()
        return FAILURE

    def _configure(self) -> None:
        settings = self.parameters.settings()
        # From here on what is read once stays as it is, also while the model is being loaded.
        self.parameters.configured = True
        for text in self.parameters.left_out():
            self.get_logger().warning(text)
        require_vision(settings)
        reliability(settings.text("image_reliability"))
        RecordLimits.of(settings)
        rig_file = settings.text("rig_file")
        rig = load_rig(rig_file) if rig_file else None
        rig = with_turns(rig, {item.name: item.rotate_deg for item in settings.cameras})
        # What is cheap and may be wrong comes before the model.
        if settings.text("memory.folder"):
            name = self.get_fully_qualified_name()
            self.memory = MemoryWriter(self.parameters.settings, name)
        feeds = self._new_feeds(settings, rig)
        self._make_outputs(settings)
        self.worker = Worker(self._queue_changed)
        self.helper = Worker(name="oryx_scene helper")
        self._apply(settings)
        answerer = self._load_model(settings)
        self.desk = QueryHandler(answerer, feeds, self.store, rig, self.now_ns, memory=self.memory)
        self._say_what_is_missing()
        self._enter(State.PRIMARY_STATE_INACTIVE)

    def _say_what_is_missing(self) -> None:
        if vision is None:
            self.get_logger().info(MISSING)
        if TFMessage is None:
            self.get_logger().warning(
                "tf2_msgs is not installed: no poses, so no 3D places. Install it with the ROS "
                "distribution, or `pip install ./ros/tf2_msgs_min`"
            )

    def _activate(self) -> None:
        assert self.desk is not None
        settings = self.parameters.settings()
        desk = self.desk
        desk.feeds = self.feeds = self._new_feeds(settings, desk.rig)
        desk.feeder = MapFeeder(self.feeds, desk.numbers, self.parameters.settings, desk.rig)
        desk.feeder.start()
        assert self.outputs is not None
        self.intake = Intake(
            self,
            self.feeds,
            settings.text("image_reliability"),
            self.qos_overrides,
            self.outputs.place_turned,
        )
        self.intake.start()
        for text in self.qos_overrides.unused():
            self.get_logger().warning(text)
        self.recorder = self._new_recorder(settings)
        self._start_memory(self.feeds, desk.rig)
        if self.closing.is_set():
            # What was started after close() had looked is stopped again.
            raise NodeError(Code.SHUTTING_DOWN, "the node is being ended.")
        self.accepting = True
        self._enter(State.PRIMARY_STATE_ACTIVE)

    def _start_memory(self, feeds: MessageBuffers, rig: Rig | None) -> None:
        if self.memory is None:
            return
        self.memory.start(feeds.transforms, LiveDetections(feeds) if feeds.detected else None)
        self.memory_intake = MemoryIntake(feeds, rig, self.parameters.settings, self.memory)
        self.memory_intake.start()

    def _stop_memory(self) -> None:
        if self.memory_intake is not None:
            self.memory_intake.stop()
            self.memory_intake = None
        if self.memory is not None and not self.memory.stop():
            self.get_logger().error("the memory's last frames are still being written")

    def autostart(self) -> bool:
        """Configure and activate; whether that worked."""
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() is not SUCCESS:
                return False
        return True

    def close(self, timeout_s: float) -> bool:
        """End the node's work from another thread while the executor still runs.

        Every open question gets SHUTTING_DOWN. False if one of the node's threads did not end in
        time: an interpreter that ends beside it would tear down what it works with.
        """
        self.closing.set()
        self.accepting = False
        # Nothing stops the loading of a model: there is nothing to wait for.
        until = time.monotonic() + (min(timeout_s, LOADING_S) if self.loading else timeout_s)

        def left_s() -> float:
            return max(0.0, until - time.monotonic())

        # All are asked before any is waited for.
        for worker in self._workers():
            worker.drain(Code.SHUTTING_DOWN, 0.0)
        desk = self.desk
        feeder = None if desk is None else desk.feeder
        if feeder is not None:
            feeder.stop(0.0)
        intake, memory = self.memory_intake, self.memory
        if intake is not None:
            intake.stop(0.0)
        ended = True
        for worker in self._workers():
            ended = worker.close(Code.SHUTTING_DOWN, left_s()) and ended
        if feeder is not None:
            ended = feeder.stop(left_s()) and ended
        if self.recorder is not None:
            ended = self.recorder.close(left_s()) and ended
        if intake is not None:
            ended = intake.stop(left_s()) and ended
        if memory is not None:
            ended = memory.stop(left_s()) and ended
        return self.asking.later.close(left_s()) and ended

    def _workers(self) -> list[Worker]:
        return [worker for worker in (self.worker, self.helper) if worker is not None]

    def _enter(self, state: int) -> None:
        self.state = state
        self.reports.publish_status()

    def _make_outputs(self, settings: NodeSettings) -> None:
        names = tuple(item.name for item in settings.cameras)
        lifespan_s = settings.number("answer_lifespan_s")
        self.outputs = Outputs(self, names, lifespan_s, self.qos_overrides)

    def _load_model(self, settings: NodeSettings) -> Answerer:
        """Load on the engine thread; the model is only ever touched there.

        Raises:
            OryxSceneError: it cannot be loaded, or the node is being ended meanwhile.
        """
        assert self.worker is not None and self.outputs is not None
        started = time.monotonic()
        self.loading = True
        self.reports.publish_status()
        try:
            answerer = load_on(self.worker, self._load, settings, self.attend)
        finally:
            self.loading = False
        self.load_s = time.monotonic() - started
        views = settings.pipeline.views.count
        self.outputs.model_info.publish(model_message(answerer.card, views, self.load_s))
        return answerer

    def _new_feeds(self, settings: NodeSettings, rig: Rig | None) -> MessageBuffers:
        transforms = LockedTransforms(settings.number("tf_history_s"))
        cameras = {item.name: make_feed(self, item) for item in settings.cameras}
        return MessageBuffers(cameras, transforms, self._bounds, rig)

    def _new_recorder(self, settings: NodeSettings) -> Recorder | None:
        folder = settings.text("record.folder")
        if not folder:
            return None
        # Two robots that share a disk keep their files apart.
        name = self.get_fully_qualified_name().strip("/").replace("/", "_")
        return Recorder(Path(folder).expanduser().absolute(), name, RecordLimits.of(settings))

    def _bounds(self) -> Bounds:
        settings = self.parameters.settings()
        views = settings.pipeline.views
        return Bounds(
            recent_ns=round(settings.number("sync.buffer_s") * 1e9),
            gap_ns=round(views.min_gap_s * 1e9),
            history_ns=round(views.history_s * 1e9),
            max_bytes=settings.count("buffer_mib") * 2**20,
        )

    def _stop_accepting(self) -> None:
        self.accepting = False
        if self.worker is not None and not self.worker.drain(Code.SHUTTING_DOWN, DRAIN_S):
            self.get_logger().error(f"the running question has not stopped within {DRAIN_S:g} s")
        if self.helper is not None:
            self.helper.drain(Code.SHUTTING_DOWN, DRAIN_S)
        recorder, self.recorder = self.recorder, None
        if recorder is not None and not recorder.close(DRAIN_S):
            self.get_logger().error(f"the recording has not ended within {DRAIN_S:g} s")
        if self.intake is not None:
            self.intake.stop()
            self.intake = None
        if self.desk is not None and self.desk.feeder is not None:
            self.desk.feeder.stop()
            self.desk.feeder = None
        self._stop_memory()
        self.feeds = None
        self.store.clear()
        self.watch.forget()

    def _free(self) -> None:
        """Let go of model, scenes and records, and give the memory back."""
        self.parameters.configured = False
        self.loading = False
        for worker in self._workers():
            worker.close(Code.SHUTTING_DOWN, DRAIN_S)
        self.worker = self.helper = self.desk = None
        if self.memory is not None:
            self.memory.close()
            self.memory = None
        self.store.clear()
        self.records.clear()
        if self.outputs is not None:
            self.outputs.destroy()
            self.outputs = None
        give_back()

    # -- changes from outside ----------------------------------------------------------------------

    def _parameters_changed(self) -> None:
        try:
            self._apply(self.parameters.settings())
        except OryxSceneError as err:
            self.get_logger().warning(for_clients(str(err)))

    def _apply(self, settings: NodeSettings) -> None:
        self.store.most = settings.count("scene_max")
        self.reports.set_period(settings.number("report_period_s"))
        self.watch.set_period(settings.number("watch.period_s"))
        for worker in self._workers():
            worker.capacity = settings.count("queue.capacity")
            worker.drop_oldest = settings.text("queue.policy") == "drop_oldest"

    def _queue_changed(self) -> None:
        """From any thread."""
        self.asking.queue_moved()
        self.reports.publish_status()

    def _time_jumped(self, jump: Any) -> None:
        """Evidence of another time is no evidence: forget it, and stop who rests on it."""
        self.get_logger().warning(
            f"ROS time jumped by {jump.delta.nanoseconds / 1e9:+.3f} s: frames, transforms and "
            "scenes were forgotten"
        )
        if self.feeds is not None:
            self.feeds.clear()
        self.store.clear()
        self.watch.forget()
        if self.desk is not None:
            self.desk.numbers.reset()
        if self.memory is not None:
            self.memory.new_session()
        for worker in self._workers():
            worker.stop_running(Code.CLOCK_JUMPED)
        self.reports.publish_status()

    def destroy_node(self) -> None:
        """Let go of everything, then of the node."""
        self.close(DRAIN_S)
        self._jump.unregister()
        self._free()
        super().destroy_node()
