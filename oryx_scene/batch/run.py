"""The course of a batch: read the indexes, answer what is open, write tables, say what happened.

Where the work is done (in this process, on a Ray cluster) is the engine's; this loop alone writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

from oryx_scene import __version__
from oryx_scene.batch.folder import BatchFolder, read_plans
from oryx_scene.batch.recordings import fingerprint
from oryx_scene.batch.table import table_path, write_table
from oryx_scene.batch.task import RecordingPlan, Task, TaskResult, chunks_of
from oryx_scene.batch.worker import Attempts, Worker
from oryx_scene.errors import EngineError, OryxSceneError
from oryx_scene.replay.run import error_record


class Engine(Protocol):
    """Where tasks are done."""

    def describe(self) -> dict[str, Any]:
        """For the manifest: what kind, where, which version."""
        ...

    def plan(self, tasks: Iterable[Task]) -> Iterator[TaskResult]:
        """Read indexes; results in any order."""
        ...

    def answer(self, tasks: Iterable[Task]) -> Iterator[TaskResult]:
        """Answer chunks; results in any order."""
        ...


class LocalEngine:
    """Does all tasks in this process, one after the other.

    Args:
        worker: does them.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._attempts = Attempts()

    def describe(self) -> dict[str, Any]:
        """See :class:`Engine`."""
        return {"kind": "one process"}

    def plan(self, tasks: Iterable[Task]) -> Iterator[TaskResult]:
        """See :class:`Engine`."""
        return (self._worker.run(task, self._attempts) for task in tasks)

    def answer(self, tasks: Iterable[Task]) -> Iterator[TaskResult]:
        """See :class:`Engine`."""
        return (self._worker.run(task, self._attempts) for task in tasks)


@dataclass
class Progress:
    """How far a batch is; a listener reads it after every result.

    Attributes:
        stage: "reading indexes", "answering", "writing tables".
        recordings, finished: in all; with all their answers on disk.
        answers, total: on disk; in all.
        errors: answers that are errors.
        broken, set_aside: recordings that cannot be read; chunks that failed every time.
        new: answers of this run.
        started: steady clock, when the first chunk was given out.
    """

    stage: str = "reading indexes"
    recordings: int = 0
    finished: int = 0
    answers: int = 0
    total: int = 0
    errors: int = 0
    broken: int = 0
    set_aside: int = 0
    new: int = 0
    started: float = field(default_factory=time.perf_counter)

    def left_s(self) -> float:
        """Seconds that the open answers will take at this run's rate; NaN before the first."""
        took = time.perf_counter() - self.started
        return (self.total - self.answers) * took / self.new if self.new else float("nan")


OnProgress = Callable[[Progress], None]
OnRecord = Callable[[RecordingPlan, dict[str, Any]], None]


class Batch:
    """One run of a batch.

    Args:
        folder: where answers go.
        engine: where work is done.
        names: ids of the questions.
        chunk_moments: moments of one chunk.
        on_progress, on_record: listeners.
    """

    def __init__(
        self,
        folder: BatchFolder,
        engine: Engine,
        names: tuple[str, ...],
        *,
        chunk_moments: int = 32,
        on_progress: OnProgress | None = None,
        on_record: OnRecord | None = None,
    ) -> None:
        self._folder = folder
        self._engine = engine
        self._names = names
        self._chunk_moments = chunk_moments
        self._on_progress = on_progress or (lambda _: None)
        self._on_record = on_record or (lambda *_: None)
        self._open: dict[str, int] = {}
        self.progress = Progress()
        self.run_record: dict[str, Any] = {}

    def run(self, locations: Iterable[str]) -> Progress:
        """Answer what is open.

        Raises:
            OutputError: the disk is full, or the folder holds something else.
            OryxSceneError: no worker can load the model.
        """
        started = time.perf_counter()
        self._begin()
        try:
            plans = self._plans(list(locations))
            planned_s = time.perf_counter() - started
            self._answer_all(plans)
            self._write_tables(plans)
        finally:
            # What was done so far is said even of a run that ends with an error.
            self._end(time.perf_counter() - started)
        self.run_record["plan_s"] = planned_s
        self._folder.save()
        return self.progress

    def _begin(self) -> None:
        self.run_record = {
            "started": _now(),
            "ended": None,
            "oryx_scene": __version__,
            "engine": self._engine.describe(),
            "workers": {},
            "figures": {},
            "chunks": 0,
            "repeated_attempts": 0,
        }
        self._folder.manifest["runs"].append(self.run_record)
        self._folder.manifest["broken"] = []
        self._folder.manifest["set_aside"] = []
        self._folder.manifest["copies"] = []
        self._folder.save()

    def _end(self, wall_s: float) -> None:
        done = self.progress
        self.run_record |= {"ended": _now(), "wall_s": wall_s, "new_answers": done.new}
        self._folder.manifest["summary"] = {
            "recordings": done.recordings,
            "finished": done.finished,
            "answers": done.answers,
            "of": done.total,
            "errors": done.errors,
            "broken": done.broken,
            "set_aside": done.set_aside,
        }
        self._folder.save()

    # -- which moments -----------------------------------------------------------------------------

    def _plans(self, locations: list[str]) -> list[RecordingPlan]:
        """Plans of all readable recordings, each content once."""
        progress = self.progress
        progress.recordings = len(locations)
        known = {plan.location: plan for plan in read_plans(self._folder.folder)}
        plans: dict[str, RecordingPlan] = {}
        new = []
        for location in locations:
            plan = known.get(location)
            if plan is not None and _unchanged(plan):
                self._keep(plans, plan)
            else:
                new.append(Task(location, location))
        for result in self._engine.plan(new) if new else ():
            if result.fatal:
                raise _fatal(result)
            if result.plan is None:
                self._broken(result.name, result.error)
            elif self._keep(plans, result.plan):
                self._folder.keep_plan(result.plan)
            self._on_progress(progress)
        return [plans[sha256] for sha256 in sorted(plans, key=lambda key: plans[key].location)]

    def _keep(self, plans: dict[str, RecordingPlan], plan: RecordingPlan) -> bool:
        first = plans.setdefault(plan.sha256, plan)
        if first is plan:
            return True
        same = {"source": plan.location, "same_as": first.location}
        self._folder.manifest["copies"].append(same)
        self.progress.recordings -= 1
        return False

    def _broken(self, location: str, error: dict[str, str] | None) -> None:
        self.progress.broken += 1
        self._folder.manifest["broken"].append({"source": location, "error": error})

    # -- answers -----------------------------------------------------------------------------------

    def _answer_all(self, plans: list[RecordingPlan]) -> None:
        progress = self.progress
        tasks, usable = [], []
        for plan in plans:
            total = sum(len(moment.questions) for moment in plan.moments)
            try:
                done, errors = self._folder.done(plan)
            except OryxSceneError as err:
                self._broken(plan.location, error_record(err))
                continue
            usable.append(plan)
            chunks = list(chunks_of(plan, self._names, done, self._chunk_moments))
            self._open[plan.folder] = total - len(done)
            progress.finished += not chunks
            progress.total += total
            progress.answers += len(done)
            progress.errors += errors
            tasks += chunks
        plans[:] = usable
        self._folder.save()
        progress.stage, progress.started = "answering", time.perf_counter()
        self._on_progress(progress)
        by_folder = {plan.folder: plan for plan in plans}
        for result in self._engine.answer(tasks) if tasks else ():
            self._take(by_folder[result.name.rpartition("/")[0]], result)
            self._on_progress(progress)

    def _take(self, plan: RecordingPlan, result: TaskResult) -> None:
        if result.fatal:
            raise _fatal(result)
        self._count(result)
        if result.error is not None:
            self.progress.set_aside += 1
            about = {"chunk": result.name, "source": plan.location, "attempts": result.attempts}
            self._folder.manifest["set_aside"].append({**about, "error": result.error})
            return
        new = self._folder.write(plan, result)
        self.progress.new += len(new)
        self.progress.answers += len(new)
        self.progress.errors += sum("error" in record for record in new)
        self._open[plan.folder] -= len(new)
        if new and not self._open[plan.folder]:
            self.progress.finished += 1
            self._table(plan)
        for record in new:
            self._on_record(plan, record)

    def _count(self, result: TaskResult) -> None:
        run = self.run_record
        run["chunks"] += 1
        run["repeated_attempts"] += result.attempts - 1
        worker = run["workers"].setdefault(
            f"{result.where['node']}/{result.where['pid']}", {**result.where, "chunks": 0}
        )
        worker["chunks"] += 1
        for name, value in result.figures.items():
            run["figures"][name] = run["figures"].get(name, 0.0) + value

    # -- tables ------------------------------------------------------------------------------------

    def _write_tables(self, plans: list[RecordingPlan]) -> None:
        """Of recordings whose table is missing, or that are not finished."""
        self.progress.stage = "writing tables"
        self._on_progress(self.progress)
        for plan in plans:
            path = table_path(self._folder.folder, plan)
            if self._open[plan.folder] or not path.exists():
                self._table(plan)

    def _table(self, plan: RecordingPlan) -> None:
        folder = self._folder.replay_folder(plan)
        if (folder / "answers.jsonl").exists():
            write_table(plan, folder, table_path(self._folder.folder, plan))


def _unchanged(plan: RecordingPlan) -> bool:
    try:
        return fingerprint(plan.location) == plan.fingerprint
    except OryxSceneError:
        return False


def _fatal(result: TaskResult) -> OryxSceneError:
    error = result.error or {}
    return EngineError(error.get("message", "no worker can answer."), hint=error.get("hint", ""))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
