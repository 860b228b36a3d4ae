"""What a source holds, what is missing, and what to do about it: the data of `oryx-scene check`.

Nothing is printed here. Every stub is looked at, and three frames of every camera are decoded.
Findings are warnings (``oryx_scene.warning``): severity and advice belong to their codes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from oryx_scene.errors import OryxSceneError
from oryx_scene.geometry.camera import doubts
from oryx_scene.records import Frame
from oryx_scene.sources.base import FrameSource, FrameStub
from oryx_scene.warning import Warning

SCHEMA = "oryx_scene/check/2"
# Header stamps and recording times of one camera may differ by this much before it is said.
CLOCK_LIMIT_S = 1.0
# A gap of more than this many usual ones is said.
GAP_FACTOR = 3.0
SKEW_LIMIT_S = 0.05
PARTS = ("calibration", "pose", "depth", "time")
# With one of these, stamps are not the capture times of frames.
_TIMELESS = frozenset({"no_stamps", "picture_without_stamp"})


def check_source(source: FrameSource, path: str | Path) -> dict[str, Any]:
    """Look at every stub and at the first, middle and last frame of every camera.

    Returns:
        the documented object of `oryx-scene check --json` (docs/sources.md): ``missing`` maps what
        an answer with 3D places rests on to the cameras that lack it in a frame looked at; "ok" is
        false where a finding is a problem; "complete" is true where besides nothing is missing.
    """
    findings = list(source.warnings)
    by_camera: dict[str, list[FrameStub]] = {name: [] for name in source.cameras}
    for stub in source.stubs():
        by_camera[stub.camera].append(stub)
    missing: dict[str, list[str]] = {part: [] for part in PARTS}
    cameras = []
    for name in sorted(by_camera):
        described, lacking, said = _camera(source, name, by_camera[name])
        cameras.append(described)
        findings += said
        for part in lacking:
            missing[part].append(name)
    skew = None
    if source.counted or not _TIMELESS.isdisjoint(item.code for item in source.warnings):
        missing["time"] = sorted(by_camera)
    if not source.counted:
        findings += _compare_clocks(by_camera)
        skew = _skew(by_camera)
    if skew is not None and skew > SKEW_LIMIT_S:
        text = f"frames of different cameras are up to {skew * 1000:.0f} ms apart"
        findings.append(Warning("cameras_apart", text))
    findings = list(dict.fromkeys(findings))
    ok = not any(item.severity == "problem" for item in findings)
    return {
        "schema": SCHEMA,
        "source": str(path),
        "synthetic": source.synthetic,
        "cameras": cameras,
        "sync_skew_s": skew,
        "findings": [asdict(item) for item in findings],
        "missing": {part: names for part, names in missing.items() if names},
        "ok": ok,
        "complete": ok and not any(missing.values()),
    }


def _camera(
    source: FrameSource, name: str, stubs: list[FrameStub]
) -> tuple[dict[str, Any], list[str], list[Warning]]:
    """One camera described; what it lacks in a frame looked at; what is to be said."""
    findings = [] if source.counted else _check_stamps(name, stubs)
    described = _timing(name, stubs, counted=source.counted)
    frames = []
    for index in sorted({0, len(stubs) // 2, len(stubs) - 1}):
        try:
            frames.append(source.load(stubs[index]))
        except OryxSceneError as err:
            findings.append(Warning("frame_unreadable", err.message, camera=name, advice=err.hint))
    for frame in frames:
        findings += [replace(item, camera=item.camera or name) for item in frame.warnings]
        findings += _check_frame(frame)
    if not frames:
        text = "none of the frames looked at can be decoded"
        return described, list(PARTS[:3]), [*findings, Warning("no_frame", text, camera=name)]
    described |= _describe(frames)
    findings += _check_change(frames)
    there = {
        "calibration": all(frame.intrinsics is not None for frame in frames),
        "pose": all(frame.T_fixed_camera is not None for frame in frames),
        "depth": all(frame.depth is not None for frame in frames),
    }
    return described, [part for part, found in there.items() if not found], findings


def _timing(name: str, stubs: Sequence[FrameStub], *, counted: bool) -> dict[str, Any]:
    stamps = np.array([stub.stamp_ns for stub in stubs], dtype=np.int64)
    gaps = np.diff(np.sort(stamps)) / 1e9
    typical = float(np.median(gaps)) if gaps.size and not counted else 0.0
    return {
        "name": name,
        "topic": stubs[0].topic,
        "frames": len(stubs),
        "first_stamp_ns": int(stamps.min()),
        "last_stamp_ns": int(stamps.max()),
        "rate_hz": 1.0 / typical if typical > 0 else None,
        "longest_gap_s": float(gaps.max()) if gaps.size else None,
    }


def _check_stamps(name: str, stubs: list[FrameStub]) -> list[Warning]:
    findings = []
    gaps = np.diff(np.sort(np.array([stub.stamp_ns for stub in stubs], dtype=np.int64)))
    typical = float(np.median(gaps)) if gaps.size else 0.0
    if gaps.size > 2 and typical > 0 and gaps.max() > GAP_FACTOR * typical:
        many = int(np.count_nonzero(gaps > np.float64(GAP_FACTOR * typical)))
        counted = "a gap" if many == 1 else f"{many} gaps, the longest"
        text = f"{counted} of {gaps.max() / 1e9:.2f} s at {1e9 / typical:.1f} Hz"
        findings.append(Warning("frames_missing", text, camera=name))
    recorded = sorted(stubs, key=lambda stub: stub.serial)
    back = sum(a.stamp_ns > b.stamp_ns for a, b in itertools.pairwise(recorded))
    if back:
        findings.append(Warning("stamps_backwards", f"{back} stamps go backwards", camera=name))
    same = len(stubs) - len({stub.stamp_ns for stub in stubs})
    if same:
        text = f"{same} frames share a stamp with another"
        findings.append(Warning("stamps_shared", text, camera=name))
    return findings


def _describe(frames: Sequence[Frame]) -> dict[str, Any]:
    frame = frames[0]
    depth = next((item.depth for item in frames if item.depth is not None), None)
    known = None if depth is None else float(np.isfinite(depth).mean())
    calibrated = next((item.intrinsics for item in frames if item.intrinsics is not None), None)
    K = None if calibrated is None else calibrated.K
    return {
        "frame_id": frame.frame_id,
        "encoding": frame.encoding,
        "width": frame.width,
        "height": frame.height,
        "distortion_model": None if calibrated is None else calibrated.distortion_model,
        "fx": None if K is None else float(K[0, 0]),
        "fy": None if K is None else float(K[1, 1]),
        "depth": depth is not None,
        "depth_known_share": known,
        "depth_median_m": float(np.nanmedian(depth)) if depth is not None and known else None,
        "fixed_frame": next((item.fixed_frame for item in frames if item.fixed_frame), ""),
        "first_frame_pose": frame.T_fixed_camera is not None,
        "last_frame_pose": frames[-1].T_fixed_camera is not None,
    }


def _check_frame(frame: Frame) -> list[Warning]:
    findings = []
    if frame.intrinsics is not None:
        findings += [
            Warning("calibration_doubtful", text, camera=frame.camera)
            for text in doubts(frame.intrinsics)
        ]
    if frame.depth is None:
        return findings
    known = np.isfinite(frame.depth)
    if not known.any():
        text = "no pixel of its depth image is known"
        return [*findings, Warning("depth_empty", text, camera=frame.camera)]
    median = float(np.median(frame.depth[known]))
    if not 0.1 < median < 30.0:
        text = f"the median depth is {median:.3g} m"
        findings.append(Warning("depth_implausible", text, camera=frame.camera))
    return findings


def _check_change(frames: Sequence[Frame]) -> list[Warning]:
    """What differs between the frames of one camera."""
    findings, name = [], frames[0].camera
    sizes = list(dict.fromkeys(f"{frame.width}x{frame.height}" for frame in frames))
    if len(sizes) > 1:
        text = f"the picture's size changes: {', '.join(sizes)}"
        findings.append(Warning("size_changes", text, camera=name))
    posed = [frame.T_fixed_camera is not None for frame in frames]
    if any(posed) and not all(posed):
        where = "end" if not posed[-1] else "begin" if not posed[0] else "middle"
        text = f"poses do not cover the {where} of the recording"
        findings.append(Warning("poses_in_part", text, camera=name))
    return findings


def _compare_clocks(by_camera: dict[str, list[FrameStub]]) -> list[Warning]:
    """Cameras whose stamps run on different clocks can never be synchronised."""
    offsets = {
        name: float(np.median([stub.log_ns - stub.stamp_ns for stub in stubs])) / 1e9
        for name, stubs in by_camera.items()
        if stubs
    }
    if len(offsets) < 2:
        return []
    late = max(offsets, key=lambda name: offsets[name])
    behind = offsets[late] - min(offsets.values())
    if behind <= CLOCK_LIMIT_S:
        return []
    text = f"its stamps lag behind the others by {behind:.3f} s"
    return [Warning("clocks_differ", text, camera=late)]


def _skew(by_camera: dict[str, list[FrameStub]]) -> float | None:
    """95th percentile of the distance to the nearest frame of another camera, seconds."""
    if len(by_camera) < 2:
        return None
    names = sorted(by_camera, key=lambda name: len(by_camera[name]))
    anchor = np.array([stub.stamp_ns for stub in by_camera[names[0]]])
    worst = np.zeros(anchor.size)
    for name in names[1:]:
        other = np.sort([stub.stamp_ns for stub in by_camera[name]])
        place = np.clip(np.searchsorted(other, anchor), 1, max(1, other.size - 1))
        left = np.abs(other[place - 1] - anchor)
        right = np.abs(other[np.minimum(place, other.size - 1)] - anchor)
        worst = np.maximum(worst, np.minimum(left, right))
    return float(np.percentile(worst, 95)) / 1e9
