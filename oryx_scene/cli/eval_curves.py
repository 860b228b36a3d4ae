"""`oryx-scene eval curves`: how the marks get worse with noise, fewer views and distance."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from oryx_scene.errors import ConfigError

HELP = "Judge the marks over noise, number of views and distance of the cameras: table and picture."
SCHEMA = "oryx_scene/eval_curves/1"
COLUMNS = (
    ("noise", ("world", "factor")),
    ("views", ("frames", "views")),
    ("baseline", ("frames", "up_to_m")),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the task's arguments."""
    from oryx_scene.cli.common import add_max_marks_argument
    from oryx_scene.config import MarksConfig

    add_max_marks_argument(parser, MarksConfig.max_marks)
    parser.set_defaults(max_marks=MarksConfig.max_marks)
    parser.add_argument("--scenes", type=int, default=100, metavar="N", help="default 100")
    parser.add_argument("--first", type=int, default=0, metavar="I", help="index of the first")
    parser.add_argument("--size", default="320x240", metavar="WxH", help="default 320x240")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON object here")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the curves here (PNG)")


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; exit 0."""
    from tqdm import tqdm

    from oryx_scene.atomic_io import write_json
    from oryx_scene.cli.common import picture_size
    from oryx_scene.cli.eval_marks import without_nan
    from oryx_scene.lab.evaluation.mark_curves import draw_curves, measure_curves, points

    if args.scenes < 1 or args.first < 0:
        raise ConfigError("--scenes must be positive and --first not negative.")
    width, height = picture_size(args.size)
    scenes = range(args.first, args.first + args.scenes)
    quiet = not sys.stderr.isatty()
    with tqdm(total=points() * len(scenes), unit="scene", disable=quiet, leave=False) as bar:
        curves = measure_curves(
            scenes,
            max_marks=args.max_marks,
            size=(height, width),
            on_scene=lambda *_: bar.update(),
        )
    report = without_nan(
        {"schema": SCHEMA, "first": args.first, "size": args.size, **curves.as_dict()}
    )
    if args.out is not None:
        write_json(args.out, report)
    if args.picture is not None:
        draw_curves(report, args.picture)
    if args.json:
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        _print_tables(report)
    return 0


def _print_tables(report: dict[str, Any]) -> None:
    for curve, (group, x) in COLUMNS:
        print(f"{group:<18}{x:>8}{'pairs':>9}{'precision':>11}{'recall':>9}")
        for row in report[curve]:
            shares = "".join(
                f"{'-' if row[key] is None else format(row[key], '.4f'):>{width}}"
                for key, width in (("pair_precision", 11), ("pair_recall", 9))
            )
            print(f"{row[group]:<18}{row[x]:>8}{row['pairs']:>9}{shares}")
        print()
