"""`oryx-scene check`: one screen that says what is there, what is missing, and what to do."""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

HELP = "Say what a recording holds, what is missing, and what to do about it."

SCREEN_LINES = 24
NO_BREAK = "\u00a0"
WIDTH = 96
_MOST_CAMERAS = 6
_SEVERITIES = ("problem", "warning", "note")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", help="bag, video, RGB-D folder, or pictures (docs/sources.md)")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="calibration YAML (see calib/)")
    parser.add_argument("--fixed-frame", default="map", metavar="FRAME")
    parser.add_argument("--json", action="store_true", help="print all of it as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Exit 0 if nothing prevents answers with 3D places, 1 if something does."""
    from oryx_scene.cli.common import open_recording
    from oryx_scene.cli.output import printable
    from oryx_scene.sources.check import check_source

    source = open_recording(args.source, rig=args.rig, fixed_frame=args.fixed_frame)
    report = check_source(source, args.source)
    if args.json:
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        print(printable("\n".join(screen(report))))
    return 0 if report["ok"] else 1


def screen(report: dict[str, Any]) -> list[str]:
    """The report in at most :data:`SCREEN_LINES` lines, what is worst first."""
    cameras = report["cameras"]
    lines = [textwrap.shorten(report["source"], WIDTH, placeholder=" ...")]
    shown = cameras if len(cameras) <= _MOST_CAMERAS else cameras[: _MOST_CAMERAS - 1]
    for camera in shown:
        lines += _camera_lines(camera, brief=len(cameras) > 2)
    if len(shown) < len(cameras):
        frames = sum(camera["frames"] for camera in cameras[len(shown) :])
        lines.append(
            f"... and {len(cameras) - len(shown)} more cameras with {frames} frames (--json)"
        )
    if report["sync_skew_s"] is not None:
        within = f"{1000 * report['sync_skew_s']:.1f} ms"
        lines.append(f"cameras lie within {within} of each other (95 %)")
    verdict = _verdict(report)
    room = SCREEN_LINES - len(lines) - len(verdict)
    return [*lines, *_finding_lines(report["findings"], room), *verdict]


def _camera_lines(camera: dict[str, Any], *, brief: bool) -> list[str]:
    seconds = (camera["last_stamp_ns"] - camera["first_stamp_ns"]) / 1e9
    frames = "1 frame" if camera["frames"] == 1 else f"{camera['frames']} frames"
    rate = f" over {seconds:.2f} s, {camera['rate_hz']:.1f} Hz" if camera["rate_hz"] else ""
    if "encoding" not in camera:
        what = [f"{frames}{rate}", "no frame looked at can be decoded"]
    else:
        picture = f"{camera['width']}x{camera['height']} {camera['encoding']}"
        what = [f"{frames}{rate}", picture, _matrix(camera), _depth(camera), _pose(camera)]
    head = f"camera {camera['name']}"
    if brief:
        return [textwrap.shorten(f"{head}: {'; '.join(what)}", WIDTH, placeholder=" ...")]
    # Lines break between the parts, not within one.
    joined = "; ".join(part.replace(" ", NO_BREAK) for part in what)
    wrapped = textwrap.wrap(joined, WIDTH, initial_indent="  ", subsequent_indent="  ", max_lines=2)
    body = [line.replace(NO_BREAK, " ") for line in wrapped]
    title = f"{head}  ({camera['topic']}, frame_id '{camera.get('frame_id', '')}')"
    return [textwrap.shorten(title, WIDTH, placeholder=" ..."), *body]


def _matrix(camera: dict[str, Any]) -> str:
    if camera["fx"] is None:
        return "no calibration"
    return (
        f"fx {camera['fx']:.1f} fy {camera['fy']:.1f} px, distortion {camera['distortion_model']}"
    )


def _depth(camera: dict[str, Any]) -> str:
    if not camera["depth"]:
        return "no depth"
    median = camera["depth_median_m"]
    known = f"depth over the picture {100 * camera['depth_known_share']:.0f} % known"
    return known if median is None else f"{known}, median {median:.2f} m"


def _pose(camera: dict[str, Any]) -> str:
    return f"pose in '{camera['fixed_frame']}'" if camera["fixed_frame"] else "no pose"


def _finding_lines(findings: list[dict[str, Any]], room: int) -> list[str]:
    """Findings of one code together, worst first; what finds no room is counted."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for finding in sorted(findings, key=lambda item: _SEVERITIES.index(item["severity"])):
        groups.setdefault(finding["code"], []).append(finding)
    lines: list[str] = []
    left = list(groups.values())
    while left:
        block = _group_lines(left[0])
        last = len(left) == 1
        if len(lines) + len(block) + (0 if last else 1) > room:
            counts = [sum(g[0]["severity"] == s for g in left) for s in _SEVERITIES]
            said = ", ".join(
                f"{count} {name}{'s' if count > 1 else ''}"
                for count, name in zip(counts, _SEVERITIES, strict=True)
                if count
            )
            return [*lines, f"... and {said} of other kinds (--json)"][:room]
        lines += block
        left.pop(0)
    return lines


def _group_lines(group: list[dict[str, Any]]) -> list[str]:
    first = group[0]
    cameras = list(dict.fromkeys(item["camera"] for item in group if item.get("camera")))
    where = first.get("camera") or first.get("topic", "")
    if len(cameras) > 1:
        where = f"{cameras[0]} and {len(cameras) - 1} more cameras"
    more = f" (and {len(group) - 1} more)" if len(group) > max(1, len(cameras)) else ""
    text = f"{where}: {first['text']}" if where else first["text"]
    head = "PROBLEM" if first["severity"] == "problem" else first["severity"]
    return textwrap.wrap(
        f"{text}{more} -> {first['advice']} [{first['code']}]",
        WIDTH,
        initial_indent=f"{head:9}",
        subsequent_indent=" " * 9,
        max_lines=4,
        break_on_hyphens=False,
    )


def _verdict(report: dict[str, Any]) -> list[str]:
    if report["complete"]:
        return ["all is there: calibration, pose, depth and time"]
    total = len(report["cameras"])
    lacking = []
    for part, names in report["missing"].items():
        some = f" of {names[0]}" if len(names) == 1 else f" of {len(names)} of {total} cameras"
        lacking.append(part + ("" if len(names) == total else some))
    head = "no problem found" if report["ok"] else "answers will lack what the problems name"
    text = f"{head}; not there: {', '.join(lacking)}" if lacking else head
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", max_lines=2)
