"""One RGB-D view on a coarse grid: mean depth, mean colour, points and normals of every cell.

About 160 cells across whatever the camera's size, at least as many where depth has little noise:
enough to tell objects apart, and few enough to do so at camera rate. Averaging cells also lowers
the sensor's noise. Knows one view only.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.geometry.camera import normalised_rays
from oryx_scene.records import Frame, Intrinsics

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]

CELLS_ACROSS = 160
# Depth less noisy than this, as a share of z, needs no averaging: cells may be smaller.
FINE_NOISE = 0.003
NEAREST_M = 0.1
# Half side, in cells, of the window that a normal is fitted to.
NORMAL_REACH = 2


@dataclass(frozen=True, eq=False)
class ViewGrid:
    """Cells of one view; the cell (row, column) stands for received pixel column * step + half.

    Attributes:
        step: pixels from cell to cell.
        half: offset of a cell's middle, pixels.
        z: (h, w) mean depth along optical z, metres, 0 where unknown.
        rgb: (h, w, 3) mean colour, 0..255.
        rays: (h, w, 2) x/z and y/z of the cells' middles.
        edge: (h, w) cells on a jump of depth, where sensors mix front and back.
        normal: (h, w, 3) unit, towards the camera; 0 where no plane fits.
        nearest: (h, w) least depth among a cell and its neighbours; 0 where one is unknown.
    """

    step: int
    half: int
    z: Float32
    rgb: Float32
    rays: Float32
    edge: Mask
    normal: Float32
    nearest: Float32

    @property
    def valid(self) -> Mask:
        """Cells with a depth."""
        return np.asarray(self.z > 0)

    @property
    def points(self) -> Float32:
        """(h, w, 3) in the optical frame; 0 where unknown."""
        out = np.empty((*self.z.shape, 3), np.float32)
        out[..., :2] = self.rays * self.z[..., None]
        out[..., 2] = self.z
        return out


def largest_channel(values: Float32) -> Float32:
    """Largest of the last axis's three values; faster than numpy's own over so short an axis."""
    return np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2])


def has_normal(normals: Float32) -> Mask:
    """Which of (..., 3) normals are known: those towards a camera have a part along its axis."""
    return np.asarray(normals[..., 2] != 0)


def usable(frame: Frame) -> bool:
    """Whether a frame has all that the depth route needs: depth, calibration and pose."""
    return (
        frame.depth is not None
        and frame.intrinsics is not None
        and frame.T_fixed_camera is not None
    )


def jump_limit(z: Float32) -> Float32:
    """Difference of depth that neighbouring cells of one surface do not exceed, metres."""
    return np.asarray(np.maximum(0.05, 0.035 * z), dtype=np.float32)


def make_grid(frame: Frame, max_range_m: float) -> ViewGrid:
    """The grid of a frame with depth and intrinsics; depth beyond ``max_range_m`` is unknown."""
    assert frame.depth is not None and frame.intrinsics is not None
    step = _step(frame.depth, max_range_m)
    height, width = frame.height // step, frame.width // step
    z, mixed = _mean_depth(frame.depth[: height * step, : width * step], step, max_range_m)
    rgb = cv2.resize(
        frame.rgb[: height * step, : width * step], (width, height), interpolation=cv2.INTER_AREA
    ).astype(np.float32)
    half = (step - 1) // 2
    rays = _rays(frame.intrinsics, step, half, height, width)
    # Depth whose ray is not known (beyond the end of the lens model) has no place.
    z = np.where(np.isfinite(rays).all(axis=-1), z, np.float32(0))
    rays = np.nan_to_num(rays)
    kernel = np.ones((3, 3), np.uint8)
    farthest = cv2.dilate(z, kernel)
    nearest = cv2.erode(z, kernel)
    nearest_known = cv2.erode(np.where(z > 0, z, np.float32(1e3)), kernel)
    jump = farthest - nearest_known > 2 * jump_limit(z)
    edge = (jump | mixed) & (z > 0)
    return ViewGrid(step, half, z, rgb, rays, edge, fit_normals(z, rays), nearest)


def _step(depth: Float32, max_range_m: float) -> int:
    """Pixels from cell to cell. Between two sizes, less noisy depth gets the finer one.

    With 128 cells across 256 pixels a thing of ten pixels is lost between its own edges; with 256,
    noise of 1 % of z makes creases everywhere.
    """
    share = depth.shape[1] / CELLS_ACROSS
    coarse, fine = max(1, round(share)), max(1, int(share))
    return fine if coarse == fine or _noise(depth, max_range_m) < FINE_NOISE else coarse


def _noise(depth: Float32, max_range_m: float) -> float:
    """Standard deviation of depth as a share of z: how far pixels lie off the line of two others.

    The median over every fourth row: edges and curved surfaces are few.
    """
    rows = depth[::4]
    left, middle, right = rows[:, :-2], rows[:, 1:-1], rows[:, 2:]
    known = (np.minimum(left, right) > NEAREST_M) & (middle > NEAREST_M) & (middle < max_range_m)
    if not known.any():
        return 0.0
    bend = np.abs(left + right - 2 * middle)[known] / middle[known]
    # A second difference has sqrt(6) times the noise; a normal variable's median is 0.67 of it.
    return float(np.median(bend) / (np.sqrt(6) * 0.6745))


def _mean_depth(depth: Float32, step: int, max_range_m: float) -> tuple[Float32, Mask]:
    """Mean depth of each cell's known pixels, and the cells in which front and back mix."""
    known = (depth > NEAREST_M) & (depth < max_range_m)
    clean = np.where(known, depth, np.float32(0))
    if step == 1:
        return clean, np.zeros(clean.shape, dtype=bool)
    size = (depth.shape[1] // step, depth.shape[0] // step)
    share = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(clean, size, interpolation=cv2.INTER_AREA)
    square = cv2.resize(clean * clean, size, interpolation=cv2.INTER_AREA)
    enough = share > 0.3
    z = np.where(enough, mean / np.maximum(share, 1e-6), 0).astype(np.float32)
    spread = np.sqrt(np.maximum(square / np.maximum(share, 1e-6) - z * z, 0))
    return z, np.asarray(enough & (spread > np.maximum(0.03, 0.025 * z)))


def _rays(intrinsics: Intrinsics, step: int, half: int, height: int, width: int) -> Float32:
    u, v = np.arange(width) * step + half, np.arange(height) * step + half
    if intrinsics.distortion_model == "none" and intrinsics.K[0, 1] == 0:
        K = intrinsics.K
        out = np.empty((height, width, 2), np.float32)
        out[..., 0] = (u - K[0, 2]) / K[0, 0]
        out[..., 1] = ((v - K[1, 2]) / K[1, 1])[:, None]
        return out
    uv = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2).astype(np.float64)
    rays = normalised_rays(intrinsics, uv).reshape(height, width, 2)
    return rays.astype(np.float32)


def fit_normals(z: Float32, rays: Float32) -> Float32:
    """(h, w, 3) unit normals towards the camera; 0 where the window is no plane.

    A plane has inverse depth a x + b y + c over the rays, which a window's moments give in closed
    form; the normal is (a, b, c). Windows across a jump of depth leave a large residue.
    """
    known = (z > 0).astype(np.float32)
    inverse = np.where(z > 0, 1.0 / np.maximum(z, 1e-3), 0).astype(np.float32)
    x, y = rays[..., 0], rays[..., 1]
    side = 2 * NORMAL_REACH + 1

    def moment(values: Float32) -> Float32:
        out: Float32 = cv2.boxFilter(
            values, cv2.CV_32F, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        return out

    count = moment(known)
    safe = np.maximum(count, 1)
    mean_x, mean_y, mean_d = (moment(known * v) / safe for v in (x, y, inverse))
    sxx = moment(known * x * x) / safe - mean_x**2
    syy = moment(known * y * y) / safe - mean_y**2
    sxy = moment(known * x * y) / safe - mean_x * mean_y
    sxd = moment(x * inverse) / safe - mean_x * mean_d
    syd = moment(y * inverse) / safe - mean_y * mean_d
    sdd = moment(inverse * inverse) / safe - mean_d**2
    determinant = sxx * syy - sxy**2
    good = (z > 0) & (count >= 0.5 * side * side) & (determinant > 1e-14)
    scale = 1.0 / np.where(good, determinant, 1.0)
    a = (syy * sxd - sxy * syd) * scale
    b = (sxx * syd - sxy * sxd) * scale
    residue = np.sqrt(np.maximum(sdd - a * sxd - b * syd, 0)) * z * z
    good &= residue < np.maximum(0.03, 0.015 * z)
    normal = -np.stack([a, b, mean_d - a * mean_x - b * mean_y], axis=-1)
    length = np.linalg.norm(normal, axis=-1)
    good &= length > 1e-6
    return np.where(good[..., None], normal / np.maximum(length, 1e-6)[..., None], 0).astype(
        np.float32
    )
