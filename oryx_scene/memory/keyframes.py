"""Which frames of a session are kept as pictures, and how they are written.

A camera's first frame is kept, then those that show something changed or enough that no kept frame
has shown, and at least one in so many seconds. Pictures are JPEG, depth is 16-bit PNG at half the
picture's size: enough for the mark finder to work on again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.geometry.camera import scaled_depth, scaled_to
from oryx_scene.geometry.transforms import transform_points
from oryx_scene.marks.depth.view_grid import ViewGrid
from oryx_scene.memory.store import MemoryStore
from oryx_scene.memory.walls import cell_keys
from oryx_scene.records import Frame, Intrinsics, RgbImage

# A frame is kept for what it covers where this share of it lies in cells that no kept frame showed.
NEW_SHARE = 0.3
CELL_M = 0.25
DEPTH_UNIT_M = 0.001


@dataclass(frozen=True)
class KeyframeConfig:
    """When a frame is kept and how.

    Attributes:
        every_s: of each camera at least one in so many seconds.
        gap_s: of each camera no more than one in so many, whatever changes.
        picture_side: longest side of a kept picture, pixels.
        jpeg_quality: 1..95.
        depth: keep depth too.
    """

    every_s: float = 10.0
    gap_s: float = 1.0
    picture_side: int = 640
    jpeg_quality: int = 85
    depth: bool = True


class KeyframeChoice:
    """Decides for one frame after the other of a session."""

    def __init__(self, config: KeyframeConfig) -> None:
        self._config = config
        self._last: dict[str, int] = {}
        self._covered: NDArray[np.int64] = np.zeros(0, np.int64)

    def reason(self, frame: Frame, grid: ViewGrid | None, changed: bool) -> str:
        """Why a frame is kept: "first", "change", "coverage", "floor"; "" where it is not.

        Args:
            frame: the next one of its camera.
            grid: of it, None without depth or pose.
            changed: it shows an instance about which something changed.
        """
        last = self._last.get(frame.camera)
        since = None if last is None else (frame.stamp_ns - last) / 1e9
        cells = np.zeros(0, np.int64) if grid is None else _cells(frame, grid)
        new = 1.0 - np.isin(cells, self._covered).mean() if len(cells) else 0.0
        if since is None:
            reason = "first"
        elif since < self._config.gap_s:
            return ""
        elif changed:
            reason = "change"
        elif new >= NEW_SHARE:
            reason = "coverage"
        elif since >= self._config.every_s:
            reason = "floor"
        else:
            return ""
        self._last[frame.camera] = frame.stamp_ns
        self._covered = np.union1d(self._covered, cells)
        return reason


def _cells(frame: Frame, grid: ViewGrid) -> NDArray[np.int64]:
    """Keys of the cells of space that a view shows."""
    assert frame.T_fixed_camera is not None
    points = grid.points[::3, ::3].reshape(-1, 3).astype(np.float64)
    points = transform_points(frame.T_fixed_camera, points[points[:, 2] > 0])
    return np.unique(cell_keys(points, CELL_M))


def keep_keyframe(
    store: MemoryStore, session: int, frame: Frame, reason: str, config: KeyframeConfig
) -> tuple[int, float]:
    """Write a frame's row and picture; returns the row and the picture's scale."""
    assert frame.T_fixed_camera is not None
    scale = min(1.0, config.picture_side / max(frame.height, frame.width))
    height, width = round(frame.height * scale), round(frame.width * scale)
    rgb = frame.rgb
    if scale < 1.0:
        rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    intrinsics = None if frame.intrinsics is None else scaled_to(frame.intrinsics, height, width)
    shift_std, turn_std = frame.pose_std or (None, None)
    row = store.insert(
        "keyframes",
        session=session,
        camera=frame.camera,
        stamp_ns=frame.stamp_ns,
        frame_id=frame.frame_id,
        pose=frame.T_fixed_camera.astype("<f8").tobytes(),
        shift_std=shift_std,
        turn_std=turn_std,
        intrinsics=intrinsics_text(intrinsics),
        reason=reason,
    )
    data = jpeg_bytes(rgb, config.jpeg_quality)
    name = store.put_file("pictures", row, ".jpg", data)
    if name is not None:
        store.update("keyframes", row, picture=name, picture_bytes=len(data))
        if config.depth and frame.depth is not None:
            data = depth_bytes(scaled_depth(frame.depth, round(height / 2), round(width / 2)))
            name = store.put_file("depth", row, ".png", data)
            if name is not None:
                store.update("keyframes", row, depth=name, depth_bytes=len(data))
    return row, scale


def keep_crop(
    store: MemoryStore,
    stay: int,
    frame: Frame,
    box: tuple[float, float, float, float],
    quality: int,
) -> None:
    """Keep the part of a picture that shows a stay best; of each stay one is kept.

    Args:
        box: (u0, v0, u1, v1) pixels of the received picture, inclusive.
    """
    u0, v0, u1, v1 = box
    area = (u1 - u0 + 1.0) * (v1 - v0 + 1.0)
    known = store.rows("SELECT id, area, picture, picture_bytes FROM crops WHERE stay = ?", stay)
    if known and area < 1.5 * known[0]["area"]:
        return
    pad = 0.1 * max(u1 - u0, v1 - v0) + 2.0
    rows = slice(max(0, round(v0 - pad)), round(v1 + pad) + 1)
    columns = slice(max(0, round(u0 - pad)), round(u1 + pad) + 1)
    data = jpeg_bytes(np.ascontiguousarray(frame.rgb[rows, columns]), quality)
    (newest,) = store.rows("SELECT coalesce(max(id), 0) + 1 FROM crops")[0]
    name = store.put_file("crops", int(newest), ".jpg", data)
    if name is None:
        return
    if known:
        store.rows("DELETE FROM crops WHERE id = ?", known[0]["id"])
        if known[0]["picture"] != name:
            store.drop_file(known[0]["picture"], known[0]["picture_bytes"])
    store.insert(
        "crops",
        id=int(newest),
        stay=stay,
        camera=frame.camera,
        stamp_ns=frame.stamp_ns,
        area=area,
        picture=name,
        picture_bytes=len(data),
    )


def jpeg_bytes(rgb: RgbImage, quality: int) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def depth_bytes(depth: NDArray[np.float32]) -> bytes:
    """(H, W) float32 metres as 16-bit PNG of millimetres, 0 where unknown."""
    steps = np.nan_to_num(depth / DEPTH_UNIT_M, nan=0.0, posinf=0.0)
    values = np.rint(np.where(steps < 65535, steps, 0)).astype(np.uint16)
    return bytes(cv2.imencode(".png", values, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())


def intrinsics_text(intrinsics: Intrinsics | None) -> str:
    """JSON of the intrinsics of a kept picture, "" without."""
    if intrinsics is None:
        return ""
    return json.dumps(
        {
            "K": intrinsics.K.tolist(),
            "height": intrinsics.height,
            "width": intrinsics.width,
            "distortion_model": intrinsics.distortion_model,
            "D": intrinsics.D.tolist(),
        }
    )


def intrinsics_of(text: str) -> Intrinsics | None:
    """What :func:`intrinsics_text` has written."""
    if not text:
        return None
    plain = json.loads(text)
    return Intrinsics(
        np.array(plain["K"], np.float64),
        plain["height"],
        plain["width"],
        plain["distortion_model"],
        np.array(plain["D"], np.float64),
    )
