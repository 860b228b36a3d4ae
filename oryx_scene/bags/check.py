"""What a source holds, what is missing, and what to do about it: the data of `oryx-scene check`.

Nothing is printed here. A problem prevents answers or 3D places; a note does not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from oryx_scene.errors import OryxSceneError
from oryx_scene.frames import Frame
from oryx_scene.geometry.camera import doubts
from oryx_scene.sources.base import FrameSource, FrameStub
from oryx_scene.warning import Warning

SCHEMA = "oryx_scene/check/1"
# Header stamps and recording times of one camera may differ by this much before it is said.
CLOCK_LIMIT_S = 1.0
GAP_FACTOR = 3.0


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or odd, and what to do about it."""

    level: str
    what: str
    advice: str


def check_source(source: FrameSource, path: str | Path) -> dict[str, Any]:
    """Look at every stub and at the first and last frame of every camera.

    Returns:
        the documented object of `oryx-scene check --json`.
    """
    findings = [_from_warning(item) for item in source.warnings]
    by_camera: dict[str, list[FrameStub]] = {name: [] for name in source.cameras}
    for stub in source.stubs():
        by_camera[stub.camera].append(stub)
    cameras = [_camera(source, name, by_camera[name], findings) for name in sorted(by_camera)]
    _compare_clocks(by_camera, findings)
    skew = _skew(by_camera)
    if skew is not None and skew > 0.05:
        findings.append(
            Finding(
                "note",
                f"frames of different cameras are up to {skew * 1000:.0f} ms apart",
                "allow a larger views.slop_s, or trigger the cameras together",
            )
        )
    return {
        "schema": SCHEMA,
        "source": str(path),
        "synthetic": source.synthetic,
        "cameras": cameras,
        "sync_skew_s": skew,
        "findings": [vars(item) for item in findings],
        "ok": not any(item.level == "problem" for item in findings),
    }


def _from_warning(warning: Warning, camera: str = "") -> Finding:
    where = replace(warning, camera=camera) if camera else warning
    return Finding(warning.severity, str(where), warning.advice)


def _camera(
    source: FrameSource, name: str, stubs: list[FrameStub], findings: list[Finding]
) -> dict[str, Any]:
    stamps = np.array([stub.stamp_ns for stub in stubs], dtype=np.int64)
    gaps = np.diff(np.sort(stamps)) / 1e9
    typical = float(np.median(gaps)) if gaps.size else 0.0
    described: dict[str, Any] = {
        "name": name,
        "topic": stubs[0].topic,
        "frames": len(stubs),
        "first_stamp_ns": int(stamps.min()),
        "last_stamp_ns": int(stamps.max()),
        "rate_hz": 1.0 / typical if typical > 0 else None,
        "longest_gap_s": float(gaps.max()) if gaps.size else None,
    }
    longest = float(gaps.max()) if gaps.size else 0.0
    if gaps.size > 2 and typical > 0 and longest > GAP_FACTOR * typical:
        many = int(np.count_nonzero(gaps > np.float64(GAP_FACTOR * typical)))
        what = f"{name}: {many} gaps, the longest {longest:.2f} s at {1 / typical:.1f} Hz"
        findings.append(
            Finding("note", what, "frames were dropped, or the camera was recorded slowly")
        )
    _check_stamps(name, stubs, findings)
    first = _load(source, name, stubs[0], findings)
    if first is not None:
        described.update(_describe(first))
        _check_frame(first, findings)
        last = _load(source, name, stubs[-1], findings) if len(stubs) > 1 else first
        if last is not None:
            described["last_frame_pose"] = last.T_fixed_camera is not None
            _check_change(first, last, findings)
    return described


def _check_stamps(name: str, stubs: list[FrameStub], findings: list[Finding]) -> None:
    recorded = sorted(stubs, key=lambda stub: stub.serial)
    back = sum(a.stamp_ns > b.stamp_ns for a, b in itertools.pairwise(recorded))
    if back:
        what = f"{name}: {back} stamps go backwards"
        findings.append(Finding("note", what, "the clock jumped, or the bag was looped"))
    same = len(stubs) - len({stub.stamp_ns for stub in stubs})
    if same:
        what = f"{name}: {same} frames share a stamp with another"
        findings.append(Finding("note", what, "the driver stamps with a coarse clock"))


def _load(source: FrameSource, name: str, stub: FrameStub, findings: list[Finding]) -> Frame | None:
    try:
        return source.load(stub)
    except OryxSceneError as err:
        findings.append(Finding("problem", f"{name}: {err.message}", err.hint))
        return None


def _describe(frame: Frame) -> dict[str, Any]:
    known = None
    if frame.depth is not None:
        known = float(np.isfinite(frame.depth).mean())
    K = frame.intrinsics.K if frame.intrinsics is not None else None
    return {
        "frame_id": frame.frame_id,
        "encoding": frame.encoding,
        "width": frame.width,
        "height": frame.height,
        "distortion_model": None if K is None else frame.intrinsics.distortion_model,  # type: ignore[union-attr]
        "fx": None if K is None else float(K[0, 0]),
        "fy": None if K is None else float(K[1, 1]),
        "depth": frame.depth is not None,
        "depth_known_share": known,
        "depth_median_m": None if not known else float(np.nanmedian(frame.depth)),  # type: ignore[arg-type]
        "fixed_frame": frame.fixed_frame,
        "first_frame_pose": frame.T_fixed_camera is not None,
    }


def _check_frame(frame: Frame, findings: list[Finding]) -> None:
    name = frame.camera
    findings += [_from_warning(item, name) for item in frame.warnings]
    if frame.intrinsics is not None:
        for text in doubts(frame.intrinsics):
            findings.append(Finding("note", f"{name}: {text}", "check the calibration"))
    if frame.depth is None:
        return
    known = np.isfinite(frame.depth)
    if not known.any():
        what = f"{name}: no pixel of its depth image is known"
        findings.append(Finding("problem", what, "is the depth sensor covered or switched off?"))
        return
    median = float(np.median(frame.depth[known]))
    if not 0.1 < median < 30.0:
        what = f"{name}: the median depth is {median:.3g} m"
        advice = "16UC1 means millimetres and 32FC1 metres (REP-118): the driver may mix them up"
        findings.append(Finding("problem", what, advice))


def _check_change(first: Frame, last: Frame, findings: list[Finding]) -> None:
    if (first.height, first.width) != (last.height, last.width):
        what = (
            f"{first.camera}: the picture's size changes from {first.width}x{first.height} to "
            f"{last.width}x{last.height}"
        )
        findings.append(Finding("note", what, "each frame is handled at its own size"))
    if (first.T_fixed_camera is None) != (last.T_fixed_camera is None):
        when = "end" if last.T_fixed_camera is None else "begin"
        what = f"{first.camera}: TF does not cover the {when} of the recording"
        findings.append(Finding("problem", what, "ask about a covered moment (--at)"))


def _compare_clocks(by_camera: dict[str, list[FrameStub]], findings: list[Finding]) -> None:
    """Cameras whose stamps run on different clocks can never be synchronised."""
    offsets = {
        name: float(np.median([stub.log_ns - stub.stamp_ns for stub in stubs])) / 1e9
        for name, stubs in by_camera.items()
        if stubs
    }
    if len(offsets) < 2:
        return
    low, high = min(offsets.values()), max(offsets.values())
    if high - low > CLOCK_LIMIT_S:
        late = max(offsets, key=lambda name: offsets[name])
        what = f"the stamps of '{late}' lag behind the others by {high - low:.3f} s"
        advice = "two clocks: synchronise them (chrony, PTP), or stamp on arrival"
        findings.append(Finding("problem", what, advice))


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
