"""`oryx-scene eval places`: whether things are where marks say, as surely as marks say."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from oryx_scene.errors import ConfigError

HELP = "Judge the places of marks over the distance between cameras and the poses' noise."
SCHEMA = "oryx_scene/eval_places/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the task's arguments."""
    parser.add_argument("--scenes", type=int, default=40, metavar="N", help="default 40")
    parser.add_argument("--first", type=int, default=0, metavar="I", help="index of the first")
    parser.add_argument("--routes", nargs="+", metavar="NAME", help="depth rgb (default both)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON object here")


def run(args: argparse.Namespace) -> int:
    """Measure and print one row per route, pose noise and baseline; exit 0."""
    from oryx_scene.atomic_io import write_json

    rows = _measure(args)
    report = {"schema": SCHEMA, "scenes": args.scenes, "first": args.first, "rows": rows}
    if args.out is not None:
        write_json(args.out, report)
    if args.json:
        print(json.dumps(report, indent=2, allow_nan=False))
        return 0
    print("route  pose noise     baseline  marks  placed  within 2 sigma  along/sigma  sigma")
    for row in rows:
        noise = f"{1000 * row['pose_shift_m']:.0f} mm {row['pose_turn_deg']:g} deg"
        told = ""
        if row["placed"]:
            told = (
                f"{row['within_2_sigma']:>16.3f}{row['median_along_sigma']:>13.2f}"
                f"{row['median_std_along_m']:>7.2f}"
            )
        print(
            f"{row['route']:<7}{noise:<15}{row['baseline_m']:>8.2f}{row['marks']:>7}"
            f"{row['placed']:>8}{told}"
        )
    return 0


def _measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    from tqdm import tqdm

    from oryx_scene.lab.evaluation.mark_places import ROUTES, measure_places

    routes = args.routes or list(ROUTES)
    unknown = [name for name in routes if name not in ROUTES]
    if unknown:
        raise ConfigError(f"there is no route '{unknown[0]}'.", hint=f"known: {', '.join(ROUTES)}")
    if args.scenes < 1 or args.first < 0:
        raise ConfigError("--scenes must be positive and --first not negative.")
    scenes = range(args.first, args.first + args.scenes)
    quiet = not sys.stderr.isatty()
    with tqdm(total=len(scenes), desc="places", unit="scene", disable=quiet, leave=False) as bar:
        counts = measure_places(scenes, routes, on_scene=lambda _: bar.update())
    return [
        {
            "route": route,
            "pose_shift_m": noise[0],
            "pose_turn_deg": noise[1],
            "baseline_m": baseline,
            **item.as_dict(),
        }
        for (route, noise, baseline), item in sorted(counts.items())
    ]
