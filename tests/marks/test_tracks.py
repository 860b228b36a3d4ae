"""The RGB-only route: objects joined over views without depth, and nothing invented."""

import dataclasses

import cv2
import numpy as np
import pytest

from oryx_scene.config import MarksConfig
from oryx_scene.lab.evaluation.mark_scores import score_marks
from oryx_scene.lab.evaluation.mark_worlds import CONDITIONS, make_scene
from oryx_scene.lab.synth.render import CameraPose, SensorConfig, render_views
from oryx_scene.lab.synth.rigs import RigConfig, look_at, pinhole
from oryx_scene.lab.synth.solids import Pattern, Solid
from oryx_scene.lab.synth.world import WorldConfig, make_world
from oryx_scene.marks.finder import find_marks
from oryx_scene.marks.rgb import features
from oryx_scene.marks.rgb.features import Features, check, find_features, match
from oryx_scene.marks.rgb.regions import find_regions
from oryx_scene.marks.viewing_rays import meet
from oryx_scene.records import ViewSet

RGB = dataclasses.replace(CONDITIONS["rgb"], views=(4, 4))
SIZE = (180, 240)


@pytest.fixture(scope="module")
def scene():
    return make_scene(RGB, 2, SIZE)


@pytest.fixture(scope="module")
def found(scene):
    return find_marks(scene.views)


def without_poses(views):
    return ViewSet(tuple(dataclasses.replace(f, T_fixed_camera=None) for f in views.frames))


def test_the_same_number_on_the_same_object_without_depth(scene, found):
    counts = score_marks(scene.views, found, true_views=scene.true_views, places=scene.places)
    assert found.route == "tracks"
    assert counts.right >= 20
    assert counts.right >= 9 * counts.wrong
    assert counts.reached > counts.missed
    assert any("joined by colour" in text.text for text in found.warnings)


def test_places_are_triangulated_with_their_uncertainty(scene, found):
    placed = [mark for mark in found.marks if mark.position is not None]
    assert placed
    for mark in placed:
        seen = mark.observations[0]
        label = int(scene.views.frames[seen.view].labels[int(seen.v), int(seen.u)])
        error = np.linalg.norm(np.subtract(mark.position, scene.places[label]))
        assert error < 3 * mark.position_std + 0.05
        assert mark.frame_id == "map"


def test_every_number_is_on_two_views_at_least(found):
    assert all(len(mark.observations) >= 2 for mark in found.marks)


def test_the_order_of_the_views_does_not_matter(scene, found):
    back = find_marks(ViewSet(scene.views.frames[::-1]))
    drawn = {(m.number, o.view, o.u, o.v) for m in found.marks for o in m.observations}
    assert drawn == {(m.number, 3 - o.view, o.u, o.v) for m in back.marks for o in m.observations}


@pytest.mark.parametrize("camera", ["elsewhere", "hand"])
def test_nothing_is_invented_between_unrelated_pictures(scene, camera):
    first = scene.views.frames[0]
    other = make_scene(dataclasses.replace(RGB, views=(1, 1)), 9, SIZE).views.frames[0]
    other = dataclasses.replace(other, camera=camera, stamp_ns=first.stamp_ns + 10**9)
    views = without_poses(ViewSet((first, other)))
    marks = find_marks(views)
    assert (marks.marks, marks.route) == ((), "none")
    assert any("no correspondence" in text.text for text in marks.warnings)


def test_without_poses_a_colour_of_its_own_is_enough_between_pictures_taken_soon():
    hand = make_scene(dataclasses.replace(CONDITIONS["rgb_no_poses"], views=(5, 5)), 200)
    counts = score_marks(hand.views, find_marks(hand.views))
    assert counts.right >= 10
    assert counts.wrong == 0
    # The same pictures, taken ten seconds apart: only matched points can join them.
    rare = [
        dataclasses.replace(frame, stamp_ns=frame.stamp_ns + 10**10 * index)
        for index, frame in enumerate(hand.views.frames)
    ]
    slow = score_marks(hand.views, find_marks(ViewSet(tuple(rare))))
    assert slow.right < 0.7 * counts.right


def barrier():
    """A barrier that two neighbouring cameras of a ring see, cut by the border of each picture."""
    world = make_world(1, WorldConfig(objects=(1, 1), table=0.0))
    rough, rougher = Pattern("noise", 0.06, 0.7), Pattern("noise", 0.05, 0.8)
    solids = (
        Solid("box", 1, np.array([2.2, 0, 0.5]), np.array([0.05, 0.75, 0.18]), 0.0,
              np.array([200.0, 60, 40]), rough),
        Solid("box", 2, np.array([2.8, 0, 0.9]), np.array([0.05, 1.4, 0.9]), 0.0,
              np.array([150.0, 150, 150]), rougher),
    )  # fmt: skip
    config, yaw = RigConfig(height=240, width=320), 0.36
    cameras = []
    for name, side in (("left", 1), ("right", -1)):
        eye = np.array([0, side * 0.15, 0.7])
        ahead = np.array([3 * np.cos(yaw), 3 * side * np.sin(yaw), -0.3])
        pose = look_at(eye, eye + ahead)
        cameras.append(CameraPose(name, 1, pinhole(config, 0.8), pose))
    world = dataclasses.replace(world, solids=solids, bodies=())
    frames = render_views(world, cameras, SensorConfig(noise=2.0))
    return ViewSet(tuple(dataclasses.replace(frame, depth=None) for frame in frames))


def test_poses_lose_nothing_that_pictures_alone_tell():
    views = barrier()
    blind, posed = find_marks(without_poses(views)), find_marks(views)
    joined = [
        {tuple((seen.view, seen.bbox) for seen in mark.observations) for mark in found.marks}
        for found in (blind, posed)
    ]
    assert joined[0]
    assert joined[0] <= joined[1]
    # What the border cuts has no middle: its rays do not meet, and no place is made of them.
    cut = [m for m in posed.marks if {o.bbox[0] for o in m.observations} & {0.0}]
    assert cut
    assert all(mark.position is None for mark in cut)


def test_one_view_has_no_correspondence(scene):
    marks = find_marks(ViewSet(scene.views.frames[:1]))
    assert marks.marks == ()
    assert "no correspondence" in marks.warnings[0].text


def test_a_textured_thing_is_tracked_without_poses():
    rng = np.random.default_rng(3)
    texture = rng.integers(0, 255, (70, 90, 1)).repeat(3, axis=2) * [1.0, 0.25, 0.2]
    frames = []
    base = make_scene(dataclasses.replace(RGB, views=(2, 2)), 4, SIZE).views.frames
    wall = rng.integers(90, 140, (180, 240, 1), dtype=np.uint8).repeat(3, axis=2)
    for index, frame in enumerate(base):
        rgb = np.roll(wall, 4 * index, axis=1)
        # Two things at two depths shift by different parallax, as under one fundamental matrix.
        rgb[60:130, 40 + 9 * index : 130 + 9 * index] = texture
        frames.append(dataclasses.replace(frame, rgb=rgb, T_fixed_camera=None, fixed_frame=""))
    a, b = (find_features(frame) for frame in frames)
    shared = check(match(a, b))
    assert len(shared.uv_a) >= 30
    assert np.median(np.abs(shared.uv_b - shared.uv_a)[:, 1]) < 1.0
    assert len(check(match(a, find_features(base[0]))).uv_a) < 15


def test_depth_stays_the_route_where_one_view_has_all_three(scene):
    depth = make_scene(dataclasses.replace(RGB, depth=True), 2, SIZE).views.frames
    mixed = ViewSet((depth[0], depth[1], *scene.views.frames[2:]))
    marks = find_marks(mixed)
    assert marks.route == "depth"
    assert {o.view for mark in marks.marks for o in mark.observations} <= {0, 1}
    assert any("no marks there" in text.text for text in marks.warnings)


def test_regions_ignore_shade_and_tell_colours_apart():
    rgb = np.full((120, 160, 3), 130, np.uint8)
    rgb[30:60, 40:80] = (150, 30, 30)
    rgb[60:90, 40:80] = (90, 18, 18)
    rgb[30:90, 80:120] = (40, 60, 160)
    regions = find_regions(rgb, 0.002).regions
    assert len(regions) == 2
    assert [r.seen.area_px for r in regions] == pytest.approx([2400, 2400], rel=0.1)
    assert not any(r.cut for r in regions)


def test_lines_meet_at_their_point():
    rng = np.random.default_rng(1)
    target, origins = np.array([1.0, -2.0, 4.0]), rng.normal(size=(5, 3))
    rays = (target - origins) / np.linalg.norm(target - origins, axis=1, keepdims=True)
    point, along = meet(origins, rays)
    assert point == pytest.approx(target)
    assert along == pytest.approx(np.linalg.norm(target - origins, axis=1))


def test_k_and_minimum_area_hold(scene):
    marks = find_marks(scene.views, MarksConfig(max_marks=1))
    assert len(marks.marks) == 1
    assert marks.left_out["beyond the number of marks"] >= 1


def test_points_without_a_fundamental_matrix_are_no_matches(monkeypatch):
    def fails(*args):
        raise cv2.error("!model.empty() in function 'setModelParameters'")

    monkeypatch.setattr(features.cv2, "findFundamentalMat", fails)
    rng = np.random.default_rng(0)
    shared = Features(rng.uniform(0, 100, (30, 2)), rng.random((30, 128), dtype=np.float32))
    found = match(shared, shared)
    assert len(found.uv_a) == 30
    assert len(check(found).uv_a) == 0
