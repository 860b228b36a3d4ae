"""`oryx-scene marks`: everything up to the marks, without a model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "Find the same objects in all views of a recording and number them; no model is loaded."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from oryx_scene.cli.common import add_detections_argument, add_source_arguments

    add_source_arguments(parser)
    add_detections_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, help="folder for the marked views (PNG) and marks.json")


def run(args: argparse.Namespace) -> int:
    """Print the marks; write pictures where asked."""
    from oryx_scene.cli.common import (
        config_from_args,
        finder_from_args,
        frames_from_args,
        print_warnings,
    )
    from oryx_scene.cli.output import printable, scene_to_dict, view_caption, write_scene_pictures
    from oryx_scene.scene.freeze import NO_MODEL, freeze_scene

    config = config_from_args(args)
    find_marks = finder_from_args(args)
    found = frames_from_args(args, config)
    scene = freeze_scene(
        found.frames,
        found.now_ns,
        config,
        NO_MODEL,
        find_marks=find_marks,
        warnings=found.warnings,
        synthetic=found.synthetic,
        choice=found.choice,
    )
    described = scene_to_dict(scene)
    if args.out is not None:
        write_scene_pictures(scene, args.out, described)
    if args.json:
        print(json.dumps(described, indent=2, sort_keys=True, allow_nan=False))
        return 0
    for index, view in enumerate(described["views"]):
        print(
            f"view {view['camera']}  {view['stamp_ns'] / 1e9:.3f} s  "
            f"{view['width']}x{view['height']}  {view_caption(scene.marks, index)}"
        )
        for mark in view["marks"]:
            place = mark["position"]
            where = "no 3D place"
            if place is not None:
                where = "x {:.2f} y {:.2f} z {:.2f} m".format(*place)
            name = f" ({printable(mark['label'])})" if mark["label"] else ""
            print(
                f"  mark {mark['number']}{name}  at ({mark['u']:.0f}, {mark['v']:.0f}) px  "
                f"{where}  visible {_percent(mark['visible_fraction'])}"
            )
    if described["left_out"]:
        reasons = ", ".join(f"{count} {why}" for why, count in described["left_out"].items())
        print(f"left out: {reasons}")
    print_warnings(scene.warnings)
    return 0


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.0f} %"
