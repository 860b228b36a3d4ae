"""`oryx-scene convert`: any readable source becomes a ROS 2 bag."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Write a source of any kind (bag, video, RGB-D folder, pictures) as a ROS 2 bag."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", help="what to read")
    parser.add_argument("out", type=Path, help="bag folder to make; must not exist")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="calibration YAML (see calib/)")
    parser.add_argument("--fixed-frame", default="map", metavar="FRAME")


def run(args: argparse.Namespace) -> int:
    """Write the bag and say what is in it."""
    from oryx_scene.cli.common import open_recording, print_warnings
    from oryx_scene.sources.bags.writer import write_source

    source = open_recording(args.source, rig=args.rig, fixed_frame=args.fixed_frame)
    count = write_source(source, args.out, storage=args.storage)
    print(f"{args.out}: {count} frames of {', '.join(source.cameras)}")
    print_warnings(source.warnings)
    return 0
