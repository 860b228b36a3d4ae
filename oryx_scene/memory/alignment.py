"""Whether a session's poses are in the coordinate frame of a memory's map: measured, or said.

Kept upright surfaces of the surroundings (walls, cupboards) are laid into the session's views: in
the same frame the views measure them where they are kept, in another one they look through them or
see something in front of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oryx_scene.errors import AlignmentError
from oryx_scene.geometry.camera import project
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.marks.change.revisit import TOLERANCE_M, TOLERANCE_SHARE
from oryx_scene.marks.depth.view_grid import ViewGrid, usable
from oryx_scene.memory.keyframes import cell_keys
from oryx_scene.memory.store import MemoryStore
from oryx_scene.records import FloatArray, Frame

Wish = Literal["check", "same", "apart"]

CELL_M = 0.2
# Cells of surfaces whose normal is this far from level are upright ones.
UPRIGHT = 0.2
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
    store: MemoryStore, frames: Iterable[Frame], fixed_frame: str, wish: Wish = "check"
) -> Alignment:
    """Which map a session belongs to.

    Args:
        store: what is known already.
        frames: some of the session, spread over it.
        fixed_frame: of its poses.
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
    walls = {row: walls_of(store, row) for row in maps}
    counts = {row: np.zeros(3) for row in maps}
    for frame in frames:
        for row in maps if usable(frame) else ():
            counts[row] += _judge(walls[row], frame)
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


def _judge(walls: FloatArray, frame: Frame) -> FloatArray:
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
    # A kept point stands for its cell: it may lie off the others' surface.
    tolerance = np.maximum(TOLERANCE_M, TOLERANCE_SHARE * local[inside, 2]) + CELL_M / 4.0
    with np.errstate(invalid="ignore"):
        same = np.abs(off) <= tolerance
        return np.array([same.sum(), (off > tolerance).sum(), (off < -tolerance).sum()], float)


def walls_of(store: MemoryStore, map_row: int) -> FloatArray:
    """(n, 3) kept points of upright surfaces."""
    found = [tuple(row) for row in store.rows("SELECT x, y, z FROM walls WHERE map = ?", map_row)]
    return np.array(found, dtype=np.float64).reshape(-1, 3)


def keep_walls(
    store: MemoryStore, map_row: int, frame: Frame, grid: ViewGrid, boxes: Sequence[FloatArray]
) -> None:
    """Keep the upright surfaces that a view shows.

    Args:
        boxes: (2, 3) low and high of things in view: they may be moved, and are left out.
    """
    assert frame.T_fixed_camera is not None
    rotation = frame.T_fixed_camera[:3, :3]
    normals = grid.normal[::2, ::2].reshape(-1, 3) @ rotation.T
    points = grid.points[::2, ::2].reshape(-1, 3).astype(np.float64)
    edge = grid.edge[::2, ::2].ravel()
    upright = normals.any(axis=1) & (np.abs(normals[:, 2]) < UPRIGHT) & (points[:, 2] > 0) & ~edge
    points = transform_points(frame.T_fixed_camera, points[upright])
    for low, high in boxes:
        points = points[~((points >= low) & (points <= high)).all(axis=1)]
    cells, first = np.unique(cell_keys(points, CELL_M), return_index=True)
    for cell, (x, y, z) in zip(cells.tolist(), points[first].tolist(), strict=True):
        store.rows("INSERT OR IGNORE INTO walls VALUES (?, ?, ?, ?, ?)", map_row, cell, x, y, z)


def floor_height(frame: Frame, grid: ViewGrid) -> float | None:
    """Height of the lowest level surface that a view shows, metres; None where it shows none."""
    assert frame.T_fixed_camera is not None
    up = grid.normal.reshape(-1, 3) @ frame.T_fixed_camera[2, :3]
    points = grid.points.reshape(-1, 3)[up > 0.9].astype(np.float64)
    if len(points) < 50:
        return None
    heights: NDArray[np.float64] = points @ frame.T_fixed_camera[2, :3] + frame.T_fixed_camera[2, 3]
    return float(np.percentile(heights, 5))
