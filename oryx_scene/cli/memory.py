"""`oryx-scene memory`: what a model will need, before it is loaded."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from oryx_scene.model.oryx.vision import VisionConfig
    from oryx_scene.scene.budget import BudgetPlan

HELP = "Predict the memory of a model by precision and number of views."
VIEWS = (1, 8, 64, 1600)
MOST_TOKENS = 131072
# The smallest pictures that a budget shows (side of a square of equal area, pixels).
SMALLEST_SIDE = 288
PRECISIONS = (("bfloat16", "none"), ("bfloat16", "int8"), ("bfloat16", "int4"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--model", metavar="DIR_OR_ID", help="a checkpoint (default: all published ones)"
    )
    parser.add_argument("--views", type=int, nargs="+", default=VIEWS, metavar="N")
    parser.add_argument(
        "--size", default="640x480", metavar="WxH", help="of the cameras' pictures (640x480)"
    )
    parser.add_argument(
        "--context",
        type=int,
        default=0,
        metavar="TOKENS",
        help="of the model (default: what its config.json states)",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda where there is one)")
    parser.add_argument("--json", action="store_true", help="print only the JSON line")


def run(args: argparse.Namespace) -> int:
    """Print a table and one last JSON line."""
    from oryx_scene.cli.common import picture_size
    from oryx_scene.errors import BudgetError, ConfigError
    from oryx_scene.model.checkpoint.memory import GIB, free_bytes
    from oryx_scene.model.engine.device import check_device
    from oryx_scene.model.oryx.language import settled

    if min(args.views) < 1 or max(args.views) > 1600:
        raise ConfigError("--views must lie in 1..1600.")
    if args.context < 0:
        raise ConfigError("--context must not be negative.")
    device = check_device(args.device)
    width, height = picture_size(args.size)
    rows, refused = [], []
    for name, config, vision in _models(args.model):
        context = args.context or int(settled(config, name)["max_position_embeddings"])
        for count in args.views:
            # Without a compressor pictures can be shown at 1x only.
            only = "1" if config.get("mm_resampler_type", "") is None else ""
            try:
                plan = _plan(count, (height, width), context, only)
            except BudgetError as err:
                refused.append({"model": name, "views": count, "reason": err.message})
                continue
            shown = (name, config, vision, count, plan)
            rows += [_row(*shown, context, precision, device) for precision in PRECISIONS]
    free = free_bytes(device)
    if not args.json:
        known = "unknown" if free is None else f"{free / GIB:.1f} GiB"
        print(f"GiB for pictures of {width}x{height}; free on {device}: {known}")
        print(f"{'model':<20}{'weights in':<12}{'views':>6}{'at':>5}{'tokens':>8} ", end="")
        print(f"{'weights':>9}{'KV':>7}{'passes':>8}{'graphs':>8}{'total':>8}")
        for row in rows:
            print(_line(row))
        if any(row["beyond_context"] for row in rows):
            print("* more tokens than the model's context: such a question is refused, the numbers")
            print("  are those of the strongest compression and the smallest pictures")
        for one in refused:
            print(f"{one['model']}, {one['views']} views: {one['reason']}")
    report = {"device": str(device), "free_bytes": free, "rows": rows, "refused": refused}
    print(json.dumps(report))
    return 0


def _models(name: str | None) -> list[tuple[str, dict[str, Any], VisionConfig]]:
    from oryx_scene.model.checkpoint.checkpoint import vision_config
    from oryx_scene.model.checkpoint.load import find_folder
    from oryx_scene.model.checkpoint.published import PUBLISHED
    from oryx_scene.model.checkpoint.weights import read_json
    from oryx_scene.model.oryx.vision import VisionConfig

    if name is None:
        return [(own, config, VisionConfig()) for own, config in PUBLISHED.items()]
    folder = find_folder(name)
    config = read_json(folder, "config.json")
    return [(folder.name, config, vision_config(folder, config))]


def _plan(count: int, size: tuple[int, int], context: int, only: str = "") -> BudgetPlan:
    """What is shown of ``count`` views: what the context holds, else the least there can be.

    ``only`` is the one compression that the checkpoint can show, "" where it can show all.
    """
    from oryx_scene.config import BudgetConfig
    from oryx_scene.errors import BudgetError
    from oryx_scene.scene.budget import plan_budget
    from oryx_scene.scene.view_plan import TEXT_TOKENS

    most = BudgetConfig(max_visual_tokens=MOST_TOKENS, compression=only or "auto")
    try:
        return plan_budget(
            [size] * count, most, context_length=context, reserved_tokens=TEXT_TOKENS
        )
    except BudgetError:
        least = dataclasses.replace(
            most,
            compression=only or "16",
            image_max_side=SMALLEST_SIDE,
            video_max_side=SMALLEST_SIDE,
        )
        return plan_budget([size] * count, least, context_length=10**6, reserved_tokens=0)


def _row(
    name: str,
    config: dict[str, Any],
    vision: VisionConfig,
    count: int,
    plan: BudgetPlan,
    context: int,
    precision: tuple[str, str],
    device: torch.device,
) -> dict[str, Any]:
    from oryx_scene.model.checkpoint.checkpoint import DTYPES
    from oryx_scene.model.checkpoint.memory import predict
    from oryx_scene.model.engine.cuda_graphs import ROW_TOKENS
    from oryx_scene.model.engine.engine import EngineConfig
    from oryx_scene.scene.deadline import patches_of
    from oryx_scene.scene.view_plan import TEXT_TOKENS

    dtype, kind = precision
    tokens = plan.visual_tokens + TEXT_TOKENS
    engine = EngineConfig()
    packed = min(1.0, engine.packed_pictures / count)
    captured = engine.graph_tokens + engine.rows * ROW_TOKENS if device.type == "cuda" else 0
    need = predict(
        config,
        vision,
        DTYPES[dtype],
        kind,
        tokens=tokens,
        patches=int(patches_of(plan) * packed),
        graph_tokens=captured,
        device_type=device.type,
    )
    return {
        "model": name,
        "weights_in": dtype if kind == "none" else kind,
        "views": count,
        "compression": plan.stride.compression,
        "tokens": tokens,
        "context": context,
        "beyond_context": tokens > context,
        "weight_bytes": need.weights,
        "kv_bytes": need.kv,
        "working_bytes": need.working,
        "graph_bytes": need.graphs,
        "total_bytes": need.total,
    }


def _line(row: dict[str, Any]) -> str:
    from oryx_scene.model.checkpoint.memory import GIB

    sizes = ("weight_bytes", "kv_bytes", "working_bytes", "graph_bytes", "total_bytes")
    weights, kv, working, graphs, total = (row[key] / GIB for key in sizes)
    return (
        f"{row['model']:<20}{row['weights_in']:<12}{row['views']:>6}{row['compression']:>4}x"
        f"{row['tokens']:>8}{'*' if row['beyond_context'] else ' '}"
        f"{weights:>9.1f}{kv:>7.2f}{working:>8.2f}{graphs:>8.2f}{total:>8.1f}"
    )
