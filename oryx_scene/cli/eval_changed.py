"""`oryx-scene eval changed`: how right "what changed" is, on pairs of scenes with known events."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from oryx_scene.errors import ConfigError

HELP = "Judge what appeared, disappeared and moved between pairs of synthetic rooms."
SCHEMA = "oryx_scene/eval_changed/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the task's arguments."""
    from oryx_scene.cli.common import add_max_marks_argument
    from oryx_scene.config import COMPARED_MARKS

    add_max_marks_argument(parser, COMPARED_MARKS)
    parser.set_defaults(max_marks=COMPARED_MARKS)
    parser.add_argument("--pairs", type=int, default=100, metavar="N", help="default 100")
    parser.add_argument("--first", type=int, default=0, metavar="I", help="index of the first")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON object here")


def run(args: argparse.Namespace) -> int:
    """Measure with true and with spoilt frames; exit 0."""
    from tqdm import tqdm

    from oryx_scene.atomic_io import write_json
    from oryx_scene.lab.evaluation.changes import EVENTS, measure_changes
    from oryx_scene.lab.evaluation.mark_worlds import ROUGH
    from oryx_scene.lab.synth.noise import NoiseConfig

    if args.pairs < 1 or args.first < 0:
        raise ConfigError("--pairs must be positive and --first not negative.")
    indices = range(args.first, args.first + args.pairs)
    report: dict[str, Any] = {"schema": SCHEMA, "first": args.first, "conditions": {}}
    for name, noise in (("clean", NoiseConfig()), ("noisy", ROUGH)):
        quiet = not sys.stderr.isatty()
        with tqdm(total=len(indices), desc=name, unit="pair", disable=quiet, leave=False) as bar:
            counts = measure_changes(
                indices,
                noise,
                lambda _, bar=bar: bar.update(),  # type: ignore[misc]
                max_marks=args.max_marks,
            )
        report["conditions"][name] = counts.as_dict()
    if args.out is not None:
        write_json(args.out, report)
    if args.json:
        print(json.dumps(report, indent=2, allow_nan=False))
        return 0
    print(
        f"{'condition':<10}{'event':<13}{'precision':>10}{'recall':>8}{'right':>7}{'false':>7}{'missed':>8}"
    )
    for name, found in report["conditions"].items():
        for event in EVENTS:
            one = found[event]
            shares = "".join(
                f"{'-' if one[key] is None else format(one[key], '.3f'):>{width}}"
                for key, width in (("precision", 10), ("recall", 8))
            )
            counted = f"{one['right']:>7}{one['false']:>7}{one['missed']:>8}"
            print(f"{name:<10}{event:<13}{shares}{counted}")
    return 0
