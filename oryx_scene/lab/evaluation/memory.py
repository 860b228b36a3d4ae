"""How right a memory is: made from drives, asked at several moments, judged by their truth.

The memory is written by `memory.recorder.remember` and asked by `memory.where.where`, as the
commands do; nothing of the truth reaches it.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oryx_scene.lab.evaluation.memory_questions import (
    KINDS,
    MemoryQuestion,
    place_at,
    questions_at,
)
from oryx_scene.lab.synth.drive import Drive, DriveConfig
from oryx_scene.lab.synth.drive_source import DriveSource
from oryx_scene.lab.synth.drive_truth import drive_truth
from oryx_scene.memory.recorder import remember
from oryx_scene.memory.store import open_memory
from oryx_scene.memory.where import WhereAnswer, where
from oryx_scene.records import Frame, Vector3
from oryx_scene.sources.base import FrameStub

# Drives of an evaluation are numbered from here on.
FIRST_SEED = 70_000
# An answer means a thing if it lies this near to where the thing was at the answered time: poses
# drift by a few decimetres, and things stand further apart.
NEAR_M = 0.75
TIME_S = 2.0
# Names and goals of the summary; higher is better unless said otherwise.
GOALS: tuple[tuple[str, float, bool], ...] = (
    ("right_instance", 0.90, True),
    ("place_error_m_median", 0.25, False),
    ("time_error_s_median", TIME_S, False),
    ("false_seen", 0.02, False),
    ("moved_and_gone", 0.90, True),
)


@dataclass(frozen=True)
class Verdict:
    """One answer beside its key.

    Attributes:
        text, at_ns: of the question.
        kind, expected, said: of question and answer.
        right: the status, and for answers with a place the thing and its newest known place.
        right_instance: the place is where a thing of that name was at the answered time; None
            where the key has no single thing.
        place_error_m: from where the thing was last seen; None without a place.
        time_error_s: of "last seen"; None without one.
        missed_error_s: of "first missed"; None where key or answer has none.
        answer_s: seconds it took.
    """

    text: str
    at_ns: int
    kind: str
    expected: str
    said: str
    right: bool
    right_instance: bool | None = None
    place_error_m: float | None = None
    time_error_s: float | None = None
    missed_error_s: float | None = None
    answer_s: float = math.nan


@dataclass(frozen=True)
class DriveResult:
    """One drive.

    Attributes:
        seed: of it.
        seconds: its length.
        frames: taken in.
        write_s: seconds that writing the memory took, without rendering.
        bytes: of the memory's files.
        verdicts: of all questions.
    """

    seed: int
    seconds: float
    frames: int
    write_s: float
    bytes: int
    verdicts: tuple[Verdict, ...]


def judge(question: MemoryQuestion, answer: WhereAnswer, truth: dict[str, Any]) -> Verdict:
    """Hold an answer against its key."""
    verdict = Verdict(
        question.text,
        question.at_ns,
        question.kind,
        question.status,
        answer.status,
        answer.status == question.status,
    )
    if question.kind == "several":
        found = [candidate.position for candidate in answer.candidates]
        near = all(any(_off(p, s.position) <= NEAR_M for p in found) for s in question.sights)
        return dataclasses.replace(verdict, right=verdict.right and near)
    if not question.sights:
        return verdict
    (sight,) = question.sights
    if answer.position is None or answer.last_seen_ns is None:
        return dataclasses.replace(verdict, right_instance=False)
    error = _off(answer.position, sight.position)
    missed = None
    if sight.first_missed_ns is not None and answer.first_missed_ns is not None:
        missed = abs(answer.first_missed_ns - sight.first_missed_ns) / 1e9
    return dataclasses.replace(
        verdict,
        right=verdict.right and error <= NEAR_M,
        right_instance=_is_the_thing(question, answer.position, answer.last_seen_ns, truth),
        place_error_m=error,
        time_error_s=abs(answer.last_seen_ns - sight.last_seen_ns) / 1e9,
        missed_error_s=missed,
    )


def _off(a: Vector3, b: Sequence[float]) -> float:
    return float(np.linalg.norm(np.array(a) - np.array(b)))


def _is_the_thing(
    question: MemoryQuestion, position: Vector3, stamp_ns: int, truth: dict[str, Any]
) -> bool:
    """Whether one of the asked things was about there at that time."""
    for thing in truth["things"]:
        if thing["id"] in question.things:
            place = place_at(thing, stamp_ns)
            if place is not None and _off(position, place["position"]) <= NEAR_M:
                return True
    return False


class _TimedSource(DriveSource):
    """Rendering is not part of writing a memory: its time is taken out."""

    def __init__(self, drive: Drive, on_frame: Callable[[], object]) -> None:
        super().__init__(drive)
        self.rendering_s = 0.0
        self._on_frame = on_frame

    def load(self, stub: FrameStub) -> Frame:
        start = time.perf_counter()
        frame = super().load(stub)
        self.rendering_s += time.perf_counter() - start
        self._on_frame()
        # True ids are for judges only.
        return dataclasses.replace(frame, labels=None)


def judge_drive(
    config: DriveConfig, moments: int, on_frame: Callable[[], object] | None = None
) -> DriveResult:
    """Make a memory of one drive and ask it at ``moments`` times, the last at its end."""
    drive = Drive(config)
    truth = drive_truth(drive)
    with tempfile.TemporaryDirectory() as folder:
        source = _TimedSource(drive, on_frame or (lambda: None))
        start = time.perf_counter()
        with open_memory(Path(folder) / "memory", write=True) as store:
            frames = remember(source, store, f"drive {config.seed}").frames
        write_s = time.perf_counter() - start - source.rendering_s
        verdicts: list[Verdict] = []
        with open_memory(Path(folder) / "memory") as store:
            size = store.size_bytes
            for index in range(moments):
                share = (index + 1) / moments
                at_ns = truth["start_ns"] + round((truth["end_ns"] - truth["start_ns"]) * share)
                for question in questions_at(truth, at_ns, config.seed * moments + index):
                    start = time.perf_counter()
                    answer = where(store, question.text, at_ns)
                    taken = time.perf_counter() - start
                    verdict = judge(question, answer, truth)
                    verdicts.append(dataclasses.replace(verdict, answer_s=taken))
    return DriveResult(config.seed, config.seconds, frames, write_s, size, tuple(verdicts))


def summary(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """The table over all drives; shares and errors are None where nothing was asked."""
    every = list(verdicts)
    rows = {}
    for kind, expected in KINDS.items():
        own = [v for v in every if v.kind == kind]
        said: dict[str, int] = {}
        for verdict in own:
            said[verdict.said] = said.get(verdict.said, 0) + 1
        rows[kind] = {"expected": expected, "asked": len(own), "right": _share(own), "said": said}
    single = [v for v in every if v.right_instance is not None]
    # Where "seen" is false: it was taken and missed, or never there.
    unseen = [v for v in every if v.kind in ("gone", "never")]
    return {
        "kinds": rows,
        "right_instance": _mean([v.right_instance is True for v in single]),
        "place_error_m_median": _quantile([v.place_error_m for v in single], 0.5),
        "place_error_m_p90": _quantile([v.place_error_m for v in single], 0.9),
        "time_error_s_median": _quantile([v.time_error_s for v in single], 0.5),
        "time_within_2_s": _mean(
            [v.time_error_s <= TIME_S for v in single if v.time_error_s is not None]
        ),
        "missed_error_s_median": _quantile([v.missed_error_s for v in single], 0.5),
        "false_seen": _mean([v.said == "seen" for v in unseen]),
        "moved_and_gone": _share([v for v in every if v.kind in ("moved", "gone")]),
        "answer_ms_p95": _scaled(_quantile([v.answer_s for v in every], 0.95), 1e3),
    }


def _share(verdicts: Sequence[Verdict]) -> float | None:
    return _mean([verdict.right for verdict in verdicts])


def _mean(values: Sequence[bool]) -> float | None:
    return float(np.mean(values)) if values else None


def _quantile(values: Iterable[float | None], share: float) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.quantile(known, share)) if known else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def report_of(results: Sequence[DriveResult]) -> dict[str, Any]:
    """What `eval memory` prints: the summary, and how fast and how large memories were."""
    hours = sum(result.seconds for result in results) / 3600.0
    seconds = sum(result.write_s for result in results)
    return {
        **summary(verdict for result in results for verdict in result.verdicts),
        "drives": len(results),
        "hours": hours,
        "frames": sum(result.frames for result in results),
        "times_real_time": hours * 3600.0 / max(seconds, 1e-9),
        "megabytes_per_hour": sum(result.bytes for result in results) / 1e6 / max(hours, 1e-9),
        "wrong": [
            {"seed": result.seed, **_plain(verdict)}
            for result in results
            for verdict in result.verdicts
            if not verdict.right
        ],
    }


def _plain(verdict: Verdict) -> dict[str, Any]:
    """A wrong answer for the report, so that its drive can be looked at."""
    told = ("text", "at_ns", "kind", "expected", "said", "place_error_m", "time_error_s")
    return {name: getattr(verdict, name) for name in told}


def missed_goals(report: dict[str, Any]) -> list[str]:
    """One line per goal that was not reached."""
    found = []
    for name, goal, more in GOALS:
        value = report[name]
        if value is not None and (value < goal if more else value > goal):
            found.append(f"{name} {value:.3f}, wanted {'>=' if more else '<='} {goal:g}")
    return found
