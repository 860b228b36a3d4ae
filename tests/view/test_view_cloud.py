from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from oryx_scene.errors import ConfigError
from oryx_scene.view.cloud import fuse_cloud


def test_points_and_colours_are_where_the_surfaces_are(make_frame):
    cloud = fuse_cloud([make_frame()], voxel_m=0.05)
    magenta = (cloud.colors.astype(int) - (230, 60, 200)).__abs__().max(axis=1) < 10
    assert np.allclose(cloud.points[magenta, 0], 2.0, atol=1e-6)
    assert np.allclose(cloud.points[~magenta, 0], 3.0, atol=1e-6)
    assert np.abs(cloud.points[magenta, 1]).max() <= 0.2 + 1e-6
    assert np.abs(cloud.points[magenta, 2] - 1.0).max() <= 0.2 + 1e-6
    assert cloud.points[:, 2].max() > 2.0  # the wall reaches above the box: up is up
    assert cloud.frame_id == "map"
    assert cloud.frames_used == 1
    assert cloud.warnings == ()


def test_one_point_per_voxel_and_two_views_agree(make_frame):
    one = fuse_cloud([make_frame()], voxel_m=0.05)
    two = fuse_cloud([make_frame(), make_frame()], voxel_m=0.05)
    cells = np.floor(one.points / 0.05 + 1e-9)
    assert len(np.unique(cells, axis=0)) >= 0.95 * len(one.points)
    np.testing.assert_allclose(one.points, two.points)
    np.testing.assert_array_equal(one.colors, two.colors)


def test_colours_of_two_views_are_averaged(make_frame):
    frame = make_frame()
    dark = dataclasses.replace(frame, rgb=np.zeros_like(frame.rgb))
    cloud = fuse_cloud([frame, dark], voxel_m=0.05)
    green = cloud.colors[cloud.points[:, 0] > 2.9]
    assert np.abs(green.astype(int) - (20, 100, 30)).max() <= 1


def test_depth_edges_are_dropped(make_frame):
    frame = make_frame()
    frame.depth[10:20, 10] = 1.0  # a one pixel wide post: both its rims are edges
    cloud = fuse_cloud([frame], voxel_m=0.01)
    assert not np.any(np.isclose(cloud.points[:, 0], 1.0, atol=0.01))


def test_unknown_depth_gives_no_points(make_frame):
    frame = make_frame()
    frame.depth[:] = np.nan
    frame.depth[50, 50] = 0.0
    frame.depth[60, 60] = np.inf
    cloud = fuse_cloud([frame])
    assert len(cloud.points) == 0


def test_bound_coarsens_and_says_so(make_frame):
    fine = fuse_cloud([make_frame()], voxel_m=0.02)
    cloud = fuse_cloud([make_frame()], voxel_m=0.02, max_points=500)
    assert len(cloud.points) <= 500 < len(fine.points)
    assert cloud.voxel_m in (0.04, 0.08, 0.16)
    assert any("thinned" in text.text for text in cloud.warnings)
    # A coarser grid averages; it does not move surfaces.
    assert set(np.round(cloud.points[:, 0], 3)) <= {2.0, 3.0}


def test_frames_without_a_place_are_counted(make_frame):
    cloud = fuse_cloud([make_frame(posed=False), make_frame(), make_frame(depth=False)])
    assert cloud.frames_used == 1
    assert any(text.text.startswith("2 frame(s)") for text in cloud.warnings)


def test_far_from_the_origin_nothing_is_lost(make_frame):
    near, far = make_frame(), make_frame()
    far.T_fixed_camera[:3, 3] += (4.0e6, -3.0e6, 0.0)
    here, there = fuse_cloud([near], voxel_m=0.05), fuse_cloud([far], voxel_m=0.05)
    np.testing.assert_allclose(there.points - (4.0e6, -3.0e6, 0.0), here.points, atol=1e-6)


def test_bad_bounds_are_refused(make_frame):
    with pytest.raises(ConfigError, match="voxel"):
        fuse_cloud([make_frame()], voxel_m=0.0)
