"""`oryx-scene replay`: many questions over a recording, resumable, with a report and a bag."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oryx_scene.config import PipelineConfig
    from oryx_scene.model.api import Limits, ModelCard
    from oryx_scene.replay.frame_cache import RecentFrames
    from oryx_scene.replay.journal import Journal
    from oryx_scene.replay.questions import AskedQuestion, QuestionTime
    from oryx_scene.replay.run import ReplayResult

HELP = "Ask a file of questions over a whole recording; resumable; writes a report and a bag."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from oryx_scene.cli.common import add_view_arguments
    from oryx_scene.model.api import Limits

    parser.add_argument("source", help="bag, video, RGB-D folder or pictures (docs/sources.md)")
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
    from oryx_scene.errors import ConfigError
    from oryx_scene.model.api import Limits
    from oryx_scene.qa.pipeline import ScenePipeline
    from oryx_scene.replay.frame_cache import RecentFrames
    from oryx_scene.replay.journal import Journal
    from oryx_scene.replay.questions import load_questions
    from oryx_scene.replay.run import Replay

    if args.max_new_tokens < 1:
        raise ConfigError(f"--max-new-tokens is {args.max_new_tokens}; it must be at least 1.")
    if args.every is not None and not args.every > 0:
        raise ConfigError(f"--every is {args.every}; it must be above 0 seconds.")
    entries = load_questions(args.questions)
    config = config_from_args(args)
    source = RecentFrames(open_from_args(args, config))
    schedule = _schedule(args, entries, source)
    limits = Limits(max_new_tokens=args.max_new_tokens, deadline_s=args.timeout)
    # All bad input is refused before a model of many gigabytes is loaded.
    from oryx_scene.model.checkpoint.load import load_answerer

    answerer = load_answerer(
        args.model, device=args.device, dtype=args.dtype, quantization=args.quantization
    )
    asked = _asked(source, entries, schedule, config, limits, answerer.card)
    manifest = {"asked": asked, "recording": _recording(args, source)}
    with Journal(folder, manifest) as journal:
        replay = Replay(source, ScenePipeline(answerer, config), entries, journal, limits)
        result = _run_shown(args, replay, schedule, journal)
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
    return 1 if any("error" in record for record in journal.records) else 0


def _schedule(
    args: argparse.Namespace, entries: tuple[AskedQuestion, ...], source: RecentFrames
) -> tuple[QuestionTime, ...]:
    from oryx_scene.cli.common import moment_ns
    from oryx_scene.replay.questions import make_schedule
    from oryx_scene.scene.frame_selection import newest_stamp

    last_ns = newest_stamp(source)
    first_ns = min(stub.stamp_ns for stub in source.stubs())
    moments = [moment_ns(text, source) for text in args.at]
    return make_schedule(
        entries, first_ns, last_ns, every_s=args.every, at_ns=moments, to_last=source.counted
    )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _asked(
    source: RecentFrames,
    entries: tuple[AskedQuestion, ...],
    schedule: tuple[QuestionTime, ...],
    config: PipelineConfig,
    limits: Limits,
    card: ModelCard,
) -> dict[str, Any]:
    """What makes a replay the same replay; names are shown to the user when they differ."""
    from oryx_scene.config import config_as_dict

    stubs = [(stub.camera, stub.stamp_ns, stub.topic) for stub in source.stubs()]
    texts = [dataclasses.asdict(entry) for entry in entries]
    moments = [(moment.at_ns, moment.questions) for moment in schedule]
    return {
        "recording": _digest(stubs),
        "questions": _digest([{**text, "at_s": list(text["at_s"])} for text in texts]),
        "moments": _digest(moments),
        "settings": _digest(config_as_dict(config)),
        "limits": _digest([limits.max_new_tokens, limits.deadline_s]),
        "model": f"{card.name} {card.revision} {card.dtype} {card.quantization}",
    }


def _recording(args: argparse.Namespace, source: RecentFrames) -> dict[str, Any]:
    stamps = [stub.stamp_ns for stub in source.stubs()]
    return {
        "name": Path(args.source).resolve().name,
        "first_ns": min(stamps),
        "last_ns": max(stamps),
        "frames": len(stamps),
        "cameras": list(source.cameras),
        "synthetic": source.synthetic,
    }


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
