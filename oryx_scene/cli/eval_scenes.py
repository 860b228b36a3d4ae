"""`oryx-scene eval scenes`: how right the answers are, on scenes whose truth is known."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oryx_scene.lab.evaluation.scene_runs import Done, WorkUnit

HELP = "Judge answers on unseen synthetic rooms, by type of question, with own marks."
# Scenes of an evaluation are numbered from here on; demo and tests count from 0.
FIRST_SEED = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the task's arguments."""
    from oryx_scene.cli.common import add_max_marks_argument
    from oryx_scene.config import MarksConfig

    parser.add_argument("--model", default="default", metavar="DIR_OR_ID")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda where there is one)")
    parser.add_argument("--scenes", type=int, default=100, metavar="N", help="default 100")
    parser.add_argument(
        "--first", type=int, default=FIRST_SEED, metavar="SEED", help=f"default {FIRST_SEED}"
    )
    parser.add_argument("--split", choices=("test", "combinations"), default="test")
    parser.add_argument(
        "--rig", default="mixed", help="ring surround handheld stereo, mast, or mixed: the first 4"
    )
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--size", default="256x192", metavar="WxH")
    parser.add_argument("--compression", choices=("1", "4", "16"), default="4")
    add_max_marks_argument(parser, MarksConfig.max_marks)
    parser.add_argument("--kinds", nargs="+", metavar="TYPE", help="of questions (default all)")
    parser.add_argument(
        "--beside",
        nargs="*",
        default=(),
        metavar="NAME",
        help="the same questions under other conditions: no_pictures no_marks no_facts scored",
    )
    parser.add_argument(
        "--settings",
        nargs="*",
        default=(),
        metavar="NAME",
        help="other frames: compression_1 compression_16 half_size double_size views_1 views_2 "
        "views_8 views_16 combinations unseen_rig",
    )
    parser.add_argument("--all", action="store_true", help="every condition and setting")
    parser.add_argument(
        "--setting-scenes", type=int, metavar="N", help="per setting (default: as --scenes)"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default 1)")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="begin nothing new after M minutes"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the JSON object here, renewed as it goes"
    )
    parser.add_argument(
        "--card", type=Path, metavar="FOLDER", help="write README.md into this checkpoint folder"
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="FOLDER",
        help="write answer_calibration.json there, fitted on half of the scored answers",
    )
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="take an earlier JSON object, ask nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Ask, judge, print the tables."""
    from oryx_scene.atomic_io import write_json
    from oryx_scene.errors import ConfigError
    from oryx_scene.lab.evaluation.model_card import write_calibration, write_card
    from oryx_scene.lab.evaluation.scene_report import tables

    if args.scenes < 1 or args.workers < 1 or (args.setting_scenes or 1) < 1:
        raise ConfigError("--scenes, --setting-scenes and --workers must be at least 1.")
    report = _read(args.read) if args.read is not None else _run(args)
    if args.out is not None:
        write_json(args.out, report)
    if args.card is not None:
        print(f"{write_card(args.card, report)}: written", file=sys.stderr)
    if args.calibrate is not None:
        print(f"{write_calibration(args.calibrate, report)}: written", file=sys.stderr)
    print(json.dumps(report) if args.json else "\n".join(tables(report)))
    return 0


def _read(path: Path) -> dict[str, Any]:
    from oryx_scene.errors import ConfigError
    from oryx_scene.lab.evaluation.scene_report import SCHEMA

    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise ConfigError(f"cannot read {path} ({' '.join(str(err).split())}).") from err
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        raise ConfigError(f"{path} is no {SCHEMA}.", hint="give what --out wrote")
    return report


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from oryx_scene.atomic_io import write_json
    from oryx_scene.errors import ConfigError
    from oryx_scene.lab.evaluation.scene_report import as_report
    from oryx_scene.lab.evaluation.scene_runs import run_pieces
    from oryx_scene.model.checkpoint.load import find_folder

    if args.model != "random":
        find_folder(args.model)  # said before processes are made
    pieces = _pieces(args)
    about = _about(args)
    total = len(pieces)
    finished = [0]

    def tell(done: Done) -> None:
        finished[0] += 1
        if finished[0] % 10 and finished[0] < total:
            return
        scenes = sum(done.scenes.get(name, 0) for name in {piece.name for piece in pieces})
        rate = scenes / max(done.seconds, 1e-9)
        print(
            f"{finished[0]} of {total} pieces, {scenes} scenes in {done.seconds:.0f} s "
            f"({rate:.2f} scenes/s)",
            file=sys.stderr,
        )
        if args.out is not None:
            write_json(args.out, as_report(done, about))

    limit = float("inf") if args.minutes is None else 60.0 * args.minutes
    done = run_pieces(
        args.model,
        pieces,
        workers=args.workers,
        device=args.device,
        seconds=limit,
        said_to=tell,
    )
    if "plain" not in done.scores:
        raise ConfigError("nothing was finished.", hint="allow more --minutes")
    return as_report(done, about)


def _pieces(args: argparse.Namespace) -> list[WorkUnit]:
    """What the arguments ask for, all settings in turn."""
    from oryx_scene.cli.common import picture_size
    from oryx_scene.config import MarksConfig
    from oryx_scene.lab.evaluation.scene_runs import cut, in_turn
    from oryx_scene.lab.evaluation.scene_settings import BESIDE, PLAIN, SETTINGS, specs_of
    from oryx_scene.lab.synth.questions import KINDS
    from oryx_scene.lab.synth.scenes import SceneSpec

    width, height = picture_size(args.size)
    beside = list(BESIDE) if args.all else _known("--beside", args.beside, list(BESIDE))
    settings = list(SETTINGS) if args.all else _known("--settings", args.settings, list(SETTINGS))
    kinds = _known("--kinds", args.kinds or KINDS, list(KINDS))
    plain = SceneSpec(0, args.split, "ring", args.views, height, width, args.compression)
    if args.max_marks is not None:
        marking = MarksConfig(max_marks=args.max_marks)
        plain = dataclasses.replace(plain, max_marks=marking.max_marks)
    specs = specs_of(plain, args.rig, range(args.first, args.first + args.scenes))
    groups = [cut(PLAIN.name, specs, [PLAIN, *(BESIDE[name] for name in beside)], kinds)]
    fewer = specs[: args.setting_scenes]
    groups += [
        cut(name, [SETTINGS[name].spec(spec) for spec in fewer], [PLAIN], kinds)
        for name in settings
    ]
    return in_turn(groups)


def _known(option: str, names: Any, known: list[str]) -> list[str]:
    from oryx_scene.errors import ConfigError

    for name in names:
        if name not in known:
            raise ConfigError(f"{option}: there is no '{name}'.", hint=f"known: {', '.join(known)}")
    return [name for name in known if name in names]


def _about(args: argparse.Namespace) -> dict[str, Any]:
    """What was judged, where, when and how it was asked for."""
    import datetime
    import os

    from oryx_scene import __version__
    from oryx_scene.model.engine.rates import cpu_name

    words = ["oryx-scene", "eval", "scenes"]
    words += [f"--{name.replace('_', '-')} {value}" for name, value in _told(args)]
    return {
        "command": " ".join(words),
        "software_version": __version__,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": f"{cpu_name()}, {os.cpu_count()} cores",
        "workers": args.workers,
        "first_seed": args.first,
        "rig": args.rig,
    }


def _told(args: argparse.Namespace) -> list[tuple[str, str]]:
    """The options that decide what is asked, as typed."""
    frames = ("split", "rig", "views", "size", "compression", "max_marks")
    names = ("scenes", "first", *frames, "setting_scenes")
    found = [(name, str(getattr(args, name))) for name in names if getattr(args, name) is not None]
    for name in ("kinds", "beside", "settings"):
        if getattr(args, name):
            found.append((name, " ".join(getattr(args, name))))
    return [*found, ("all", "")] if args.all else found
