"""How large a view's cells are: finer between two sizes, but only where depth has little noise."""

import numpy as np
import pytest

from oryx_scene.marks.depth.view_grid import make_grid
from oryx_scene.records import Frame, Intrinsics


def frame(width, height, noise, seed=0):
    v, u = np.mgrid[:height, :width]
    # A slanted plane: what a noise-free second difference must not mistake for noise.
    z = 2.0 + 0.004 * u * 256 / width + 0.002 * v
    z *= 1 + noise * np.random.default_rng(seed).standard_normal(z.shape)
    K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    return Frame(
        camera="front",
        stamp_ns=1,
        frame_id="front_optical",
        sha256="",
        rgb=np.zeros((height, width, 3), np.uint8),
        depth=z.astype(np.float32),
        intrinsics=Intrinsics(K, height, width),
    )


@pytest.mark.parametrize(
    ("width", "noise", "step"),
    [
        (256, 0.0, 1),
        (256, 0.002, 1),
        (256, 0.005, 2),
        (256, 0.01, 2),
        (128, 0.01, 1),
        (320, 0.0, 2),
        (640, 0.0, 4),
        (640, 0.01, 4),
    ],
)
def test_noise_decides_between_two_sizes_of_cells(width, noise, step):
    assert make_grid(frame(width, width * 3 // 4, noise), 8.0).step == step


def test_a_frame_without_known_depth_has_cells_all_the_same():
    empty = frame(256, 192, 0.0)
    empty.depth[:] = 0.0
    assert not make_grid(empty, 8.0).valid.any()
