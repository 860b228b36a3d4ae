"""`oryx-scene eval marks`: how right the numbers are, on scenes whose truth is known."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx_scene.errors import ConfigError

if TYPE_CHECKING:
    from oryx_scene.evaluation.marks import ConditionResult

HELP = "Judge the marks on unseen synthetic rooms: pairs, purity, places, what the discs hide."
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
    parser.add_argument("--scenes", type=int, default=200, metavar="N", help="default 200")
    parser.add_argument("--first", type=int, default=0, metavar="I", help="index of the first")
    parser.add_argument(
        "--conditions",
        nargs="+",
        metavar="NAME",
        help="clean noisy touching touching_noisy rgb rgb_noisy rgb_no_poses",
    )
    parser.add_argument("--max-marks", type=int, default=8, metavar="K", help="default 8")
    parser.add_argument("--size", default="320x240", metavar="WxH", help="default 320x240")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON object here")


def run(args: argparse.Namespace) -> int:
    """Exit 0 if every goal of the conditions is reached, 1 if one is missed."""
    from oryx_scene.files import write_json

    results = _run(args)
    report = {
        "schema": SCHEMA,
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
    from tqdm import tqdm

    from oryx_scene.cli.common import picture_size
    from oryx_scene.evaluation.mark_worlds import CONDITIONS
    from oryx_scene.evaluation.marks import run_condition

    width, height = picture_size(args.size)
    names = args.conditions or list(CONDITIONS)
    unknown = [name for name in names if name not in CONDITIONS]
    if unknown:
        known = ", ".join(CONDITIONS)
        raise ConfigError(f"there is no condition '{unknown[0]}'.", hint=f"known: {known}")
    if args.scenes < 1 or args.first < 0:
        raise ConfigError("--scenes must be positive and --first not negative.")
    scenes = range(args.first, args.first + args.scenes)
    results = []
    for name in names:
        quiet = not sys.stderr.isatty()
        with tqdm(total=len(scenes), desc=name, unit="scene", disable=quiet, leave=False) as bar:
            results.append(
                run_condition(
                    CONDITIONS[name],
                    scenes,
                    max_marks=args.max_marks,
                    size=(height, width),
                    on_scene=lambda _, bar=bar: bar.update(),  # type: ignore[misc]
                )
            )
    return results


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
