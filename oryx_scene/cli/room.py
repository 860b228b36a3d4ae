"""`oryx-scene room`: records a synthetic room, or describes a drive through several of them."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx_scene.errors import ConfigError

if TYPE_CHECKING:
    from oryx_scene.lab.synth.drive import DriveConfig

HELP = "Make a synthetic room, or a drive through a house, and print what is true about it."
_OF_A_ROOM = ("rig", "views")
_OF_A_DRIVE = ("rate", "rooms", "changes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "out", type=Path, help="folder to make: a ROS 2 bag, or with --drive a drive"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rig", help="ring (default) surround stereo handheld mast")
    parser.add_argument(
        "--furnished",
        action="store_true",
        help="an office seen by a hand-held RGB-D camera with the noise of a real one",
    )
    parser.add_argument("--views", type=int, metavar="N", help="default 6, furnished 8")
    parser.add_argument("--size", metavar="WxH", help="default 256x192, furnished 640x480")
    drive = parser.add_argument_group("a drive through several rooms (docs/drive.md)")
    drive.add_argument(
        "--drive",
        type=float,
        metavar="SECONDS",
        help="RGB-D frames of a robot while things are moved, taken and brought; the folder holds "
        "settings and truth, the frames are rendered whenever they are read",
    )
    drive.add_argument("--rate", type=float, metavar="HZ", help="frames a second (default 2)")
    drive.add_argument("--rooms", type=int, metavar="N", help="1..9 (default 4)")
    drive.add_argument("--changes", type=int, metavar="N", help="default one in two minutes")
    drive.add_argument("--light", action="store_true", help="for many drives: 160x120 at 1 Hz")
    drive.add_argument("--write", action="store_true", help="store the frames as a ROS 2 bag")


def run(args: argparse.Namespace) -> int:
    """Render and write."""
    from oryx_scene.cli.common import picture_size
    from oryx_scene.lab.synth.recording import record_room
    from oryx_scene.lab.synth.scenes import SceneSpec

    if args.drive is not None:
        return _drive(args)
    unfit = [n for n in _OF_A_DRIVE if getattr(args, n) is not None]
    if unfit or args.light or args.write:
        raise ConfigError(f"--{(*unfit, 'light/--write')[0]} goes with --drive SECONDS.")
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


def _drive_config(args: argparse.Namespace) -> DriveConfig:
    from oryx_scene.cli.common import picture_size
    from oryx_scene.lab.synth.drive import LIGHT, DriveConfig

    unfit = [n for n in _OF_A_ROOM if getattr(args, n) is not None]
    if unfit or args.furnished:
        raise ConfigError(f"--{(*unfit, 'furnished')[0]} does not go with --drive.")
    given = {"rate_hz": args.rate, "rooms": args.rooms, "changes": args.changes}
    if args.size is not None:
        given["width"], given["height"] = picture_size(args.size)
    settings = {name: value for name, value in given.items() if value is not None}
    base = LIGHT if args.light else DriveConfig()
    return dataclasses.replace(base, seed=args.seed, seconds=args.drive, **settings)


def _drive(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from oryx_scene.lab.synth.drive_source import record_drive, write_drive

    config = _drive_config(args)
    quiet = not sys.stderr.isatty()
    make = record_drive if args.write else write_drive
    with tqdm(total=config.frames, unit="frame", disable=quiet, leave=False) as bar:
        truth = make(config, args.out, bar.update)
    print(
        f"{args.out}: {config.seconds:g} s, {config.frames} frames of {config.width}x"
        f"{config.height}, {len(truth['rooms'])} rooms"
    )
    for thing in truth["things"]:
        if thing["places"]:
            x, y, z = thing["places"][0]["position"]
            print(f"  {thing['name']} at x {x:.2f} y {y:.2f} z {z:.2f} m ({_where(thing)})")
    for event in truth["events"]:
        name = next(t["name"] for t in truth["things"] if t["id"] == event["id"])
        print(f"  {(event['stamp_ns'] - truth['start_ns']) / 1e9:7.1f} s: {name} {event['kind']}")
    return 0


def _where(thing: dict[str, Any]) -> str:
    return " -> ".join(place["room"] for place in thing["places"])
