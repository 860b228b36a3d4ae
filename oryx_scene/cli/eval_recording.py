"""`oryx-scene eval recording`: whether the numbers hold on a real recording, without true ids."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "Carry each mark's disc into the other views of a recording: is the number on one surface?"
SCHEMA = "oryx_scene/eval_recording/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the task's arguments."""
    from oryx_scene.cli.common import add_detections_argument, add_source_arguments

    add_source_arguments(parser)
    add_detections_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON object here")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="contact sheet: marks by views (PNG)"
    )


def run(args: argparse.Namespace) -> int:
    """Find the marks as `oryx-scene marks` does, judge them, print; exit 0."""
    from oryx_scene.atomic_io import png_bytes, write_bytes, write_json
    from oryx_scene.cli.common import config_from_args, finder_from_args, frames_from_args
    from oryx_scene.lab.evaluation.mark_sheet import contact_sheet
    from oryx_scene.lab.evaluation.mark_surfaces import judge_surfaces
    from oryx_scene.scene.freeze import NO_MODEL, freeze_scene

    config = config_from_args(args)
    found = frames_from_args(args, config)
    scene = freeze_scene(
        found.frames, found.now_ns, config, NO_MODEL, find_marks=finder_from_args(args)
    )
    judged = judge_surfaces(scene.views, scene.marks)
    report = {"schema": SCHEMA, "views": len(scene.views.frames), **judged.as_dict()}
    if args.out is not None:
        write_json(args.out, report)
    if args.sheet is not None:
        write_bytes(args.sheet, png_bytes(contact_sheet(scene.views, scene.marks, judged)))
    if args.json:
        print(json.dumps(report, indent=2, allow_nan=False))
        return 0
    same, deep = (_text(report[name]) for name in ("same_share", "depth_share"))
    print(f"{report['marks']} marks in {report['views']} views")
    print(f"discs whose depth is found again in a view with the same number: {deep}")
    print(f"of these ({report['discs_judged']}) on the same surface there: {same}")
    print(
        f"marks with no disc on another surface: {report['marks_held']} of {report['marks_judged']}"
    )
    for verdict, count in report["by_verdict"].items():
        print(f"  {count:>5}  {verdict}")
    for item in report["other_surface"]:
        print(f"  mark {item['number']}: view {item['from']} and view {item['to']} disagree")
    return 0


def _text(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
