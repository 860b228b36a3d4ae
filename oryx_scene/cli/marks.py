"""`oryx-scene marks`: everything up to the marks, without a model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HELP = "Find the same objects in all views of a recording and number them; no model is loaded."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from oryx_scene.cli.common import add_source_arguments

    add_source_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, help="folder for the marked views (PNG) and marks.json")


def run(args: argparse.Namespace) -> int:
    """Print the marks; write pictures where asked."""
    from oryx_scene.cli.common import config_from_args, frames_from_args
    from oryx_scene.cli.output import scene_to_dict, write_scene_pictures
    from oryx_scene.scene import NO_MODEL, freeze_scene

    config = config_from_args(args)
    found = frames_from_args(args, config)
    scene = freeze_scene(
        found.frames,
        found.now_ns,
        config,
        NO_MODEL,
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
    for view in described["views"]:
        print(
            f"view {view['camera']}  {view['stamp_ns'] / 1e9:.3f} s  "
            f"{view['width']}x{view['height']}"
        )
        for mark in view["marks"]:
            place = mark["position"]
            where = "no 3D place"
            if place is not None:
                where = "x {:.2f} y {:.2f} z {:.2f} m".format(*place)
            print(
                f"  mark {mark['number']}  at ({mark['u']:.0f}, {mark['v']:.0f}) px  {where}  "
                f"visible {100 * mark['visible_fraction']:.0f} %"
            )
    if described["left_out"]:
        reasons = ", ".join(f"{count} {why}" for why, count in described["left_out"].items())
        print(f"left out: {reasons}")
    for warning in described["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    return 0
