"""`oryx-scene replay`: many questions over a recording, resumable, with a report and a bag."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oryx_scene.config import PipelineConfig
    from oryx_scene.replay.journal import Journal
    from oryx_scene.replay.plan import ReplaySettings
    from oryx_scene.replay.questions import QuestionTime
    from oryx_scene.replay.run import ReplayResult

HELP = "Ask a file of questions over a whole recording; resumable; writes a report and a bag."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", help="bag, video, RGB-D folder or pictures (docs/sources.md)")
    add_question_arguments(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to keep; the same command goes on in it"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="one HTML page to send around")
    parser.add_argument(
        "--write-bag",
        type=Path,
        metavar="FILE",
        help="answers, markers and pictures as .mcap, and a Foxglove layout beside it",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per answer")


def add_question_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how views are chosen, what is asked when, and which model answers."""
    from oryx_scene.cli.common import add_view_arguments
    from oryx_scene.model.api import Limits

    add_view_arguments(parser)
    parser.add_argument(
        "--questions", type=Path, required=True, metavar="FILE", help="YAML (see docs/replay.md)"
    )
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--every", type=float, metavar="S", help="ask each question every S seconds")
    when.add_argument(
        "--at",
        nargs="+",
        default=(),
        metavar="T",
        help="moments: seconds after the first frame, or @SECONDS since the epoch",
    )
    parser.add_argument("--model", default="default", metavar="DIR_OR_ID", help="as for `ask`")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda where there is one)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument(
        "--quantization",
        choices=("none", "int8", "int4"),
        help="of the language model's weights (default none)",
    )
    parser.add_argument("--max-new-tokens", type=int, default=Limits.max_new_tokens)
    parser.add_argument("--timeout", type=float, metavar="S", help="deadline of each answer")


def run(args: argparse.Namespace) -> int:
    """Replay, then write what was asked for; exit code 1 where an answer is an error."""
    from oryx_scene.errors import OutputError

    if args.write_bag is not None and args.write_bag.exists():
        raise OutputError(args.write_bag, "it exists.", hint="choose another name or remove it")
    if args.report is not None:
        from oryx_scene.view.report import require_plotly

        require_plotly()  # said before hours of work, not after
    if args.out is not None:
        return _replay(args, args.out)
    with tempfile.TemporaryDirectory(prefix="oryx-scene-replay-") as scratch:
        return _replay(args, Path(scratch))


def _replay(args: argparse.Namespace, folder: Path) -> int:
    from oryx_scene.cli.common import config_from_args, open_from_args
    from oryx_scene.qa.pipeline import ScenePipeline
    from oryx_scene.replay.frame_cache import RecentFrames
    from oryx_scene.replay.journal import Journal
    from oryx_scene.replay.plan import model_words, plan_replay
    from oryx_scene.replay.run import Replay

    config = config_from_args(args)
    settings = replay_settings_from_args(args, config)
    source = RecentFrames(open_from_args(args, config))
    plan = plan_replay(source, Path(args.source).resolve().name, settings)
    # All bad input is refused before a model of many gigabytes is loaded.
    from oryx_scene.model.checkpoint.load import load_answerer

    answerer = load_answerer(
        args.model, device=args.device, dtype=args.dtype, quantization=args.quantization
    )
    asked = {**plan.asked, "model": model_words(answerer.card)}
    with Journal(folder, {"asked": asked, "recording": plan.recording}) as journal:
        pipeline = ScenePipeline(answerer, config)
        replay = Replay(source, pipeline, settings.entries, journal, settings.limits)
        result = _run_shown(args, replay, plan.schedule, journal)
        if result.asked:
            journal.finish(result.as_dict())
    _print_result(args, result)
    if args.write_bag is not None:
        from oryx_scene.replay.record import write_layout, write_replay_bag

        count = write_replay_bag(folder, args.write_bag)
        layout = args.write_bag.with_suffix(".foxglove.json")
        if count:
            write_layout(folder, layout)
        print(f"{args.write_bag}: {count} answers; {layout}: for Foxglove", file=sys.stderr)
    if args.report is not None:
        from oryx_scene.replay.steps import ReplayStory
        from oryx_scene.view.report import write_report

        size = write_report(ReplayStory(folder), args.report)
        print(f"{args.report}: {size / 1e6:.1f} MB", file=sys.stderr)
    return 1 if journal.errors else 0


def replay_settings_from_args(args: argparse.Namespace, config: PipelineConfig) -> ReplaySettings:
    """What the arguments ask, checked; for every command that asks a file of questions.

    Raises:
        ConfigError: a number out of range, or a questions file that cannot be asked.
    """
    from oryx_scene.errors import ConfigError
    from oryx_scene.model.api import Limits
    from oryx_scene.replay.plan import ReplaySettings
    from oryx_scene.replay.questions import load_questions

    if args.max_new_tokens < 1:
        raise ConfigError(f"--max-new-tokens is {args.max_new_tokens}; it must be at least 1.")
    if args.every is not None and not args.every > 0:
        raise ConfigError(f"--every is {args.every}; it must be above 0 seconds.")
    rig = "" if args.rig is None else _rig_sha256(args.rig)
    entries = load_questions(args.questions)
    limits = Limits(max_new_tokens=args.max_new_tokens, deadline_s=args.timeout)
    at, cameras = tuple(args.at), tuple(args.cameras)
    return ReplaySettings(entries, config, limits, args.every, at, rig, cameras)


def _rig_sha256(path: Path) -> str:
    from oryx_scene.errors import ConfigError

    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as err:
        raise ConfigError(f"cannot read --rig {path}: {err.strerror}.") from err


def _run_shown(
    args: argparse.Namespace, replay: Any, schedule: tuple[QuestionTime, ...], journal: Journal
) -> ReplayResult:
    from tqdm import tqdm

    total = sum(len(moment.questions) for moment in schedule)
    kept = total - sum(len(moment.questions) for moment in replay.pending(schedule))
    first_ns = journal.manifest["recording"]["first_ns"]
    with tqdm(
        total=total, initial=kept, unit="answer", disable=not sys.stderr.isatty(), leave=False
    ) as bar:

        def show(record: dict[str, Any]) -> None:
            bar.update()
            if args.json:
                print(json.dumps(record, sort_keys=True, allow_nan=False), flush=True)
                return
            with bar.external_write_mode():
                _print_record(record, first_ns)

        try:
            result: ReplayResult = replay.run(schedule, show)
        except KeyboardInterrupt:
            if args.out is not None:
                print(
                    f"interrupted after {len(journal.done)} of {total} answers; the same command "
                    "goes on from there",
                    file=sys.stderr,
                )
            raise
    return result


def _print_record(record: dict[str, Any], first_ns: int) -> None:
    print(f"[{(record['at_ns'] - first_ns) / 1e9:8.2f} s] Q: {record['question']}")
    if "error" in record:
        print(f"             error: {record['error']['message']}", flush=True)
        return
    caution = record["answer"]["provenance"].get("caution", "")
    label = f" ({caution})" if caution else ""
    print(f"             A{label}: {' '.join(record['answer']['text'].split())}", flush=True)


def _print_result(args: argparse.Namespace, result: ReplayResult) -> None:
    if result.kept:
        print(f"{result.kept} answers were there already and are kept", file=sys.stderr)
    if not result.asked:
        return
    model_s = result.stages_s.get("ask", 0.0)
    factor = ""
    if result.recorded_s > 0:
        factor = (
            f"; {result.recorded_s:.1f} s of recording, {result.real_time_factor:.2f} times "
            "real time"
        )
    print(
        f"{result.asked} answers in {result.wall_s:.1f} s ({model_s:.1f} s of it asking)"
        f"{factor}; {result.frames_read} frames read, {result.failed} errors",
        file=sys.stderr,
    )
