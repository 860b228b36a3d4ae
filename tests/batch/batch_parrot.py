"""A batch with the parrot of the replay's tests; also a program that runs one, to be killed.

python batch_parrot.py FOLDER OUT SECONDS_PER_ANSWER [--one-process]
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
from fake_answerer import FakeAnswerer
from parrot import QUESTIONS, parrot_answerer

from oryx_scene.batch import worker
from oryx_scene.batch.folder import BatchFolder
from oryx_scene.batch.recordings import find_recordings
from oryx_scene.batch.run import Batch, LocalEngine
from oryx_scene.batch.task import BatchSettings, TaskResult
from oryx_scene.batch.worker import Worker
from oryx_scene.config import PipelineConfig
from oryx_scene.model.api import Limits
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Intrinsics
from oryx_scene.replay import run
from oryx_scene.replay.journal import read_answers
from oryx_scene.replay.plan import ReplaySettings
from oryx_scene.sources.bags.writer import BagWriter

K = np.array([[60.0, 0, 39.5], [0, 60.0, 29.5], [0, 0, 1]])
R_MAP_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
DEADLY_NS = 10**12 + 3 * 10**9
# Stage -> (where its function is looked up, its name, at which call in a process it kills it once).
STAGES = {
    "indexing": (worker, "content_sha256", 1),
    "reading": (run, "frames_at", 2),
    "marking": (ScenePipeline, "freeze", 2),
    "answering": (FakeAnswerer, "generate", 4),
    "writing": (worker, "snapshot_bytes", 2),
    "sending": (TaskResult, "to_json", 2),
}


def write_wall(path, seconds, shade, start_ns=10**12):
    """A camera at 2 Hz that moves along a wall at x = 3 with a box at x = 2."""
    with BagWriter(path) as writer:
        for index in range(2 * seconds + 1):
            write_view(writer, start_ns + index * 5 * 10**8, 0.02 * index, shade)
    return path


def write_view(writer, stamp, y, shade):
    v, u = np.mgrid[0:60, 0:80]
    depth = np.full((60, 80), 3.0, np.float32)
    rgb = np.full((60, 80, 3), (40, 180, shade), np.uint8)
    left, up = y - (u - 39.5) / 60 * 2.0, 1.0 - (v - 29.5) / 60 * 2.0
    box = (np.abs(left) <= 0.25) & (np.abs(up - 1.0) <= 0.25)
    depth[box], rgb[box] = 2.0, (220, 60, 200)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R_MAP_OPTICAL, (0.0, y, 1.0)
    writer.add_transform("map", "optical", stamp, T)
    for info in ("/front/camera_info", "/front/depth/camera_info"):
        writer.add_camera_info(info, stamp, "optical", Intrinsics(K, 60, 80))
    writer.add_image("/front/image_raw", stamp, "optical", rgb)
    writer.add_depth("/front/depth/image_raw", stamp, "optical", depth)


def program_env():
    """For processes that import what the tests import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def make_settings(every_s=1.0, entries=QUESTIONS):
    return BatchSettings(ReplaySettings(tuple(entries), PipelineConfig(), Limits(), every_s))


def parrot_worker(settings, seconds=0.0, fails_on=""):
    return Worker(settings, lambda _: parrot_answerer(seconds, fails_on))


def dying_worker(settings, marker):
    """A worker that is killed in every stage once, and always of one moment of recording 'b'."""
    for stage, (owner, name, at_call) in STAGES.items():
        function = getattr(owner, name)
        if not hasattr(function, "deadly"):
            setattr(owner, name, _deadly(function, Path(marker) / stage, at_call))
    return Worker(settings, lambda _: parrot_answerer())


def _deadly(function, marker, at_call):
    calls = []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) == at_call:
            with contextlib.suppress(FileExistsError):
                marker.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        if function.__name__ == "frames_at" and args[1] == DEADLY_NS and is_second(args[0]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    wrapped.deadly = True
    return wrapped


def is_second(source):
    """Whether a source is the recording 'b', by its length."""
    return len(source.stubs()) == 9


def run_batch(recordings, out, engine=None, settings=None, chunk_moments=2, **listeners):
    """One run; returns the batch."""
    settings = settings or make_settings()
    engine = engine or LocalEngine(parrot_worker(settings))
    names = tuple(entry.name for entry in settings.replay.entries)
    with BatchFolder(Path(out), settings.digests()) as folder:
        batch = Batch(folder, engine, names, chunk_moments=chunk_moments, **listeners)
        batch.run(find_recordings([str(recordings)]))
    return batch


def timeless(out):
    """(recording, key) -> record, without what differs between equal runs; fails on repetition."""
    records = {}
    for folder in (Path(out) / "recordings").iterdir():
        for record in read_answers(folder) if (folder / "answers.jsonl").exists() else ():
            for name in ("timings_s", "counters"):
                record.get("answer", {}).pop(name, None)
            key = (record["recording"], record["key"])
            assert key not in records
            records[key] = record
    return records


if __name__ == "__main__":
    from oryx_scene.batch.ray_engine import RayEngine, RayWorkers

    seconds = float(sys.argv[3])
    wanted = make_settings()
    maker = partial(parrot_worker, seconds=seconds)
    if sys.argv[4:] == ["--one-process"]:
        run_batch(sys.argv[1], sys.argv[2], LocalEngine(maker(wanted)), wanted)
    else:
        with RayEngine(wanted, maker, "local", RayWorkers(2)) as on_ray:
            run_batch(sys.argv[1], sys.argv[2], on_ray, wanted)
