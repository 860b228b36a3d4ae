"""Choosing views: those that see most of the room, the newest of every camera always among them.

Greedy maximum voxel coverage (Video-3D LLM, arXiv 2412.00493) where depth and pose are known,
evenly in time where they are not. Deterministic: equal frames give equal choices in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oryx_scene.geometry.camera import depth_to_points
from oryx_scene.geometry.transforms import transform_points
from oryx_scene.records import Frame

VOXEL_M = 0.1
# A grid of about this many points per view decides as well as all pixels do.
POINTS_PER_VIEW = 3000
MAX_DEPTH_M = 8.0


@dataclass(frozen=True)
class CoverageReport:
    """How a choice was made.

    Attributes:
        method: "coverage", "uniform" or "all".
        covered: voxels seen by the chosen views.
        total: voxels seen by any candidate.
        candidates: frames that came into question.
    """

    method: str
    covered: int = 0
    total: int = 0
    candidates: int = 0

    def as_dict(self) -> dict[str, int | float | str]:
        """Plain values for the answer; voxels only where they were counted."""
        said: dict[str, int | float | str] = {"method": self.method, "candidates": self.candidates}
        if self.total:
            said |= {"voxels_covered": self.covered, "voxels_total": self.total}
        return said


def choose_views_reported(
    frames: Sequence[Frame], count: int
) -> tuple[tuple[int, ...], CoverageReport]:
    """Choose at most ``count`` views.

    Args:
        frames: candidates in any order.
        count: most views, at least 1.

    Returns:
        indices ordered by (stamp, camera), and how they were chosen.
    """
    order = sorted(range(len(frames)), key=lambda i: (frames[i].stamp_ns, frames[i].camera))
    if len(order) <= count:
        return tuple(order), CoverageReport("all", candidates=len(order))
    kept = _newest_of_each(frames, order, count)
    if all(_covers(frame) for frame in frames):
        voxels = {index: _voxels(frames[index]) for index in order}
        chosen, report = _greedy(order, kept, voxels, count)
    else:
        rest = [index for index in order if index not in kept]
        room = count - len(kept)
        picked: list[int] = (
            np.unique(np.linspace(0, len(rest) - 1, room).round().astype(int)).tolist()
            if room
            else []
        )
        chosen, report = (
            kept | {rest[i] for i in picked},
            CoverageReport("uniform", candidates=len(order)),
        )
    return tuple(index for index in order if index in chosen), report


def _newest_of_each(frames: Sequence[Frame], order: Sequence[int], count: int) -> set[int]:
    """The newest frame of every camera, newest cameras first where not all fit."""
    newest: dict[str, int] = {}
    for index in order:
        newest[frames[index].camera] = index
    position = {index: place for place, index in enumerate(order)}
    ranked = sorted(newest.values(), key=lambda index: -position[index])
    return set(ranked[:count])


def _covers(frame: Frame) -> bool:
    return (
        frame.depth is not None
        and frame.intrinsics is not None
        and frame.T_fixed_camera is not None
    )


def _voxels(frame: Frame) -> NDArray[np.int64]:
    """Sorted keys of the voxels that a frame sees."""
    assert frame.depth is not None and frame.intrinsics is not None
    assert frame.T_fixed_camera is not None
    stride = max(1, round((frame.depth.size / POINTS_PER_VIEW) ** 0.5))
    points = depth_to_points(frame.depth, frame.intrinsics, stride)
    points = points[points[:, 2] < MAX_DEPTH_M]
    cells = np.floor(transform_points(frame.T_fixed_camera, points) / VOXEL_M).astype(np.int64)
    # 21 bits per axis: +-100 km at 10 cm.
    half = 1 << 20
    keys = ((cells[:, 0] + half) << 42) | ((cells[:, 1] + half) << 21) | (cells[:, 2] + half)
    return np.unique(keys)


def _greedy(
    order: Sequence[int], kept: set[int], voxels: dict[int, NDArray[np.int64]], count: int
) -> tuple[set[int], CoverageReport]:
    everything = np.unique(np.concatenate(list(voxels.values())))
    inside = {index: np.searchsorted(everything, found) for index, found in voxels.items()}
    seen = np.zeros(everything.size, dtype=bool)
    chosen = set(kept)
    for index in kept:
        seen[inside[index]] = True
    while len(chosen) < count:
        # The newer frame wins a tie.
        gains = [
            (int((~seen[inside[index]]).sum()), place, index)
            for place, index in enumerate(order)
            if index not in chosen
        ]
        if not gains:
            break
        _, _, best = max(gains)
        chosen.add(best)
        seen[inside[best]] = True
    return chosen, CoverageReport("coverage", int(seen.sum()), int(everything.size), len(order))
