"""`oryx-scene remember`: takes recordings into a memory that can be asked hours or days later."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from oryx_scene.errors import ConfigError

if TYPE_CHECKING:
    from oryx_scene.memory.recorder import Remembered
    from oryx_scene.memory.store import MemoryStore

HELP = "Take recordings into a memory: what stood where, when it was seen and when it was missed."
SCHEMA = "oryx_scene/remember/1"
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from oryx_scene.cli.common import add_detections_argument

    parser.add_argument("source", nargs="+", help="recordings, oldest first (docs/sources.md)")
    parser.add_argument("--into", type=Path, required=True, metavar="DIR", help="the memory")
    parser.add_argument(
        "--quota", metavar="SIZE", help="most bytes of all its files, e.g. 500MB (default 2GB)"
    )
    parser.add_argument(
        "--session",
        choices=("check", "same", "apart"),
        default="check",
        help="whether poses are in the memory's map: measure it (default), take the user's word "
        "where too little can be measured, or keep this session as a map of its own",
    )
    parser.add_argument(
        "--rate", type=float, metavar="HZ", help="frames a second taken of each camera (default 2)"
    )
    parser.add_argument("--cameras", nargs="+", default=(), metavar="NAME", help="only these")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="calibration YAML (see calib/)")
    parser.add_argument("--fixed-frame", default="map", metavar="FRAME", help="default map")
    parser.add_argument(
        "--unsure-poses",
        action="store_true",
        help="record frames too whose source says that their poses are bad",
    )
    add_detections_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per recording")


def bytes_of(text: str) -> int:
    """Bytes of "2GB", "500 MB" or "1000000".

    Raises:
        ConfigError: something else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B?)\s*", text.upper())
    if match is None or match[2] == "B":
        raise ConfigError(f"--quota '{text}' is no size.", hint="e.g. --quota 500MB")
    unit = match[2] if not match[2] or match[2].endswith("B") else match[2] + "B"
    return round(float(match[1]) * _UNITS[unit])


def run(args: argparse.Namespace) -> int:
    """Take in one recording after the other."""
    from oryx_scene.memory.store import open_memory

    quota = None if args.quota is None else bytes_of(args.quota)
    if (args.detections or args.detections_topic) and len(args.source) > 1:
        raise ConfigError("detections belong to one recording.", hint="give one source at a time")
    with open_memory(args.into, write=True, quota_bytes=quota) as store:
        for path in args.source:
            _say(args, path, store, _remember(args, path, store))
    return 0


def _remember(args: argparse.Namespace, path: str, store: MemoryStore) -> Remembered:
    import dataclasses

    from oryx_scene.cli.common import open_recording, progress_bar
    from oryx_scene.memory.detected import window_finder
    from oryx_scene.memory.recorder import MemoryConfig, remember

    config = MemoryConfig(localised_only=not args.unsure_poses)
    if args.rate is not None:
        config = dataclasses.replace(config, rate_hz=args.rate)
    source = open_recording(
        path, rig=args.rig, fixed_frame=args.fixed_frame, cameras=tuple(args.cameras)
    )
    found = remember(
        source,
        store,
        Path(path).name,
        fixed_frame=args.fixed_frame,
        wish=args.session,
        find=window_finder(args.detections, path, args.detections_topic),
        config=config,
        progress=progress_bar,
    )
    return dataclasses.replace(found, warnings=(*source.warnings, *found.warnings))


def _say(args: argparse.Namespace, path: str, store: MemoryStore, found: Remembered) -> None:
    import json

    from oryx_scene.cli.common import print_warnings
    from oryx_scene.qa.answer_json import to_plain

    if args.json:
        plain = {"schema": SCHEMA, "source": path, "bytes": store.size_bytes, **to_plain(found)}
        print(json.dumps(plain, sort_keys=True, allow_nan=False))
        return
    aligned = found.alignment
    if found.agreement == found.agreement:
        aligned += f" ({found.agreement:.0%} of known walls are where they were)"
    print(
        f"{path}: {found.frames} frames taken in, alignment: {aligned}\n"
        f"  things: {found.new} new, {found.moved} moved, {found.gone} missed; "
        f"{found.keyframes} keyframes; {store.size_bytes / 1e6:.1f} of "
        f"{store.quota_bytes / 1e6:.0f} MB in {store.folder}"
    )
    print_warnings(found.warnings, "  ")
