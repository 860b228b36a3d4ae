"""What one process does: holds the model, keeps the last recording open, plans and answers.

The same code runs in the command's own process and in the actors of a Ray cluster. Answers come
from ``replay.run.Replay``, as those of `oryx-scene replay`.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import socket
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from oryx_scene import __version__
from oryx_scene.batch.recordings import content_sha256, fetch, fingerprint, is_url, location_name
from oryx_scene.batch.task import BatchSettings, RecordingPlan, Task, TaskResult
from oryx_scene.errors import OryxSceneError, SourceError
from oryx_scene.model.api import Answerer
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.replay.frame_cache import RecentFrames
from oryx_scene.replay.plan import model_words, plan_replay
from oryx_scene.replay.run import Replay, error_record
from oryx_scene.scene.frame_selection import CameraPath
from oryx_scene.sources.registry import open_source
from oryx_scene.view.snapshot import Snapshot
from oryx_scene.view.snapshot_file import snapshot_bytes

# A task that fails so often is set aside.
ATTEMPTS = 3


class ModelFailedError(OryxSceneError):
    """The model cannot be loaded on this machine: no chunk can be answered."""


class AttemptLog(Protocol):
    """Counts how often a task was begun without an end; outlives the processes that begin."""

    def begin(self, name: str, where: str) -> tuple[int, dict[str, str] | None]:
        """Begin a task; returns which attempt this is, and what is known of the last failure."""
        ...

    def fail(self, name: str, error: dict[str, str]) -> None:
        """Note why an attempt failed."""
        ...

    def finish(self, name: str) -> None:
        """The task has a result."""
        ...


class Attempts:
    """An :class:`AttemptLog` in memory."""

    def __init__(self) -> None:
        self._begun: dict[str, list[str]] = {}
        self._errors: dict[str, dict[str, str]] = {}

    def begin(self, name: str, where: str) -> tuple[int, dict[str, str] | None]:
        """See :class:`AttemptLog`."""
        places = self._begun.setdefault(name, [])
        last = self._errors.pop(name, None)
        if last is None and places:
            last = {
                "type": "WorkerDied",
                "message": f"the process that worked on it ended: {', '.join(places)}.",
                "hint": "killed, out of memory, or its machine was lost; see the log of Ray",
            }
        places.append(where)
        return len(places), last

    def fail(self, name: str, error: dict[str, str]) -> None:
        """See :class:`AttemptLog`."""
        self._errors[name] = error

    def finish(self, name: str) -> None:
        """See :class:`AttemptLog`."""
        self._begun.pop(name, None)
        self._errors.pop(name, None)


class _MemorySink:
    """The records and scenes of one task (a ``replay.run.RecordSink``)."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.records: list[dict[str, Any]] = []
        self.scenes: dict[str, bytes] = {}

    def append(self, record: dict[str, Any]) -> None:
        self.records.append(record)

    def write_scene(self, scene: str, snapshot: Snapshot) -> None:
        self.scenes[scene] = snapshot_bytes(snapshot)


@dataclass
class _OpenRecording:
    """The recording that was read last."""

    fingerprint: str
    location: str
    path: Path
    source: RecentFrames
    cameras: CameraPath


class Worker:
    """Plans recordings and answers chunks.

    Args:
        settings: what is asked.
        load: gives the model of the settings; called at the first chunk.
    """

    def __init__(self, settings: BatchSettings, load: Callable[[BatchSettings], Answerer]) -> None:
        self._settings = settings
        self._load = load
        self._answerer: Answerer | None = None
        self._load_s = 0.0
        self._opened = 0
        self._open: _OpenRecording | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def answerer(self) -> Answerer:
        """The model, loaded when it is wanted first.

        Raises:
            ModelFailedError: it cannot be loaded.
        """
        if self._answerer is None:
            since = time.perf_counter()
            try:
                self._answerer = self._load(self._settings)
            except OryxSceneError as err:
                raise ModelFailedError(err.message, hint=err.hint) from err
            self._load_s = time.perf_counter() - since
        return self._answerer

    def run(self, task: Task, log: AttemptLog) -> TaskResult:
        """Do a task, up to :data:`ATTEMPTS` times in all processes together; never raises.

        A recording that is refused, and a model that cannot be loaded, are not tried again.
        """
        while True:
            number, last = log.begin(task.name, f"{socket.gethostname()} pid {os.getpid()}")
            if number > ATTEMPTS:
                log.finish(task.name)
                return TaskResult(task.name, error=last, attempts=number - 1, where=where())
            try:
                result = self._do(task)
            except ModelFailedError as err:
                result = TaskResult(task.name, error=error_record(err), fatal=True)
            except Exception as err:  # noqa: BLE001  whatever it is, the other chunks go on
                self._open = None
                if not (task.moments or not isinstance(err, OryxSceneError)):
                    result = TaskResult(task.name, error=error_record(err))
                else:
                    log.fail(task.name, _error(err))
                    continue
            log.finish(task.name)
            result.attempts, result.where = number, where()
            return result

    def _do(self, task: Task) -> TaskResult:
        return self._answer(task) if task.moments else self._plan(task)

    def _plan(self, task: Task) -> TaskResult:
        since = time.perf_counter()
        opened = self._opened_recording(task)
        plan = plan_replay(opened.source, location_name(task.location), self._settings.replay)
        index_s = time.perf_counter() - since
        sha256 = content_sha256(opened.path)
        recorded = RecordingPlan(
            location=task.location,
            fingerprint=opened.fingerprint,
            sha256=sha256,
            asked=plan.asked,
            recording=plan.recording,
            moments=plan.schedule,
        )
        hash_s = time.perf_counter() - since - index_s
        return TaskResult(task.name, recorded, figures={"index": index_s, "hash": hash_s})

    def _answer(self, task: Task) -> TaskResult:
        started = time.perf_counter()
        answerer, asked = self.answerer, self._settings.replay
        load_s, self._load_s = self._load_s, 0.0
        cpu = time.process_time()
        before, since = self._opened, time.perf_counter()
        opened = self._opened_recording(task)
        open_s, frames = time.perf_counter() - since, opened.source.frames_read
        sink = _MemorySink()
        pipeline = ScenePipeline(answerer, asked.config)
        replay = Replay(opened.source, pipeline, asked.entries, sink, asked.limits, opened.cameras)
        done = replay.run(task.moments)
        figures = {**done.stages_s, "open": open_s, "load_model": load_s}
        figures["opens"] = self._opened - before
        figures["frames_read"] = opened.source.frames_read - frames
        figures["busy"] = time.perf_counter() - started
        figures["cpu"] = time.process_time() - cpu
        return TaskResult(
            task.name,
            model=model_words(answerer.card),
            records=sink.records,
            scenes=sink.scenes,
            figures=figures,
        )

    def _opened_recording(self, task: Task) -> _OpenRecording:
        """The recording of a task: the one that is open, or else it is opened.

        Raises:
            SourceError: it cannot be read, or is not what was planned.
        """
        now = fingerprint(task.location)
        if task.fingerprint and now != task.fingerprint:
            raise SourceError(
                task.location,
                "its files have changed since its index was read.",
                hint="repeat the command when nobody writes to it any more",
            )
        if self._open is None or (self._open.location, self._open.fingerprint) != (
            task.location,
            now,
        ):
            self._open = None
            path = self._local(task.location)
            source = RecentFrames(
                open_source(
                    path,
                    rig=self._settings.rig,
                    fixed_frame=self._settings.replay.config.fixed_frame,
                    cameras=self._settings.replay.cameras,
                )
            )
            self._open = _OpenRecording(now, task.location, path, source, CameraPath(source))
            self._opened += 1
        return self._open

    def _local(self, location: str) -> Path:
        """Where the recording lies on this machine; of what was fetched only one is kept."""
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None
        if not is_url(location):
            return Path(location)
        self._scratch = tempfile.TemporaryDirectory(prefix="oryx-scene-batch-")
        return fetch(location, Path(self._scratch.name))


def _error(err: Exception) -> dict[str, str]:
    if isinstance(err, OryxSceneError):
        return error_record(err)
    last = traceback.extract_tb(err.__traceback__)[-1]
    return {
        "type": type(err).__name__,
        "message": f"{err} ({Path(last.filename).name}:{last.lineno})",
        "hint": "",
    }


def where() -> dict[str, Any]:
    """Host, node of the cluster, process and versions of this process."""
    torch = importlib.util.find_spec("torch") is not None
    return {
        "host": socket.gethostname(),
        "node": socket.gethostname(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "torch": _version("torch") if torch else "",
        "oryx_scene": __version__,
    }


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""
