"""Runs a schedule of questions over a recording through a ScenePipeline, into a journal.

Nothing is decoded for a moment whose answers are all in the journal. A moment that cannot be
answered (no frame, stale frames, too many views) gets its error as a record and the replay goes on;
only a failing disk or model loading stops it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from oryx_scene.errors import OryxSceneError, OutputError
from oryx_scene.model.api import Limits
from oryx_scene.qa.answer_json import answer_to_dict
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.replay.frame_cache import RecentFrames
from oryx_scene.replay.journal import answer_key
from oryx_scene.replay.questions import AskedQuestion, QuestionTime
from oryx_scene.scene.frame_selection import CameraPath, frames_at
from oryx_scene.scene.freeze import Scene
from oryx_scene.view.snapshot import Snapshot, take_snapshot

# A replay keeps many scenes: coarser and smaller than a single picture needs.
SNAPSHOT_VOXEL_M = 0.03
SNAPSHOT_POINTS = 60_000

OnRecord = Callable[[dict[str, Any]], None]


class RecordSink(Protocol):
    """Where records go: a replay's folder (``journal.Journal``), or the memory of a worker.

    ``done`` holds the keys of what was answered already.
    """

    done: set[str]

    def append(self, record: dict[str, Any], /) -> None:
        """Keep one record."""
        ...

    def write_scene(self, scene: str, snapshot: Snapshot, /) -> None:
        """Keep what a scene looked like; comes before its answers."""
        ...


@dataclass
class Clock:
    """Seconds spent per stage on the steady clock: read, freeze, ask, snapshot, write.

    Snapshots are made while the model answers: only waiting for them counts.
    """

    stages: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, since: float) -> float:
        """Book the time from ``since`` to now on ``stage``; returns now."""
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - since
        return now


@dataclass(frozen=True)
class ReplayResult:
    """Figures of one run.

    Attributes:
        asked: questions answered in this run; ``kept`` were in the journal already.
        failed: records of this run that hold an error.
        recorded_s: span of the recording that this run went over.
        wall_s: what it took, loading of the model not included.
        stages_s: seconds per stage.
        frames_read: decoded in this run.
    """

    asked: int
    kept: int
    failed: int
    recorded_s: float
    wall_s: float
    stages_s: dict[str, float]
    frames_read: int

    @property
    def real_time_factor(self) -> float:
        """Recorded over wall time; above 1 is faster than real time. NaN without any span."""
        return self.recorded_s / self.wall_s if self.recorded_s > 0 else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        factor = self.real_time_factor
        return {
            "asked": self.asked,
            "kept": self.kept,
            "failed": self.failed,
            "recorded_s": self.recorded_s,
            "wall_s": self.wall_s,
            "real_time_factor": None if math.isnan(factor) else factor,
            "stages_s": self.stages_s,
            "frames_read": self.frames_read,
        }


class Replay:
    """One replay.

    Args:
        source: the recording.
        pipeline: what answers.
        entries: the questions.
        journal: where records go, and what has been answered already.
        limits: of every generation.
        path: where the cameras were, if another run over ``source`` has asked for poses already.
    """

    def __init__(
        self,
        source: RecentFrames,
        pipeline: ScenePipeline,
        entries: Sequence[AskedQuestion],
        journal: RecordSink,
        limits: Limits | None = None,
        path: CameraPath | None = None,
    ) -> None:
        self._source = source
        self._pipeline = pipeline
        self._entries = entries
        self._journal = journal
        self._limits = limits or Limits()
        self._clock = Clock()
        self._path = path or CameraPath(source)
        # Frozen together: the marks of a scene may not depend on which of its questions are left.
        self._texts = " ".join(entry.question.text for entry in entries)

    def pending(self, schedule: Sequence[QuestionTime]) -> list[QuestionTime]:
        """The part of ``schedule`` that the journal lacks."""
        left = []
        for moment in schedule:
            open_questions = tuple(
                index
                for index in moment.questions
                if answer_key(moment.at_ns, self._entries[index].name) not in self._journal.done
            )
            if open_questions:
                left.append(QuestionTime(moment.at_ns, open_questions))
        return left

    def run(
        self, schedule: Sequence[QuestionTime], on_record: OnRecord | None = None
    ) -> ReplayResult:
        """Answer what is pending, in time order; ``on_record`` sees every new record.

        Raises:
            OutputError: a record cannot be written.
        """
        left = self.pending(schedule)
        total = sum(len(moment.questions) for moment in schedule)
        asked = sum(len(moment.questions) for moment in left)
        started, failed = time.perf_counter(), 0
        with ThreadPoolExecutor(1, "snapshot") as saver:
            for moment in left:
                for record in self._moment(moment, saver):
                    failed += "error" in record
                    if on_record is not None:
                        on_record(record)
        return ReplayResult(
            asked=asked,
            kept=total - asked,
            failed=failed,
            recorded_s=self._span_s(schedule, left),
            wall_s=time.perf_counter() - started,
            stages_s=dict(self._clock.stages),
            frames_read=self._source.frames_read,
        )

    def _span_s(self, schedule: Sequence[QuestionTime], left: Sequence[QuestionTime]) -> float:
        """From the moment before the first pending one (or the first frame) to the last."""
        if not left:
            return 0.0
        before = [moment.at_ns for moment in schedule if moment.at_ns < left[0].at_ns]
        first = before[-1] if before else self._source.stubs()[0].stamp_ns
        return (left[-1].at_ns - first) / 1e9

    def _moment(self, moment: QuestionTime, saver: Executor) -> Iterator[dict[str, Any]]:
        """The records of one moment, each one on disk before it is given out.

        Nothing of earlier moments is left in the model: an answer must not depend, not even in its
        last bits, on which moments this process has answered before.
        """
        self._pipeline.forget_scenes()
        try:
            scene = self._freeze(moment)
        except OutputError:
            raise
        except OryxSceneError as err:
            for index in moment.questions:
                yield self._keep(moment, index, {"error": error_record(err)})
            return
        # While the model answers; in any case before the first record that refers to it.
        saving = saver.submit(self._save, scene)
        for index in moment.questions:
            result = self._ask(scene, index)
            since = time.perf_counter()
            saving.result()
            self._clock.add("snapshot", since)
            yield self._keep(moment, index, result)

    def _freeze(self, moment: QuestionTime) -> Scene:
        since = time.perf_counter()
        frames, warnings, choice = frames_at(
            self._source, moment.at_ns, self._pipeline.config.views
        )
        since = self._clock.add("read", since)
        try:
            return self._pipeline.freeze(
                frames,
                moment.at_ns,
                question=self._texts,
                warnings=(*self._source.warnings, *warnings),
                synthetic=self._source.synthetic,
                choice=choice,
            )
        finally:
            self._clock.add("freeze", since)

    def _ask(self, scene: Scene, index: int) -> dict[str, Any]:
        since = time.perf_counter()
        try:
            answer = self._pipeline.ask(scene, self._entries[index].question, self._limits)
        except OryxSceneError as err:
            return {"error": error_record(err), "scene": scene.scene_id}
        finally:
            self._clock.add("ask", since)
        return {"scene": scene.scene_id, "answer": answer_to_dict(answer)}

    def _keep(self, moment: QuestionTime, index: int, result: dict[str, Any]) -> dict[str, Any]:
        since = time.perf_counter()
        entry = self._entries[index]
        record = {
            "key": answer_key(moment.at_ns, entry.name),
            "at_ns": moment.at_ns,
            "question_id": entry.name,
            "question": entry.question.text,
            **result,
        }
        self._journal.append(record)
        self._clock.add("write", since)
        return record

    def _save(self, scene: Scene) -> None:
        frames = scene.views.frames
        newest = max(frames, key=lambda frame: frame.stamp_ns)
        snapshot = take_snapshot(
            frames,
            path=self._path.until(newest.camera, scene.frozen_ns),
            voxel_m=SNAPSHOT_VOXEL_M,
            max_points=SNAPSHOT_POINTS,
        )
        self._journal.write_scene(scene.scene_id, snapshot)


def error_record(err: OryxSceneError) -> dict[str, str]:
    """An error as the records of a replay hold it."""
    return {"type": type(err).__name__, "message": err.message, "hint": err.hint}
