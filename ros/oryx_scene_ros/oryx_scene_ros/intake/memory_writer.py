"""The robot's memory while the node runs: one thread writes it, questions read beside. No rclpy.

Frames wait in a bounded queue: a full one drops its oldest, which is counted. What can be asked is
in the files: a reader is opened for every question, and never waits for the writer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from oryx_scene.errors import OryxSceneError
from oryx_scene.marks.detections.records import Detection
from oryx_scene.memory.alignment import Alignment
from oryx_scene.memory.erasure import Forgotten, Scope, forget
from oryx_scene.memory.store import open_memory
from oryx_scene.memory.where import WhereAnswer, keep_answer, where
from oryx_scene.records import Frame
from oryx_scene_ros.intake.detections import LiveDetections
from oryx_scene_ros.intake.memory_session import LiveSession
from oryx_scene_ros.intake.message_buffer import LockedTransforms
from oryx_scene_ros.parameters.settings import NodeSettings

log = logging.getLogger("oryx_scene_ros")

# After a fault of the disk or the quota nothing is tried for so long.
PAUSE_S = 5.0
# A frame in hand waits at most so long for a scene that is being frozen.
ASIDE_S = 0.5
STOP_S = 5.0
# Answers that wait to be kept.
MOST_ANSWERS = 32
# Of the thread: where cores are few, who asks goes first.
NICENESS = 10


class MemoryWriter:
    """Owns a memory that is being written, from "configure" to "cleanup".

    Args:
        settings: asked again for what may change meanwhile.
        name: of the node, for people who look at the sessions.

    Attributes:
        counts: frames recorded, frames dropped by a full queue.
        problem: why nothing is written, "" while it is.

    Raises:
        MemoryStoreError: the folder cannot be opened for writing.
    """

    def __init__(self, settings: Callable[[], NodeSettings], name: str) -> None:
        self.folder = Path(settings().text("memory.folder")).expanduser().absolute()
        self.counts = {"frames": 0, "dropped": 0}
        self.problem = ""
        self._settings, self._name = settings, name
        quota_bytes = settings().count("memory.quota_mib") * 2**20
        self._store = open_memory(self.folder, write=True, quota_bytes=quota_bytes)
        self._changed = threading.Condition()
        self._queue: deque[tuple[Frame, Sequence[Detection] | None]] = deque()
        self._answers: deque[tuple[WhereAnswer, str]] = deque(maxlen=MOST_ANSWERS)
        # Held while rows are written or deleted; the session belongs to who holds it.
        self._writing = threading.Lock()
        self._session: LiveSession | None = None
        # The map of this run, once it is known.
        self._known: Alignment | None = None
        self._renew = False
        self._transforms: LockedTransforms | None = None
        self._detected: LiveDetections | None = None
        self._stop, self._clear = threading.Event(), threading.Event()
        self._clear.set()
        self._thread: threading.Thread | None = None

    # -- from other threads ------------------------------------------------------------------------

    def start(self, transforms: LockedTransforms, detected: LiveDetections | None) -> None:
        """Begin a session; its frames come by :meth:`offer`.

        Args:
            transforms: know where the robot's base is.
            detected: what detectors find; None: things are found as for marks.
        """
        self._transforms, self._detected, self._known = transforms, detected, None
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="oryx_scene memory", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """Write what is in hand and end the session; False if that takes longer."""
        self._stop.set()
        self._clear.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def close(self, timeout_s: float = STOP_S) -> bool:
        """Let go of the folder; False if the thread has not ended in time."""
        ended = self.stop(timeout_s)
        if ended:
            self._store.close()
        return ended

    def offer(self, frame: Frame) -> None:
        """Take a frame, with what was detected in it, into the queue; the newest win."""
        detections = None if self._detected is None else self._detected.of_frame(frame)
        most = self._settings().count("memory.queue")
        with self._changed:
            self._queue.append((frame, detections))
            while len(self._queue) > most:
                self._queue.popleft()
                self.counts["dropped"] += 1
            self._changed.notify_all()

    def keep(self, answer: WhereAnswer, text: str) -> None:
        """Have an answer kept; nothing waits for it."""
        with self._changed:
            self._answers.append((answer, text))
            self._changed.notify_all()

    def where(self, text: str, at_ns: int) -> WhereAnswer:
        """Where a thing was last seen, from the rows that are written.

        Raises:
            QuestionError, MemoryStoreError: as of :func:`oryx_scene.memory.where.where`.
        """
        with open_memory(self.folder) as reader:
            return where(reader, text, at_ns)

    def forget(self, scope: Scope, *, dry_run: bool) -> Forgotten:
        """Delete what lies in ``scope``; what is in hand goes with it, and recording goes on.

        Raises:
            MemoryStoreError: as of :func:`oryx_scene.memory.erasure.forget`.
        """
        with self._writing:
            if self._session is not None and scope != Scope():
                scope = dataclasses.replace(scope, map_row=self._session.map_row)
            if dry_run:
                return forget(self._store, scope, dry_run=True)
            self._begin_anew()
            found = forget(self._store, scope)
            maps = self._store.rows("SELECT id FROM maps")
            if self._known is not None and self._known.map_row not in [row["id"] for row in maps]:
                self._known = None
            return found

    def new_session(self) -> None:
        """Time or places are others now: what is in hand is of another time. Waits for nothing."""
        with self._changed:
            self._queue.clear()
            self._renew = True

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """No further frame is begun meanwhile, for a moment: who asks goes first."""
        self._clear.clear()
        try:
            yield
        finally:
            self._clear.set()

    def let_pass(self) -> None:
        """Wait while somebody is :meth:`aside`, for a moment at most."""
        self._clear.wait(ASIDE_S)

    @staticmethod
    def step_back() -> None:
        """Give the calling thread a lower priority, where threads have one of their own."""
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)

    @property
    def waiting(self) -> int:
        """Frames in the queue."""
        return len(self._queue)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return self._store.size_bytes

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        self.step_back()
        while self._wait():
            self.let_pass()
            try:
                with self._writing:
                    self._write()
            except OryxSceneError as err:
                self._pause(str(err))
            except Exception as err:
                log.exception("the memory met a fault that nobody foresaw")
                self._pause(f"{type(err).__name__}: {err}")
        try:
            with self._writing:
                self._write_all()
        except OryxSceneError as err:
            self.problem = str(err)

    def _wait(self) -> bool:
        """Until there is something to write; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._answers or self._stop.is_set())
        return not self._stop.is_set()

    def _write(self) -> None:
        """Write the oldest frame of the queue, or an answer."""
        with self._changed:
            found = self._queue.popleft() if self._queue else None
            answer = self._answers.popleft() if self._answers else None
            renew, self._renew = self._renew, False
        if renew:
            self._session = self._known = None
        if answer is not None:
            keep_answer(self._store, *answer)
        if found is None:
            return
        if self._session is None:
            assert self._transforms is not None
            self._session = LiveSession(
                self._store, self._name, self._settings(), self._transforms, self._known
            )
        self.counts["frames"] += self._session.add(*found)
        self.problem = self._session.problem
        if self._session.map_row is not None:
            self._known = Alignment(self._session.map_row, "continued")

    def _write_all(self) -> None:
        """What is in hand, as far as there is time, and the end of the session."""
        until = time.monotonic() + STOP_S / 2.0
        while (self._queue or self._answers) and time.monotonic() < until:
            self._write()
        self.counts["dropped"] += len(self._queue)
        self._queue.clear()
        if self._session is not None:
            self._session.close()
            self._session = None

    def _begin_anew(self) -> None:
        with self._changed:
            self._queue.clear()
            self._answers.clear()
        self._session = None

    def _pause(self, problem: str) -> None:
        """After a fault: say it, and begin a new session later."""
        self.problem = problem
        with self._writing:
            self._session = None
        self._stop.wait(PAUSE_S)
