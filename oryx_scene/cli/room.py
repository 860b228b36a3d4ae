"""`oryx-scene room`: records a synthetic room, so that there is something to ask about."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Record a synthetic room as a ROS 2 bag and print what is true about it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("out", type=Path, help="bag folder to make")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rig", default="ring", help="ring surround stereo handheld mast")
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--size", default="256x192", metavar="WxH")


def run(args: argparse.Namespace) -> int:
    """Render and write."""
    from oryx_scene.errors import ConfigError
    from oryx_scene.synth.recording import record_room
    from oryx_scene.synth.scenes import SceneSpec

    try:
        width, height = (int(part) for part in args.size.split("x"))
    except ValueError as err:
        raise ConfigError(f"--size is '{args.size}'; 256x192 was expected.") from err
    spec = SceneSpec(args.seed, "test", args.rig, args.views, height, width)
    world = record_room(spec, args.out)
    print(f"{args.out}: {args.views} views of a room with {len(world.objects)} things")
    for thing in world.objects:
        x, y, z = thing.position
        print(f"  {thing.colour} {thing.shape} at x {x:.2f} y {y:.2f} z {z:.2f} m")
    return 0
