"""`oryx-scene batch`: the same questions over many recordings, in one process or on Ray."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oryx_scene.batch.folder import BatchFolder
    from oryx_scene.batch.run import Engine, Progress
    from oryx_scene.batch.task import BatchSettings, RecordingPlan
    from oryx_scene.batch.worker import Worker
    from oryx_scene.model.api import Answerer

HELP = "Ask a file of questions over many recordings, on one machine or a Ray cluster; resumable."
# Without a terminal a line of progress is printed no more often.
_SECONDS_BETWEEN_LINES = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from oryx_scene.cli.replay import add_question_arguments

    parser.add_argument(
        "recordings",
        nargs="+",
        metavar="RECORDING",
        help="recording, folder of recordings, glob, list in a .txt file, or URL (docs/fleet.md)",
    )
    add_question_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of answers; the same command goes on in it",
    )
    ray = parser.add_argument_group("many workers")
    ray.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="Ray cluster, or auto: this machine's cluster, or one started here (default: one "
        "process, no Ray)",
    )
    ray.add_argument(
        "--workers", type=int, default=0, metavar="N", help="how many (default: what fits now)"
    )
    ray.add_argument(
        "--cores", type=float, default=1.0, metavar="C", help="of each worker (default 1)"
    )
    ray.add_argument(
        "--gpus", type=float, metavar="G", help="of each worker (default 1 where there are GPUs)"
    )
    parser.add_argument(
        "--chunk",
        type=int,
        default=32,
        metavar="N",
        help="moments that a worker answers at a time (default 32)",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="one HTML page to send around")
    parser.add_argument("--json", action="store_true", help="print one JSON object per answer")


def run(args: argparse.Namespace) -> int:
    """Answer what is open; exit code 1 where something is broken, set aside or an error."""
    from oryx_scene.batch.folder import BatchFolder
    from oryx_scene.batch.recordings import find_recordings
    from oryx_scene.batch.table import require_pyarrow

    require_pyarrow()
    if args.report is not None:
        from oryx_scene.view.report import require_plotly

        require_plotly()
    settings = _settings(args)
    locations = find_recordings(args.recordings)
    with BatchFolder(args.out, settings.digests()) as folder, _engine(args, settings) as engine:
        progress = _run(args, folder, engine, settings, locations)
    _print_summary(args.out, progress, folder.manifest)
    if args.report is not None:
        from oryx_scene.batch.steps import BatchStory
        from oryx_scene.view.report import write_report

        story = BatchStory(args.out, most=REPORT_ANSWERS)
        size = write_report(story, args.report)
        left_out = f", {len(story)} of {story.total} answers" if len(story) < story.total else ""
        print(f"{args.report}: {size / 1e6:.1f} MB{left_out}", file=sys.stderr)
    return 1 if progress.errors or progress.broken or progress.set_aside else 0


# A page with more could not be sent around.
REPORT_ANSWERS = 300


def _settings(args: argparse.Namespace) -> BatchSettings:
    from oryx_scene.batch.task import BatchSettings
    from oryx_scene.cli.common import config_from_args
    from oryx_scene.cli.replay import replay_settings_from_args
    from oryx_scene.errors import ConfigError
    from oryx_scene.geometry.rig import load_rig

    if args.chunk < 1:
        raise ConfigError(f"--chunk is {args.chunk}; it must be at least 1.")
    if args.workers < 0 or not args.cores > 0 or (args.gpus is not None and args.gpus < 0):
        raise ConfigError("--workers, --cores and --gpus must be above 0.")
    if args.ray is None and (args.workers or args.gpus is not None):
        raise ConfigError("--workers and --gpus need --ray.", hint="--ray auto starts it here")
    return BatchSettings(
        replay=replay_settings_from_args(args, config_from_args(args)),
        model=args.model,
        device=args.device,
        dtype=args.dtype,
        quantization=args.quantization,
        rig=None if args.rig is None else load_rig(args.rig),
        threads=max(1, int(args.cores)) if args.ray is not None else 0,
    )


def make_worker(settings: BatchSettings) -> Worker:
    """A worker with the model that the settings name; Ray's actors call it too."""
    from oryx_scene.batch.worker import Worker

    return Worker(settings, load_model)


def load_model(settings: BatchSettings) -> Answerer:
    """The model that the settings name, with their threads."""
    import torch

    from oryx_scene.model.checkpoint.load import load_answerer

    if settings.threads:
        torch.set_num_threads(settings.threads)
    return load_answerer(
        settings.model,
        device=settings.device,
        dtype=settings.dtype,
        quantization=settings.quantization,
    )


def _engine(
    args: argparse.Namespace, settings: BatchSettings
) -> contextlib.AbstractContextManager[Engine]:
    if args.ray is None:
        from oryx_scene.batch.run import LocalEngine

        return contextlib.nullcontext(LocalEngine(make_worker(settings)))
    from oryx_scene.batch.ray_engine import RayEngine, RayWorkers

    workers = RayWorkers(args.workers, args.cores, args.gpus)
    engine = RayEngine(settings, make_worker, args.ray, workers)
    page = engine.dashboard or "none (pip install 'ray[default]' brings it)"
    print(f"Ray's dashboard: {page}", file=sys.stderr)
    return engine


def _run(
    args: argparse.Namespace,
    folder: BatchFolder,
    engine: Engine,
    settings: BatchSettings,
    locations: list[str],
) -> Progress:
    from oryx_scene.batch.run import Batch

    def show(plan: RecordingPlan, record: dict[str, Any]) -> None:
        if args.json:
            print(json.dumps(record, sort_keys=True, allow_nan=False), flush=True)

    names = tuple(entry.name for entry in settings.replay.entries)
    with _ProgressBar() as shown:
        batch = Batch(
            folder,
            engine,
            names,
            chunk_moments=args.chunk,
            on_progress=shown,
            on_record=show,
        )
        try:
            return batch.run(locations)
        except KeyboardInterrupt:
            done = batch.progress
            print(
                f"interrupted after {done.answers} of {done.total} answers; the same command goes "
                "on from there",
                file=sys.stderr,
            )
            raise


class _ProgressBar:
    """Progress on stderr: a bar on a terminal, else a line now and then."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._tty = sys.stderr.isatty()
        self._bar = tqdm(unit="answer", disable=not self._tty, leave=False)
        self._last = time.monotonic()

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, done: Progress) -> None:
        if self._tty:
            self._bar.total, self._bar.n = done.total, done.answers
            self._bar.set_description_str(f"{done.stage}, {done.finished}/{done.recordings}")
            self._bar.set_postfix_str(_troubles(done))
        elif time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            print(_line(done), file=sys.stderr, flush=True)


def _troubles(done: Progress) -> str:
    words = f"{done.errors} errors"
    if done.broken:
        words += f", {done.broken} broken recordings"
    return words + (f", {done.set_aside} chunks set aside" if done.set_aside else "")


def _line(done: Progress) -> str:
    left = done.left_s()
    estimate = "" if math.isnan(left) else f", about {left / 60:.1f} min left"
    return (
        f"{done.stage}: {done.finished} of {done.recordings} recordings, {done.answers} of "
        f"{done.total} answers, {_troubles(done)}{estimate}"
    )


def _print_summary(out: Path, done: Progress, manifest: dict[str, Any]) -> None:
    for item in manifest["broken"]:
        _print_trouble("broken recording", item["source"], item["error"])
    for item in manifest["set_aside"]:
        _print_trouble("set aside", f"{item['chunk']} ({item['source']})", item["error"])
    for item in manifest["copies"]:
        print(f"the same content: {item['source']} and {item['same_as']}", file=sys.stderr)
    wall_s = manifest["runs"][-1]["wall_s"]
    print(
        f"{out}: {done.answers} of {done.total} answers about {done.recordings} recordings, "
        f"{done.new} of them new in {wall_s:.1f} s; {_troubles(done)}",
        file=sys.stderr,
    )


def _print_trouble(kind: str, what: str, error: dict[str, str]) -> None:
    hint = f" Hint: {error['hint']}" if error.get("hint") else ""
    print(f"{kind} {what}: {error['message']}{hint}", file=sys.stderr)
