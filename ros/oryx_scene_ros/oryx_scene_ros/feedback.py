"""Text deltas and stages, merged to a bearable rate. No rclpy here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from oryx_scene_ros.desk import Stage

# At most 20 messages per second of one question.
PERIOD_S = 0.05


class MergedFeedback:
    """Sends the first news at once and the rest at most every ``PERIOD_S``.

    Args:
        send: (stage, delta, pieces so far, seconds since acceptance); from any thread, never two at
            once, never after :meth:`close`.
        accepted: on ``time.monotonic``.
    """

    def __init__(self, send: Callable[[Stage, str, int, float], None], accepted: float) -> None:
        self._send = send
        self._accepted = accepted
        self._lock = threading.Lock()
        self._stage = Stage.QUEUED
        self._delta = ""
        self._pieces = 0
        self._last = float("-inf")
        self._timer: threading.Timer | None = None
        self._closed = False

    def stage(self, stage: Stage) -> None:
        """A stage begins: told at once, for stages are few."""
        with self._lock:
            self._stage = stage
            self._flush()

    def text(self, piece: str) -> None:
        """A piece of the answer."""
        with self._lock:
            self._delta += piece
            self._pieces += 1
            wait_s = self._last + PERIOD_S - time.monotonic()
            if wait_s <= 0:
                self._flush()
            elif self._timer is None and not self._closed:
                self._timer = threading.Timer(wait_s, self._late)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        """Send what is left; nothing is sent afterwards."""
        with self._lock:
            if self._delta:
                self._flush()
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()

    def _late(self) -> None:
        with self._lock:
            self._timer = None
            if self._delta:
                self._flush()

    def _flush(self) -> None:
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delta, self._delta = self._delta, ""
        self._last = time.monotonic()
        self._send(self._stage, delta, self._pieces, self._last - self._accepted)
