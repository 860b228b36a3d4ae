from __future__ import annotations

import numpy as np

from oryx_scene.records import Mark, Predicate, Relation
from oryx_scene.view.shapes import LAYERS, box_corners, build_geometry, frustum_corners, up_axis
from oryx_scene.view.snapshot import in_view, take_snapshot


def test_frustum_corners_project_onto_the_picture_corners(make_frame):
    camera = take_snapshot([make_frame()]).cameras[0]
    corners = frustum_corners(camera, 0.5)
    np.testing.assert_allclose(corners[0], (0, 0, 1))
    pixels = in_view(camera, corners[1:])
    wanted = [(-0.5, -0.5), (159.5, -0.5), (159.5, 119.5), (-0.5, 119.5)]
    np.testing.assert_allclose(pixels, wanted, atol=1e-9)
    np.testing.assert_allclose(corners[1:, 0], 0.5)  # optical z is map x


def test_box_edges_have_the_box_s_sides():
    corners = box_corners(np.array([1.0, 2.0, 3.0]), np.array([0.2, 0.4, 0.6]))
    np.testing.assert_allclose(corners.min(axis=0), (0.9, 1.8, 2.7))
    np.testing.assert_allclose(corners.max(axis=0), (1.1, 2.2, 3.3))


def test_every_layer_is_there_and_can_be_taken_out(make_frame, box_mark):
    other = Mark(2, (), (3.0, 0.5, 1.0), (0.1, 0.1, 0.1))
    apart = Relation(1, Predicate.DISTANCE, 2, "map", 1.118, "m")
    frames = [make_frame((0, 0, 1)), make_frame((0.1, 0.4, 1), stamp_ns=2_000_000_000)]
    snapshot = take_snapshot(frames, path=np.array([f.T_fixed_camera[:3, 3] for f in frames]))
    scene = build_geometry(snapshot, [box_mark, other], [apart], named=[1])
    assert {item.layer for item in scene.segments} == {"frusta", "boxes", "relations", "path"}
    assert [mark.number for mark in scene.marks] == [1, 2]
    line = next(item for item in scene.segments if item.layer == "relations")
    np.testing.assert_allclose(line.ends[0], [box_mark.position, other.position])
    assert any(text.text == "1.12 m" for text in scene.texts)
    path = next(item for item in scene.segments if item.layer == "path")
    np.testing.assert_allclose(path.ends[0], [(0, 0, 1), (0.1, 0.4, 1)])
    for layer in LAYERS:
        without = scene.only(set(LAYERS) - {layer})
        assert not any(item.layer == layer for item in without.segments)
    assert len(scene.only(["frusta"]).points) == 0
    assert scene.only(["cloud"]).marks == ()
    assert scene.only(["cloud"]).pictures == ()


def test_a_relation_to_the_viewpoint_or_an_unplaced_mark_is_no_line(make_frame, box_mark):
    flat = Mark(2, ())
    relations = [
        Relation(1, Predicate.RANGE, None, "view:front", 2.0, "m"),
        Relation(1, Predicate.LEFT_OF, 2, "view:front"),
    ]
    scene = build_geometry(take_snapshot([make_frame()]), [box_mark, flat], relations)
    assert not any(item.layer == "relations" for item in scene.segments)
    assert any("mark 2 has no 3D place" in text.text for text in scene.warnings)


def test_up_is_z_unless_upright_cameras_say_otherwise(make_frame):
    level = take_snapshot([make_frame()]).cameras
    np.testing.assert_array_equal(up_axis(level), (0, 0, 1))
    frame = make_frame()
    frame.T_fixed_camera[:3, :3] = np.eye(3)  # first camera's axes: y points down
    np.testing.assert_array_equal(up_axis(take_snapshot([frame]).cameras), (0, -1, 0))
    # A ceiling camera turned by 45 degrees says nothing about "up".
    s = np.sqrt(0.5)
    frame.T_fixed_camera[:3, :3] = np.array([[s, s, 0.0], [s, -s, 0.0], [0.0, 0.0, -1.0]])
    np.testing.assert_array_equal(up_axis(take_snapshot([frame]).cameras), (0, 0, 1))


def test_without_any_pose_one_camera_stands_alone(make_frame):
    frames = [make_frame(posed=False), make_frame(posed=False, camera="rear")]
    snapshot = take_snapshot(frames)
    assert snapshot.cloud.frames_used == 1
    assert any("only camera 'front'" in text.text for text in snapshot.warnings)
    scene = build_geometry(snapshot)
    assert len(scene.cameras) == 1
    assert not scene.is_empty


def test_pictures_alone_have_nothing_in_space(make_frame):
    snapshot = take_snapshot([make_frame(posed=False, depth=False)])
    assert build_geometry(snapshot).is_empty
    assert len(snapshot.cameras) == 1
