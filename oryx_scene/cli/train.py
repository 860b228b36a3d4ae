"""`oryx-scene train`: makes the small checkpoint from synthetic scenes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oryx_scene.lab.training.distributed import Group
    from oryx_scene.lab.training.recipe import Recipe

HELP = "Train the small model on synthetic scenes (goes on where it was interrupted)."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("out", type=Path, help="folder for scenes, states, curve and checkpoint")
    parser.add_argument("--preset", choices=("cpu", "gpu", "tiny"), help="default: by --device")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stage", default="", help="run one stage only (stages side by side)")
    parser.add_argument(
        "--begin", type=Path, metavar="FOLDER", help="checkpoint to go on from (with --stage)"
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="share every step among N processes"
    )
    parser.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that render and make lessons ahead (default: none on a CPU)",
    )
    parser.add_argument("--hours", type=float, help="stop early; a second call goes on")


def run(args: argparse.Namespace) -> int:
    """Run the recipe."""
    import dataclasses
    import os

    # Read once, when torch first multiplies: shapes of lessons are many, and preparing one is slow.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")

    from oryx_scene.errors import ConfigError
    from oryx_scene.lab.training.curve import draw_curve
    from oryx_scene.lab.training.distributed import ALONE, together
    from oryx_scene.lab.training.ranks import choose_crew
    from oryx_scene.lab.training.recipe import PRESETS

    if args.processes < 1:
        raise ConfigError(f"--processes is {args.processes}, expected at least 1.")
    crew = choose_crew(args.device, args.workers)
    preset = args.preset or ("gpu" if crew.device.type == "cuda" else "cpu")
    recipe = dataclasses.replace(PRESETS[preset], seed=args.seed)
    until = time.perf_counter() + args.hours * 3600 if args.hours else float("inf")
    given = (recipe, args.out, until, args.stage, args.begin, args.device, args.workers)
    if args.processes == 1:
        _train(ALONE, *given)
    else:
        together(args.processes, _train, *given)
    logs = [args.out / stage.name / "log.jsonl" for stage in recipe.stages()]
    print(f"learning curve: {draw_curve(logs, args.out / 'curve.png')}")
    print(f"checkpoint: {args.out / 'checkpoint'}")
    return 0


def _train(
    group: Group,
    recipe: Recipe,
    out: Path,
    until: float,
    stage: str,
    begin: Path | None,
    device: str,
    workers: int | None,
) -> None:
    import cv2
    import torch

    from oryx_scene.lab.training.ranks import choose_crew
    from oryx_scene.lab.training.run import train

    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    def said(line: str) -> None:
        if group.first:
            print(line, flush=True)

    train(recipe, out, said, until, stage, begin, choose_crew(device, workers, group))
