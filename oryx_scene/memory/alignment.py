"""Whether a session's poses are in the coordinate frame of a memory's map: measured, or said.

Kept upright surfaces of the surroundings (walls, cupboards) are laid into the session's views: in
the same frame the views measure them where they are kept, in another one they look through them or
see something in front of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oryx_scene.errors import AlignmentError
from oryx_scene.geometry.camera import project
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.marks.change.revisit import TOLERANCE_M, TOLERANCE_SHARE
from oryx_scene.marks.depth.view_grid import ViewGrid, usable
from oryx_scene.memory.store import MemoryStore
from oryx_scene.memory.walls import Walls
from oryx_scene.records import FloatArray, Frame

Wish = Literal["check", "same", "apart"]

# Points that must be judged before anything is said, and how many of them must agree.
LEAST_JUDGED = 200
AGREE_SHARE, DIFFER_SHARE = 0.7, 0.5
# What hides a wall in a view may be a thing that came; it counts half.
HIDDEN_WEIGHT = 0.5


@dataclass(frozen=True)
class Alignment:
    """How a session's places are known to be in a map.

    Attributes:
        map_row: the map, 0 for a new one.
        how: "first", "measured", "stated" or "apart".
        agreement: share of judged wall points that are where they are kept, NaN not measured.
    """

    map_row: int
    how: str
    agreement: float = float("nan")


def align(
    store: MemoryStore,
    frames: Iterable[Frame],
    fixed_frame: str,
    wish: Wish = "check",
    drift_m: float = 0.3,
) -> Alignment:
    """Which map a session belongs to.

    Args:
        store: what is known already.
        frames: some of the session, spread over it.
        fixed_frame: of its poses.
        drift_m: by how much poses may be off although the frame is the same.
        wish: "check" measures; "same" is the user's word that the frame is the same, which counts
            where too little can be measured; "apart" begins a map of its own.

    Raises:
        AlignmentError: the poses do not fit, or nothing tells that they do.
    """
    maps = [row["id"] for row in store.rows("SELECT id FROM maps ORDER BY id DESC")]
    if not maps:
        return Alignment(0, "first")
    if wish == "apart":
        return Alignment(0, "apart")
    walls = {row: Walls(store, row) for row in maps}
    counts = {row: np.zeros(3) for row in maps}
    for frame in frames:
        if not usable(frame):
            continue
        assert frame.T_fixed_camera is not None
        for row, known in walls.items():
            near = known.near(frame.T_fixed_camera[:3, 3])[0]
            counts[row] += _judge(near, frame, drift_m)
    measured = {row: _agreement(counts[row]) for row in maps}
    judged = {row: share for row, (share, count) in measured.items() if count >= LEAST_JUDGED}
    best = max(judged, key=lambda row: judged[row], default=0)
    if best and judged[best] >= AGREE_SHARE:
        return Alignment(best, "measured", judged[best])
    if wish == "same" and (not best or judged[best] >= DIFFER_SHARE):
        named = store.rows("SELECT id FROM maps WHERE frame_id = ? ORDER BY id", fixed_frame)
        return Alignment(
            named[0]["id"] if named else maps[-1], "stated", judged.get(best, float("nan"))
        )
    raise AlignmentError(_why(measured, judged), hint=_hint(wish))


def _why(measured: dict[int, tuple[float, int]], judged: dict[int, float]) -> str:
    if judged:
        return (
            "the session's poses do not fit the memory's map: "
            f"{max(judged.values()):.0%} of the walls in view are where they were."
        )
    most = max(count for _, count in measured.values())
    return (
        "nothing tells whether the session's poses are in the memory's map: "
        f"its views judge {most} points of known walls, {LEAST_JUDGED} are needed."
    )


def _hint(wish: Wish) -> str:
    apart = "--session apart keeps it as a map of its own"
    return apart if wish == "same" else f"--session same says that the frame is the same; {apart}"


def _agreement(counts: FloatArray) -> tuple[float, int]:
    """Share of judged points that are where they are kept, and how many were judged."""
    same, through, hidden = counts.tolist()
    judged = same + through + HIDDEN_WEIGHT * hidden
    return (same / judged if judged else 0.0), round(same + through)


def _judge(walls: FloatArray, frame: Frame, drift_m: float) -> FloatArray:
    """(3,) points that a view measures where they are kept, looks through, has something before."""
    assert frame.depth is not None and frame.intrinsics is not None
    assert frame.T_fixed_camera is not None
    if not len(walls):
        return np.zeros(3)
    local = transform_points(invert(frame.T_fixed_camera), walls)
    local = local[(local[:, 2] > 0.3) & (local[:, 2] < 6.0)]
    uv = np.rint(np.nan_to_num(project(frame.intrinsics, local), nan=-1.0))
    inside = (uv >= 0).all(axis=1) & (uv[:, 0] < frame.width) & (uv[:, 1] < frame.height)
    u, v = uv[inside].astype(np.int64).T
    off = frame.depth[v, u].astype(np.float64) - local[inside, 2]
    tolerance = np.maximum(TOLERANCE_M, TOLERANCE_SHARE * local[inside, 2]) + drift_m / 2.0
    with np.errstate(invalid="ignore"):
        same = np.abs(off) <= tolerance
        return np.array([same.sum(), (off > tolerance).sum(), (off < -tolerance).sum()], float)


def floor_height(frame: Frame, grid: ViewGrid) -> float | None:
    """Height of the lowest level surface that a view shows, metres; None where it shows none."""
    assert frame.T_fixed_camera is not None
    up = grid.normal.reshape(-1, 3) @ frame.T_fixed_camera[2, :3]
    points = grid.points.reshape(-1, 3)[up > 0.9].astype(np.float64)
    if len(points) < 50:
        return None
    heights: NDArray[np.float64] = points @ frame.T_fixed_camera[2, :3] + frame.T_fixed_camera[2, 3]
    return float(np.percentile(heights, 5))
