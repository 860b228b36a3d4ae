"""Numbers that stay: one map of the things that the cameras have shown. No rclpy here.

The map is the mark finder of all scenes of a node, so that an object keeps its number from one
question to the next. A thread of its own feeds it with RGB-D frames, a few a second of each camera;
callbacks never wait for it, and it steps aside while a scene is being frozen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator

from oryx_scene.config import MarksConfig
from oryx_scene.errors import OryxSceneError
from oryx_scene.geometry.rig import Rig
from oryx_scene.marks.instance_map.known_places import NumberMemory
from oryx_scene.marks.instance_map.map import InstanceMap, MapConfig
from oryx_scene.records import Frame, MarkSet, ViewSet
from oryx_scene.scene.freeze import MarkFinder, find_marks_fresh
from oryx_scene_ros.intake.detections import LiveDetections
from oryx_scene_ros.intake.message_buffer import MessageBuffers
from oryx_scene_ros.intake.newest_frames import NewestFrames
from oryx_scene_ros.parameters.settings import NodeSettings

log = logging.getLogger("oryx_scene_ros")

# Cut views that the map keeps for freezing: of up to 16 cameras two moments each.
MAX_VIEWS = 32
STOP_S = 5.0


class KeptNumbers:
    """The instance map of one coordinate frame, as a mark finder."""

    def __init__(self) -> None:
        self.map = InstanceMap(MapConfig(max_views=MAX_VIEWS))
        self._lock = threading.Lock()
        self._frame_id = ""
        self._of_detected = NumberMemory()

    def observe(self, frame: Frame, marks: MarksConfig) -> bool:
        """Take in one frame; False where it has no depth, calibration or pose."""
        self._enter(frame.fixed_frame)
        return self.map.observe(frame, marks)

    def find(self, views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
        """Marks of frozen views, numbered as before; their route is "map"."""
        self._enter(next((item.fixed_frame for item in views.frames if item.fixed_frame), ""))
        found = self.map(views, config, question)
        return dataclasses.replace(found, route="map") if found.route == "depth" else found

    def finder(self, settings: NodeSettings, feeds: MessageBuffers) -> MarkFinder:
        """The mark finder of one question: the detectors' where there are any."""
        if feeds.detected:
            kept = settings.others["marks.keep_numbers"]
            return LiveDetections(feeds, self._of_detected if kept else NumberMemory()).find
        return self.find if settings.others["marks.keep_numbers"] else find_marks_fresh

    def reset(self) -> None:
        """Forget all things and numbers: time or places are others now."""
        self.map.reset()
        self._of_detected = NumberMemory()

    def _enter(self, frame_id: str) -> None:
        """Things of another coordinate frame are somewhere else."""
        with self._lock:
            changed = bool(frame_id) and frame_id != self._frame_id
            if changed and self._frame_id:
                self.map.reset()
            self._frame_id = frame_id or self._frame_id


class MapFeeder:
    """The thread that feeds the map; runs from activation to deactivation.

    At most one frame per camera and turn, the newest that has depth and a pose: what comes faster
    than the map can take it in is passed over, and nothing is queued.

    Args:
        feeds: what arrived.
        numbers: the map.
        settings: asked at every turn (marks.enabled, marks.keep_numbers, marks.map_hz).
        rig: calibration that wins over the topics'.
    """

    def __init__(
        self,
        feeds: MessageBuffers,
        numbers: KeptNumbers,
        settings: Callable[[], NodeSettings],
        rig: Rig | None,
    ) -> None:
        self.frames = 0
        self.busy_s = 0.0
        self._feeds, self._numbers, self._settings = feeds, numbers, settings
        self._frames = NewestFrames(feeds, rig)
        self._stop = threading.Event()
        self._clear = threading.Event()
        self._clear.set()
        self._thread = threading.Thread(target=self._run, name="oryx_scene map", daemon=True)

    def start(self) -> None:
        """Begin, where any camera has depth."""
        if any(feed.topics.depth for feed in self._feeds.cameras.values()):
            self._thread.start()

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """End; the frame under way is taken in first. False if the thread has not ended in time."""
        self._stop.set()
        self._clear.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """No further frame is begun meanwhile: who asks goes first."""
        self._clear.clear()
        try:
            yield
        finally:
            self._clear.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            period_s = 1.0
            try:
                settings = self._settings()
                wanted = settings.pipeline.marks.enabled and settings.others["marks.keep_numbers"]
                # Where detectors find the marks nobody asks the map.
                if wanted and not self._feeds.detected:
                    period_s = 1.0 / settings.number("marks.map_hz")
                    self._turn(settings)
            except Exception:
                log.exception("the map of things met a fault that nobody foresaw")
            self._stop.wait(max(0.0, begun + period_s - time.monotonic()))

    def _turn(self, settings: NodeSettings) -> None:
        for name, feed in self._feeds.cameras.items():
            self._clear.wait()
            if self._stop.is_set():
                return
            if not feed.topics.depth:
                continue
            begun = time.monotonic()
            try:
                frame = self._frames.take(name, settings)
                taken = frame is not None and self._numbers.observe(frame, settings.pipeline.marks)
            except OryxSceneError as err:
                log.debug("the map passes over camera '%s': %s", name, err)
                continue
            if taken:
                self.frames += 1
                self.busy_s += time.monotonic() - begun
