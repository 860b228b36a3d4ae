"""How well marks hold on real recordings, where nobody knows the true objects.

The surface under a disc is carried into every other view by depth and poses. Where that view can
see the place, its own picture and depth say whether the number there lies on the same surface. This
judges the numbers by other evidence than the finder groups by (single discs, not whole patches),
but with the same poses: what wrong poses hide stays hidden.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from oryx_scene.geometry.camera import project, unproject
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.marks.change.revisit import TOLERANCE_M, TOLERANCE_SHARE
from oryx_scene.marks.depth.view_grid import usable
from oryx_scene.marks.surface_colour import compare_colours
from oryx_scene.records import (
    FloatArray,
    Frame,
    Mark,
    MarkObservation,
    MarkSet,
    ViewSet,
)

# A view judges a disc if it can see at least this share of its points, and this many.
LEAST_JUDGED_SHARE, LEAST_JUDGED = 0.3, 5
# Angle between the mean colours of one surface in two views, seen from black, rad: on synthetic
# scenes 99 of 100 right ones differ by less than 0.14. Of dark colours, the noise of so many steps.
SAME_COLOUR_RAD, NOISE_STEPS = 0.15, 4.0
# Points of one disc: a grid of so many a side.
GRID = 9
# Cells of the finder are this coarse: a box may be so much too small, pixels.
BOX_RIM_PX = 4.0


class SurfaceVerdict(StrEnum):
    """What one view says about a disc of another one."""

    SAME = "same surface"
    OTHER = "of its depth, but another surface"
    THROUGH = "nothing of its depth there"
    UNSEEN = "not seen from here"
    UNNUMBERED = "seen here without the number"


@dataclass(frozen=True, eq=False)
class Carried:
    """A disc carried from one view to another.

    Attributes:
        number: of the mark.
        source, target: indices of the views.
        verdict: of the target.
        uv: (n, 2) pixels of the target where the disc's points should be.
    """

    number: int
    source: int
    target: int
    verdict: SurfaceVerdict
    uv: FloatArray


@dataclass(frozen=True)
class SurfaceReport:
    """All carried discs of one view set."""

    carried: tuple[Carried, ...]

    def as_dict(self) -> dict[str, Any]:
        """Counts and shares; None where nothing was judged.

        ``same_share``: discs on the same surface, of those whose depth a view with the same number
        finds again. ``depth_share``: of the discs that such a view can see, those whose depth it
        finds again; the others are what wrong poses (or two things) leave. ``marks_held``: marks
        with no disc on another surface, of those judged. ``numbered_share``: of the views that see
        a disc's surface, those that number it.
        """
        by_verdict = Counter(item.verdict for item in self.carried)
        same, other = by_verdict[SurfaceVerdict.SAME], by_verdict[SurfaceVerdict.OTHER]
        judged: dict[int, set[SurfaceVerdict]] = {}
        for item in self.carried:
            if item.verdict in (SurfaceVerdict.SAME, SurfaceVerdict.OTHER):
                judged.setdefault(item.number, set()).add(item.verdict)
        held = sum(SurfaceVerdict.OTHER not in verdicts for verdicts in judged.values())
        missing = by_verdict[SurfaceVerdict.UNNUMBERED]
        return {
            "marks": len({item.number for item in self.carried}),
            "discs_judged": same + other,
            "same_share": _share(same, same + other),
            "depth_share": _share(same + other, same + other + by_verdict[SurfaceVerdict.THROUGH]),
            "marks_judged": len(judged),
            "marks_held": held,
            "numbered_share": _share(same, same + missing),
            "by_verdict": {str(key): by_verdict[key] for key in SurfaceVerdict},
            "other_surface": [
                {"number": item.number, "from": item.source, "to": item.target}
                for item in self.carried
                if item.verdict is SurfaceVerdict.OTHER
            ],
        }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def judge_surfaces(views: ViewSet, marks: MarkSet) -> SurfaceReport:
    """Carry every disc into every other view.

    Args:
        views: frames; discs of those without depth, calibration or pose are not carried.
        marks: found in ``views``.
    """
    found = []
    for mark in marks.marks:
        for seen in mark.observations:
            frame = views.frames[seen.view]
            surface = _under_disc(seen, frame) if usable(frame) else None
            if surface is None:
                continue
            for target, other in enumerate(views.frames):
                if target != seen.view and usable(other):
                    found.append(_carry(mark, seen.view, target, surface, other))
    return SurfaceReport(tuple(found))


def _under_disc(seen: MarkObservation, frame: Frame) -> tuple[FloatArray, FloatArray] | None:
    """Points (n, 3) in the fixed frame of the surface under a disc's centre, and its mean RGB."""
    assert frame.depth is not None and frame.intrinsics is not None
    assert frame.T_fixed_camera is not None
    step = np.linspace(-0.8, 0.8, GRID) * seen.radius_px
    du, dv = (axis.ravel() for axis in np.meshgrid(step, step))
    inner = du * du + dv * dv <= (0.8 * seen.radius_px) ** 2
    u = np.rint(seen.u + du[inner]).astype(np.int64)
    v = np.rint(seen.v + dv[inner]).astype(np.int64)
    inside = (u >= 0) & (v >= 0) & (u < frame.width) & (v < frame.height)
    u, v = u[inside], v[inside]
    z = frame.depth[v, u].astype(np.float64)
    near = np.hypot(u - seen.u, v - seen.v) <= 0.4 * seen.radius_px
    known = np.isfinite(z) & (z > 0)
    if not (near & known).any():
        return None
    middle = float(np.median(z[near & known]))
    own = known & (np.abs(z - middle) <= max(TOLERANCE_M, TOLERANCE_SHARE * middle))
    if int(own.sum()) < LEAST_JUDGED:
        return None
    uv = np.column_stack([u[own], v[own]]).astype(np.float64)
    points = transform_points(frame.T_fixed_camera, unproject(frame.intrinsics, uv, z[own]))
    return points, frame.rgb[v[own], u[own]].mean(axis=0)


def _carry(
    mark: Mark, source: int, target: int, surface: tuple[FloatArray, FloatArray], frame: Frame
) -> Carried:
    assert frame.depth is not None and frame.intrinsics is not None
    assert frame.T_fixed_camera is not None
    points, rgb = surface
    local = transform_points(invert(frame.T_fixed_camera), points)
    uv = np.nan_to_num(project(frame.intrinsics, local), nan=-1.0)
    cell = np.rint(uv)
    inside = (cell >= 0).all(axis=1) & (cell[:, 0] < frame.width) & (cell[:, 1] < frame.height)
    index = np.flatnonzero(inside)
    u, v = cell[index].astype(np.int64).T
    measured, expected = frame.depth[v, u].astype(np.float64), local[index, 2]
    tolerance = np.maximum(TOLERANCE_M, TOLERANCE_SHARE * expected)
    seen = np.isfinite(measured) & (measured > expected - tolerance)
    if int(seen.sum()) < max(LEAST_JUDGED, LEAST_JUDGED_SHARE * len(points)):
        return Carried(mark.number, source, target, SurfaceVerdict.UNSEEN, uv[index])
    deep = seen & (measured < expected + tolerance)
    here = next((item for item in mark.observations if item.view == target), None)
    there = frame.rgb[v, u][deep]
    if here is None:
        same = deep.sum() > 0.5 * seen.sum() and _alike(rgb, there.mean(axis=0))
        verdict = SurfaceVerdict.UNNUMBERED if same else SurfaceVerdict.UNSEEN
        return Carried(mark.number, source, target, verdict, uv[index])
    if deep.sum() <= 0.5 * seen.sum():
        return Carried(mark.number, source, target, SurfaceVerdict.THROUGH, uv[index])
    # On the object that has the number there: in its box, of the colour under both discs.
    own = _under_disc(here, frame)
    on = float(_in_box(uv[index][deep], here.bbox).mean()) > 0.5
    on &= _alike(rgb, there.mean(axis=0)) and (own is None or _alike(rgb, own[1]))
    verdict = SurfaceVerdict.SAME if on else SurfaceVerdict.OTHER
    return Carried(mark.number, source, target, verdict, uv[index])


def _alike(a: FloatArray, b: FloatArray) -> bool:
    """Whether two mean colours (3,) are one; shade and brightness do not count."""
    angle, _ = compare_colours(a[None].astype(np.float32), b[None].astype(np.float32))
    darker = min(float(np.linalg.norm(a)), float(np.linalg.norm(b)))
    return bool(angle[0] < SAME_COLOUR_RAD + NOISE_STEPS / max(darker, 8.0))


def _in_box(uv: FloatArray, box: tuple[float, float, float, float]) -> np.ndarray:
    low, high = np.array(box[:2]) - BOX_RIM_PX, np.array(box[2:]) + BOX_RIM_PX
    return np.asarray(((uv >= low) & (uv <= high)).all(axis=1))
