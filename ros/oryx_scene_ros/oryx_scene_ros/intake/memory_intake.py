"""The thread that offers the cameras' frames to the memory. No rclpy here.

A few a second of each camera, and only those that are whole: with a pose in the fixed frame, and
with depth where the camera has it. It decodes and hands over; what is done with a frame never keeps
it from taking the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from oryx_scene.errors import OryxSceneError
from oryx_scene.geometry.rig import Rig
from oryx_scene.records import Frame
from oryx_scene_ros.intake.memory_writer import MemoryWriter
from oryx_scene_ros.intake.message_buffer import MessageBuffers
from oryx_scene_ros.intake.newest_frames import NewestFrames
from oryx_scene_ros.parameters.settings import NodeSettings

log = logging.getLogger("oryx_scene_ros")

# Depth and transforms of a picture have come after so long, or do not come.
SETTLED_NS = 1_000_000_000
STOP_S = 5.0


class MemoryIntake:
    """Runs from activation to deactivation.

    Args:
        feeds: what arrived.
        rig: calibration that wins over the topics'.
        settings: asked at every turn (fixed_frame, memory.rate_hz).
        memory: takes the frames, and says when others go first.

    Attributes:
        not_localised: turns of a camera without any frame whose place is known in fixed_frame.
    """

    def __init__(
        self,
        feeds: MessageBuffers,
        rig: Rig | None,
        settings: Callable[[], NodeSettings],
        memory: MemoryWriter,
    ) -> None:
        self.not_localised = 0
        self._feeds, self._settings, self._memory = feeds, settings, memory
        self._frames = NewestFrames(feeds, rig)
        # Newest stamp of each camera that was taken or counted.
        self._since: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="oryx_scene memory intake", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """End; False if the thread has not ended in time."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._memory.step_back()
        while not self._stop.is_set():
            self._memory.let_pass()
            begun, period_s = time.monotonic(), 1.0
            try:
                settings = self._settings()
                period_s = 1.0 / settings.number("memory.rate_hz")
                for frame in self._turn(settings):
                    self._memory.offer(frame)
            except Exception:
                log.exception("the memory's intake met a fault that nobody foresaw")
            self._stop.wait(max(0.0, begun + period_s - time.monotonic()))

    def _turn(self, settings: NodeSettings) -> list[Frame]:
        """The newest frame of each camera, in the order of their stamps."""
        found = []
        for name in self._feeds.cameras:
            try:
                frame = self._frames.take(name, settings)
            except OryxSceneError as err:
                log.debug("the memory passes over camera '%s': %s", name, err)
                continue
            # Where TF has no fixed_frame poses are in another one, which is no place in the map.
            if frame is not None and frame.fixed_frame == settings.pipeline.fixed_frame:
                self._since[name] = frame.stamp_ns
                found.append(frame)
            else:
                self._count(name)
        return sorted(found, key=lambda frame: frame.stamp_ns)

    def _count(self, name: str) -> None:
        newest = self._feeds.cameras[name].newest_ns
        if newest is None:
            return
        since = self._since.setdefault(name, newest)
        if not 0 <= newest - since <= SETTLED_NS:
            self.not_localised += newest > since
            self._since[name] = newest
