"""`oryx-scene check`: one screen that says what is there, what is missing, and what to do."""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

HELP = "Say what a recording holds, what is missing, and what to do about it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", help="bag, posed RGB-D folder, or pictures")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="calibration YAML (see calib/)")
    parser.add_argument("--fixed-frame", default="map", metavar="FRAME")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Exit 0 if all is there, 1 if something prevents answers with 3D places."""
    from oryx_scene.bags.check import check_source
    from oryx_scene.sources.registry import open_source

    source = open_source(args.source, rig=args.rig, fixed_frame=args.fixed_frame)
    report = check_source(source, args.source)
    if args.json:
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        _print(report)
    return 0 if report["ok"] else 1


def _print(report: dict[str, Any]) -> None:
    print(report["source"])
    for camera in report["cameras"]:
        _print_camera(camera)
    if report["sync_skew_s"] is not None:
        print(f"cameras lie within {1000 * report['sync_skew_s']:.1f} ms of each other (95 %)")
    for finding in report["findings"]:
        text = finding["what"] + (f": {finding['advice']}" if finding["advice"] else "")
        head = "PROBLEM  " if finding["level"] == "problem" else "note     "
        print(textwrap.fill(text, 96, initial_indent=head, subsequent_indent=" " * 9))
    print("all is there" if report["ok"] else "answers will lack what the problems name")


def _print_camera(camera: dict[str, Any]) -> None:
    seconds = (camera["last_stamp_ns"] - camera["first_stamp_ns"]) / 1e9
    rate = f"{camera['rate_hz']:.1f} Hz" if camera["rate_hz"] else "one frame"
    print(f"camera {camera['name']}  ({camera['topic']})")
    print(f"  {camera['frames']} frames over {seconds:.2f} s, {rate}")
    if "encoding" not in camera:
        print("  its first frame cannot be decoded")
        return
    print(f"  {camera['width']}x{camera['height']} {camera['encoding']} in {camera['frame_id']!r}")
    if camera["fx"] is None:
        print("  no calibration")
    else:
        print(f"  fx {camera['fx']:.1f} fy {camera['fy']:.1f} px, {camera['distortion_model']}")
    if camera["depth"]:
        print(
            f"  depth over the picture: {100 * camera['depth_known_share']:.0f} % known, median "
            f"{camera['depth_median_m'] or float('nan'):.2f} m"
        )
    else:
        print("  no depth")
    posed = camera["first_frame_pose"]
    print(f"  pose in {camera['fixed_frame']!r}" if posed else "  no pose")
