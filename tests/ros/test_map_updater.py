"""An object keeps its number over questions: the map of things in the node."""

import dataclasses
import math
import threading
from array import array

import numpy as np
import pytest
from harness import camera_info, depth_image, transform, wait_until
from oryx_scene_msgs.srv import FreezeScene
from oryx_scene_ros.error_codes import Code
from oryx_scene_ros.intake.map_updater import KeptNumbers
from oryx_scene_ros.output import publishers

from oryx_scene.config import MarksConfig
from oryx_scene.geometry.transforms import rotation_to_quaternion
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import make_world
from oryx_scene.records import ViewSet

DEPTH = "/front/aligned_depth_to_color/image_raw"
QUESTION = "What are mark 1, mark 2, mark 3, mark 4, mark 5 and mark 6?"


@pytest.fixture(scope="module")
def walk():
    """Four views of a room from four sides, by one camera that goes around."""
    world = make_world(3)
    return render_views(world, make_poses(world, RigConfig(kind="ring", views=4)))


def show(robot, frame):
    """One RGB-D frame with calibration and pose, stamped now; its stamp."""
    stamp_ns, (height, width) = robot.now(), frame.rgb.shape[:2]
    size = {"height": height, "width": width}
    info = camera_info(stamp_ns, **size)
    info.k = frame.intrinsics.K.ravel().tolist()
    for topic in ("/front/camera_info", DEPTH.replace("image_raw", "camera_info")):
        robot.publish(topic, info)
    pose = transform("map", "front_optical", stamp_ns)
    at, turned = pose.transform.translation, pose.transform.rotation
    at.x, at.y, at.z = map(float, frame.T_fixed_camera[:3, 3])
    rotation = rotation_to_quaternion(frame.T_fixed_camera[:3, :3])
    turned.x, turned.y, turned.z, turned.w = map(float, rotation)
    robot.tf(pose)
    depth = depth_image(stamp_ns, encoding="32FC1", **size)
    depth.data = array("B", np.nan_to_num(frame.depth).astype("<f4").tobytes())
    before = robot.received()
    robot.publish(DEPTH, depth)
    wait_until(lambda: robot.received() > before, "depth")
    data = array("B", frame.rgb.tobytes())
    return robot.show(stamp_ns=stamp_ns, data=data, **size)


def places(objects):
    """Number -> place of every object."""
    return {
        item.mark: (item.pose.position.x, item.pose.position.y, item.pose.position.z)
        for item in objects
    }


def robot_with(bench, **parameters):
    return bench(camera__front__depth_topic=DEPTH, **parameters)


def test_an_object_keeps_its_number_from_question_to_question(bench, walk):
    robot = robot_with(bench)
    known: dict[int, tuple[float, ...]] = {}
    for frame in walk:
        show(robot, frame)
        answer = robot.ask(QUESTION)
        assert answer.error.code == Code.NONE, answer.error
        assert answer.provenance.marks_route == "map"
        scene = robot.call(FreezeScene, "freeze_scene").scene
        assert scene.marks_route == "map"
        for number, place in places(scene.objects).items():
            assert math.dist(known.setdefault(number, place), place) < 0.4, number
    # More objects than any single view showed, each with one number.
    assert len(known) >= 6


def test_marks_are_published_as_vision_msgs_where_that_package_is(bench, walk):
    vision = pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
    robot = robot_with(bench)
    found = robot.listen(vision.Detection3DArray, f"/{robot.name}/objects")
    show(robot, walk[0])
    scene = robot.call(FreezeScene, "freeze_scene").scene
    wait_until(lambda: found, "the objects")
    (message,) = found
    assert message.header.frame_id == scene.header.frame_id == "map"
    boxed = [item for item in scene.objects if item.has_box]
    assert [one.id for one in message.detections] == [str(item.mark) for item in boxed]
    assert len(boxed) >= 3
    for one, item in zip(message.detections, boxed, strict=True):
        assert one.bbox.center == item.pose and one.bbox.size == item.size
        assert one.results[0].pose.pose == item.pose


def test_without_vision_msgs_the_node_says_so_and_works(bench, walk, monkeypatch):
    monkeypatch.setattr(publishers, "vision", None)
    robot = robot_with(bench)
    show(robot, walk[0])
    assert robot.ask().error.code == Code.NONE
    topics = dict(robot.caller.get_topic_names_and_types())
    assert f"/{robot.name}/objects" not in topics


def test_without_the_map_each_scene_is_numbered_for_itself(bench, walk):
    robot = robot_with(bench, marks__keep_numbers=False)
    found = []
    for frame in walk[:2]:
        show(robot, frame)
        scene = robot.call(FreezeScene, "freeze_scene").scene
        assert scene.marks_route == "depth"
        found.append(places(scene.objects))
    # The first number is that of the largest object in view, here and now.
    assert math.dist(found[0][1], found[1][1]) > 0.5
    assert robot.node.desk.feeder.frames == 0


def test_frames_between_questions_are_taken_in_beside(bench, walk):
    robot = robot_with(bench, marks__map_hz=60.0)
    feeder = robot.node.desk.feeder
    for count, frame in enumerate(walk, start=1):
        show(robot, frame)
        wait_until(lambda wanted=count: feeder.frames >= wanted, "the map to take the frame in")
    assert robot.node.desk.numbers.map.size["things"] >= 5
    # Numbers are only given where somebody asks.
    assert robot.node.desk.numbers.map.size["numbers"] == 0
    # No frame is taken in twice.
    assert feeder.frames == len(walk)
    assert robot.node.desk.feeder._thread.name != threading.current_thread().name


def test_the_map_waits_while_a_scene_is_frozen(bench, walk):
    robot = robot_with(bench, marks__map_hz=60.0)
    feeder = robot.node.desk.feeder
    with feeder.aside():
        show(robot, walk[0])
        assert robot.ask().error.code == Code.NONE
    show(robot, walk[1])
    wait_until(lambda: feeder.frames >= 1, "the map to go on")


def test_a_jump_of_time_begins_numbering_anew(bench, walk):
    robot = robot_with(bench)
    show(robot, walk[0])
    assert robot.ask().error.code == Code.NONE
    numbers = robot.node.desk.numbers
    assert numbers.map.size["numbers"] > 0
    jump = type("Jump", (), {"delta": type("Delta", (), {"nanoseconds": -1})})
    robot.node._time_jumped(jump)
    assert numbers.map.size["numbers"] == 0


def test_things_of_another_coordinate_frame_are_forgotten(walk):
    numbers = KeptNumbers()
    first = numbers.find(ViewSet((walk[0],)), MarksConfig(), "")
    assert first.route == "map" and len(first.marks) >= 3
    assert numbers.observe(walk[1], MarksConfig())
    assert numbers.map.size["numbers"] == len(first.marks)
    assert numbers.observe(dataclasses.replace(walk[2], fixed_frame="odom"), MarksConfig())
    assert numbers.map.size["numbers"] == 0
