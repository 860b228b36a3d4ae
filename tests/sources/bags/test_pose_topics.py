"""Poses as Odometry, PoseStamped and the like place cameras where TF does not."""

import numpy as np
import pytest

from oryx_scene.geometry.transforms import from_translation_rpy, rotation_to_quaternion
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.sources.registry import open_source

STAMPS = [10**9, 2 * 10**9, 3 * 10**9]
MOUNT = from_translation_rpy((0.2, 0.0, 0.5), (-np.pi / 2, 0.0, -np.pi / 2))
PICTURE = np.full((6, 8, 3), 40, np.uint8)


def moved(index):
    return from_translation_rpy((1.0 + index, 0.5, 0.0), (0.0, 0.0, 0.3 * index))


def put_pose(writer, topic, kind, stamp, parent, child, T):
    make = writer.type
    at = make("geometry_msgs/msg/Point")(*map(float, T[:3, 3]))
    turn = make("geometry_msgs/msg/Quaternion")(*map(float, rotation_to_quaternion(T[:3, :3])))
    pose = make("geometry_msgs/msg/Pose")(at, turn)
    header = writer.header(stamp, parent)
    name = f"geometry_msgs/msg/{kind}"
    spread = make("geometry_msgs/msg/PoseWithCovariance")(pose, np.zeros(36))
    if kind == "Odometry":
        name = "nav_msgs/msg/Odometry"
        zero = make("geometry_msgs/msg/Vector3")(0.0, 0.0, 0.0)
        twist = make("geometry_msgs/msg/Twist")(zero, zero)
        twist = make("geometry_msgs/msg/TwistWithCovariance")(twist, np.zeros(36))
        message = make(name)(header, child, spread, twist)
    elif kind == "PoseWithCovarianceStamped":
        message = make(name)(header, spread)
    elif kind == "TransformStamped":
        vector = make("geometry_msgs/msg/Vector3")(*map(float, T[:3, 3]))
        message = make(name)(header, child, make("geometry_msgs/msg/Transform")(vector, turn))
    else:
        message = make(name)(header, pose)
    writer.write(topic, name, stamp, message)


def record(path, *tracks, mounted=True, tf=False):
    """A camera, perhaps mounted on base_link, and (topic, kind, parent, child) tracks of poses."""
    with BagWriter(path) as writer:
        if mounted:
            writer.add_transform("base_link", "cam", 0, MOUNT, static=True)
        for index, stamp in enumerate(STAMPS):
            if tf:
                writer.add_transform("map", "base_link", stamp, moved(index))
            for topic, kind, parent, child in tracks:
                put_pose(writer, topic, kind, stamp, parent, child, moved(index))
            writer.add_image("/cam/image_raw", stamp, "cam", PICTURE)
    return path


def poses(source):
    return [frame.T_fixed_camera for frame in source.frames()]


def codes(source):
    return {item.code for item in source.warnings}


@pytest.mark.parametrize("kind", ["Odometry", "TransformStamped"])
def test_poses_that_name_their_frame(tmp_path, kind):
    source = open_source(record(tmp_path / "bag", ("/odom", kind, "odom", "base_link")))
    assert source.fixed_frame == "odom"
    for index, T in enumerate(poses(source)):
        assert np.allclose(T, moved(index) @ MOUNT, atol=1e-9)
    assert "pose_topic_used" in codes(source)


@pytest.mark.parametrize("kind", ["PoseStamped", "PoseWithCovarianceStamped"])
@pytest.mark.parametrize("mounted", [True, False])
def test_poses_that_name_no_frame_are_of_what_the_cameras_hang_on(tmp_path, kind, mounted):
    path = record(tmp_path / "bag", ("/slam/pose", kind, "map", ""), mounted=mounted)
    source = open_source(path)
    for index, T in enumerate(poses(source)):
        assert np.allclose(T, moved(index) @ (MOUNT if mounted else np.eye(4)), atol=1e-9)
    said = next(item for item in source.warnings if item.code == "pose_topic_assumed")
    assert ("'base_link'" if mounted else "'cam'") in said.text


def test_tf_wins_over_poses(tmp_path):
    other = ("/wrong", "Odometry", "map", "base_link")
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_transform("base_link", "cam", 0, MOUNT, static=True)
        for index, stamp in enumerate(STAMPS):
            writer.add_transform("map", "base_link", stamp, moved(index))
            put_pose(writer, *other[:2], stamp, *other[2:], moved(index + 5))
            writer.add_image("/cam/image_raw", stamp, "cam", PICTURE)
    source = open_source(tmp_path / "bag")
    assert np.allclose(poses(source)[1], moved(1) @ MOUNT)
    assert not codes(source) & {"pose_topic_used", "pose_topic_unused"}


UNUSED = {
    "a goal": ("/goal_pose", "PoseStamped", "map", ""),
    "of something else": ("/odom", "Odometry", "odom", "other_robot"),
    "of a marker that the camera saw": ("/aruco/pose", "PoseStamped", "cam", ""),
}


@pytest.mark.parametrize("name", sorted(UNUSED))
def test_poses_of_other_things_place_no_camera(tmp_path, name):
    source = open_source(record(tmp_path / "bag", UNUSED[name]))
    assert not codes(source) & {"pose_topic_used", "pose_topic_assumed"}
    assert source.fixed_frame in ("", "base_link")
    if name != "a goal":
        assert "pose_topic_unused" in codes(source)


def test_a_nameless_pose_is_not_that_of_the_odometry_frame(tmp_path):
    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        writer.add_transform("base_link", "cam", 0, MOUNT, static=True)
        for index, stamp in enumerate(STAMPS):
            writer.add_transform("odom", "base_link", stamp, moved(index))
            put_pose(writer, "/amcl_pose", "PoseStamped", stamp, "map", "", moved(index))
            writer.add_image("/cam/image_raw", stamp, "cam", PICTURE)
    source = open_source(path)
    assert source.fixed_frame == "odom"
    assert np.allclose(poses(source)[1], moved(1) @ MOUNT)
    assert "pose_topic_assumed" not in codes(source)


def test_two_topics_of_nameless_poses_are_not_guessed(tmp_path):
    tracks = ("/a/pose", "PoseStamped", "map", ""), ("/b/pose", "PoseStamped", "map", "")
    source = open_source(record(tmp_path / "bag", *tracks))
    unused = [item.topic for item in source.warnings if item.code == "pose_topic_unused"]
    assert unused == ["/a/pose", "/b/pose"]


def test_the_fixed_frame_that_was_asked_for_decides(tmp_path):
    tracks = ("/odom", "Odometry", "odom", "base_link"), ("/gps", "Odometry", "map", "base_link")
    path = record(tmp_path / "bag", *tracks)
    assert open_source(path).fixed_frame == "map"
    assert open_source(path, fixed_frame="odom").fixed_frame == "odom"


def test_a_pose_of_nan_is_left_out_and_said(tmp_path):
    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        for index, stamp in enumerate(STAMPS):
            T = moved(index)
            if index == 1:
                T = T.copy()
                T[0, 3] = np.nan
            put_pose(writer, "/odom", "Odometry", stamp, "map", "cam", T)
            writer.add_image("/cam/image_raw", stamp, "cam", PICTURE)
    source = open_source(path)
    assert any(
        "/odom" in str(item) for item in source.warnings if item.code == "transform_left_out"
    )
    # Between its neighbours it is known again.
    assert all(np.isfinite(T).all() for T in poses(source))
