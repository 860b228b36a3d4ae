"""`oryx-scene room`: records a synthetic room, so that there is something to ask about."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

HELP = "Record a synthetic room as a ROS 2 bag and print what is true about it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("out", type=Path, help="bag folder to make")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rig", help="ring (default) surround stereo handheld mast")
    parser.add_argument(
        "--furnished",
        action="store_true",
        help="an office seen by a hand-held RGB-D camera with the noise of a real one",
    )
    parser.add_argument("--views", type=int, metavar="N", help="default 6, furnished 8")
    parser.add_argument("--size", metavar="WxH", help="default 256x192, furnished 640x480")


def run(args: argparse.Namespace) -> int:
    """Render and write."""
    from oryx_scene.cli.common import picture_size
    from oryx_scene.errors import ConfigError
    from oryx_scene.lab.synth.recording import record_room
    from oryx_scene.lab.synth.scenes import SceneSpec

    if args.furnished and args.rig is not None:
        raise ConfigError("--furnished brings its own camera; --rig does not go with it.")
    width, height = picture_size(args.size or ("640x480" if args.furnished else "256x192"))
    views = args.views or (8 if args.furnished else 6)
    spec = SceneSpec(args.seed, "test", args.rig or "ring", views, height, width)
    world = record_room(dataclasses.replace(spec, furnished=args.furnished), args.out)
    print(f"{args.out}: {views} views of a room with {len(world.objects)} things")
    for thing in world.objects:
        x, y, z = thing.position
        print(f"  {thing.colour} {thing.shape} at x {x:.2f} y {y:.2f} z {z:.2f} m")
    return 0
