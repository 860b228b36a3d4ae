"""What a detector publishes beside a camera becomes the marks of the next question."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from harness import BEST_EFFORT, time_of, wait_until
from oryx_scene_msgs.srv import FreezeScene
from oryx_scene_ros.error_codes import Code
from oryx_scene_ros.intake import cameras
from oryx_scene_ros.intake.message_buffer import (
    DETECTION_BYTES,
    Bounds,
    CameraFeed,
    LockedTransforms,
    MessageBuffers,
)
from oryx_scene_ros.output import vision_objects
from oryx_scene_ros.parameters.schema import all_specs
from oryx_scene_ros.parameters.settings import settings_from
from oryx_scene_ros.queries.query_handler import QueryStage
from test_map_updater import DEPTH, places, show

from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import make_world

MS = 10**6
TOPIC = "/front/detections"
PLAIN = SimpleNamespace(
    **dict.fromkeys(
        ("Detection2DArray", "Detection2D", "BoundingBox2D", "Pose2D", "Point2D"), SimpleNamespace
    ),
    ObjectHypothesis=SimpleNamespace,
    ObjectHypothesisWithPose=SimpleNamespace,
)


@pytest.fixture(scope="module")
def world():
    return make_world(3)


@pytest.fixture(scope="module")
def views(world):
    return render_views(world, make_poses(world, RigConfig(kind="ring", views=4)))


def found_in(frame, world, stamp_ns, kind=PLAIN, frame_id="front_optical"):
    """What a perfect detector would say, as vision_msgs 4 spells it."""
    detections = []
    for thing in world.objects:
        v, u = np.nonzero(frame.labels == thing.object_id)
        if len(u) < 200:
            continue
        middle = kind.Point2D(
            x=float(u.min() + u.max() + 1) / 2, y=float(v.min() + v.max() + 1) / 2
        )
        box = kind.BoundingBox2D(
            center=kind.Pose2D(position=middle),
            size_x=float(np.ptp(u) + 1),
            size_y=float(np.ptp(v) + 1),
        )
        guess = kind.ObjectHypothesis(class_id=f"a {thing.shape}", score=0.9)
        result = kind.ObjectHypothesisWithPose(hypothesis=guess)
        detections.append(kind.Detection2D(bbox=box, results=[result]))
    from std_msgs.msg import Header

    header = Header(stamp=time_of(stamp_ns), frame_id=frame_id)
    return kind.Detection2DArray(header=header, detections=detections)


def listening(bench, **parameters):
    """A node whose detector hands its messages to the callback: no vision_msgs is needed."""
    robot = bench(camera__front__depth_topic=DEPTH, **parameters)
    robot.node.feeds.cameras["front"].detections_topic = TOPIC
    return robot


def hand(robot, message):
    robot.node.feeds.add_detections("front", message)


def said(answer, words):
    return any(words in text.text for text in answer.warnings)


def labels(answer):
    return {item.label for item in answer.objects}


def ask_of(robot, question="Mark 1, mark 2, mark 3, mark 4?"):
    answer = robot.ask(question)
    assert answer.error.code == Code.NONE, answer.error
    return answer


def shapes(world):
    return {f"a {thing.shape}" for thing in world.objects}


def test_a_detector_on_a_topic_labels_the_marks(bench, world, views):
    vision = pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
    robot = bench(camera__front__depth_topic=DEPTH, camera__front__detections_topic=TOPIC)
    stamp_ns = show(robot, views[0])
    robot.publish(TOPIC, found_in(views[0], world, stamp_ns, vision), BEST_EFFORT)
    wait_until(lambda: robot.node.feeds.detections_of("front"), "the detections")
    answer = ask_of(robot)
    assert answer.provenance.marks_route == "detections"
    assert labels(answer) and labels(answer) <= shapes(world)
    assert not said(answer, "detections")


def test_detections_of_the_picture_label_the_marks(bench, world, views):
    robot = listening(bench)
    hand(robot, found_in(views[0], world, show(robot, views[0])))
    answer = ask_of(robot)
    assert answer.provenance.marks_route == "detections"
    assert not said(answer, "detections")
    # The answer names only the marks of its text; the scene has all of them.
    marked = robot.call(FreezeScene, "freeze_scene").scene.objects
    assert len(marked) >= 3 and {item.label for item in marked} <= shapes(world)
    assert all(item.has_box for item in marked)
    prompt = " ".join(part for part in robot.answerer.prompts[-1].scene if isinstance(part, str))
    assert "(a " in prompt


@pytest.mark.parametrize("late_ms", [0, 40, -40, 60, -60, 3000])
def test_only_detections_of_the_moment_count(bench, world, views, late_ms):
    robot = listening(bench, tf_timeout_s=0.0, views__count=1)
    stamp_ns = show(robot, views[0])
    hand(robot, found_in(views[0], world, stamp_ns - late_ms * MS))
    answer = ask_of(robot)
    if abs(late_ms) <= 50:
        assert labels(answer) and not said(answer, "no detections")
        return
    assert not answer.objects and answer.provenance.marks_route == "none"
    side = "older" if late_ms > 0 else "newer"
    assert said(answer, "no detections for 1 view, so no marks there: the nearest")
    assert said(answer, f"{abs(late_ms) / 1000:.3f} s {side} than the picture, 0.05 s are allowed")


def test_a_silent_detector_is_said_and_nothing_is_made_up(bench, views):
    robot = listening(bench, tf_timeout_s=0.0)
    show(robot, views[0])
    answer = ask_of(robot)
    assert not answer.objects
    assert said(answer, f"none have arrived on {TOPIC}")


def test_a_picture_without_finds_is_no_fault(bench, world, views):
    robot = listening(bench)
    message = found_in(views[0], world, show(robot, views[0]))
    message.detections.clear()
    hand(robot, message)
    answer = ask_of(robot)
    assert not answer.objects and not said(answer, "no detections for")


def test_detections_of_another_camera_are_not_taken(bench, world, views):
    robot = listening(bench, tf_timeout_s=0.0)
    stamp_ns = show(robot, views[0])
    hand(robot, found_in(views[0], world, stamp_ns, frame_id="rear_optical"))
    answer = ask_of(robot)
    assert not answer.objects
    assert said(answer, f"those on {TOPIC} are of 'rear_optical', the pictures of 'front_optical'")


def test_detections_that_came_before_the_first_picture_are_judged_then(bench, world, views):
    robot = listening(bench, tf_timeout_s=0.0)
    hand(robot, found_in(views[0], world, robot.now(), frame_id="rear_optical"))
    show(robot, views[0])
    assert not robot.node.feeds.detections_of("front")
    assert not ask_of(robot).objects


def test_detections_that_come_after_their_picture_are_waited_for(bench, world, views):
    robot = listening(bench, tf_timeout_s=5.0)
    stamp_ns = show(robot, views[0])
    goal = robot.goal()
    wait_until(lambda: QueryStage.WAITING_FRAMES in goal.stages, "the question to wait")
    assert QueryStage.MARKING not in goal.stages
    hand(robot, found_in(views[0], world, stamp_ns))
    _, answer = goal.result()
    assert answer.provenance.marks_route == "detections"
    assert not said(answer, "no detections")


def test_an_object_keeps_its_number_and_no_map_is_filled(bench, world, views):
    robot = listening(bench)
    known = {}
    for frame in (*views[:2], views[0]):
        hand(robot, found_in(frame, world, show(robot, frame)))
        scene = robot.call(FreezeScene, "freeze_scene").scene
        assert scene.marks_route == "detections"
        for number, place in places(scene.objects).items():
            assert math.dist(known.setdefault(number, place), place) < 0.4, number
    first = {item.mark for item in scene.objects}
    robot.node.desk.numbers.reset()
    hand(robot, found_in(views[0], world, show(robot, views[0])))
    scene = robot.call(FreezeScene, "freeze_scene").scene
    assert {item.mark for item in scene.objects} == set(range(1, len(first) + 1))
    assert robot.node.desk.numbers.map.size["things"] == 0


def feeds_with(bounds):
    values = {name: spec.default for name, spec in all_specs(["front"]).items()}
    camera = settings_from(values).cameras[0]
    feed = CameraFeed(camera, camera.topics, TOPIC)
    return MessageBuffers({"front": feed}, LockedTransforms(1.0), lambda: bounds)


def empty(stamp_ns):
    header = SimpleNamespace(frame_id="", stamp=time_of(stamp_ns))
    return SimpleNamespace(header=header, detections=[])


def test_what_is_kept_is_bounded_in_time_and_bytes():
    feeds = feeds_with(Bounds(1000 * MS, 200 * MS, 0, 2**30))
    for step in range(2000):
        feeds.add_detections("front", empty(10**12 + step * 10 * MS))
    assert [item.stamp_ns for item in feeds.detections_of("front")] == [
        10**12 + step * 10 * MS for step in range(1899, 2000)
    ]
    tight = feeds_with(Bounds(1000 * MS, 200 * MS, 0, 7 * DETECTION_BYTES))
    for step in range(50):
        tight.add_detections("front", empty(10**12 + step * 10 * MS))
    assert len(tight.detections_of("front")) == 7
    tight.clear()
    assert not tight.detections_of("front")


def test_detections_without_a_stamp_are_counted():
    feeds = feeds_with(Bounds(1000 * MS, 200 * MS, 0, 2**30))
    feeds.add_detections("front", empty(0))
    assert feeds.bad_counts() == {"front": 1}
    assert not feeds.detections_of("front")


def test_without_vision_msgs_configure_names_the_package(bench, monkeypatch):
    monkeypatch.setattr(vision_objects, "vision", None)
    monkeypatch.setattr(cameras, "vision", None)
    robot = bench(activate=False, camera__front__detections_topic=TOPIC)
    assert not robot.transition("configure")
    assert "camera.front.detections_topic needs the package vision_msgs" in robot.node.fault
    assert robot.set_parameter("camera.front.detections_topic", "") == ""
    assert robot.transition("configure") and robot.transition("activate")
