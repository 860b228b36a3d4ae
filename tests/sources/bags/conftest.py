import numpy as np
import pytest

from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.writer import BagWriter

K = np.array([[60.0, 0, 39.5], [0, 60.0, 29.5], [0, 0, 1]])
INTRINSICS = Intrinsics(K, 60, 80)


@pytest.fixture
def write_bag(tmp_path):
    """Write a small bag; each part of it can be left out or bent."""

    def write(name="bag", *, frames=3, info=True, tf=(0, 10), depth=True, storage="mcap", fy=60.0):
        path = tmp_path / name
        with BagWriter(path, storage=storage) as writer:
            for index in range(frames):
                stamp = 1_000_000_000 + index * 100_000_000
                picture = np.full((60, 80, 3), 10 * index, dtype=np.uint8)
                if info:
                    bent = Intrinsics(K * [[1], [fy / 60.0], [1]], 60, 80)
                    writer.add_camera_info("/front/camera_info", stamp, "cam", bent)
                    writer.add_camera_info("/front/depth/camera_info", stamp, "cam", bent)
                writer.add_image("/front/image_raw", stamp, "cam", picture)
                if depth:
                    metres = np.full((60, 80), 1.5, dtype=np.float32)
                    metres[:5] = np.nan
                    metres[-1] += 0.01 * index
                    writer.add_depth("/front/depth/image_raw", stamp, "cam", metres)
                if tf and tf[0] <= index <= tf[1]:
                    writer.add_transform("map", "cam", stamp, np.eye(4))
            writer.add_text("/chatter", 1, "hello")
        return path

    return write
