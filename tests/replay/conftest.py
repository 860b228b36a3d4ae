"""A short recording of two cameras before a wall with a box, and an answerer that is no model."""

from __future__ import annotations

import numpy as np
import pytest

from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.writer import BagWriter

K = np.array([[120.0, 0, 79.5], [0, 120.0, 59.5], [0, 0, 1]])
START_NS = 10**12
R_MAP_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@pytest.fixture(scope="session")
def wall_bag(tmp_path_factory):
    """Six seconds, two cameras at 2 Hz that move along a wall at x = 3 with a box at x = 2."""
    path = tmp_path_factory.mktemp("bags") / "wall"
    with BagWriter(path) as writer:
        for index in range(13):
            stamp = START_NS + index * 5 * 10**8
            for name, y in (("front", 0.5), ("side", -0.5)):
                write_view(writer, name, stamp, y + 0.02 * index)
    return path


def write_view(writer, name, stamp, y):
    v, u = np.mgrid[0:120, 0:160]
    depth = np.full((120, 160), 3.0, np.float32)
    rgb = np.full((120, 160, 3), (40, 180, 60), np.uint8)
    left, up = y - (u - 79.5) / 120 * 2.0, 1.0 - (v - 59.5) / 120 * 2.0
    box = (np.abs(left) <= 0.25) & (np.abs(up - 1.0) <= 0.25)
    depth[box], rgb[box] = 2.0, (220, 60, 200)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R_MAP_OPTICAL, (0.0, y, 1.0)
    frame_id = f"{name}_optical"
    writer.add_transform("map", frame_id, stamp, T)
    for info in (f"/{name}/camera_info", f"/{name}/depth/camera_info"):
        writer.add_camera_info(info, stamp, frame_id, Intrinsics(K, 120, 160))
    writer.add_image(f"/{name}/image_raw", stamp, frame_id, rgb)
    writer.add_depth(f"/{name}/depth/image_raw", stamp, frame_id, depth)
