"""Cells of one view: means, edges, normals, creases, planes and colours, each in an exact case."""

import numpy as np
import pytest

from oryx_scene.marks.colour_invariance import paint_image, paint_of
from oryx_scene.marks.depth.backdrop import band, find_backdrop
from oryx_scene.marks.depth.segments import BACKGROUND, NOTHING, cut_patches, inner_creases
from oryx_scene.marks.depth.view_grid import (
    _mean_depth,
    _noise,
    fit_normals,
    has_normal,
    jump_limit,
    largest_channel,
    make_grid,
    usable,
)
from oryx_scene.marks.surface_colour import compare_colours
from oryx_scene.records import Frame, Intrinsics

K = np.array([[120.0, 0, 79.5], [0, 120.0, 59.5], [0, 0, 1]])


def frame(depth, rgb=None, K=K, model="none", D=()):
    height, width = depth.shape
    if rgb is None:
        rgb = np.full((height, width, 3), (40, 180, 60), np.uint8)
    lens = Intrinsics(K, height, width, model, np.array(D, float))
    depth = depth.astype(np.float32)
    return Frame("front", 1, "front_optical", rgb, "", depth=depth, intrinsics=lens)


def wall(z=2.0):
    return np.full((120, 160), z, np.float32)


def test_a_view_is_usable_with_depth_lens_and_pose():
    whole = Frame("a", 1, "", np.zeros((1, 1, 3), np.uint8), "", depth=wall(), intrinsics=0)
    assert not usable(whole)
    posed = {"T_fixed_camera": np.eye(4), "depth": wall(), "intrinsics": 0}
    for left_out in ({}, *({name: None} for name in posed)):
        made = Frame("a", 1, "", whole.rgb, "", **{**posed, **left_out})
        assert usable(made) == (not left_out)


def test_cells_are_means_of_their_known_pixels():
    depth = np.array([[1.0, 2.0, np.nan, 9.0], [1.0, 2.0, 3.0, 0.1]], np.float32)
    z, mixed = _mean_depth(depth, 2, 8.0)
    # 1.5 m with a spread of 0.5; of the other four pixels one, under a third, is known.
    assert z.tolist() == [[pytest.approx(1.5), 0.0]]
    assert mixed.tolist() == [[True, False]]
    z, mixed = _mean_depth(np.array([[2.0, 2.04], [2.0, np.nan]], np.float32), 2, 8.0)
    assert z[0, 0] == pytest.approx((2.0 + 2.04 + 2.0) / 3) and not mixed[0, 0]
    z, mixed = _mean_depth(depth, 1, 8.0)
    assert z.tolist() == [[1.0, 2.0, 0.0, 0.0], [1.0, 2.0, 3.0, 0.0]] and not mixed.any()


def test_noise_is_the_spread_about_the_line_through_two_neighbours():
    rng = np.random.default_rng(0)
    noisy = 2.0 + 0.02 * rng.standard_normal((240, 320)).astype(np.float32)
    assert _noise(noisy, 8.0) == pytest.approx(0.01, rel=0.05)
    assert _noise(np.linspace(1, 3, 320, dtype=np.float32)[None].repeat(8, 0), 8.0) < 1e-6
    assert _noise(noisy, 1.0) == 0.0


def test_a_cell_stands_for_the_pixel_in_its_middle():
    depth = np.full((240, 480), 2.0, np.float32)
    K = np.array([[300.0, 0, 100.0], [0, 200.0, 60.0], [0, 0, 1]])
    grid = make_grid(frame(depth, K=K), 6.0)
    assert (grid.step, grid.half, grid.z.shape) == (3, 1, (80, 160))
    assert grid.rays[2, 5] == pytest.approx(((16 - 100) / 300, (7 - 60) / 200))
    assert grid.points[2, 5] == pytest.approx((2 * (16 - 100) / 300, 2 * (7 - 60) / 200, 2.0))
    assert grid.rgb[0, 0].tolist() == [40, 180, 60]
    skewed = K.copy()
    skewed[0, 1] = 3.0
    bent = make_grid(frame(depth, K=skewed), 6.0)
    assert bent.rays[2, 5] == pytest.approx(
        ((16 - 100 - 3 * (7 - 60) / 200) / 300, (7 - 60) / 200), abs=1e-6
    )
    # Beyond the range, and beyond the end of the lens model, there is no place.
    assert not make_grid(frame(depth), 1.9).valid.any()
    barrel = make_grid(frame(wall(), model="plumb_bob", D=(-0.9, 0, 0, 0)), 6.0)
    assert barrel.valid[60, 80] and not barrel.valid[0, 0]
    assert np.isfinite(barrel.rays).all()


def test_edges_are_cells_on_a_jump_of_depth():
    depth = wall()
    depth[:, 80:] = 3.0
    grid = make_grid(frame(depth), 6.0)
    assert np.flatnonzero(grid.edge[60]).tolist() == [79, 80]
    # Twice 5 cm or 3.5 % of z make a jump, 2 * 0.07 at 2 m.
    for step, edge in ((0.13, False), (0.15, True)):
        depth[:, 80:] = 2.0 + step
        assert make_grid(frame(depth), 6.0).edge[60].any() == edge
    assert jump_limit(np.array([1.0, 2.0], np.float32)).tolist() == pytest.approx([0.05, 0.07])
    # What is unknown is no jump, and its neighbours' nearest depth is unknown.
    depth = wall()
    depth[:, 80:] = np.nan
    grid = make_grid(frame(depth), 6.0)
    assert not grid.edge.any()
    assert grid.nearest[60, 78:81].tolist() == [2.0, 0.0, 0.0]
    assert grid.nearest[60, 10] == 2.0


@pytest.mark.parametrize(("axis", "slope"), [(0, 0.5), (0, -0.5), (1, 0.5), (1, -0.8)])
def test_the_normal_of_a_slanted_wall_points_to_the_camera(axis, slope):
    """z = 2 + slope * x is the plane (slope, 0, -1): its normal towards the camera."""
    v, u = np.mgrid[0:120, 0:160]
    rays = np.stack([(u - 79.5) / 120, (v - 59.5) / 120], axis=-1).astype(np.float32)
    z = (2.0 / (1 - slope * rays[..., axis])).astype(np.float32)
    found = fit_normals(z, rays)[5:-5, 5:-5]
    wanted = np.array([0.0, 0.0, -1.0])
    wanted[axis] = slope
    wanted /= np.linalg.norm(wanted)
    assert np.abs(found - wanted).max() < 2e-3
    assert has_normal(found).all()


def test_where_no_plane_fits_there_is_no_normal():
    grid = make_grid(frame(wall()), 6.0)
    # Of a window of 5 x 5 cells half must be known: at a border 15 are, beside a corner 12.
    known = has_normal(grid.normal)
    assert np.argwhere(~known[:60, :80]).tolist() == [[0, 0], [0, 1], [1, 0]]
    assert (~known).sum() == 12
    depth = wall()
    depth[:, 82:] = np.nan
    known = has_normal(make_grid(frame(depth), 6.0).normal)
    assert known[60, 81] and not known[60, 82]
    depth = wall()
    depth[::2] = 2.2
    assert not has_normal(make_grid(frame(depth), 6.0).normal).any()
    single = np.full((120, 160), np.nan, np.float32)
    single[60, 80] = 2.0
    assert not has_normal(make_grid(frame(single), 6.0).normal).any()


def fold(inner):
    """Two planes that meet at a right angle along the middle column, 2 m away."""
    x = np.abs((np.arange(160) - 79.5) / 120)[None].repeat(120, axis=0)
    # z + x = 2 on both sides is an inner corner, z - x = 2 an outer edge.
    return (2.0 / (1 + x if inner else 1 - x)).astype(np.float32)


def test_an_inner_corner_is_a_crease_and_an_outer_edge_is_none():
    inner, outer = (inner_creases(make_grid(frame(fold(kind)), 9.0)) for kind in (True, False))
    columns = np.flatnonzero(inner[60])
    assert 79 in columns and 80 in columns and columns.min() >= 73 and columns.max() <= 86
    assert not outer.any()
    # Turned by 90 degrees the same.
    lens = K[[1, 0, 2]][:, [1, 0, 2]]
    turned = inner_creases(make_grid(frame(fold(True).T, K=lens), 9.0))
    assert np.array_equal(turned, inner.T)


def test_a_point_lies_on_a_plane_within_15_mm_and_11_per_mille():
    assert band(np.array([1.0, 4.0], np.float32)).tolist() == pytest.approx([0.026, 0.059])


def floor_and_box(box=True, side=0.4):
    """A floor 1 m below a camera that looks level, and a box that stands on it 2 m ahead."""
    v, u = np.mgrid[0:120, 0:160]
    x, y = (u - 79.5) / 120, (v - 59.5) / 120
    with np.errstate(divide="ignore"):
        depth = np.where(y > 0, 1.0 / y, np.nan)
    rgb = np.full((120, 160, 3), 150, np.uint8)
    if box:
        on = (np.abs(2.0 * x) < side / 2) & (2.0 * y < 1.0) & (2.0 * y > 1.0 - side)
        depth[on], rgb[on] = 2.0, (200, 30, 30)
    depth[depth > 5.5] = np.nan
    return frame(depth, rgb)


def test_a_floor_is_backdrop_and_a_box_on_it_is_one_patch():
    grid = make_grid(floor_and_box(), 6.0)
    backdrop = find_backdrop(grid)
    below = grid.points[..., 1] > 0.97
    assert backdrop[below & ~grid.edge].mean() > 0.95
    front = np.abs(grid.points[..., 2] - 2.0) < 0.01
    inside = front & (grid.points[..., 1] < 0.9) & (np.abs(grid.points[..., 0]) < 0.17)
    assert not backdrop[inside].any()
    patches = cut_patches(grid)
    assert (patches.count, patches.noisy) == (1, False)
    assert (patches.labels[inside] == 0).all()
    assert (patches.labels[below & ~grid.edge] == BACKGROUND).mean() > 0.95
    assert (patches.labels[~grid.valid] == NOTHING).all()
    assert patches.cells.tolist() == [int((patches.labels == 0).sum())]
    assert patches.rgb[0] == pytest.approx((200, 30, 30), abs=12)
    assert cut_patches(make_grid(floor_and_box(box=False), 6.0)).count == 0


def test_two_boxes_side_by_side_are_two_patches_in_reading_order():
    whole = floor_and_box()
    depth, rgb = whole.depth.copy(), whole.rgb.copy()
    red = (rgb == (200, 30, 30)).all(axis=2)
    right = np.roll(red, 40, axis=1)
    depth[right], rgb[right] = 2.0, (30, 30, 200)
    patches = cut_patches(make_grid(frame(depth, rgb), 6.0))
    assert patches.count == 2
    assert patches.rgb[0][0] > 150 and patches.rgb[1][2] > 150
    assert not patches.creased.any()


def test_depth_of_pure_noise_is_cut_into_nothing():
    noise = 2.0 * (1 + 0.1 * np.random.default_rng(0).standard_normal((120, 160)))
    patches = cut_patches(make_grid(frame(noise), 6.0))
    assert (patches.noisy, patches.count) == (True, 0)
    assert (patches.labels == NOTHING).all() and patches.creased.shape == (0, 0)


def test_colours_are_compared_by_their_direction_from_black():
    a = np.array([[100, 0, 0], [100, 0, 0], [100, 100, 0], [0, 0, 0]], np.float32)
    b = np.array([[50, 0, 0], [0, 200, 0], [100, 0, 0], [10, 0, 0]], np.float32)
    angle, ratio = compare_colours(a, b)
    assert angle[:3] == pytest.approx([0, np.pi / 2, np.pi / 4])
    assert ratio == pytest.approx([0.5, 0.5, 1 / np.sqrt(2), 0])
    values = np.array([[3, 1, 2], [1, 2, 3], [1, 3, 2]], np.float32)
    assert largest_channel(values).tolist() == [3, 3, 3]


def test_paint_stays_where_light_changes():
    bright, half, other = paint_of(
        np.array([[200, 80, 60], [100, 40, 30], [60, 80, 200]], np.uint8)
    )
    assert np.linalg.norm(bright[1:] - half[1:]) < 0.5
    # Brightness counts three tenths of its mean, 0..100.
    assert bright[0] == pytest.approx(30 * 340 / 3 / 255, rel=1e-5)
    assert half[0] == pytest.approx(bright[0] / 2, rel=1e-5)
    assert np.linalg.norm(bright - other) > 40
    grey = paint_of(np.array([[90, 90, 90], [5, 4, 5]], np.uint8))
    assert np.abs(grey[:, 1:]).max() < 1.5
    assert paint_of(np.zeros((0, 3), np.uint8)).shape == (0, 3)
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, 15:] = (200, 80, 60)
    found = paint_image(picture, 3)
    assert found.shape == (7, 10, 3)
    assert found[3, 9] == pytest.approx(bright) and found[3, 0] == pytest.approx((0, 0, 0))
