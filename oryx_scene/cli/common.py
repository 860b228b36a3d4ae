"""Arguments and steps that several commands share: opening a source and freezing a scene."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx_scene.errors import ConfigError
from oryx_scene.warning import Warning

if TYPE_CHECKING:
    from oryx_scene.config import PipelineConfig, SettingsGroup
    from oryx_scene.records import Frame
    from oryx_scene.scene.freeze import MarkFinder
    from oryx_scene.scene.view_selection import CoverageReport
    from oryx_scene.sources.base import BaseSource, FrameSource, FrameStub


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where frames come from and how views are chosen."""
    parser.add_argument("source", help="bag, video, RGB-D folder or pictures (docs/sources.md)")
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="moment asked about: seconds after the first frame, or @SECONDS since the epoch "
        "(default: the newest frame)",
    )
    add_view_arguments(parser)


def add_view_arguments(parser: argparse.ArgumentParser, most_marks: int | None = None) -> None:
    """Declare how views are chosen, placed and marked; for commands with moments of their own.

    ``most_marks`` is what the command takes where neither settings nor arguments say a number, if
    that is not the settings' own default.
    """
    from oryx_scene.config import BudgetConfig, MarksConfig, PipelineConfig, ViewsConfig

    parser.add_argument("--cameras", nargs="+", default=(), metavar="NAME", help="only these")
    add_setting(parser, "--views", ViewsConfig, "count", metavar="N")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="calibration YAML (see calib/)")
    add_setting(parser, "--fixed-frame", PipelineConfig, "fixed_frame", metavar="FRAME")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings YAML")
    add_setting(parser, "--compression", BudgetConfig, "compression")
    parser.add_argument("--no-marks", action="store_true", help="draw no numbers on objects")
    add_max_marks_argument(parser, most_marks or MarksConfig.max_marks)


def add_setting(
    parser: argparse.ArgumentParser, flag: str, group: type[SettingsGroup], name: str, **rest: Any
) -> None:
    """Declare the flag of a setting: its meaning and default are those of `config`."""
    from oryx_scene.config import settings_of

    setting, default = settings_of(group)[name], getattr(group, name)
    kind = {"choices": setting.choices} if setting.choices else {"type": type(default)}
    text = setting.text.rstrip(".").replace("%", "%%")
    parser.add_argument(flag, help=f"{text} (default {default})", **kind, **rest)


def add_max_marks_argument(parser: argparse.ArgumentParser, most: int) -> None:
    """Declare how many objects get a number: None where it is not given, ``most`` is then meant."""
    help_text = f"most numbered objects (default {most})"
    parser.add_argument("--max-marks", type=int, metavar="K", help=help_text)


def add_detections_argument(parser: argparse.ArgumentParser) -> None:
    """Declare where detected objects come from."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--detections",
        type=Path,
        metavar="FILE",
        help="mark what a detector found, with its labels (docs/detections.md)",
    )
    either.add_argument(
        "--detections-topic",
        metavar="TOPIC",
        help="the same from a topic of the bag (vision_msgs/Detection2DArray)",
    )


def finder_from_args(args: argparse.Namespace) -> MarkFinder:
    """How marks are found: from the detections that the arguments name, else from the pictures."""
    from oryx_scene.scene.freeze import find_marks_fresh

    if args.detections_topic is not None:
        from oryx_scene.marks.detections.topic import read_detection_topic

        return read_detection_topic(args.source, args.detections_topic).find
    if args.detections is None:
        return find_marks_fresh
    from oryx_scene.marks.detections.records import load_detections
    from oryx_scene.marks.detections.route import detection_finder

    return detection_finder(load_detections(args.detections))


def config_from_args(args: argparse.Namespace) -> PipelineConfig:
    """Settings file first, then the options given on the command line."""
    from oryx_scene.config import (
        PipelineConfig,
        config_as_dict,
        config_from_dict,
        load_config,
    )

    config = load_config(args.config) if args.config is not None else PipelineConfig()
    values = config_as_dict(config)
    given = {
        ("views", "count"): args.views,
        ("budget", "compression"): args.compression,
        ("budget", "deadline_s"): getattr(args, "deadline", None),
        ("marks", "max_marks"): args.max_marks,
        ("marks", "enabled"): False if args.no_marks else None,
    }
    for (group, name), value in given.items():
        if value is not None:
            values[group][name] = value
    if args.fixed_frame is not None:
        values["fixed_frame"] = args.fixed_frame
    return config_from_dict(values)


def picture_size(text: str) -> tuple[int, int]:
    """(width, height) of "640x480".

    Raises:
        ConfigError: something else.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ConfigError(f"--size '{text}' is no size.", hint="e.g. --size 640x480")
    return int(width), int(height)


def open_recording(
    path: str | Path,
    *,
    rig: Path | None = None,
    fixed_frame: str = "map",
    cameras: Sequence[str] = (),
) -> BaseSource:
    """`open_source` for commands: opens rendered drives (`room --drive`) and memories too.

    Raises:
        SourceError, CalibrationError: as `open_source`.
    """
    from oryx_scene.lab.synth import drive_source
    from oryx_scene.memory import source as memory_source
    from oryx_scene.sources.registry import open_source, register_kind

    register_kind(drive_source.KIND)
    register_kind(memory_source.KIND)
    return open_source(path, rig=rig, fixed_frame=fixed_frame, cameras=cameras)


def open_from_args(args: argparse.Namespace, config: PipelineConfig) -> FrameSource:
    """Open the source that the arguments name."""
    return open_recording(
        args.source,
        rig=args.rig,
        fixed_frame=config.fixed_frame,
        cameras=tuple(args.cameras),
    )


def moment_ns(text: str | None, source: FrameSource) -> int:
    """As :func:`oryx_scene.scene.frame_selection.moment_at`."""
    from oryx_scene.scene.frame_selection import moment_at

    return moment_at(text, source)


def every_ns(period_s: float, source: FrameSource) -> list[int]:
    """Moments every ``period_s`` seconds, from the first frame to the last."""
    stamps = [stub.stamp_ns for stub in source.stubs()]
    return list(range(min(stamps), max(stamps) + 1, max(1, round(period_s * 1e9))))


def progress_bar(stubs: Sequence[FrameStub]) -> Iterable[FrameStub]:
    """Show progress on a terminal only."""
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    bar: Iterable[FrameStub] = tqdm(stubs, "reading", unit="frame", disable=quiet, leave=False)
    return bar


@dataclasses.dataclass(frozen=True)
class FoundFrames:
    """The frames that a command line asks about.

    Attributes:
        frames: decoded in full, at least one.
        now_ns: the asked moment in the source's own clock.
        warnings: of the source and of frames left out.
        synthetic: the source says that it was rendered, not recorded.
        choice: how the views were chosen.
    """

    frames: list[Frame]
    now_ns: int
    warnings: tuple[Warning, ...]
    synthetic: bool
    choice: CoverageReport


def frames_from_args(args: argparse.Namespace, config: PipelineConfig) -> FoundFrames:
    """Open the source, choose views at the asked moment and decode them."""
    from oryx_scene.scene.frame_selection import frames_at

    source = open_from_args(args, config)
    now_ns = moment_ns(args.at, source)
    frames, warnings, choice = frames_at(source, now_ns, config.views, progress_bar)
    return FoundFrames(frames, now_ns, (*source.warnings, *warnings), source.synthetic, choice)


def print_warnings(warnings: Iterable[Warning], indent: str = "") -> None:
    """One line each on stderr: severity, code, where and what."""
    for item in warnings:
        print(f"{indent}{item.severity} [{item.code}]: {item}", file=sys.stderr)
