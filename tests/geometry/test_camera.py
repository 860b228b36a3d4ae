"""Exact cases of cameras: K after cropping, binning and scaling, and depth seen from beside."""

import numpy as np
import pytest

from oryx_scene.errors import CalibrationError
from oryx_scene.geometry.camera import (
    canonical_distortion_model,
    check_intrinsics,
    depth_to_points,
    doubts,
    intrinsics_from_camera_info,
    project,
    register_depth,
    same_aspect,
    scaled_depth,
    scaled_to,
    unproject,
)
from oryx_scene.records import Intrinsics

K9 = (500.0, 0, 320.0, 0, 510.0, 240.0, 0, 0, 1)


def info(**rest):
    return intrinsics_from_camera_info(K9, (), "", 480, 640, "front", **rest)


def numbers(found):
    """(fx, fy, cx, cy, height, width)."""
    K = found.K
    return K[0, 0], K[1, 1], K[0, 2], K[1, 2], found.height, found.width


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ({}, (500, 510, 320, 240, 480, 640)),
        ({"binning": (1, 1)}, (500, 510, 320, 240, 480, 640)),
        ({"binning": (2, 0)}, (250, 510, 160, 240, 480, 320)),
        ({"binning": (2, 4)}, (250, 127.5, 160, 60, 120, 320)),
        ({"roi": (40, 30, 200, 300)}, (500, 510, 280, 210, 200, 300)),
        # Without a size it reaches to the sensor's end.
        ({"roi": (40, 30, 0, 0)}, (500, 510, 280, 210, 450, 600)),
        ({"roi": (40, 30, 201, 301), "binning": (2, 2)}, (250, 255, 140, 105, 100, 150)),
    ],
)
def test_a_region_is_cut_out_before_binning_divides(rest, expected):
    assert numbers(info(**rest)) == expected


def test_k_of_another_length_is_refused():
    with pytest.raises(CalibrationError, match=r"'front'.*8 numbers, 9"):
        intrinsics_from_camera_info(K9[:8], (), "", 480, 640, "front")
    with pytest.raises(CalibrationError, match=r"'front'.*image size 0x480"):
        info(roi=(640, 0, 480, 0))


def bent(**changes):
    K = np.array(K9).reshape(3, 3)
    for place, value in changes.pop("K", {}).items():
        K[place] = value
    return Intrinsics(**{"K": K, "height": 1, "width": 1, **changes})


@pytest.mark.parametrize(
    "bad",
    [
        bent(K={(0, 0): 0.0}),
        bent(K={(0, 0): np.inf}),
        bent(K={(1, 0): 1e-3}),
        bent(K={(2, 0): 1.0}),
        bent(K={(2, 1): 1.0}),
        bent(K={(2, 2): 2.0}),
        Intrinsics(np.eye(4), 1, 1),
        bent(height=0),
        bent(width=0),
        bent(distortion_model="plumb_bob", D=np.array([np.nan, 0, 0, 0])),
    ],
)
def test_what_cannot_be_a_camera_is_refused(bad):
    assert check_intrinsics(bent(), "front").D.size == 0
    with pytest.raises(CalibrationError, match="front"):
        check_intrinsics(bad, "front")


def test_a_lens_without_a_name_goes_by_its_number_of_coefficients():
    assert canonical_distortion_model("", "c", [0, 0, 0, 0, 0.1]) == "plumb_bob"
    assert (
        canonical_distortion_model("", "c", [0.1, 0, 0, 0, 0, 0.1, 0, 0]) == "rational_polynomial"
    )
    assert canonical_distortion_model(" Kannala-Brandt4 ", "c") == "equidistant"
    assert canonical_distortion_model("rational", "c", [0.1]) == "rational_polynomial"


@pytest.mark.parametrize(
    ("fx", "cx", "cy", "count"),
    [
        (500, 161, 121, 0),
        (500, 479, 359, 0),
        (500, 160, 240, 1),
        (500, 480, 240, 1),
        (500, 320, 120, 1),
        (500, 320, 360, 1),
        (86, 320, 240, 0),  # 2 atan(320 / 86) is 149.9 degrees
        (85, 320, 240, 1),  # 150.2
        (2430, 320, 240, 0),  # 15.003
        (2431, 320, 240, 1),  # 14.997
    ],
)
def test_where_a_calibration_begins_to_look_odd(fx, cx, cy, count):
    K = np.array([[fx, 0.0, cx], [0, fx, cy], [0, 0, 1]])
    assert len(doubts(Intrinsics(K, 480, 640))) == count


def test_what_looks_odd_is_said_with_its_numbers():
    K = np.array([[500.0, 7, 100.0], [0, 400.0, 40.0], [0, 0, 1]])
    assert doubts(Intrinsics(K, 480, 640)) == (
        "fx 500.0 and fy 400.0 differ by more than 10 %",
        "cx 100.0 is far from the middle of 640 px",
        "cy 40.0 is far from the middle of 480 px",
    )


def test_sizes_of_one_aspect_ratio_within_a_pixel_of_rounding():
    assert same_aspect((480, 640), (240, 320))
    assert not same_aspect((480, 640), (400, 640))
    assert same_aspect((3, 4), (3, 4)) and not same_aspect((3, 4), (4, 3))
    # The difference of the products may be half of the largest side, no more.
    assert not same_aspect((10, 10), (10, 9))
    assert same_aspect((1, 20), (1, 10))
    assert not same_aspect((1, 20), (1, 9))
    assert same_aspect((1, 10), (1, 20))


def test_scaled_depth_takes_the_pixel_under_each_middle():
    depth = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert scaled_depth(depth, 2, 3).tolist() == [[7, 9, 11], [19, 21, 23]]
    assert scaled_depth(depth, 4, 6).tolist() == depth.tolist()
    assert scaled_depth(depth[:1, :2], 2, 4).tolist() == [[0, 0, 1, 1]] * 2


def test_scaling_moves_the_skew_and_each_axis_by_its_own_factor():
    K = np.array([[500.0, 5, 320.0], [0, 510.0, 240.0], [0, 0, 1]])
    found = scaled_to(Intrinsics(K, 480, 640), 240, 160)
    assert found.K.tolist() == [[125, 1.25, 79.625], [0, 255, 119.75], [0, 0, 1]]
    assert (found.height, found.width) == (240, 160)


SMALL = Intrinsics(np.array([[2.0, 0, 1.0], [0, 4.0, 1.0], [0, 0, 1]]), 3, 4)


def test_pixels_with_depth_become_points():
    depth = np.full((3, 4), np.nan, np.float32)
    depth[0, 3], depth[2, 1], depth[1, 2] = 2.0, 4.0, 0.0
    points = depth_to_points(depth, SMALL)
    assert points.tolist() == [[2.0, -0.5, 2.0], [0.0, 1.0, 4.0]]
    # Every second pixel of both axes, from the first on.
    assert depth_to_points(np.ones((3, 4), np.float32), SMALL, 2).tolist() == [
        [-0.5, -0.25, 1.0],
        [0.5, -0.25, 1.0],
        [-0.5, 0.25, 1.0],
        [0.5, 0.25, 1.0],
    ]
    assert np.isnan(unproject(SMALL, np.array([[1.0, 1.0]]), np.array([np.nan]))).all()


def test_points_at_the_camera_have_no_pixel():
    uv = project(SMALL, np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1e-6], [1e-6, 0.0, 2e-6]]))
    assert np.isnan(uv[:2]).all()
    assert uv[2].tolist() == [2.0, 1.0]


@pytest.mark.parametrize("order", [(1.0, 2.0), (2.0, 1.0)])
def test_of_two_depths_in_one_pixel_the_nearer_is_seen(order):
    fine = Intrinsics(np.array([[4.0, 0, 1.5], [0, 4.0, 0.5], [0, 0, 1]]), 2, 4)
    depth = np.full((2, 4), 3.0, np.float32)
    depth[:, 0], depth[:, 1] = order
    seen = register_depth(depth, fine, np.eye(4), scaled_to(fine, 1, 2))
    assert seen.tolist() == [[1.0, 3.0]]
    assert seen.dtype == np.float32


@pytest.mark.parametrize(("factor", "width"), [(1, 1), (2, 3), (3, 3), (4, 5)])
def test_a_depth_pixel_covers_as_many_colour_pixels_as_it_is_large(factor, width):
    one = Intrinsics(np.array([[10.0, 0, 0.0], [0, 10.0, 0.0], [0, 0, 1]]), 1, 1)
    K = np.array([[10.0 * factor, 0, 6.0], [0, 10.0 * factor, 7.0], [0, 0, 1]])
    seen = register_depth(np.array([[2.0]], np.float32), one, np.eye(4), Intrinsics(K, 15, 13))
    rows, columns = np.nonzero(np.isfinite(seen))
    reach = width // 2
    assert (rows.min(), rows.max()) == (7 - reach, 7 + reach)
    assert (columns.min(), columns.max()) == (6 - reach, 6 + reach)
    assert len(rows) == width**2 and set(seen[rows, columns]) == {2.0}


@pytest.mark.parametrize(
    ("shift_px", "seen"),
    [
        ((0, 0), [[1, 1], [1, 1]]),
        ((1, 0), [[0, 1], [0, 1]]),  # what is too far right is not in the next row either
        ((0, 1), [[0, 0], [1, 1]]),
        ((-1, 0), [[1, 0], [1, 0]]),
        ((0, -1), [[1, 1], [0, 0]]),
    ],
)
def test_what_falls_beside_the_colour_picture_is_not_seen(shift_px, seen):
    camera = Intrinsics(np.array([[2.0, 0, 0.0], [0, 2.0, 0.0], [0, 0, 1]]), 2, 2)
    T = np.eye(4)
    T[:2, 3] = np.array(shift_px) / 2
    found = register_depth(np.ones((2, 2), np.float32), camera, T, camera)
    assert np.isfinite(found).tolist() == np.array(seen, bool).tolist()
