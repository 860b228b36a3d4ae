"""One run of the node as a session of its memory: aligned with what is known, then recorded.

No rclpy here. Until the robot's poses are known to be in the memory's map nothing is recorded; the
newest frames are held for so long, and go in first.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Sequence
from typing import cast

from oryx_scene.config import MarksConfig
from oryx_scene.errors import AlignmentError, TransformError
from oryx_scene.geometry.transforms import invert
from oryx_scene.marks.detections.records import Detection
from oryx_scene.marks.detections.route import find_detected
from oryx_scene.memory.alignment import Alignment, Wish, align
from oryx_scene.memory.recorder import ALIGNING_FRAMES, MemoryConfig, Recorder
from oryx_scene.memory.store import MemoryStore
from oryx_scene.records import FloatArray, Frame, MarkSet, ViewSet
from oryx_scene_ros.intake.message_buffer import LockedTransforms
from oryx_scene_ros.parameters.settings import NodeSettings

# Frames in which things are looked for together, at least; of more cameras two rounds.
LEAST_WINDOW, MOST_STEP = 8, 8
# How often it is tried whether the poses are in the memory's map, in stamps.
TRY_NS = 1_000_000_000


class LiveSession:
    """Records frames of one run.

    Args:
        store: open for writing.
        name: of the node.
        settings: of the run.
        transforms: know where the robot's base is.
        known: the map of the same run's session before; None is measured.

    Attributes:
        problem: why nothing is recorded yet; "" once it is.
        recorder: None until the session is aligned.
    """

    def __init__(
        self,
        store: MemoryStore,
        name: str,
        settings: NodeSettings,
        transforms: LockedTransforms,
        known: Alignment | None = None,
    ) -> None:
        self.problem = "no frame whose place is known has come yet"
        self.recorder: Recorder | None = None
        self._store, self._name, self._transforms = store, name, transforms
        self._fixed_frame = settings.pipeline.fixed_frame
        self._base_frame = settings.text("memory.base_frame").lstrip("/")
        self._wish = cast(Wish, settings.text("memory.session"))
        self._detecting = any(camera.detections for camera in settings.cameras)
        self._config = _config(settings)
        self._known = known
        self._held: deque[Frame] = deque(maxlen=ALIGNING_FRAMES)
        self._tried_ns = 0
        self._mountings: dict[str, tuple[str, FloatArray]] = {}
        self._detected: dict[tuple[str, int], Sequence[Detection]] = {}

    @property
    def map_row(self) -> int | None:
        """The map that is written, None before it is known."""
        return None if self.recorder is None else self.recorder.map_row

    def add(self, frame: Frame, detections: Sequence[Detection] | None) -> int:
        """Take in the next frame; how many were recorded by it.

        Raises:
            MemoryStoreError: the quota is used up by rows of instances, or the disk is full.
        """
        if detections is not None:
            self._detected[frame.camera, frame.stamp_ns] = detections
        if self.recorder is not None:
            self._record(frame)
            return 1
        self._held.append(frame)
        if frame.stamp_ns - self._tried_ns < TRY_NS:
            return 0
        self._tried_ns = frame.stamp_ns
        try:
            alignment = self._known or align(self._store, self._held, self._fixed_frame, self._wish)
        except AlignmentError as err:
            self.problem = str(err)
            return 0
        self.recorder = self._begin(alignment)
        self.problem = ""
        count = len(self._held)
        for held in self._held:
            self._record(held)
        self._held.clear()
        return count

    def close(self) -> None:
        """Write what is left."""
        if self.recorder is not None:
            self.recorder.close()

    def _begin(self, alignment: Alignment) -> Recorder:
        return Recorder(
            self._store,
            f"node {self._name}",
            uuid.uuid4().hex,
            alignment,
            self._fixed_frame,
            find=self._find_detected if self._detecting else None,
            mountings=self._mountings,
            config=self._config,
        )

    def _record(self, frame: Frame) -> None:
        assert self.recorder is not None
        self._mount(frame)
        self.recorder.add(frame)
        # What was detected counts while its frame is in the window.
        for key in list(self._detected)[: -2 * self._config.window]:
            del self._detected[key]

    def _mount(self, frame: Frame) -> None:
        """Where the camera is on the robot, at the frame's moment; arms and heads move."""
        if not self._base_frame or frame.T_fixed_camera is None:
            return
        try:
            T = self._transforms.lookup(self._fixed_frame, self._base_frame, frame.stamp_ns)
        except TransformError:
            # The ground is then the floor below the camera.
            self._mountings.pop(frame.frame_id, None)
            return
        self._mountings[frame.frame_id] = self._base_frame, invert(T) @ frame.T_fixed_camera

    def _find_detected(self, views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
        """Marks of what was detected in the frames (``recorder.FindMarks``)."""
        keys = [(frame.camera, frame.stamp_ns) for frame in views.frames]
        own = [item for key in keys for item in self._detected.get(key, ())]
        return find_detected(views, own, config, question=question)


def _config(settings: NodeSettings) -> MemoryConfig:
    """A round of all cameras is written together: a killed process loses no more."""
    step = min(len(settings.cameras), MOST_STEP)
    rate_hz = settings.number("memory.rate_hz")
    return MemoryConfig(window=max(LEAST_WINDOW, 2 * step), step=step, rate_hz=rate_hz)
