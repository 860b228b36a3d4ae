"""One thread that works, and the bounded queue of jobs before it. No rclpy here.

One worker owns the model: it loads, warms up and asks it. A second one does what asks no model.

A job waits, runs and ends exactly once, whoever ends it: its own work, a cancellation, its
deadline, a newer job, or the end of the node. Waiting jobs end at once; a running one is asked to
stop (``Job.stop_code``) and ends when its work notices.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from oryx_scene_ros.error_codes import Code

log = logging.getLogger("oryx_scene_ros")

# Before anything was measured.
FIRST_GUESS_S = 1.0
# Weight of the newest duration in the running mean.
NEWEST_WEIGHT = 0.3

# (result, None) of work that was done, (None, code) of a job that ended before it ran.
Outcome = tuple[Any, Code | None]


class QueueFull(Exception):  # noqa: N818 - a state, not a fault
    """No place; ``wait_s`` is the expected wait until there is one."""

    def __init__(self, length: int, wait_s: float) -> None:
        super().__init__(f"{length} questions are waiting")
        self.length = length
        self.wait_s = wait_s


class WorkerClosed(Exception):  # noqa: N818 - a state, not a fault
    """The worker takes no jobs (any more)."""


@dataclass(eq=False)
class Job:
    """One piece of work for the engine thread.

    Attributes:
        name: id for people.
        work: runs on the engine thread; its return value is the result. May not raise.
        on_end: called once, from whichever thread ended the job.
        priority: higher first; equal ones in order of arrival.
        deadline: on ``time.monotonic``; None = none.
        counted: whether it is one of the jobs that the expected wait and the counts are about.
        accepted: when it was submitted.
        started: when it began to run, None while waiting.
    """

    name: str
    work: Callable[[Job], Any]
    on_end: Callable[[Outcome], None]
    priority: int = 0
    deadline: float | None = None
    counted: bool = True
    accepted: float = field(default_factory=time.monotonic)
    started: float | None = None
    stop_code: Code | None = None
    number: int = 0

    def stop(self, code: Code) -> None:
        """Ask running work to end; the first reason stays."""
        if self.stop_code is None:
            self.stop_code = code

    def stopping(self) -> Code | None:
        """Why the work should end now: asked to, or past its deadline; None to go on."""
        if self.stop_code is None and self.remaining_s() == 0.0:
            self.stop_code = Code.TIMEOUT
        return self.stop_code

    def remaining_s(self) -> float | None:
        """Seconds until the deadline, at least 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


def _ended(_: Any) -> None:
    """What a job that has ended does."""


class Worker:
    """The engine thread with its queue.

    Args:
        on_change: called without arguments after the queue or the running job changed.
        name: of the thread that works.
    """

    def __init__(
        self, on_change: Callable[[], None] = lambda: None, name: str = "oryx_scene engine"
    ) -> None:
        self.capacity = 4
        self.drop_oldest = False
        self.counts = dict.fromkeys(("done", "rejected", "dropped", "canceled", "expired"), 0)
        self._on_change = on_change
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._running: Job | None = None
        self._closed = False
        self._mean_s: float | None = None
        self._numbers = itertools.count(1)
        self._threads = [
            threading.Thread(target=self._work, name=name, daemon=True),
            threading.Thread(target=self._watch_deadlines, name=f"{name} deadlines", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # -- submitting and ending -------------------------------------------------------------------

    def submit(self, job: Job, *, always: bool = False) -> None:
        """Queue a job.

        Args:
            job: never submitted before.
            always: whatever the capacity (for the node's own work).

        Raises:
            QueueFull: no place, and the policy refuses the new job.
            WorkerClosed: after :meth:`close`.
        """
        dropped: Job | None = None
        with self._changed:
            if self._closed:
                raise WorkerClosed
            busy = self._running is not None
            # A free engine takes a job at once, even with a capacity of 0.
            length = sum(item.counted for item in self._waiting)
            if not always and length >= self.capacity + (0 if busy else 1):
                dropped = self._loser(job)
                if dropped is None:
                    self.counts["rejected"] += 1
                    raise QueueFull(length, self._expected_wait())
                self._waiting.remove(dropped)
            job.number = next(self._numbers)
            self._waiting.append(job)
            self._waiting.sort(key=lambda item: (-item.priority, item.number))
            self._changed.notify_all()
        if dropped is not None:
            self._end(dropped, (None, Code.DROPPED), "dropped")
        self._tell_change()

    def _loser(self, job: Job) -> Job | None:
        """Who leaves a full queue for ``job``; None if nobody should."""
        waiting = [item for item in self._waiting if item.counted]
        if not self.drop_oldest or not waiting:
            return None
        lowest = min(waiting, key=lambda item: (item.priority, item.number))
        return lowest if lowest.priority <= job.priority else None

    def stop(self, job: Job, code: Code) -> None:
        """End a waiting job now, or ask a running one to stop."""
        with self._changed:
            waiting = job in self._waiting
            if waiting:
                self._waiting.remove(job)
            elif job is self._running:
                job.stop(code)
                if code is Code.CANCELED:
                    self.counts["canceled"] += 1
        if waiting:
            self._end(job, (None, code), "canceled" if code is Code.CANCELED else "")
            self._tell_change()

    def stop_running(self, code: Code) -> None:
        """Ask the running job to stop."""
        with self._changed:
            job = self._running
        if job is not None:
            self.stop(job, code)

    def drain(self, code: Code, timeout_s: float) -> bool:
        """End all jobs; False if the running one has not stopped in time."""
        with self._changed:
            jobs = [*self._waiting, *([self._running] if self._running else [])]
        for job in jobs:
            self.stop(job, code)
        with self._changed:
            return self._changed.wait_for(lambda: self._running is None, timeout_s)

    def close(self, code: Code, timeout_s: float) -> bool:
        """Drain and end the threads; False if the engine thread has not ended in time."""
        with self._changed:
            self._closed = True
        until = time.monotonic() + timeout_s
        self.drain(code, timeout_s)
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    # -- looking -----------------------------------------------------------------------------------

    @property
    def running(self) -> Job | None:
        """The job that runs now."""
        return self._running

    def waiting(self) -> tuple[Job, ...]:
        """The jobs that wait, next first; those that are not counted left out."""
        with self._changed:
            return tuple(job for job in self._waiting if job.counted)

    def position(self, job: Job) -> int:
        """How many jobs go before a waiting one; 0 also where it does not wait."""
        with self._changed:
            return self._waiting.index(job) if job in self._waiting else 0

    def expected_wait_s(self) -> float:
        """Until a question that came now would begin."""
        with self._changed:
            return self._expected_wait()

    def _expected_wait(self) -> float:
        mean = FIRST_GUESS_S if self._mean_s is None else self._mean_s
        left = 0.0
        running = self._running
        if running is not None and running.started is not None and running.counted:
            left = max(0.1 * mean, mean - (time.monotonic() - running.started))
        return left + mean * sum(job.counted for job in self._waiting)

    # -- the threads -------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._waiting.pop(0)
                self._running = job
                job.started = time.monotonic()
                self._changed.notify_all()
            self._tell_change()
            outcome = self._result_of(job)
            elapsed = time.monotonic() - job.started
            with self._changed:
                self._running = None
                if job.counted:
                    old = elapsed if self._mean_s is None else self._mean_s
                    self._mean_s = NEWEST_WEIGHT * elapsed + (1 - NEWEST_WEIGHT) * old
                self._changed.notify_all()
            self._end(job, outcome, "done" if job.counted else "")
            # Nothing of a finished question may live on in this frame until the next one comes.
            del job, outcome
            self._tell_change()

    def _result_of(self, job: Job) -> Outcome:
        try:
            return job.work(job), None
        except Exception:
            log.exception("job '%s' failed in a way that nobody foresaw", job.name)
            return None, Code.UNKNOWN

    def _watch_deadlines(self) -> None:
        """Waiting jobs whose deadline passes end then, however long the running one takes."""
        while True:
            with self._changed:
                if self._closed:
                    return
                soonest = min(
                    (job.deadline for job in self._waiting if job.deadline is not None),
                    default=None,
                )
                self._changed.wait(None if soonest is None else soonest - time.monotonic())
                late = [job for job in self._waiting if job.remaining_s() == 0.0]
                for job in late:
                    self._waiting.remove(job)
            for job in late:
                self._end(job, (None, Code.TIMEOUT), "expired")
            if late:
                self._tell_change()

    def _tell_change(self) -> None:
        try:
            self._on_change()
        except Exception:
            log.exception("a change of the queue could not be told")

    def _end(self, job: Job, outcome: Outcome, count: str) -> None:
        if count:
            with self._changed:
                self.counts[count] += 1
        try:
            job.on_end(outcome)
        except Exception:
            log.exception("the end of job '%s' could not be told", job.name)
        # Whoever submitted a job usually holds it, too: nothing of it waits for the collector.
        job.work, job.on_end = _ended, _ended
