"""`oryx-scene eval scenes`: how right the answers are, on scenes whose truth is known."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HELP = "Judge answers on unseen synthetic rooms, by type of question, with own marks."
SCHEMA = "oryx_scene/eval_scenes/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the task's arguments."""
    parser.add_argument("--model", default="default", metavar="DIR_OR_ID")
    parser.add_argument("--scenes", type=int, default=100, metavar="N", help="default 100")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="default 0")
    parser.add_argument("--split", choices=("test", "combinations"), default="test")
    parser.add_argument("--rig", default="ring", help="ring surround handheld stereo, or mast")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--size", default="256x192", metavar="WxH")
    parser.add_argument("--compression", choices=("1", "4", "16"), default="4")
    parser.add_argument(
        "--beside",
        nargs="*",
        choices=("no_pictures", "no_marks", "no_facts"),
        default=(),
        help="the same questions without pictures, marks or measured facts",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON object here")


def run(args: argparse.Namespace) -> int:
    """Ask, judge, print the table."""
    from oryx_scene.errors import ConfigError
    from oryx_scene.evaluation.scenes import Condition, evaluate, table
    from oryx_scene.files import write_json
    from oryx_scene.model.load import load_answerer
    from oryx_scene.pipeline import ScenePipeline
    from oryx_scene.synth.scenes import SceneSpec

    try:
        width, height = (int(part) for part in args.size.split("x"))
    except ValueError as err:
        raise ConfigError(f"--size is '{args.size}'; 256x192 was expected.") from err
    specs = [
        SceneSpec(
            seed, args.split, args.rig, args.views, height, width, args.compression, own_marks=True
        )
        for seed in range(args.first, args.first + args.scenes)
    ]
    known = {
        "no_pictures": Condition("no_pictures", pictures=False),
        "no_marks": Condition("no_marks", marks=False),
        "no_facts": Condition("no_facts", facts="none"),
    }
    conditions = [Condition(), *(known[name] for name in args.beside)]
    engine = load_answerer(args.model)
    scores = evaluate(
        ScenePipeline(engine), specs, conditions, said_to=lambda t: print(t, file=sys.stderr)
    )
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "model": engine.card.name,
        "revision": engine.card.revision,
        "scenes": vars(specs[0]) if specs else {},
        "count": len(specs),
        "conditions": {
            name: {
                kind: {
                    "right": one.right,
                    "asked": one.asked,
                    "accuracy": round(one.accuracy, 4),
                    "interval": [round(value, 4) for value in one.interval()],
                    "median_error_m": _median(one.errors_m),
                }
                for kind, one in kinds.items()
            }
            for name, kinds in scores.items()
        },
    }
    if args.out is not None:
        write_json(args.out, report)
    if args.json:
        print(json.dumps(report))
    else:
        others = {name: kinds for name, kinds in scores.items() if name != "plain"}
        print("\n".join(table(scores["plain"], others)))
    return 0


def _median(values: list[float]) -> float | None:
    return round(sorted(values)[len(values) // 2], 3) if values else None
