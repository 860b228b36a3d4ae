"""What goes to a worker and what comes back, as plain values that any process can read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from oryx_scene.geometry.rig import Rig
from oryx_scene.replay.journal import answer_key
from oryx_scene.replay.plan import ReplaySettings, digest
from oryx_scene.replay.questions import QuestionTime


@dataclass(frozen=True)
class BatchSettings:
    """All that a worker needs to know, the same for every chunk.

    Attributes:
        replay: questions, settings, limits, times.
        model, device, dtype, quantization: of the model, as its loader takes them.
        rig: calibration that fills in or overrides what recordings lack.
        threads: of torch in each worker; 0 leaves torch's own choice.
    """

    replay: ReplaySettings
    model: str = "default"
    device: str | None = None
    dtype: str | None = None
    quantization: str | None = None
    rig: Rig | None = None
    threads: int = 0

    def digests(self) -> dict[str, str]:
        """Name -> digest of what decides the answers beside recordings and model."""
        times = digest([self.replay.every_s, list(self.replay.at)])
        return {**self.replay.digests(), "times": times}


@dataclass(frozen=True)
class RecordingPlan:
    """A recording whose index was read.

    Attributes:
        location: path or URL.
        fingerprint: of its files when they were read.
        sha256: of its content.
        asked: what tells its replay from others, the model aside.
        recording: what the manifest says of it.
        moments: when which questions are asked.
    """

    location: str
    fingerprint: str
    sha256: str
    asked: dict[str, str]
    recording: dict[str, Any]
    moments: tuple[QuestionTime, ...]

    @property
    def folder(self) -> str:
        """Name of its folder in the output."""
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in self.recording["name"])
        return f"{name[:80]}-{self.sha256[:12]}"

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def plan_from_plain(values: dict[str, Any]) -> RecordingPlan:
    """What :meth:`RecordingPlan.to_plain` gave."""
    return RecordingPlan(**{**values, "moments": moments_from_plain(values["moments"])})


def moments_from_plain(values: Sequence[dict[str, Any]]) -> tuple[QuestionTime, ...]:
    """Moments from their JSON objects."""
    return tuple(QuestionTime(int(item["at_ns"]), tuple(item["questions"])) for item in values)


@dataclass(frozen=True)
class Task:
    """One piece of work: read the index of a recording, or answer a chunk of its moments.

    Attributes:
        name: unique within a run.
        location: of the recording.
        fingerprint: that its files must still have, "" where they were not read yet.
        moments: to answer; empty where only the index is wanted.
    """

    name: str
    location: str
    fingerprint: str = ""
    moments: tuple[QuestionTime, ...] = ()

    def to_json(self) -> str:
        """One line."""
        return json.dumps(dataclasses.asdict(self))


def task_from_json(text: str) -> Task:
    """What :meth:`Task.to_json` wrote."""
    values = json.loads(text)
    return Task(**{**values, "moments": moments_from_plain(values["moments"])})


@dataclass
class TaskResult:
    """What a worker made of a task.

    Attributes:
        name: of the task.
        plan: of a task without moments.
        model: what answered, as a manifest names it.
        records: of a replay, one per answer.
        scenes: name -> bytes of the snapshot.
        error: type, message and hint of what stopped the task; None if nothing did.
        fatal: no other task can succeed either.
        attempts: how often it was begun.
        where: host, process and versions of the worker.
        figures: stage -> seconds, and counts.
    """

    name: str
    plan: RecordingPlan | None = None
    model: str = ""
    records: list[dict[str, Any]] = field(default_factory=list)
    scenes: dict[str, bytes] = field(default_factory=dict)
    error: dict[str, str] | None = None
    fatal: bool = False
    attempts: int = 1
    where: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """All but the scenes."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        del values["scenes"]
        values["plan"] = None if self.plan is None else self.plan.to_plain()
        return json.dumps(values, allow_nan=False)


def result_from_json(text: str, scenes: dict[str, bytes]) -> TaskResult:
    """What :meth:`TaskResult.to_json` wrote, with its scenes."""
    values = json.loads(text)
    plan = values.pop("plan")
    return TaskResult(**values, plan=None if plan is None else plan_from_plain(plan), scenes=scenes)


def chunks_of(
    plan: RecordingPlan, names: Sequence[str], done: set[str], moments: int
) -> Iterator[Task]:
    """The open part of a recording, ``moments`` of the whole schedule at a time.

    Chunks are cut from the whole schedule, so that they are the same however much is done.

    Args:
        plan: of the recording.
        names: ids of the questions.
        done: keys of the answers that are on disk.
        moments: per chunk, at least 1.
    """
    for start in range(0, len(plan.moments), moments):
        left = []
        for moment in plan.moments[start : start + moments]:
            open_questions = tuple(
                index
                for index in moment.questions
                if answer_key(moment.at_ns, names[index]) not in done
            )
            if open_questions:
                left.append(QuestionTime(moment.at_ns, open_questions))
        if left:
            name = f"{plan.folder}/{start // moments}"
            yield Task(name, plan.location, plan.fingerprint, tuple(left))
