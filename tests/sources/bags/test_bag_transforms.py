"""Trees of transforms, fixed frames and clocks of recordings as robots make them."""

import numpy as np
import pytest

from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.geometry.tf_trees import TransformTrees, tf_namespace
from oryx_scene.geometry.transforms import rotation_to_quaternion
from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.sources.registry import open_source

SECOND = 1_000_000_000
CAMERA = Intrinsics(np.array([[60.0, 0, 39.5], [0, 60.0, 29.5], [0, 0, 1]]), 60, 80)
GREY = np.full((60, 80, 3), 90, np.uint8)


def at_x(x):
    T = np.eye(4)
    T[0, 3] = x
    return T


def put_tf(writer, topic, stamp, parent, child, T, log=None):
    kinds = {
        name: writer.type(f"geometry_msgs/msg/{name}")
        for name in ("TransformStamped", "Transform", "Vector3", "Quaternion")
    }
    place = kinds["Transform"](
        kinds["Vector3"](*map(float, T[:3, 3])),
        kinds["Quaternion"](*map(float, rotation_to_quaternion(T[:3, :3]))),
    )
    item = kinds["TransformStamped"](
        header=writer.header(stamp, parent), child_frame_id=child, transform=place
    )
    message = writer.type("tf2_msgs/msg/TFMessage")([item])
    writer.write(topic, "tf2_msgs/msg/TFMessage", stamp if log is None else log, message)


def put_camera(writer, topic="/cam/image_raw", stamp=SECOND, frame_id="cam", log=None):
    base = topic.rsplit("/", 1)[0]
    writer.add_camera_info(f"{base}/camera_info", stamp, frame_id, CAMERA)
    picture = writer.type("sensor_msgs/msg/Image")(
        header=writer.header(stamp, frame_id),
        height=60,
        width=80,
        encoding="rgb8",
        is_bigendian=0,
        step=240,
        data=GREY.reshape(-1),
    )
    writer.write(topic, "sensor_msgs/msg/Image", stamp if log is None else log, picture)


def codes(warnings):
    return {item.code for item in warnings}


def x_of(source):
    """Camera's topic -> x of the pose of its first frame, None without one."""
    poses = {stub.topic: source.pose(stub) for stub in reversed(source.stubs())}
    return {topic: None if T is None else round(float(T[0, 3]), 6) for topic, T in poses.items()}


def test_namespaces_of_tf_topics():
    assert tf_namespace("/tf") == tf_namespace("/tf_static") == ""
    assert tf_namespace("/robot1/tf") == tf_namespace("/robot1/tf_static") == "/robot1"
    assert tf_namespace("/tf_truth") == "/tf_truth"


def test_each_robot_is_looked_up_in_its_own_tree(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for name, x in (("/robot1", 1), ("/robot2", 4)):
            put_tf(writer, f"{name}/tf", SECOND, "map", "base_link", at_x(x))
            put_tf(writer, f"{name}/tf_static", SECOND, "base_link", "cam", at_x(0.5))
            put_camera(writer, f"{name}/camera/image_raw")
    source = open_source(tmp_path / "bag")
    assert x_of(source) == {"/robot1/camera/image_raw": 1.5, "/robot2/camera/image_raw": 4.5}
    assert "tf_namespaces" in codes(source.warnings)


def trees(**content):
    """Namespace -> {child: x of its place in "map"}; "root" is /tf."""
    found = TransformTrees(TransformBuffer())
    for name, frames in content.items():
        for child, x in frames.items():
            found.tree("" if name == "root" else f"/{name}").add_static("map", child, at_x(x))
    return found


def seen(found, topic, child):
    transforms, against = found.seen_from(topic)
    if against:
        return against
    known = child in transforms.known_frames()
    return transforms.lookup("map", child, 0)[0, 3] if known else None


def test_which_tree_a_camera_is_looked_up_in():
    topic = "/robot1/cam/image"
    # Its own namespace wins; what stands above it adds what does not contradict it.
    assert seen(trees(root={"b": 9}, robot1={"a": 1}), topic, "a") == 1
    assert seen(trees(root={"b": 9}, robot1={"a": 1}), topic, "b") == 9
    both = trees(root={"a": 2, "b": 9}, robot1={"a": 1})
    assert (seen(both, topic, "a"), seen(both, topic, "b")) == (1, None)
    # Another robot's tree never fills a gap of its own.
    assert seen(trees(robot1={"a": 1}, robot2={"b": 5}), topic, "b") is None
    # A longer name is another robot's.
    assert seen(trees(root={"a": 2}, robot={"a": 1}), topic, "a") == 2
    # Without a tree of its own it takes what there is, unless that contradicts itself.
    assert seen(trees(robot2={"a": 5}), topic, "a") == 5
    assert seen(trees(robot2={"a": 5}, robot3={"b": 6}), topic, "b") == 6
    assert seen(trees(robot2={"a": 5}, robot3={"a": 5}), topic, "a") == 5
    assert seen(trees(robot2={"a": 5}, robot3={"a": 6}), topic, "a") == ("/robot2", "/robot3")


def test_trees_that_contradict_each_other_give_no_place(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        put_tf(writer, "/robot1/tf", SECOND, "map", "cam", at_x(1))
        put_tf(writer, "/robot2/tf", SECOND, "map", "cam", at_x(4))
        put_camera(writer)
    source = open_source(tmp_path / "bag")
    frame = source.load(source.stubs()[0])
    assert frame.T_fixed_camera is None
    assert "tf_contradicts" in codes(frame.warnings) | codes(source.warnings)


def test_a_tree_that_is_not_connected_is_left_for_one_that_is(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        put_tf(writer, "/tf_static", SECOND, "map", "marker", at_x(0))
        put_tf(writer, "/tf", SECOND, "odom", "cam", at_x(3))
        put_camera(writer)
    source = open_source(tmp_path / "bag")
    assert source.fixed_frame == "odom"
    assert x_of(source) == {"/cam/image_raw": 3.0}
    (said,) = [item for item in source.warnings if item.code == "other_fixed_frame"]
    assert "no camera with 'map'" in said.text


def test_parents_that_alternate_are_named(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(3):
            stamp = (index + 1) * SECOND
            put_tf(writer, "/tf", stamp, "odom", "base", at_x(index))
            put_tf(writer, "/tf", stamp + 1_000_000, "map", "base", at_x(9))
            put_camera(writer, stamp=stamp)
        put_tf(writer, "/tf_static", SECOND, "base", "cam", at_x(0))
        put_tf(writer, "/tf", SECOND, "elsewhere", "nose", at_x(0))
        put_tf(writer, "/tf", 2 * SECOND, "nowhere", "nose", at_x(0))
        put_tf(writer, "/tf", 3 * SECOND, "elsewhere", "nose", at_x(0))
    said = [
        item.text
        for item in open_source(tmp_path / "bag").warnings
        if item.code == "tf_two_parents"
    ]
    # Of frames that no camera hangs on nothing is said.
    assert said == ["'base' has several parents in TF: 'odom', 'map'"]


def test_a_parent_that_changes_after_the_last_picture_costs_nothing(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        put_tf(writer, "/tf", SECOND, "map", "cam", at_x(2))
        put_camera(writer)
        put_tf(writer, "/tf", 2 * SECOND, "other", "cam", at_x(0))
    source = open_source(tmp_path / "bag")
    assert x_of(source) == {"/cam/image_raw": 2.0}
    assert "tf_two_parents" not in codes(source.warnings)


def test_two_static_parents_are_named(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        put_tf(writer, "/tf_static", SECOND, "mast", "cam", at_x(0))
        put_tf(writer, "/tf_static", SECOND + 1, "arm", "cam", at_x(0))
        put_tf(writer, "/tf", SECOND, "map", "mast", at_x(2))
        put_camera(writer)
    assert "tf_two_parents" in codes(open_source(tmp_path / "bag").warnings)


def test_a_parent_that_changes_between_pictures_is_followed(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(4):
            stamp = (index + 1) * SECOND
            put_tf(writer, "/tf", stamp, "map", "odom", at_x(3))
            parent, x = ("odom", index - 3) if index < 2 else ("map", index)
            put_tf(writer, "/tf", stamp, parent, "cam", at_x(x))
            put_camera(writer, stamp=stamp)
    source = open_source(tmp_path / "bag")
    assert [source.pose(stub)[0, 3] for stub in source.stubs()] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("tf_s", "log_s", "said"),
    [
        (-86400, 0, {"two_clocks"}),
        (8, 0, {"two_clocks"}),
        (0, 1_700_000_000, {"clock_offset"}),
        (0, 0, set()),
    ],
)
def test_which_clocks_differ(tmp_path, tf_s, log_s, said):
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(3):
            stamp = 100_000 * SECOND + index * SECOND
            log = stamp + log_s * SECOND
            put_tf(writer, "/tf", stamp + tf_s * SECOND, "map", "cam", at_x(index), log=log)
            put_camera(writer, stamp=stamp, log=log)
    source = open_source(tmp_path / "bag")
    assert codes(source.warnings) == said
    assert (source.pose(source.stubs()[0]) is None) is ("two_clocks" in said)


@pytest.mark.parametrize("boot", [True, False])
def test_two_clocks_are_called_that(tmp_path, boot):
    ahead = 1_700_000_000 * SECOND if boot else 0
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(3):
            stamp = (index + 1) * SECOND
            put_tf(writer, "/tf", stamp + ahead, "map", "cam", at_x(index), log=stamp + ahead)
            put_camera(writer, stamp=stamp, log=stamp + ahead)
    source = open_source(tmp_path / "bag")
    frame = source.load(source.stubs()[0])
    assert (frame.T_fixed_camera is None) is boot
    assert ({"two_clocks", "clock_offset"} <= codes(source.warnings)) is boot
    assert codes(frame.warnings) == ({"two_clocks"} if boot else set())


def test_a_recording_played_again_keeps_its_places(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        put_tf(writer, "/tf", SECOND, "map", "cam", at_x(2), log=900 * SECOND)
        put_camera(writer, log=900 * SECOND)
    source = open_source(tmp_path / "bag")
    assert x_of(source) == {"/cam/image_raw": 2.0}
    assert codes(source.warnings) == {"clock_offset"}


def test_tf_that_misses_some_pictures_is_no_other_clock(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(5):
            put_camera(writer, stamp=(index + 1) * SECOND)
        put_tf(writer, "/tf", 4 * SECOND, "map", "cam", at_x(0))
    source = open_source(tmp_path / "bag")
    assert "two_clocks" not in codes(source.warnings)
    assert codes(source.load(source.stubs()[0]).warnings) == {"no_pose"}


def test_a_topic_that_carries_two_cameras_in_turn_has_two_places(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for index, frame_id in enumerate(["front", "rear", "front"]):
            stamp = (index + 1) * SECOND
            put_tf(writer, "/tf", stamp, "map", "front", at_x(1))
            put_tf(writer, "/tf", stamp, "map", "rear", at_x(-1))
            put_camera(writer, stamp=stamp, frame_id=frame_id)
    frames = list(open_source(tmp_path / "bag").frames())
    assert [frame.T_fixed_camera[0, 3] for frame in frames] == [1, -1, 1]
    assert [frame.frame_id for frame in frames] == ["front", "rear", "front"]


@pytest.mark.parametrize("frame_id", ["camera_link", "camera_optical_frame"])
def test_a_frame_above_the_optical_one_is_named(tmp_path, frame_id):
    with BagWriter(tmp_path / "bag") as writer:
        put_tf(writer, "/tf_static", SECOND, "map", "camera_link", at_x(1))
        put_tf(writer, "/tf_static", SECOND, "camera_link", "camera_optical_frame", at_x(0))
        put_camera(writer, frame_id=frame_id)
    said = codes(open_source(tmp_path / "bag").warnings)
    assert ("frame_not_optical" in said) is (frame_id == "camera_link")


def test_a_picture_without_frame_id_goes_by_its_calibration(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        put_tf(writer, "/tf", SECOND, "map", "cam", at_x(2))
        writer.add_camera_info("/cam/camera_info", SECOND, "cam", CAMERA)
        writer.add_image("/cam/image_raw", SECOND, "", GREY)
    assert x_of(open_source(tmp_path / "bag")) == {"/cam/image_raw": 2.0}
