"""`oryx-scene eval memory`: how right a memory is about drives whose truth is known."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx_scene.errors import ConfigError

if TYPE_CHECKING:
    from oryx_scene.lab.evaluation.memory import DriveResult
    from oryx_scene.lab.synth.drive import DriveConfig

HELP = "Judge a memory of synthetic drives: which thing, where, when, still there or gone."
SCHEMA = "oryx_scene/eval_memory/1"
_OVERALL = (
    ("right_instance", "right instance", ".3f"),
    ("place_error_m_median", "place error, median, m", ".3f"),
    ("place_error_m_p90", "place error, 90 %, m", ".3f"),
    ("time_error_s_median", "time error, median, s", ".2f"),
    ("time_within_2_s", "time within 2 s", ".3f"),
    ("missed_error_s_median", "first missed, median error, s", ".2f"),
    ("false_seen", "false 'seen'", ".3f"),
    ("moved_and_gone", "moved and gone told apart", ".3f"),
    ("answer_ms_p95", "an answer, 95 %, ms", ".1f"),
    ("times_real_time", "written, times real time", ".1f"),
    ("megabytes_per_hour", "MB per hour", ".1f"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the task's arguments."""
    from oryx_scene.lab.evaluation.memory import FIRST_SEED

    parser.add_argument("--drives", type=int, default=10, metavar="N", help="default 10")
    parser.add_argument(
        "--first", type=int, default=FIRST_SEED, metavar="SEED", help=f"default {FIRST_SEED}"
    )
    parser.add_argument(
        "--seconds", type=float, default=3600.0, metavar="S", help="of a drive (default 3600)"
    )
    parser.add_argument(
        "--full", action="store_true", help="320x240 at 2 Hz (default: 160x120 at 1 Hz)"
    )
    parser.add_argument(
        "--moments", type=int, default=4, metavar="N", help="times asked at, the end last"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the JSON object here, renewed as it goes"
    )


def run(args: argparse.Namespace) -> int:
    """Exit 0 if every goal is reached, 1 if one is missed."""
    from oryx_scene.lab.evaluation.memory import missed_goals

    if args.drives < 1 or args.first < 0 or args.moments < 1:
        raise ConfigError("--drives and --moments must be positive and --first not negative.")
    report = _measure(args)
    missed = missed_goals(report)
    if args.json:
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        print("\n".join(table(report)))
        for text in missed:
            print(f"goal missed: {text}")
    return 1 if missed else 0


def _config(args: argparse.Namespace, seed: int) -> DriveConfig:
    import dataclasses

    from oryx_scene.lab.synth.drive import LIGHT, DriveConfig

    base = DriveConfig() if args.full else LIGHT
    return dataclasses.replace(base, seed=seed, seconds=args.seconds)


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    from tqdm import tqdm

    from oryx_scene.atomic_io import write_json
    from oryx_scene.lab.evaluation.memory import judge_drive

    results: list[DriveResult] = []
    configs = [_config(args, args.first + index) for index in range(args.drives)]
    quiet = not sys.stderr.isatty()
    total = sum(config.frames for config in configs)
    with tqdm(total=total, unit="frame", disable=quiet, leave=False) as bar:
        for config in configs:
            results.append(judge_drive(config, args.moments, bar.update))
            report = _report(args, results)
            if args.out is not None:
                write_json(args.out, report)
    return report


def _report(args: argparse.Namespace, results: list[DriveResult]) -> dict[str, Any]:
    from oryx_scene.lab.evaluation.memory import report_of

    settings = {"first": args.first, "seconds": args.seconds, "moments": args.moments}
    return {"schema": SCHEMA, "full": args.full, **settings, **report_of(results)}


def table(report: dict[str, Any]) -> list[str]:
    """Lines for people: one per type of question, then what holds over all."""
    lines = [f"{'question':<12}{'right is':<10}{'asked':>7}{'right':>8}  said"]
    for kind, row in report["kinds"].items():
        share = "-" if row["right"] is None else f"{row['right']:.3f}"
        said = ", ".join(f"{count} {name}" for name, count in sorted(row["said"].items()))
        lines.append(f"{kind:<12}{row['expected']:<10}{row['asked']:>7}{share:>8}  {said}")
    lines.append("")
    for key, name, style in _OVERALL:
        value = report[key]
        lines.append(f"{name:<32}{'-' if value is None else format(value, style):>10}")
    return lines
