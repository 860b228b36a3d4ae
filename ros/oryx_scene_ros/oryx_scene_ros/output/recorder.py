"""Answers and what they rest on, written into mcap files while the node runs (parameters record.*).

A thread of its own writes what a bounded queue hands it; what finds the queue full is left out and
counted. A full disk, or one with less than record.keep_free_mib left, is a warning: nothing is
written for a while, then it is tried again. Each file holds the evidence as cameras' topics (the
recording can be asked and viewed again) and beside it what `oryx-scene replay --record` writes. No
rclpy here but the message of /diagnostics.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import re
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus

from oryx_scene.errors import ConfigError, OryxSceneError, OutputError
from oryx_scene.qa.answer_json import answer_to_dict
from oryx_scene.records import SceneAnswer
from oryx_scene.replay.record import write_answer, write_scene
from oryx_scene.scene.freeze import Scene
from oryx_scene.sources.bags.writer import BagWriter, write_frame
from oryx_scene.view.foxglove import TOPIC
from oryx_scene.view.snapshot import take_snapshot
from oryx_scene.view.step import answer_step
from oryx_scene_ros.output.diagnostics import OK, WARN, status
from oryx_scene_ros.parameters.settings import NodeSettings

log = logging.getLogger("oryx_scene_ros")

# Each holds the frames of a scene.
MAX_WAITING = 4
# After a failure nothing is tried for so long.
RETRY_S = 30.0
# One that was left out is news for so long, on the steady clock; the count stays.
LEFT_OUT_SHOWN_S = 30.0


@dataclass(frozen=True, eq=False)
class RecordedAnswer:
    """One question as it ended.

    Attributes:
        at_ns: when, ROS time.
        question: its text.
        scene: what it was about; None where there is none.
        answer: None where the model was not asked.
        failure: "" for none.
    """

    at_ns: int
    question: str
    scene: Scene | None
    answer: SceneAnswer | None
    failure: str = ""


@dataclass(frozen=True)
class RecordLimits:
    """Sizes in bytes: of one file, of all files of the node, and what stays free on the disk."""

    split: int
    total: int
    keep_free: int

    @staticmethod
    def of(settings: NodeSettings) -> RecordLimits:
        """As parameterised.

        Raises:
            ConfigError: one file would be all that may be kept.
        """
        mib = {key: settings.count(f"record.{key}_mib") for key in ("split", "max", "keep_free")}
        if mib["max"] < 2 * mib["split"]:
            raise ConfigError(
                f"record.max_mib is {mib['max']}, less than twice record.split_mib.",
                hint="a smaller record.split_mib, or more of record.max_mib",
            )
        return RecordLimits(*(mib[key] * 2**20 for key in ("split", "max", "keep_free")))


@dataclass(eq=False)
class _Part:
    """One file under way."""

    writer: BagWriter
    frame_ids: dict[str, str] = field(default_factory=dict)
    frames: set[tuple[str, int]] = field(default_factory=set)
    scene_id: str = ""
    last_ns: int = 0


class Recorder:
    """The thread that writes, from activation to deactivation.

    Args:
        folder: for the files; made where it is missing.
        name: their names begin with it.
        limits: the oldest files with that beginning go where the total is reached.
    """

    def __init__(self, folder: Path, name: str, limits: RecordLimits) -> None:
        self.counts = dict.fromkeys(("written", "left_out", "files"), 0)
        self.problem = ""
        self._folder, self._name, self._limits = folder, name, limits
        self._own = re.compile(rf"{re.escape(name)}_\d{{8}}T\d{{6}}Z_\d+")
        self._queue: queue.Queue[RecordedAnswer | None] = queue.Queue(MAX_WAITING)
        self._part: _Part | None = None
        self._left_out_at = self._failed_at = float("-inf")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="oryx_scene recorder", daemon=True)
        self._thread.start()

    def add(self, item: RecordedAnswer) -> None:
        """Hand over an answer; never waits."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._leave_out()

    def close(self, timeout_s: float) -> bool:
        """Write what waits and end the last file; False if the thread has not ended in time."""
        self._ending.set()
        # A full queue wakes the thread by itself.
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def status(self) -> DiagnosticStatus:
        """For /diagnostics."""
        part = self._part
        values: dict[str, object] = {
            "file": "" if part is None else part.writer.path,
            "waiting": self._queue.qsize(),
            **{f"{name}_total": count for name, count in self.counts.items()},
        }
        said = self.problem
        if not said and time.monotonic() - self._left_out_at < LEFT_OUT_SHOWN_S:
            said = "answers come faster than they can be written: some are left out"
        return status("record", WARN if said else OK, said, values)

    # -- on the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                item = self._queue.get(block=not self._ending.is_set())
            except queue.Empty:
                break
            if item is not None:
                self._take(item)
            # Nothing of an answer may live on in this frame until the next one comes.
            del item
        self._end_part()

    def _take(self, item: RecordedAnswer) -> None:
        if time.monotonic() - self._failed_at < RETRY_S:
            self._leave_out()
            return
        try:
            self._write(item)
        except OryxSceneError as err:
            self._fail(str(err))
        except Exception as err:
            log.exception("an answer could not be recorded")
            self._fail(f"{type(err).__name__}: {err}")
        else:
            self.counts["written"] += 1
            self.problem = ""

    def _leave_out(self) -> None:
        self.counts["left_out"] += 1
        self._left_out_at = time.monotonic()

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("recording paused: %s", problem)
        self.problem, self._failed_at = problem, time.monotonic()
        self._leave_out()
        self._end_part()

    def _end_part(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        try:
            part.writer.close()
        except OutputError as err:
            # What is in it can be read from front to back all the same.
            log.warning("the end of a recording is missing: %s", err)

    def _write(self, item: RecordedAnswer) -> None:
        self._make_room()
        part = self._part = self._part or self._begin_part()
        # Bag times must tell the questions of one moment apart, in order.
        stamp_ns = part.last_ns = max(item.at_ns, part.last_ns + 1)
        if item.scene is not None:
            self._write_evidence(part, item.scene)
        if item.scene is not None and item.answer is not None:
            snapshot = take_snapshot(item.scene.views.frames, cloud=False)
            step = answer_step(item.question, answer_to_dict(item.answer), snapshot)
            if item.scene.scene_id != part.scene_id:
                write_scene(part.writer, stamp_ns, step)
                part.scene_id = item.scene.scene_id
            write_answer(part.writer, stamp_ns, step)
        else:
            part.writer.add_text(f"{TOPIC}/question", stamp_ns, item.question)
            if item.answer is not None:
                # Of the memory: there is no scene.
                part.writer.add_text(f"{TOPIC}/answer_text", stamp_ns, item.answer.text)
        if item.failure:
            part.writer.add_text(f"{TOPIC}/answer_text", stamp_ns, f"error: {item.failure}")
        part.writer.flush()
        if _bytes_of(part.writer.path) >= self._limits.split:
            self._end_part()

    def _write_evidence(self, part: _Part, scene: Scene) -> None:
        for frame in scene.views.frames:
            key = (frame.camera, frame.stamp_ns)
            if key not in part.frames:
                write_frame(part.writer, frame, part.frame_ids)
                part.frames.add(key)

    def _begin_part(self) -> _Part:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.counts["files"] += 1
        # A node that is activated again within a second begins to count anew.
        numbers = itertools.count(self.counts["files"])
        paths = (self._folder / f"{self._name}_{stamp}_{number:04d}" for number in numbers)
        path = next(path for path in paths if not path.exists())
        return _Part(BagWriter(path, compress=True))

    def _make_room(self) -> None:
        """Take away the node's oldest files; refuse where the disk is nearly full all the same.

        Raises:
            OutputError: less is free than shall stay free, or the folder cannot be made.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            under_way = None if self._part is None else self._part.writer.path
            kept = {path: _bytes_of(path) for path in self._files() if path != under_way}
            room = self._limits.total - self._limits.split
            while kept and sum(kept.values()) > room:
                oldest = next(iter(kept))
                shutil.rmtree(oldest)
                del kept[oldest]
            free = shutil.disk_usage(self._folder).free
        except OSError as err:
            raise OutputError(self._folder, err.strerror or str(err)) from err
        if free < self._limits.keep_free:
            raise OutputError(
                self._folder,
                f"only {free // 2**20} MiB are free, record.keep_free_mib is "
                f"{self._limits.keep_free // 2**20}.",
                hint="free some space",
            )

    def _files(self) -> list[Path]:
        """Of this node, earlier runs included, oldest first."""
        own = [path for path in self._folder.iterdir() if self._own.fullmatch(path.name)]
        return sorted(own, key=lambda path: path.name)


def _bytes_of(path: Path) -> int:
    return sum(item.stat().st_size for item in path.iterdir()) if path.is_dir() else 0
