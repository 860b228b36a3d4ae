"""`oryx-scene eval needle`: are single frames of long sequences read? Table and heat map."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx_scene.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from oryx_scene.records import Frame

HELP = "Ask about single frames and the difference of two, hidden in 16 to 1,600 frames."
SCHEMA = "oryx_scene/eval_needle/1"
_LEAST_FRAMES = 8
# One frame a second, of the size that the small checkpoint was trained with.
_DRIVE: dict[str, Any] = {"height": 192, "width": 256, "noise": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the task's arguments."""
    from oryx_scene.lab.evaluation.needle import DEPTHS, LENGTHS

    parser.add_argument(
        "source", nargs="?", help="recording to hide needles in (default: a synthetic drive)"
    )
    parser.add_argument("--model", default="default", metavar="DIR_OR_ID")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda where there is one)")
    lengths = " ".join(map(str, LENGTHS))
    parser.add_argument(
        "--frames", nargs="+", type=int, default=LENGTHS, metavar="N", help=f"default {lengths}"
    )
    parser.add_argument(
        "--depths", nargs="+", type=float, default=DEPTHS, metavar="D", help="default 0 0.1 ... 1"
    )
    parser.add_argument("--trials", type=int, default=1, metavar="N", help="per cell (default 1)")
    parser.add_argument("--compression", choices=("auto", "4", "16"), default="16")
    parser.add_argument("--no-marks", action="store_true", help="draw no numbers on the needles")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic drive")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the JSON object here, renewed as it goes"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the heat map here (PNG)")


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; exit 0."""
    lengths = sorted(set(args.frames))
    if lengths[0] < _LEAST_FRAMES or lengths[-1] > 1600:
        raise ConfigError(f"--frames: {_LEAST_FRAMES}..1600 expected.")
    if not all(0.0 <= depth <= 1.0 for depth in args.depths) or args.trials < 1 or args.seed < 0:
        raise ConfigError(
            "--depths: 0..1 expected; --trials must be positive, --seed not negative."
        )
    report = _measure(args, lengths)
    if args.picture is not None:
        draw_heat_map(report, args.picture)
    print(json.dumps(report, allow_nan=False) if args.json else "\n".join(table(report)))
    return 0


def _measure(args: argparse.Namespace, lengths: list[int]) -> dict[str, Any]:
    from tqdm import tqdm

    from oryx_scene.atomic_io import write_json
    from oryx_scene.lab.evaluation.needle import Cell, measure, report_of, shortened
    from oryx_scene.model.checkpoint.load import load_answerer

    engine = load_answerer(args.model, device=args.device)
    frames = _haystack(args, lengths[-1])
    cells: list[Cell] = []
    about = {
        "schema": SCHEMA,
        "model": engine.card.name,
        "context_length": engine.card.context_length,
        "source": args.source or f"synthetic drive, seed {args.seed}",
        "compression": args.compression,
        "marks": not args.no_marks,
        "trials": args.trials,
        "too_short_for": [count for count in lengths if count > len(frames)],
    }
    every = [(n, d) for n in lengths if n <= len(frames) for d in args.depths]
    for count, depth in tqdm(every, "cells", disable=not sys.stderr.isatty(), leave=False):
        cells += measure(
            engine,
            shortened(frames, count),
            depth,
            trials=args.trials,
            compression=args.compression,
            marks=not args.no_marks,
        )
        if args.out is not None:
            write_json(args.out, {**about, **report_of(cells)})
    return {**about, **report_of(cells)}


def _haystack(args: argparse.Namespace, count: int) -> list[Frame]:
    import dataclasses

    from oryx_scene.cli.common import open_recording
    from oryx_scene.lab.evaluation.needle import haystack
    from oryx_scene.lab.synth.drive import LIGHT, Drive
    from oryx_scene.lab.synth.drive_source import DriveSource
    from oryx_scene.sources.base import BaseSource

    source: BaseSource
    if args.source is None:
        config = dataclasses.replace(LIGHT, seed=args.seed, seconds=float(count), **_DRIVE)
        source = DriveSource(Drive(config))
    else:
        source = open_recording(args.source)
    return haystack(source, count)


def table(report: dict[str, Any]) -> list[str]:
    """Lines for people: depth down, length across, one block per task."""
    lines = [f"{report['model']}, context {report['context_length']}, in {report['source']}"]
    cells = {(c["task"], c["frames"], c["depth"]): c for c in report["cells"]}
    lengths = sorted({count for _, count, _ in cells})
    for task, means in report["means"].items():
        lines += ["", f"{task:<11}" + "".join(f"{count:>8}" for count in lengths) + "  frames"]
        for depth in sorted({depth for _, _, depth in cells}):
            row = "".join(_share(cells[task, count, depth]) for count in lengths)
            lines.append(f"depth {depth:<5.2f}{row}")
        mean = "".join(
            f"{'-' if means[str(n)] is None else format(means[str(n)], '.2f'):>8}" for n in lengths
        )
        lines.append(f"{'mean':<11}{mean}")
    notes = dict.fromkeys(c["note"] for c in report["cells"] if c["note"])
    lines += [f"not asked: {note}" for note in notes]
    if report["too_short_for"]:
        lines.append(f"the recording is too short for {report['too_short_for']} frames")
    return lines


def _share(cell: dict[str, Any]) -> str:
    return f"{cell['right'] / cell['asked'] if cell['asked'] else float('nan'):>8.2f}"


def draw_heat_map(report: dict[str, Any], picture: Path) -> None:
    """Depth over length, one panel per task; grey where nothing was asked.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot
    except ImportError as err:
        raise MissingExtraError(
            "matplotlib", "train", needed_for="the heat map", cause=str(err)
        ) from err
    cells = report["cells"]
    lengths = sorted({c["frames"] for c in cells})
    depths = sorted({c["depth"] for c in cells})
    figure, axes = pyplot.subplots(
        1, len(report["means"]), figsize=(10, 4), sharey=True, layout="constrained"
    )
    colours = mpl.colormaps["RdYlGn"].with_extremes(bad="0.8")
    for axis, task in zip(axes, report["means"], strict=True):
        share = {
            (c["depth"], c["frames"]): c["right"] / c["asked"] if c["asked"] else float("nan")
            for c in cells
            if c["task"] == task
        }
        grid = [[share[depth, count] for count in lengths] for depth in depths]
        drawn = axis.imshow(grid, vmin=0.0, vmax=1.0, cmap=colours, aspect="auto")
        axis.set_xticks(range(len(lengths)), map(str, lengths))
        axis.set_yticks(range(len(depths)), [f"{depth:g}" for depth in depths])
        axis.set_title(task)
        axis.set_xlabel("frames")
    axes[0].set_ylabel("depth")
    figure.colorbar(drawn, ax=axes, label="share right")
    figure.savefig(picture, dpi=100)
    pyplot.close(figure)
