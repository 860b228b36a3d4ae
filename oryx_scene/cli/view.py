"""`oryx-scene view`: look at a recording or an answer, in a window or in pictures."""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oryx_scene.records import RgbImage
    from oryx_scene.view.contact_sheet import SheetConfig
    from oryx_scene.view.step import Step, StepSequence

HELP = "Look at a recording or an answer in 3D: in a window, or as pictures without a display."
ANIMATIONS = (".gif", ".mp4")
PICTURES = (".png", ".jpg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from oryx_scene.cli.common import add_view_arguments
    from oryx_scene.view.controls import help_lines
    from oryx_scene.view.headless import RENDERERS
    from oryx_scene.view.shapes import LAYERS

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "keys and mouse of the window:\n  " + "\n  ".join(help_lines())
    parser.add_argument(
        "source",
        metavar="SOURCE_OR_ANSWER",
        help="bag, posed RGB-D folder, a dumped question, or what replay, batch, ask or marks "
        "wrote with --out",
    )
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--at",
        nargs="+",
        default=(),
        metavar="TIME",
        help="moments of a recording: seconds after the first frame, or @SECONDS since the epoch "
        "(default: the newest frame)",
    )
    when.add_argument("--every", type=float, metavar="S", help="a moment every S seconds")
    parser.add_argument(
        "--step", default="1", metavar="N", help="which moment or answer, from 1 on; or 'all'"
    )
    add_view_arguments(parser)
    pictures = parser.add_argument_group("pictures (no window, no display, no GPU)")
    pictures.add_argument(
        "--png", type=Path, metavar="FILE", help="write the scene from --from; .png, or .jpg"
    )
    pictures.add_argument(
        "--from",
        dest="viewpoints",
        nargs="+",
        default=["free"],
        metavar="VIEWPOINT",
        help="free, front, top, camera:NAME; several give FILE-VIEWPOINT.png each",
    )
    pictures.add_argument("--orbit", type=Path, metavar="FILE", help="once around, .gif or .mp4")
    pictures.add_argument("--frames", type=int, default=36, metavar="N", help="of the orbit")
    pictures.add_argument("--show-views", action="store_true", help="marked views below the scene")
    pictures.add_argument("--no-words", action="store_true", help="no question and answer below")
    pictures.add_argument("--renderer", choices=RENDERERS, default="auto")
    parser.add_argument("--size", default="1280x720", metavar="WxH", help="pixels of the 3D part")
    parser.add_argument(
        "--layers", nargs="+", choices=LAYERS, default=LAYERS, metavar="LAYER", help=_all_layers()
    )
    parser.add_argument("--voxel", type=float, default=0.02, metavar="M", help="of the cloud")
    parser.add_argument("--rrd", type=Path, metavar="FILE", help="write a rerun log of all steps")


def _all_layers() -> str:
    from oryx_scene.view.shapes import LAYERS

    return f"only these of: {', '.join(LAYERS)}"


def run(args: argparse.Namespace) -> int:
    """Open the window, or write what was asked for."""
    config = _sheet_config(args)
    story = _story(args)
    steps = _steps(args.step, len(story))
    if args.png is None and args.orbit is None and args.rrd is None:
        return _window(args, story, steps[0], config)
    if args.png is not None:
        _write_pictures(args, story, steps, config)
    if args.orbit is not None:
        _write_orbits(args, story, steps, config)
    if args.rrd is not None:
        from oryx_scene.view.rerun_log import write_rerun

        write_rerun(story, args.rrd)
        print(f"{args.rrd}: {len(story)} steps")
    return 0


def _sheet_config(args: argparse.Namespace) -> SheetConfig:
    from oryx_scene.errors import ConfigError
    from oryx_scene.view.contact_sheet import SheetConfig

    width, _, height = args.size.partition("x")
    if not (width.isdigit() and height.isdigit()) or not (
        64 <= int(width) <= 7680 and 64 <= int(height) <= 4320
    ):
        raise ConfigError(f"--size '{args.size}'.", hint="WIDTHxHEIGHT, e.g. --size 1280x720")
    if args.orbit is not None and args.orbit.suffix not in ANIMATIONS:
        raise ConfigError(f"--orbit '{args.orbit}'.", hint="a name that ends in .gif or .mp4")
    if args.png is not None and args.png.suffix not in PICTURES:
        raise ConfigError(f"--png '{args.png}'.", hint="a name that ends in .png or .jpg")
    if not 2 <= args.frames <= 720:
        raise ConfigError(f"--frames is {args.frames}; it must lie between 2 and 720.")
    if args.every is not None and not args.every > 0:
        raise ConfigError(f"--every is {args.every}; it must be above 0 seconds.")
    return SheetConfig(
        height=int(height),
        width=int(width),
        layers=frozenset(args.layers),
        renderer=args.renderer,
        words=not args.no_words,
        views=args.show_views,
    )


def _story(args: argparse.Namespace) -> StepSequence:
    from oryx_scene.batch.folder import is_batch_folder
    from oryx_scene.batch.steps import BatchStory
    from oryx_scene.replay.journal import is_replay_folder
    from oryx_scene.replay.steps import ReplayStory
    from oryx_scene.view.dump_folders import DumpStory, dump_folders
    from oryx_scene.view.result_folders import KeptStory, is_kept_folder

    path = Path(args.source)
    if is_replay_folder(path):
        return ReplayStory(path)
    if is_batch_folder(path):
        return BatchStory(path)
    if is_kept_folder(path):
        return KeptStory(path)
    dumps = dump_folders(path)
    if dumps:
        return DumpStory(dumps, voxel_m=args.voxel)
    return _recording(args)


def _recording(args: argparse.Namespace) -> StepSequence:
    from oryx_scene.cli.common import (
        config_from_args,
        every_ns,
        moment_ns,
        open_from_args,
        progress_bar,
    )
    from oryx_scene.view.recording import RecordingStory

    config = config_from_args(args)
    source = open_from_args(args, config)
    moments = [moment_ns(text, source) for text in args.at] or [moment_ns(None, source)]
    if args.every is not None:
        moments = every_ns(args.every, source)
    return RecordingStory(source, moments, config, voxel_m=args.voxel, progress=progress_bar)


def _steps(text: str, count: int) -> range:
    from oryx_scene.errors import ConfigError

    if text == "all":
        return range(count)
    if not text.isdigit() or not 1 <= int(text) <= count:
        raise ConfigError(f"--step '{text}'; there are {count}.", hint="a number from 1 on, or all")
    return range(int(text) - 1, int(text))


def _named(path: Path, *parts: str) -> Path:
    """``path`` with ``parts`` before its suffix; "camera:front@1" is written camera-front-1."""
    plain = "-".join("".join(c if c.isalnum() else "-" for c in part) for part in parts if part)
    return path.with_name(f"{path.stem}-{plain}{path.suffix}") if plain else path


def _write_pictures(
    args: argparse.Namespace, story: StepSequence, steps: range, config: SheetConfig
) -> None:
    from oryx_scene.cli.common import print_warnings
    from oryx_scene.view.contact_sheet import draw_sheets

    for index in steps:
        number = f"{index + 1:03d}" if len(steps) > 1 else ""
        step = story[index]
        drawn = draw_sheets(step, args.viewpoints, config)
        several = len(drawn.images) > 1
        for name, image in zip(args.viewpoints, drawn.images, strict=False):
            path = _named(args.png, number, name if several else "")
            _write_picture(path, image)
            print(f"{path}: {step.title}, drawn by {drawn.renderer}")
        print_warnings(drawn.warnings)


def _write_orbits(
    args: argparse.Namespace, story: StepSequence, steps: range, config: SheetConfig
) -> None:
    from oryx_scene.atomic_io import write_bytes
    from oryx_scene.cli.common import print_warnings
    from oryx_scene.view.contact_sheet import draw_orbit
    from oryx_scene.view.headless import animation_bytes

    for index in steps:
        path = _named(args.orbit, f"{index + 1:03d}" if len(steps) > 1 else "")
        drawn = draw_orbit(story[index], args.frames, config)
        write_bytes(path, animation_bytes(drawn.images, path.suffix))
        print(f"{path}: {args.frames} pictures, drawn by {drawn.renderer}")
        print_warnings(drawn.warnings)


def _write_picture(path: Path, image: RgbImage) -> None:
    from oryx_scene.atomic_io import png_bytes, write_bytes
    from oryx_scene.view.snapshot_file import jpeg_bytes

    write_bytes(path, png_bytes(image) if path.suffix == ".png" else jpeg_bytes(image))


def _display_problem() -> str:
    """Why no window can be opened; "" where one can, as far as one can tell beforehand."""
    if sys.platform != "linux" or "WAYLAND_DISPLAY" in os.environ:
        return ""
    name = os.environ.get("DISPLAY", "")
    if not name:
        return "there is no display."
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return ""  # loading Open3D says which package is missing
    x11.XOpenDisplay.restype = ctypes.c_void_p
    display = x11.XOpenDisplay(name.encode())
    if not display:
        return f"the display '{name}' cannot be opened."
    x11.XCloseDisplay(ctypes.c_void_p(display))
    return ""


def _window(args: argparse.Namespace, story: StepSequence, first: int, config: SheetConfig) -> int:
    from oryx_scene.cli.output import printable
    from oryx_scene.errors import EngineError
    from oryx_scene.view.controls import Look
    from oryx_scene.view.window import SceneWindow

    # Without a display Open3D would draw into an invisible window for ever.
    problem = _display_problem()
    if problem:
        raise EngineError(problem, hint="--png FILE draws without one")
    saved: list[Path] = []

    def save(image: RgbImage, step: Step) -> str:
        number = len(saved) + 1
        while (path := Path(f"oryx_scene_{number:03d}.png")).exists():
            number += 1
        _write_picture(path, image)
        saved.append(path)
        return f"{path} ({step.title})"

    window = SceneWindow(
        story,
        look=Look(step=first, layers=config.layers, viewpoint=args.viewpoints[0]),
        size=(config.height, config.width),
        save=save,
        say=lambda text: print(printable(text), flush=True),
    )
    window.run()
    return 0
