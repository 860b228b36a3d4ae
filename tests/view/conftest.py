"""A small posed RGB-D scene whose every pixel is known: a wall with a box in front of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from oryx_scene.records import Frame, Intrinsics, Mark, MarkObservation

# Camera looks along +x of a z-up map (REP-103): optical z is map x, optical x is map -y.
R_MAP_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
WALL_RGB = (40, 200, 60)
BOX_RGB = (230, 60, 200)
WALL_X, BOX_X = 3.0, 2.0

FrameMaker = Callable[..., Frame]


@pytest.fixture
def make_frame() -> FrameMaker:
    """A frame from `place` in the map: a green wall at x = 3, a 0.4 m magenta square at x = 2."""

    def make(
        place: tuple[float, float, float] = (0.0, 0.0, 1.0),
        camera: str = "front",
        stamp_ns: int = 1_000_000_000,
        *,
        posed: bool = True,
        depth: bool = True,
    ) -> Frame:
        height, width, focal = 120, 160, 130.0
        K = np.array([[focal, 0, 79.5], [0, focal, 59.5], [0, 0, 1.0]])
        v, u = np.mgrid[0:height, 0:width]
        z = np.full((height, width), WALL_X - place[0], np.float32)
        rgb = np.empty((height, width, 3), np.uint8)
        rgb[:] = WALL_RGB
        near = BOX_X - place[0]
        y = place[1] - (u - 79.5) / focal * near
        up = place[2] - (v - 59.5) / focal * near
        box = (np.abs(y) <= 0.2) & (np.abs(up - 1.0) <= 0.2)
        z[box] = near
        rgb[box] = BOX_RGB
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = R_MAP_OPTICAL, place
        return Frame(
            camera=camera,
            stamp_ns=stamp_ns,
            frame_id=f"{camera}_optical",
            rgb=rgb,
            sha256="0" * 64,
            depth=z if depth else None,
            intrinsics=Intrinsics(K, height, width),
            T_fixed_camera=T if posed else None,
            fixed_frame="map" if posed else "",
        )

    return make


@pytest.fixture
def box_mark() -> Mark:
    """The magenta square as a mark."""
    seen = MarkObservation(0, 79.5, 59.5, 4.0, 2.0, 1.0, 600, (66.0, 46.0, 93.0, 73.0))
    return Mark(1, (seen,), (BOX_X, 0.0, 1.0), (0.02, 0.4, 0.4), 0.01, frame_id="map")
