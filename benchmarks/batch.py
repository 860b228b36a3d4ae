"""`oryx-scene batch` against `replay`, on one worker against two, and with much taken away from it.

    python benchmarks/batch.py scale FOLDER      replay, batch, Ray with 1 and 2 workers, in turn
    python benchmarks/batch.py deaths FOLDER     a worker killed in each stage: recovery, losses
    python benchmarks/batch.py many FOLDER       10,000 chunks of a stand-in: overhead, memory
    python benchmarks/batch.py nodes FOLDER      two Ray nodes in network namespaces, one cut off

FOLDER is made, with rendered recordings, and kept. `nodes` needs root, for `ip netns`. CPU seconds
are those of the workers, so that a busy machine does not change them much.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from oryx_scene.batch import worker as worker_module
from oryx_scene.batch.folder import BatchFolder
from oryx_scene.batch.ray_engine import RayEngine, RayWorkers
from oryx_scene.batch.recordings import find_recordings
from oryx_scene.batch.run import Batch, Engine, LocalEngine
from oryx_scene.batch.task import BatchSettings, RecordingPlan, Task, TaskResult
from oryx_scene.batch.worker import Worker
from oryx_scene.cli.batch import load_model, make_worker
from oryx_scene.config import PipelineConfig
from oryx_scene.lab.synth.recording import RenderedSource
from oryx_scene.lab.synth.scenes import SceneSpec, render_spec
from oryx_scene.model.api import Limits
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Question
from oryx_scene.replay import run as replay_run
from oryx_scene.replay.frame_cache import RecentFrames
from oryx_scene.replay.journal import Journal, read_answers
from oryx_scene.replay.plan import ReplaySettings, model_words, plan_replay
from oryx_scene.replay.questions import AskedQuestion
from oryx_scene.sources.bags.writer import write_source
from oryx_scene.sources.registry import open_source

PERIOD_S = 0.5
QUESTIONS = (
    AskedQuestion("near", Question("What is nearest to mark 1?")),
    AskedQuestion("red", Question("Is there a red thing?", "yes_no")),
)
SETTINGS = BatchSettings(ReplaySettings(QUESTIONS, PipelineConfig(), Limits(), PERIOD_S), threads=1)
NAMES = tuple(entry.name for entry in QUESTIONS)


def make_recordings(folder: Path, count: int, moments: int) -> Path:
    """``count`` rooms of 256x192, one new view every half second."""
    for seed in range(count):
        path = folder / f"room{seed}"
        if path.exists():
            continue
        _, frames = render_spec(SceneSpec(seed, "test", "handheld", moments, 192, 256))
        moved = [
            dataclasses.replace(frame, camera="front", topic="/front/image_raw", stamp_ns=stamp)
            for frame, stamp in zip(
                frames, range(10**12, 10**13, round(PERIOD_S * 1e9)), strict=False
            )
        ]
        write_source(RenderedSource(moved), path)
    return folder


def run_replays(recordings: Path, out: Path) -> dict[str, float]:
    """Every recording by `replay`'s own loop, the model loaded once."""
    import torch

    torch.set_num_threads(1)
    answerer = make_worker(SETTINGS).answerer
    started, cpu = time.perf_counter(), time.process_time()
    for location in find_recordings([str(recordings)]):
        source = RecentFrames(open_source(location))
        plan = plan_replay(source, Path(location).name, SETTINGS.replay)
        manifest = {"asked": {**plan.asked, "model": model_words(answerer.card)}}
        with Journal(out / Path(location).name, {**manifest, "recording": plan.recording}) as kept:
            pipeline = ScenePipeline(answerer, SETTINGS.replay.config)
            replay_run.Replay(source, pipeline, QUESTIONS, kept, Limits()).run(plan.schedule)
    return {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}


class Timed(Batch):
    """A batch that notes when each chunk's result came."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.came: list[tuple[float, TaskResult]] = []
        self.answering = 0.0

    def _answer_all(self, plans: list[RecordingPlan]) -> None:
        self.answering = time.perf_counter()
        super()._answer_all(plans)
        self.answering = time.perf_counter() - self.answering

    def _take(self, plan: RecordingPlan, result: TaskResult) -> None:
        self.came.append((time.time(), dataclasses.replace(result, records=[], scenes={})))
        super()._take(plan, result)


def run_batch(
    recordings: Path, out: Path, engine: Engine, chunk: int, settings: BatchSettings = SETTINGS
) -> Timed:
    """One batch into a new folder."""
    with BatchFolder(out, settings.digests()) as folder:
        batch = Timed(folder, engine, NAMES, chunk_moments=chunk)
        batch.run(find_recordings([str(recordings)]))
    return batch


def compared(first: Path, second: Path) -> str:
    """Whether two outputs hold the same answers, each once."""
    answers = [_answers(folder) for folder in (first, second)]
    return "equal" if answers[0] == answers[1] else f"DIFFERENT {first} {second}"


def _answers(out: Path) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    root = out / "recordings" if (out / "recordings").is_dir() else out
    for folder in sorted(root.iterdir()):
        for record in read_answers(folder):
            for name in ("recording", "content_key"):
                record.pop(name, None)
            for name in ("timings_s", "counters"):
                record.get("answer", {}).pop(name, None)
            name = folder.name.partition("-")[0]
            assert (name, record["key"]) not in found, "repeated"
            found[name, record["key"]] = json.dumps(record, sort_keys=True)
    return found


def scale(folder: Path, args: argparse.Namespace) -> None:
    """Replay, one process, one worker and two, ``--repeats`` times in turn."""
    recordings = make_recordings(folder / "bags", args.recordings, args.moments)
    for turn in range(args.repeats):
        base = folder / f"turn{turn}"
        shutil.rmtree(base, ignore_errors=True)
        figures = run_replays(recordings, base / "replay")
        print(f"replay: wall {figures['wall_s']:.1f} s, CPU {figures['cpu_s']:.1f} s", flush=True)
        batch = run_batch(recordings, base / "one", LocalEngine(make_worker(SETTINGS)), args.chunk)
        _say("one process", batch, compared(base / "replay", base / "one"))
        for workers in (1, 2):
            name = f"ray{workers}"
            with RayEngine(SETTINGS, make_worker, "local", RayWorkers(workers)) as engine:
                batch = run_batch(recordings, base / name, engine, args.chunk)
            _say(name, batch, compared(base / "replay", base / name))


def _say(name: str, batch: Timed, equal: str) -> None:
    """Rates without start-up: from the first result to the last, model loading taken out."""
    figures = batch.run_record["figures"]
    by_worker: dict[int, list[tuple[float, TaskResult]]] = {}
    for at, result in batch.came:
        by_worker.setdefault(result.where["pid"], []).append((at, result))
    firsts = max(found[0][0] for found in by_worker.values())
    lasts = max(found[-1][0] for found in by_worker.values())
    after = sum(at > firsts for at, _ in batch.came)
    steady = after / (lasts - firsts) if lasts > firsts else float("nan")
    print(
        f"{name}: wall {batch.run_record['wall_s']:.1f} s (answering {batch.answering:.1f} s), "
        f"busy {figures['busy'] - figures['load_model']:.1f} s, CPU of chunks "
        f"{figures['cpu']:.1f} s beside loading {figures['load_model']:.1f} s wall, "
        f"{len(by_worker)} workers, {steady:.3f} chunks a second once all work; {equal}",
        flush=True,
    )


# -- deaths ----------------------------------------------------------------------------------------

STAGES = {
    "reading": (replay_run, "frames_at"),
    "marking": (ScenePipeline, "freeze"),
    "answering": (ScenePipeline, "ask"),
    "writing": (worker_module, "snapshot_bytes"),
    "sending": (TaskResult, "to_json"),
}


def dying_worker(settings: BatchSettings, stage: str, marker: Path) -> Worker:
    """A worker whose process is killed once in the middle of ``stage``."""
    owner, name = STAGES[stage]
    function, calls = getattr(owner, name), []

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            with contextlib.suppress(FileExistsError):
                marker.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(owner, name, wrapped)
    return make_worker(settings)


def deaths(folder: Path, args: argparse.Namespace) -> None:
    """One worker of two killed in each stage; then the command itself."""
    recordings = make_recordings(folder / "bags", args.recordings, args.moments)
    whole = folder / "whole"
    if not whole.exists():
        run_batch(recordings, whole, LocalEngine(make_worker(SETTINGS)), args.chunk)
    for stage in STAGES:
        out, marker = folder / f"died_{stage}", folder / f"{stage}.marker"
        shutil.rmtree(out, ignore_errors=True)
        marker.unlink(missing_ok=True)
        make = partial(dying_worker, stage=stage, marker=marker)
        with RayEngine(SETTINGS, make, "local", RayWorkers(2)) as engine:
            batch = run_batch(recordings, out, engine, args.chunk)
        killed = marker.stat().st_mtime
        before = {result.where["pid"] for at, result in batch.came if at < killed}
        after = [(at, r) for at, r in batch.came if r.figures.get("load_model") and at > killed]
        new = [(at, r) for at, r in after if r.where["pid"] not in before]
        at, first = new[-1]
        print(
            f"{stage}: {compared(whole, out)}; "
            f"begun again {batch.run_record['repeated_attempts']}; {at - killed:.1f} s from the "
            f"death to the first chunk of the process in its place, "
            f"{first.figures['busy']:.1f} s of them on that chunk, loading "
            f"{first.figures['load_model']:.1f} s included",
            flush=True,
        )
    _kill_command(folder, recordings, whole)


def _kill_command(folder: Path, recordings: Path, whole: Path) -> None:
    out, questions = folder / "died_command", folder / "questions.yaml"
    shutil.rmtree(out, ignore_errors=True)
    questions.write_text(
        json.dumps(
            [
                {"id": e.name, "text": e.question.text, "format": e.question.format}
                for e in QUESTIONS
            ]
        )
    )
    words = ["batch", str(recordings), "--questions", str(questions), "--every", str(PERIOD_S)]
    words += ["--out", str(out), "--ray", "auto", "--workers", "2", "--chunk", "4"]
    command = [sys.executable, "-m", "oryx_scene.cli.main", *words]
    process = subprocess.Popen(command)
    while not any(out.glob("recordings/*/answers.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(5)
    process.kill()
    process.wait()
    left = len(_answers_there(out))
    started = time.perf_counter()
    subprocess.run(command, check=True)
    print(
        f"command killed after {left} answers: {compared(whole, out)}; the second run took "
        f"{time.perf_counter() - started:.1f} s for the rest"
    )


def _answers_there(out: Path) -> list[Any]:
    return [r for f in out.glob("recordings/*/answers.jsonl") for r in read_answers(f.parent)]


# -- many chunks -----------------------------------------------------------------------------------


class StandIn(Worker):
    """Takes ``cost_s`` for a chunk and gives an answer of usual size; no picture, no model."""

    def __init__(self, settings: BatchSettings, cost_s: float, answer: dict[str, Any]) -> None:
        super().__init__(settings, load_model)
        self._cost_s = cost_s
        self._record = answer

    def _answer(self, task: Task) -> TaskResult:
        since = time.perf_counter()
        time.sleep(self._cost_s)
        records = [
            {
                "key": f"{moment.at_ns}/{NAMES[index]}",
                "at_ns": moment.at_ns,
                "question_id": NAMES[index],
                "question": QUESTIONS[index].question.text,
                "scene": f"{moment.at_ns:x}",
                "answer": self._record,
            }
            for moment in task.moments
            for index in moment.questions
        ]
        scenes = {record["scene"]: os.urandom(60_000) for record in records}
        busy = time.perf_counter() - since
        return TaskResult(
            task.name, model="stand-in", records=records, scenes=scenes, figures={"busy": busy}
        )


def many(folder: Path, args: argparse.Namespace) -> None:
    """10,000 chunks of one moment and one question over ten recordings of a thousand frames."""
    bags = make_recordings(folder / "bags", 1, 20)
    whole = folder / "answer"
    if not whole.exists():
        run_batch(bags, whole, LocalEngine(make_worker(SETTINGS)), 32)
    answer = _answers_there(whole)[0]["answer"]
    long = folder / "long"
    every = args.chunks // 10
    for number in range(10):
        if not (long / f"r{number}").exists():
            _write_long(long / f"r{number}", every, number)
    asked = dataclasses.replace(SETTINGS.replay, entries=QUESTIONS[:1], every_s=0.1)
    settings = BatchSettings(asked, threads=1)
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    make = partial(StandIn, cost_s=args.cost, answer=answer)
    with (
        RayEngine(settings, make, "local", RayWorkers(2)) as engine,
        _memory_line() as lines,
        BatchFolder(out, settings.digests()) as kept,
    ):
        batch = Timed(kept, engine, NAMES[:1], chunk_moments=1, on_progress=lines)
        batch.came = _Dropped()
        batch.run(find_recordings([str(long)]))
    done = batch.progress
    wall, busy = batch.answering, batch.run_record["figures"]["busy"]
    print(
        f"{done.answers} of {done.total} answers of {len(json.dumps(answer))} bytes in {wall:.1f} "
        f"s with 2 workers, {busy:.1f} s of work: {1000 * (2 * wall - busy) / args.chunks:.1f} ms "
        f"of a worker per chunk beside its {1000 * args.cost:.0f} ms; CPU of the command "
        f"{1000 * time.process_time() / args.chunks:.1f} ms per chunk"
    )


class _Dropped(list[Any]):
    def append(self, item: Any) -> None:
        pass


@contextlib.contextmanager
def _memory_line() -> Iterator[Any]:
    """Prints the command's resident memory now and then."""
    page, seen = resource.getpagesize(), [0]

    def line(progress: Any) -> None:
        if progress.new >= seen[0]:
            seen[0] += 1000
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            print(f"  {progress.new} chunks: {pages * page / 2**20:.0f} MB resident", flush=True)

    yield line


def _write_long(path: Path, frames: int, number: int) -> None:
    _, (first, *_) = render_spec(SceneSpec(number, "test", "handheld", 1, 48, 64))
    first = dataclasses.replace(first, camera="front", topic="/front/image_raw")
    stamps = range(10**12, 10**12 + frames * 10**8, 10**8)
    shown = [dataclasses.replace(first, stamp_ns=stamp) for stamp in stamps]
    write_source(RenderedSource(shown), path)


# -- nodes -----------------------------------------------------------------------------------------

HEAD, OTHER = "10.77.0.1", "10.77.0.2"


def nodes(folder: Path, args: argparse.Namespace) -> None:
    """This program again, in the head's namespace, with a second node that is cut off half-way."""
    if args.inside:
        _inside(folder, args)
        return
    # Nodes of a cluster know each other by a token.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with _two_namespaces(folder):
        inside = [sys.executable, __file__, "nodes", str(folder), "--inside"]
        more = ["--recordings", args.recordings, "--moments", args.moments, "--chunk", args.chunk]
        _in("oryx0", [*inside, *map(str, more)])


def _in(space: str, command: list[str]) -> None:
    subprocess.run(["ip", "netns", "exec", space, *command], check=True)


@contextlib.contextmanager
def _two_namespaces(folder: Path) -> Iterator[None]:
    ray = str(Path(sys.executable).with_name("ray"))
    spaces = (("oryx0", HEAD), ("oryx1", OTHER))
    for space, _ in spaces:
        subprocess.run(["ip", "netns", "add", space], check=True)
    subprocess.run(
        ["ip", "link", "add", "oryxv0", "type", "veth", "peer", "name", "oryxv1"], check=True
    )
    try:
        for index, (space, address) in enumerate(spaces):
            subprocess.run(f"ip link set oryxv{index} netns {space}".split(), check=True)
            for line in (
                f"ip addr add {address}/24 dev oryxv{index}",
                f"ip link set oryxv{index} up",
                "ip link set lo up",
            ):
                _in(space, line.split())
        base = [ray, "start", "--num-cpus", "1", "--object-store-memory", "200000000"]
        base += ["--disable-usage-stats", "--node-ip-address"]
        head = ["--head", "--include-dashboard", "false", "--temp-dir", str(folder / "n0")]
        _in("oryx0", [*base, HEAD, *head])
        _in("oryx1", [*base, OTHER, "--address", f"{HEAD}:6379"])
        yield
    finally:
        for space, _ in spaces:
            # Only what runs in the namespaces made here.
            pids = subprocess.run(
                ["ip", "netns", "pids", space], capture_output=True, text=True, check=False
            ).stdout.split()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", space], check=False)


def _inside(folder: Path, args: argparse.Namespace) -> None:
    recordings = make_recordings(folder / "bags", args.recordings, args.moments)
    whole, out = folder / "whole", folder / "cut"
    if not whole.exists():
        run_batch(recordings, whole, LocalEngine(make_worker(SETTINGS)), args.chunk)
    shutil.rmtree(out, ignore_errors=True)
    state: dict[str, Any] = {"cut": 0.0, "done": {}}

    class Cutting(Timed):
        def _take(self, plan: RecordingPlan, result: TaskResult) -> None:
            super()._take(plan, result)
            node = result.where["node"]
            state["done"][node] = state["done"].get(node, 0) + 1
            if not state["cut"] and state["done"].get(OTHER, 0) >= 2:
                state["cut"] = time.time()
                _in("oryx1", ["ip", "link", "set", "oryxv1", "down"])
                print(f"cut off after {state['done']}", flush=True)

    with RayEngine(SETTINGS, make_worker, f"{HEAD}:6379", RayWorkers(2)) as engine:
        print(engine.describe(), flush=True)
        with BatchFolder(out, SETTINGS.digests()) as kept:
            batch = Cutting(kept, engine, NAMES, chunk_moments=args.chunk)
            batch.run(find_recordings([str(recordings)]))
    again = [(at, r) for at, r in batch.came if r.attempts > 1]
    first = min((at for at, _ in again), default=float("nan"))
    print(
        f"{compared(whole, out)}; chunks per node {state['done']}; begun again {len(again)}, the "
        f"first of them came {first - state['cut']:.1f} s after the cut; "
        f"all done {batch.came[-1][0] - state['cut']:.1f} s after it"
    )


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("scale", "deaths", "many", "nodes"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, default=4)
    parser.add_argument("--moments", type=int, default=24)
    parser.add_argument("--chunk", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--cost", type=float, default=0.005)
    parser.add_argument("--inside", action="store_true")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    globals()[args.what](folder, args)


if __name__ == "__main__":
    main()
