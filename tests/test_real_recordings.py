"""Recordings that others made, read from the folder that ORYX_SCENE_RECORDINGS names."""

import itertools
import json

import numpy as np
import pytest

from oryx_scene.cli.main import main
from oryx_scene.geometry.camera import project
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.marks.finder import find_marks
from oryx_scene.records import ViewSet
from oryx_scene.sources.registry import open_source

pytestmark = pytest.mark.recordings


@pytest.fixture
def office(recording):
    """Three viewpoints of a real office, hand-held; poses of a SLAM, 10 to 30 cm off."""
    return ViewSet(tuple(list(open_source(recording("office_rgbd")).frames())[2:]))


def test_the_office_is_whole(recording):
    source = open_source(recording("office_rgbd"))
    assert not source.synthetic
    frames = list(source.frames())
    assert [round((f.stamp_ns - frames[0].stamp_ns) * 30 / 1e9) for f in frames] == [
        0,
        1,
        2,
        116,
        422,
    ]
    for frame in frames:
        assert frame.rgb.shape == (480, 640, 3)
        assert frame.intrinsics.K[0, 0] == pytest.approx(570.342, abs=1e-3)
        known = frame.depth[np.isfinite(frame.depth)]
        assert 0.6 < known.size / frame.depth.size < 1.0
        assert known.min() > 0.4 and known.max() < 10
    # Measured when it was recorded: the share of depth seen again within 30 cm.
    points = np.argwhere(np.isfinite(frames[0].depth))[::97]
    z = frames[0].depth[points[:, 0], points[:, 1]]
    K = frames[0].intrinsics.K
    local = np.column_stack(
        [(points[:, 1] - K[0, 2]) / K[0, 0] * z, (points[:, 0] - K[1, 2]) / K[1, 1] * z, z]
    )
    there = transform_points(
        invert(frames[3].T_fixed_camera), transform_points(frames[0].T_fixed_camera, local)
    )
    pixels = np.rint(project(frames[3].intrinsics, there[there[:, 2] > 0.1])).astype(int)
    inside = ((pixels >= 0) & (pixels < (640, 480))).all(axis=1)
    again = frames[3].depth[pixels[inside, 1], pixels[inside, 0]]
    off = np.abs(again - there[there[:, 2] > 0.1][inside, 2])
    assert (off[np.isfinite(off)] < 0.3).mean() == pytest.approx(0.77, abs=0.06)


def test_numbers_of_the_office_hold(office, recording, capsys):
    found = find_marks(office)
    assert len(found.marks) == 8
    for view in range(3):
        spots = [o for mark in found.marks for o in mark.observations if o.view == view]
        for a, b in itertools.combinations(spots, 2):
            assert np.hypot(a.u - b.u, a.v - b.v) > a.radius_px + b.radius_px - 2
    assert main(["eval", "recording", str(recording("office_rgbd")), "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["discs_judged"] >= 8
    assert judged["same_share"] >= 0.75


def test_a_bag_of_another_camera_without_tf(recording, capsys):
    bag = str(recording("realsense_bag") / "single_depth_color_640x480.bag")
    assert main(["check", bag]) == 1
    told = capsys.readouterr().out
    assert "0.102 s away" in told
    assert "no TF" in told
    assert main(["marks", bag, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(view["marks"] == [] for view in found["views"])


def test_a_hand_that_mostly_turns(recording):
    source = open_source(recording("tum_parallax"))
    frames = list(source.frames())
    assert len(frames) == 8
    assert all(frame.depth is None and frame.T_fixed_camera is not None for frame in frames)
    assert all(frame.intrinsics.K[0, 0] == pytest.approx(517.3) for frame in frames)
    found = find_marks(ViewSet(tuple(frames)))
    assert found.route == "tracks"


def test_a_robot_that_stands_still(recording):
    folder = recording("pr2_still")
    source = open_source(folder / "pr2_button_light.bag", rig=folder / "pr2rig.yaml")
    frames = list(source.frames())
    assert len(frames) == 19
    assert all(frame.depth is None for frame in frames)
    # A Bayer picture came out in colour, at the size that the rig's matrix belongs to.
    assert frames[0].rgb.shape == (480, 640, 3)
    assert np.ptp(frames[0].rgb.astype(int), axis=2).mean() > 2
    # No parallax: no place.
    found = find_marks(ViewSet(tuple(frames[:8])))
    assert all(mark.position is None for mark in found.marks)
