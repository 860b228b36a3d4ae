"""`oryx-scene changed`: what appeared, disappeared or moved between two moments; no model."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from oryx_scene.errors import ConfigError
from oryx_scene.warning import Warning

if TYPE_CHECKING:
    from oryx_scene.config import PipelineConfig
    from oryx_scene.marks.change.changed import SceneChanges
    from oryx_scene.records import Mark
    from oryx_scene.scene.freeze import Scene
    from oryx_scene.sources.base import FrameSource

HELP = "Say what appeared, disappeared or moved between two moments; no model is loaded."
SCHEMA = "oryx_scene/changed/2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from oryx_scene.cli.common import add_view_arguments
    from oryx_scene.config import COMPARED_MARKS

    parser.add_argument("source", help="bag (rosbag2, ROS 1) or posed RGB-D folder")
    times = "seconds after the first frame, or @SECONDS since the epoch"
    parser.add_argument("--from", dest="earlier", required=True, metavar="T1", help=times)
    parser.add_argument("--to", dest="later", metavar="T2", help=f"{times} (default: newest)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_view_arguments(parser, most_marks=COMPARED_MARKS)


def run(args: argparse.Namespace) -> int:
    """Freeze both moments and print the difference."""
    from oryx_scene.cli.common import config_from_args, moment_ns, open_from_args
    from oryx_scene.config import COMPARED_MARKS
    from oryx_scene.marks.change.changed import what_changed

    if args.no_marks:
        raise ConfigError("--no-marks leaves nothing to compare.")
    config = config_from_args(args)
    if args.max_marks is None:
        most = max(COMPARED_MARKS, config.marks.max_marks)
        marks = dataclasses.replace(config.marks, max_marks=most)
        config = dataclasses.replace(config, marks=marks)
    source = open_from_args(args, config)
    earlier_ns, later_ns = moment_ns(args.earlier, source), moment_ns(args.later, source)
    if later_ns <= earlier_ns:
        raise ConfigError(
            f"--to ({later_ns / 1e9:.3f} s) must be later than --from ({earlier_ns / 1e9:.3f} s)."
        )
    before = _freeze(source, earlier_ns, config)
    # The later scene must not rest on pictures from before the earlier moment.
    gap_s = (later_ns - earlier_ns - 1) / 1e9
    fresh = dataclasses.replace(config.views, history_s=min(config.views.history_s, gap_s))
    after = _freeze(source, later_ns, dataclasses.replace(config, views=fresh))
    changes = what_changed(before.views, before.marks, after.views, after.marks)
    described = changes_to_dict(changes, before, after)
    if args.json:
        print(json.dumps(described, indent=2, sort_keys=True, allow_nan=False))
    else:
        _print(changes, [*before.warnings, *after.warnings, *changes.warnings])
    return 0


def _freeze(source: FrameSource, now_ns: int, config: PipelineConfig) -> Scene:
    from oryx_scene.cli.common import progress_bar
    from oryx_scene.scene.frame_selection import frames_at
    from oryx_scene.scene.freeze import NO_MODEL, freeze_scene

    frames, warnings, choice = frames_at(source, now_ns, config.views, progress_bar)
    return freeze_scene(
        frames,
        now_ns,
        config,
        NO_MODEL,
        warnings=(*source.warnings, *warnings),
        synthetic=source.synthetic,
        choice=choice,
    )


def changes_to_dict(changes: SceneChanges, before: Scene, after: Scene) -> dict[str, Any]:
    """The documented JSON object of `oryx-scene changed` (docs/relations.md)."""
    from oryx_scene.qa.answer_json import to_plain

    warnings = [item for scene in (before, after) for item in scene.warnings]
    return {
        "schema": SCHEMA,
        "changed": changes.changed,
        "before": {"scene_id": before.scene_id, "stamp_ns": before.frozen_ns},
        "after": {"scene_id": after.scene_id, "stamp_ns": after.frozen_ns},
        "frame_id": after.frame_id or before.frame_id,
        **to_plain(changes),
        "warnings": to_plain([*warnings, *changes.warnings]),
    }


def _print(changes: SceneChanges, warnings: list[Warning]) -> None:
    from oryx_scene.cli.common import print_warnings

    for mark in changes.appeared:
        print(f"appeared:    {_named(mark)}  now at {_place(mark)}")
    for mark in changes.disappeared:
        print(f"disappeared: {_named(mark)}  was at {_place(mark)}")
    for item in changes.moved:
        print(
            f"moved:       {_named(item.before)} -> {_named(item.after)}  "
            f"{item.distance_m:.2f} m (std {item.std_m:.2f}), now at {_place(item.after)}"
        )
    if not changes.changed:
        print("nothing is known to have changed")
    print(f"unchanged: {len(changes.stayed)} objects")
    for reason, count in changes.unknown.items():
        print(f"unknown: {count} ({reason})")
    print_warnings(warnings)


def _named(mark: Mark) -> str:
    return f"mark {mark.number}" + (f" ({mark.label})" if mark.label else "")


def _place(mark: Mark) -> str:
    if mark.position is None:
        return "an unknown place"
    return "x {:.2f} y {:.2f} z {:.2f} m".format(*mark.position)
