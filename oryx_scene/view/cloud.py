"""One coloured cloud from posed RGB-D frames: back-project, gather in voxels, average.

For looking at, not for measuring: depth edges are dropped because they smear, and a cloud that
would grow beyond its bound gets larger voxels instead (and says so). Knows no marks, no windows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oryx_scene.errors import ConfigError
from oryx_scene.geometry.camera import unproject
from oryx_scene.records import DepthImage, FloatArray, Frame, RgbImage
from oryx_scene.warning import Warning

_KEY_BITS = 21
_KEY_HALF = 1 << (_KEY_BITS - 1)
_KEY_MASK = (1 << _KEY_BITS) - 1
# Neighbouring depths that differ by more than this share of the depth span two surfaces; the
# pixels between them lie on neither.
_EDGE_SHARE = 0.05
_MOST_RAY_GRIDS = 16  # one per camera; a few megabytes each at 640x480
_RayKey = tuple[bytes, str, bytes, int, int]


@dataclass(frozen=True, eq=False)
class FusedCloud:
    """Averaged points of several views.

    Attributes:
        points: (N, 3) float64 metres in ``frame_id``.
        colors: (N, 3) uint8 RGB.
        voxel_m: edge of the voxels that were averaged over.
        frame_id: coordinate frame of the points, "" where there are none.
        frames_used: how many frames had depth, intrinsics and pose.
        warnings: what is not part of it.
    """

    points: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    colors: RgbImage = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    voxel_m: float = 0.0
    frame_id: str = ""
    frames_used: int = 0
    warnings: tuple[Warning, ...] = ()


class _VoxelSums:
    """Sums of positions and colours per occupied voxel, relative to the cloud's origin.

    Frames wait unmerged until there are as many of their voxels as merged ones: merging each at
    once would sort the whole cloud once per frame.
    """

    def __init__(self, voxel_m: float, max_points: int) -> None:
        self.voxel_m = voxel_m
        self.max_points = max_points
        self.keys: NDArray[np.int64] = np.zeros(0, np.int64)
        self.sums: FloatArray = np.zeros((7, 0))  # x, y, z, r, g, b, count
        self._waiting: list[tuple[NDArray[np.int64], FloatArray]] = []
        self._waiting_count = 0

    def add(self, points: FloatArray, colors: RgbImage) -> None:
        """Add points (N, 3) metres with their colours (N, 3)."""
        cells = np.floor(points / self.voxel_m).astype(np.int64) + _KEY_HALF
        inside = np.all((cells >= 0) & (cells <= _KEY_MASK), axis=1)
        if not inside.all():
            cells, points, colors = cells[inside], points[inside], colors[inside]
        values = np.empty((7, len(points)))
        values[:3], values[3:6], values[6] = points.T, colors.T, 1.0
        self._waiting.append(_sum_equal(_pack(cells), values))
        self._waiting_count += len(self._waiting[-1][0])
        if self._waiting_count > max(len(self.keys), self.max_points // 2):
            self.merge()

    def merge(self) -> None:
        """Bring all frames together; larger voxels where there are too many."""
        parts = [(self.keys, self.sums), *self._waiting]
        self._waiting, self._waiting_count = [], 0
        keys = np.concatenate([part[0] for part in parts])
        sums = np.concatenate([part[1] for part in parts], axis=1)
        self.keys, self.sums = _sum_equal(keys, sums)
        while len(self.keys) > self.max_points:
            self._coarsen()

    def _coarsen(self) -> None:
        # Shifting the signed cell numbers keeps voxel borders on a grid through the origin.
        cells = _unpack(self.keys) - _KEY_HALF
        self.voxel_m *= 2.0
        self.keys, self.sums = _sum_equal(_pack((cells >> 1) + _KEY_HALF), self.sums)


def _pack(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    x, y, z = cells.T
    return np.asarray((x << (2 * _KEY_BITS)) | (y << _KEY_BITS) | z, np.int64)


def _unpack(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack(
        [keys >> (2 * _KEY_BITS), (keys >> _KEY_BITS) & _KEY_MASK, keys & _KEY_MASK], axis=1
    )


def _sum_equal(keys: NDArray[np.int64], values: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Add up the columns of ``values`` (C, N) that share a key; keys come back sorted."""
    if len(keys) == 0:
        return keys, values
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    # One contiguous row after the other: several times faster than adding up rows of seven.
    sums = np.empty((len(values), len(starts)))
    for row, total in zip(values, sums, strict=True):
        np.add.reduceat(row[order], starts, out=total)
    return ordered[starts], sums


def _pixel_step(frame: Frame, voxel_m: float) -> int:
    """Largest pixel stride that still puts a sample into nearly every voxel of the frame."""
    assert frame.depth is not None and frame.intrinsics is not None
    sparse = frame.depth[::16, ::16]
    known = sparse[np.isfinite(sparse) & (sparse > 0)]
    if known.size == 0:
        return 1
    footprint = float(np.median(known)) / float(frame.intrinsics.K[0, 0])
    return int(np.clip(round(voxel_m / (1.5 * footprint)), 1, 8))


def _usable(depth: DepthImage, max_range_m: float) -> NDArray[np.bool_]:
    """Where ``depth`` (H, W) is a surface within range and not the rim of one."""
    known = np.isfinite(depth) & (depth > 0) & (depth <= max_range_m)
    filled = np.where(known, depth, np.float32(0.0))
    rim = np.zeros(depth.shape, bool)
    step_v = np.abs(np.diff(filled, axis=0)) > _EDGE_SHARE * filled[1:]
    step_u = np.abs(np.diff(filled, axis=1)) > _EDGE_SHARE * filled[:, 1:]
    rim[1:] |= step_v
    rim[:-1] |= step_v
    rim[:, 1:] |= step_u
    rim[:, :-1] |= step_u
    return known & ~rim


def _points_of(
    frame: Frame, step: int, max_range_m: float, rays: dict[_RayKey, FloatArray]
) -> tuple[FloatArray, RgbImage]:
    """Optical-frame points (N, 3) and their colours (N, 3) of one frame, every ``step`` pixels."""
    assert frame.depth is not None and frame.intrinsics is not None
    camera = frame.intrinsics
    key = (camera.K.tobytes(), camera.distortion_model, camera.D.tobytes(), frame.height, step)
    depth = frame.depth[::step, ::step]
    if key not in rays:
        if len(rays) >= _MOST_RAY_GRIDS:
            rays.clear()
        v, u = np.mgrid[0 : frame.height : step, 0 : frame.width : step]
        uv = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64)
        rays[key] = unproject(frame.intrinsics, uv, np.ones(len(uv)))
    # Beyond the end of the lens model a pixel has depth, but no ray.
    usable = _usable(depth, max_range_m).ravel() & np.isfinite(rays[key][:, 0])
    points = rays[key][usable] * depth.ravel()[usable, None].astype(np.float64)
    return points, frame.rgb[::step, ::step].reshape(-1, 3)[usable]


def _is_posed(frame: Frame) -> bool:
    return (
        frame.depth is not None
        and frame.intrinsics is not None
        and frame.T_fixed_camera is not None
        and frame.depth.shape == frame.rgb.shape[:2]
    )


def fuse_cloud(
    frames: Iterable[Frame],
    *,
    voxel_m: float = 0.02,
    max_points: int = 400_000,
    max_range_m: float = 8.0,
) -> FusedCloud:
    """Average the pixels of all posed RGB-D frames in voxels of ``voxel_m``.

    Frames are taken one after the other, so a lazy iterable is held one frame at a time.

    Args:
        frames: those without depth, intrinsics or pose are skipped and counted in a warning.
        voxel_m: wanted voxel edge, metres; doubled as often as ``max_points`` asks for.
        max_points: bound on the size of the result.
        max_range_m: farther depths are left out (range noise grows with the square of depth).

    Returns:
        Points in the fixed frame of the frames. Deterministic for a given order of frames.

    Raises:
        ConfigError: a bound that is not positive.
    """
    if voxel_m <= 0 or max_points < 8 or max_range_m <= 0:
        raise ConfigError(
            f"cloud: voxel {voxel_m} m, {max_points} points, range {max_range_m} m.",
            hint="voxel and range must be positive, and at least 8 points are needed",
        )
    sums = _VoxelSums(voxel_m, max_points)
    rays: dict[_RayKey, FloatArray] = {}
    origin = np.zeros(3)
    frame_id, used, skipped = "", 0, 0
    for frame in frames:
        if not _is_posed(frame) or (used and frame.fixed_frame != frame_id):
            skipped += 1
            continue
        assert frame.T_fixed_camera is not None
        T = frame.T_fixed_camera
        if used == 0:
            # Far from the map's origin the cell numbers would not fit; near a camera they do.
            origin, frame_id = T[:3, 3].copy(), frame.fixed_frame
        step = _pixel_step(frame, voxel_m)
        points, colors = _points_of(frame, step, max_range_m, rays)
        sums.add(points @ T[:3, :3].T + (T[:3, 3] - origin), colors)
        used += 1
    return _finish(sums, origin, frame_id, used=used, skipped=skipped, wanted_m=voxel_m)


def _finish(
    sums: _VoxelSums,
    origin: FloatArray,
    frame_id: str,
    *,
    used: int,
    skipped: int,
    wanted_m: float,
) -> FusedCloud:
    sums.merge()
    warnings = []
    if skipped:
        text = f"{skipped} frame(s) without depth, intrinsics or pose are not part of the cloud"
        warnings.append(Warning("frames_not_in_cloud", text))
    if sums.voxel_m > wanted_m:
        text = (
            f"the cloud was thinned from {wanted_m:.3f} m to {sums.voxel_m:.3f} m voxels to stay "
            f"under {sums.max_points} points"
        )
        warnings.append(Warning("cloud_thinned", text))
    if used == 0:
        return FusedCloud(voxel_m=wanted_m, warnings=tuple(warnings))
    count = sums.sums[6]
    return FusedCloud(
        points=np.ascontiguousarray((sums.sums[:3] / count).T) + origin,
        colors=np.ascontiguousarray(np.rint(sums.sums[3:6] / count).T.astype(np.uint8)),
        voxel_m=sums.voxel_m,
        frame_id=frame_id,
        frames_used=used,
        warnings=tuple(warnings),
    )
