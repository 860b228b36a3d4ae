"""What happens on the engine thread for one question: evidence, scene, model, reply. No rclpy here.

Every way out is a :class:`Reply`, with a failure in it where there is no whole answer.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Protocol

import numpy as np

from oryx_scene.config import PipelineConfig
from oryx_scene.errors import OryxSceneError, TransformError
from oryx_scene.geometry.rig import Rig
from oryx_scene.marks.change.changed import SceneChanges, what_changed
from oryx_scene.model.api import Answerer, Limits
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.qa.stream import VisibleText
from oryx_scene.records import FloatArray, Question, SceneAnswer
from oryx_scene.warning import Warning
from oryx_scene_ros.error_codes import Code, Failure, NodeError, failure_of, stopped
from oryx_scene_ros.intake.frame_gathering import gather
from oryx_scene_ros.intake.frame_requirements import Wanted
from oryx_scene_ros.intake.map_updater import KeptNumbers, MapFeeder
from oryx_scene_ros.intake.memory_writer import MemoryWriter
from oryx_scene_ros.intake.message_buffer import MessageBuffers
from oryx_scene_ros.parameters.settings import NodeSettings
from oryx_scene_ros.queries.memory_questions import Recalled
from oryx_scene_ros.queries.requests import Request
from oryx_scene_ros.queries.scene_store import KeptScene, SceneStore
from oryx_scene_ros.queries.warmup import know_rates
from oryx_scene_ros.queries.worker import Job

log = logging.getLogger("oryx_scene_ros")

# Asked for its prefill only; the words do not matter.
PREFILL_QUESTION = Question("What is here?")


class QueryStage(IntEnum):
    """Stages of the action's feedback."""

    QUEUED = 0
    WAITING_FRAMES = 1
    MARKING = 2
    PREFILL = 3
    DECODE = 4


class Listener(Protocol):
    """Who is told how a question goes on; called on the engine thread."""

    def stage(self, stage: QueryStage) -> None:
        """A stage begins."""

    def text(self, piece: str) -> None:
        """A piece of the visible answer."""


@dataclass(frozen=True)
class Reply:
    """What came of one question.

    Attributes:
        request: as asked, None where it could not even be read.
        answer: of the core; None where the model was not asked.
        kept: the scene; None where there is none.
        failure: why there is no answer, or not a whole one.
        reused: the scene had been frozen before this question.
        warnings: of the node, besides the answer's.
        T_answer_fixed: takes places of the scene's frame to ``frame_id``; None where unknown.
        frame_id: coordinate frame of places in the answer.
        queue_s, frames_s: steady seconds; NaN where the stage did not run.
        limits: as generated with.
        recalled: of the memory, where that was asked.
    """

    request: Request | None
    answer: SceneAnswer | None = None
    kept: KeptScene | None = None
    failure: Failure | None = None
    reused: bool = False
    warnings: tuple[Warning, ...] = ()
    T_answer_fixed: FloatArray | None = None
    frame_id: str = ""
    queue_s: float = float("nan")
    frames_s: float = float("nan")
    limits: Limits | None = None
    recalled: Recalled | None = None


@dataclass
class QueryHandler:
    """Answers questions with one model about what the feeds hold.

    Attributes:
        answerer: the loaded model.
        feeds: messages of the cameras.
        store: frozen scenes.
        rig: calibration that wins over the topics'.
        now: ROS time in nanoseconds.
        numbers: finds the marks, and keeps their numbers from scene to scene.
        feeder: fills the map behind them; steps aside while a scene is frozen.
        memory: that is being written; steps aside, too.
    """

    answerer: Answerer
    feeds: MessageBuffers
    store: SceneStore
    rig: Rig | None
    now: Callable[[], int]
    numbers: KeptNumbers = field(default_factory=KeptNumbers)
    feeder: MapFeeder | None = None
    memory: MemoryWriter | None = None
    counters: dict[str, int] = field(default_factory=lambda: {"fresh": 0, "reused": 0})

    def ask(self, job: Job, request: Request, settings: NodeSettings, listener: Listener) -> Reply:
        """Answer one question; never raises."""
        queue_s = time.monotonic() - job.accepted
        reply = Reply(request, queue_s=queue_s, limits=request.limits(settings))
        try:
            # The deadline may have been set since the model was loaded.
            know_rates(self.answerer, settings)
            reply = self._with_scene(job, reply, request, settings, listener)
            return self._answered(job, reply, request, settings, listener)
        except OryxSceneError as err:
            code = job.stop_code
            failure = failure_of(err) if code is None else stopped(code)
            return replace(reply, failure=failure)
        except Exception as err:
            log.exception("a question failed in a way that nobody foresaw")
            return replace(reply, failure=_unforeseen(err))

    def freeze(
        self, job: Job, wanted: Wanted, settings: NodeSettings, ttl_s: float, *, prefill: bool
    ) -> KeptScene | Failure:
        """Freeze and keep a scene for later questions; never raises."""
        try:
            kept = self._freeze(job, wanted, settings, ttl_s, "", _Silent())
            if prefill:
                self._prefill(job, kept, settings)
            self.store.put(kept)
        except OryxSceneError as err:
            return failure_of(err) if job.stop_code is None else stopped(job.stop_code)
        except Exception as err:
            log.exception("freezing failed in a way that nobody foresaw")
            return _unforeseen(err)
        return kept

    def changed(
        self, job: Job, before: KeptScene, wanted: Wanted, settings: NodeSettings
    ) -> tuple[KeptScene, SceneChanges] | Failure:
        """Freeze what is seen now and compare it with an earlier scene; never raises."""
        try:
            after = self._freeze(
                job, wanted, settings, settings.number("scene_ttl_s"), "", _Silent()
            )
            # Besides the frozen ones: looking often must not push out the scene of comparison.
            self.store.put_last(after)
            old, new = before.scene, after.scene
            return after, what_changed(old.views, old.marks, new.views, new.marks)
        except OryxSceneError as err:
            return failure_of(err) if job.stop_code is None else stopped(job.stop_code)
        except Exception as err:
            log.exception("comparing scenes failed in a way that nobody foresaw")
            return _unforeseen(err)

    def forget(self, kept: KeptScene) -> None:
        """Give back the keys and values of a scene, where the model keeps any."""
        kept.prefilled = False
        forget_scene = getattr(self.answerer, "forget_scene", None)
        if forget_scene is None:
            return
        pipeline = ScenePipeline(self.answerer, PipelineConfig())
        try:
            forget_scene(pipeline.prompt_for(kept.scene, PREFILL_QUESTION))
        except OryxSceneError as err:
            log.warning("a scene's memory could not be given back: %s", err)

    # -- the steps ---------------------------------------------------------------------------------

    def _with_scene(
        self, job: Job, reply: Reply, request: Request, settings: NodeSettings, listener: Listener
    ) -> Reply:
        kept, warnings = self._known_scene(request)
        reused = kept is not None
        if kept is None:
            wanted = request.wanted(settings)
            ttl_s = settings.number("scene_ttl_s")
            kept = self._freeze(job, wanted, settings, ttl_s, request.question.text, listener)
            if request.session_id:
                self.store.put(kept, session_id=request.session_id)
            else:
                self.store.put_last(kept)
        self.counters["reused" if reused else "fresh"] += 1
        wanted_frame = request.target_frame or settings.text("answer_frame") or kept.scene.frame_id
        T, said = self._transform(wanted_frame, kept)
        return replace(
            reply,
            kept=kept,
            reused=reused,
            warnings=(*warnings, *said),
            frames_s=float("nan") if reused else kept.frames_s,
            T_answer_fixed=T,
            frame_id=wanted_frame,
        )

    def _known_scene(self, request: Request) -> tuple[KeptScene | None, tuple[Warning, ...]]:
        now_ns = self.now()
        if request.scene_id:
            kept = self.store.get(request.scene_id, now_ns)
            if request.cameras or request.not_before_ns or request.max_age_s:
                said = "the scene was frozen before: cameras, not_before and max_age_s do not apply"
                return kept, (Warning("request_ignored_in_part", said),)
            return kept, ()
        if not request.session_id:
            return None, ()
        found = self.store.session_scene(request.session_id, now_ns)
        if found is None and self.store.knows_session(request.session_id):
            text = "the session's scene is no longer kept; a new one was frozen"
            return None, (Warning("scene_expired", text),)
        return found, ()

    def _freeze(
        self,
        job: Job,
        wanted: Wanted,
        settings: NodeSettings,
        ttl_s: float,
        question: str,
        listener: Listener,
    ) -> KeptScene:
        with contextlib.ExitStack() as asides:
            for beside in (self.feeder, self.memory):
                if beside is not None:
                    asides.enter_context(beside.aside())
            return self._freeze_now(job, wanted, settings, ttl_s, question, listener)

    def _freeze_now(
        self,
        job: Job,
        wanted: Wanted,
        settings: NodeSettings,
        ttl_s: float,
        question: str,
        listener: Listener,
    ) -> KeptScene:
        started = time.monotonic()
        listener.stage(QueryStage.WAITING_FRAMES)
        found = gather(
            self.feeds,
            wanted,
            settings.pipeline,
            self.rig,
            now=self.now,
            stopped=lambda: job.stopping() is not None,
        )
        frames_s = time.monotonic() - started
        _go_on(job)
        listener.stage(QueryStage.MARKING)
        find_marks = self.numbers.finder(settings, self.feeds)
        scene = ScenePipeline(self.answerer, settings.pipeline, find_marks).freeze(
            found.chosen.frames,
            found.now_ns,
            question=question,
            warnings=found.chosen.warnings,
            choice=found.chosen.choice,
        )
        _go_on(job)
        expires_ns = found.now_ns + round(ttl_s * 1e9)
        return KeptScene(scene, expires_ns, frames_s)

    def _prefill(self, job: Job, kept: KeptScene, settings: NodeSettings) -> None:
        """Let the model compute the scene, so that the first question pays only for itself."""
        pipeline = ScenePipeline(self.answerer, settings.pipeline)
        limits = replace(_limits(job, settings.limits), max_new_tokens=1)
        self.answerer.generate(pipeline.prompt_for(kept.scene, PREFILL_QUESTION), limits)
        _go_on(job)
        kept.prefilled = True

    def _transform(
        self, target: str, kept: KeptScene
    ) -> tuple[FloatArray | None, tuple[Warning, ...]]:
        """T_target_fixed at the newest frame of the scene, or why there is none."""
        own = kept.scene.frame_id
        if not own:
            return None, ()
        if target == own:
            return np.eye(4), ()
        try:
            return self.feeds.transforms.lookup(target, own, kept.scene.views.newest_ns), ()
        except TransformError as err:
            text = f"{err.message} No 3D places in '{target}'"
            return None, (Warning("no_pose", text),)

    def _answered(
        self, job: Job, reply: Reply, request: Request, settings: NodeSettings, listener: Listener
    ) -> Reply:
        assert reply.kept is not None and reply.limits is not None
        _go_on(job)
        listener.stage(QueryStage.PREFILL)
        begun = False

        def on_visible(piece: str) -> None:
            nonlocal begun
            if not begun:
                begun = True
                listener.stage(QueryStage.DECODE)
            listener.text(piece)

        visible = VisibleText(on_visible, works=self.answerer.card.scratchpad)
        pipeline = ScenePipeline(self.answerer, settings.pipeline)
        limits = _limits(job, reply.limits)
        answer = pipeline.ask(reply.kept.scene, request.question, limits, visible.feed)
        visible.finish()
        reply.kept.prefilled = reply.kept.prefilled or answer.stop_reason in (
            "eos",
            "max_new_tokens",
        )
        failure = None
        if answer.stop_reason in ("cancelled", "deadline"):
            failure = stopped(job.stop_code or Code.TIMEOUT)
        return replace(reply, answer=answer, failure=failure)


class _Silent:
    """A listener for work that nobody watches."""

    def stage(self, stage: QueryStage) -> None:
        """Nothing."""

    def text(self, piece: str) -> None:
        """Nothing."""


def _limits(job: Job, limits: Limits) -> Limits:
    return replace(
        limits,
        deadline_s=job.remaining_s(),
        cancelled=lambda: job.stopping() is not None,
    )


def _go_on(job: Job) -> None:
    """Raise if the job is to end."""
    code = job.stopping()
    if code is not None:
        failure = stopped(code)
        raise NodeError(code, failure.message, hint=failure.hint)


def _unforeseen(err: Exception) -> Failure:
    return Failure(
        Code.UNKNOWN,
        f"the node met a fault that nobody foresaw ({type(err).__name__}).",
        "the node's log has the details; please report it",
    )
