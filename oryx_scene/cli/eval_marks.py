"""`oryx-scene eval marks`: how right the numbers are, on scenes whose truth is known."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx_scene.errors import ConfigError

if TYPE_CHECKING:
    from oryx_scene.lab.evaluation.mark_worlds import MarkCondition, MarkScene
    from oryx_scene.lab.evaluation.marks import ConditionResult
    from oryx_scene.records import RgbImage

HELP = "Judge the marks on unseen rendered rooms: pairs, purity, places, what the discs hide."
SCHEMA = "oryx_scene/eval_marks/1"
COLUMNS = (
    ("pair_precision", "precision", ".4f"),
    ("pair_recall", "recall", ".4f"),
    ("pair_f1", "F1", ".4f"),
    ("mark_on_object", "on object", ".4f"),
    ("id_purity", "purity", ".4f"),
    ("fragments_per_object", "fragments", ".3f"),
    ("reprojection_px_median", "reproj px", ".1f"),
    ("hidden_object_mean", "hidden", ".3f"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the task's arguments."""
    from oryx_scene.cli.common import add_max_marks_argument
    from oryx_scene.config import MarksConfig

    parser.add_argument(
        "--worlds",
        choices=("solids", "meshes"),
        default="solids",
        help="solids (default), or furnished rooms of meshes (need the extra 'view')",
    )
    parser.add_argument("--scenes", type=int, default=200, metavar="N", help="default 200")
    parser.add_argument("--first", type=int, default=0, metavar="I", help="index of the first")
    parser.add_argument(
        "--conditions",
        nargs="+",
        metavar="NAME",
        help="clean noisy touching touching_noisy rgb rgb_noisy rgb_no_poses",
    )
    add_max_marks_argument(parser, MarksConfig.max_marks)
    parser.set_defaults(max_marks=MarksConfig.max_marks)
    parser.add_argument(
        "--size", metavar="WxH", help="default 320x240, with --worlds meshes 640x480"
    )
    parser.add_argument(
        "--visible",
        type=float,
        metavar="PERCENT",
        help="count a thing as shown from this share of a picture on; default 0.25, with --worlds "
        "meshes 0.15",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON object here")
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="draw the scenes as the model sees them (.png or .jpg)",
    )


def run(args: argparse.Namespace) -> int:
    """Exit 0 if every goal of the conditions is reached, 1 if one is missed."""
    from oryx_scene.atomic_io import write_json
    from oryx_scene.lab.evaluation.mark_worlds import WORLDS

    if args.size is None:
        height, width = WORLDS[args.worlds][1]
        args.size = f"{width}x{height}"
    results = _run(args)
    report = {
        "schema": SCHEMA,
        "worlds": args.worlds,
        "scenes": args.scenes,
        "first": args.first,
        "max_marks": args.max_marks,
        "size": args.size,
        "conditions": [without_nan(result.as_dict()) for result in results],
    }
    if args.out is not None:
        write_json(args.out, report)
    missed = [text for result in results for text in result.missed_goals()]
    if args.json:
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        _print_table(results)
        for text in missed:
            print(f"goal missed: {text}")
    return 1 if missed else 0


def _run(args: argparse.Namespace) -> list[ConditionResult]:
    from oryx_scene.atomic_io import png_bytes, write_bytes
    from oryx_scene.lab.evaluation.mark_sheet import stacked
    from oryx_scene.view.snapshot_file import jpeg_bytes

    if args.scenes < 1 or args.first < 0:
        raise ConfigError("--scenes must be positive and --first not negative.")
    strips: list[RgbImage] = []
    results = [_measured(args, condition, strips) for condition in _conditions(args)]
    if args.sheet is not None:
        jpeg = args.sheet.suffix.lower() in (".jpg", ".jpeg")
        write_bytes(args.sheet, (jpeg_bytes if jpeg else png_bytes)(stacked(strips)))
    return results


def _measured(
    args: argparse.Namespace, condition: MarkCondition, strips: list[RgbImage]
) -> ConditionResult:
    from tqdm import tqdm

    from oryx_scene.cli.common import picture_size
    from oryx_scene.lab.evaluation.mark_sheet import scene_strip
    from oryx_scene.lab.evaluation.marks import run_condition

    width, height = picture_size(args.size)
    scenes = range(args.first, args.first + args.scenes)
    quiet = not sys.stderr.isatty()
    with tqdm(
        total=len(scenes), desc=condition.name, unit="scene", disable=quiet, leave=False
    ) as bar:

        def done(index: int, scene: MarkScene) -> None:
            bar.update()
            if args.sheet is not None:
                title = f"{condition.name} {index}"
                strips.append(scene_strip(title, scene.views, args.max_marks))

        return run_condition(
            condition, scenes, max_marks=args.max_marks, size=(height, width), on_scene=done
        )


def _conditions(args: argparse.Namespace) -> list[MarkCondition]:
    from oryx_scene.lab.evaluation.mark_worlds import WORLDS

    known, _ = WORLDS[args.worlds]
    names = args.conditions or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"there is no condition '{unknown[0]}' of {args.worlds}.",
            hint=f"known: {', '.join(known)}",
        )
    if args.visible is None:
        return [known[name] for name in names]
    if not 0.0 < args.visible <= 100.0:
        raise ConfigError("--visible must lie in 0..100 percent.")
    return [dataclasses.replace(known[name], visible_share=args.visible / 100) for name in names]


def without_nan(value: Any) -> Any:
    """``value`` with null for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _print_table(results: list[ConditionResult]) -> None:
    print(f"{'condition':<16}" + "".join(f"{title:>11}" for _, title, _ in COLUMNS))
    for result in results:
        found = result.counts.summary()
        cells = "".join(f"{found[name]:>11{form}}" for name, _, form in COLUMNS)
        print(f"{result.condition.name:<16}{cells}")
