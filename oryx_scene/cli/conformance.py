"""`oryx-scene conformance`: is the arithmetic on this machine that of the original code?"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oryx_scene.lab.evaluation.conformance_compare import StageResult

HELP = "Compare the model's arithmetic with golden vectors of the original code, stage by stage."
SCHEMA = "oryx_scene/conformance/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="folder of golden cases (docs/conformance.md)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument(
        "--quantization",
        default="none",
        choices=("none", "int8", "int4"),
        help="of the language model's weights (default none)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--all", action="store_true", help="print every stage, not only misses")


def run(args: argparse.Namespace) -> int:
    """Exit 0 if every stage of every case agrees, 1 on any miss."""
    from oryx_scene.lab.evaluation.conformance import run_case
    from oryx_scene.lab.evaluation.conformance_case import find_cases, load_case
    from oryx_scene.model.checkpoint.checkpoint import DTYPES, load_model
    from oryx_scene.model.engine.device import check_device

    device = check_device(args.device)
    # As loading chooses: quantised weights come with bfloat16.
    args.dtype = args.dtype or ("float32" if args.quantization == "none" else "bfloat16")
    results: list[StageResult] = []
    for folder in find_cases(args.folder):
        case = load_case(folder)
        model = load_model(
            case.model_folder,
            device=device,
            dtype=DTYPES[args.dtype],
            quantization=args.quantization,
        )
        found = run_case(case, model)
        results += found
        if not args.json:
            _print_case(case.name, found, args.all)
    misses = sum(not result.ok for result in results)
    if args.json:
        print(json.dumps(_as_dict(results, args), indent=2, allow_nan=False))
    else:
        cases = len({result.case for result in results})
        compared = sum(result.compared for result in results)
        left_out = len(results) - compared
        print(f"{cases} cases, {compared} comparisons, {misses} misses, {left_out} not compared")
    return 1 if misses else 0


def _print_case(name: str, results: list[StageResult], everything: bool) -> None:
    misses = [result for result in results if not result.ok]
    worst = max((r.difference / r.limit for r in results if r.limit and r.ok), default=0.0)
    verdict = "ok" if not misses else f"{len(misses)} MISSES"
    compared = sum(result.compared for result in results)
    print(
        f"{name:<36} {compared:>3} comparisons  {verdict:<10} "
        f"largest difference {100 * worst:.1f} % of its limit"
    )
    said = [result for result in results if not result.ok or not result.compared]
    for result in results if everything else said:
        if not result.compared:
            print(f"  --   {result.stage:<42} not compared: {result.detail}")
            continue
        mark = "ok  " if result.ok else "MISS"
        print(
            f"  {mark} {result.stage:<42} {result.difference:.3g} (limit {result.limit:.3g}) "
            f"{result.detail}"
        )


def _as_dict(results: list[StageResult], args: argparse.Namespace) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "device": args.device,
        "dtype": args.dtype,
        "quantization": args.quantization,
        "misses": sum(not result.ok for result in results),
        "results": [
            {
                "case": result.case,
                "stage": result.stage,
                "ok": result.ok,
                "difference": result.difference if math.isfinite(result.difference) else None,
                "limit": result.limit,
                "compared": result.compared,
                "detail": result.detail,
            }
            for result in results
        ],
    }
