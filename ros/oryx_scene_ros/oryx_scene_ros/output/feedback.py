"""Text deltas and stages, merged to a bearable rate. No rclpy here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from oryx_scene_ros.queries.query_handler import QueryStage

log = logging.getLogger("oryx_scene_ros")

# At most 20 messages per second of one question.
PERIOD_S = 0.05


class Later:
    """One thread that calls what is due; a thread per call would cost more than the call."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Callable[[], None], float] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def call(self, work: Callable[[], None], at: float) -> None:
        """Call ``work`` once at ``at`` (``time.monotonic``), unless it is taken back before."""
        with self._changed:
            if self._closed:
                return
            self._due[work] = at
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="oryx_scene later", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def take_back(self, work: Callable[[], None]) -> None:
        """Do not call it, if it has not been called."""
        with self._changed:
            self._due.pop(work, None)

    def close(self, timeout_s: float = 1.0) -> bool:
        """Call nothing any more and end the thread; False if it has not ended in time."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify_all()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = time.monotonic()
                ready = [work for work, at in self._due.items() if at <= now]
                for work in ready:
                    del self._due[work]
                if not ready:
                    soonest = min(self._due.values(), default=None)
                    self._changed.wait(None if soonest is None else soonest - now)
            for work in ready:
                try:
                    work()
                except Exception:
                    log.exception("a piece of text could not be told")


def _unheard(stage: QueryStage, delta: str, pieces: int, elapsed_s: float) -> None:
    """What is said after the end."""


class MergedFeedback:
    """Sends the first news at once and the rest at most every ``PERIOD_S``.

    Args:
        send: (stage, delta, pieces so far, seconds since acceptance); from any thread, never two at
            once, never after :meth:`close`.
        accepted: on ``time.monotonic``.
        later: sends what no further piece of text takes along.
    """

    def __init__(
        self, send: Callable[[QueryStage, str, int, float], None], accepted: float, later: Later
    ) -> None:
        self._send = send
        self._accepted = accepted
        self._later = later
        self._lock = threading.Lock()
        self._stage = QueryStage.QUEUED
        self._delta = ""
        self._pieces = 0
        self._last = float("-inf")
        self._waiting = False
        self._closed = False

    def stage(self, stage: QueryStage) -> None:
        """A stage begins: told at once, for stages are few."""
        with self._lock:
            self._stage = stage
            self._flush()

    def text(self, piece: str) -> None:
        """A piece of the answer."""
        with self._lock:
            self._delta += piece
            self._pieces += 1
            due = self._last + PERIOD_S
            if due <= time.monotonic():
                self._flush()
            elif not self._waiting and not self._closed:
                self._waiting = True
                self._later.call(self._late, due)

    def close(self) -> None:
        """Send what is left; nothing is sent afterwards."""
        with self._lock:
            if self._delta:
                self._flush()
            self._closed = True
            self._later.take_back(self._late)
            # Who listens holds this, too: nothing of a question waits for the collector.
            self._send = _unheard

    def _late(self) -> None:
        with self._lock:
            self._waiting = False
            if self._delta:
                self._flush()

    def _flush(self) -> None:
        if self._closed:
            return
        if self._waiting:
            self._waiting = False
            self._later.take_back(self._late)
        delta, self._delta = self._delta, ""
        self._last = time.monotonic()
        self._send(self._stage, delta, self._pieces, self._last - self._accepted)
