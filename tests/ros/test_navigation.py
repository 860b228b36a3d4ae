"""From an answer to a goal, and the client of docs/nav2.md as printed."""

import copy
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from geometry_msgs.msg import Pose, Vector3
from harness import time_of, transform
from oryx_scene_msgs.msg import Answer, FrameRef, MarkObservation, SceneObject
from oryx_scene_ros.navigation import SceneClient, UnsureError, view_goal
from test_cameras import show_rgbd
from test_shutdown import PACKAGES

PAGE = Path(__file__).parents[2] / "docs" / "nav2.md"


def frame(x, y, stamp_s, valid=True):
    found = FrameRef(camera="front", pose_valid=valid)
    found.header.stamp, found.header.frame_id = time_of(stamp_s * 10**9), "front_optical"
    found.pose.position.x, found.pose.position.y, found.pose.position.z = x, y, 1.2
    return found


def thing(mark=3, x=4.0, y=3.0, views=(0,)):
    found = SceneObject(mark=mark, has_box=True, position_stddev=0.05)
    found.pose = Pose()
    found.pose.position.x, found.pose.position.y, found.pose.position.z = x, y, 0.4
    found.size = Vector3(x=0.6, y=0.8, z=1.0)
    found.observations = [MarkObservation(view=view) for view in views]
    return found


def answer(*things, frames=None):
    found = Answer(text="It is mark 3.", confidence=float("nan"), oldest_evidence_age_s=0.5)
    found.header.frame_id, found.answered_at = "map", time_of(7 * 10**9)
    found.objects = list(things)
    found.provenance.frames = frames or [frame(0.0, 0.0, 5)]
    return found


def test_the_goal_stands_before_the_thing_on_the_line_of_sight_and_looks_at_it():
    goal = view_goal(answer(thing()), distance_m=1.0)
    # 5 m away, half a diagonal of 0.5 m: 3.5 m along (0.8, 0.6).
    assert (goal.pose.position.x, goal.pose.position.y) == pytest.approx((2.8, 2.1))
    assert goal.pose.position.z == 0.0
    yaw = 2 * math.atan2(goal.pose.orientation.z, goal.pose.orientation.w)
    assert yaw == pytest.approx(math.atan2(3, 4))
    assert goal.header.frame_id == "map" and goal.header.stamp == time_of(7 * 10**9)


def test_a_camera_that_was_nearer_is_where_the_goal_is():
    goal = view_goal(answer(thing()), distance_m=20.0)
    assert (goal.pose.position.x, goal.pose.position.y) == pytest.approx((0.0, 0.0))


def test_the_newest_camera_with_a_pose_decides():
    frames = [frame(0.0, 0.0, 5), frame(4.0, -2.0, 6), frame(9.0, 9.0, 7, valid=False)]
    goal = view_goal(answer(thing(views=(0, 1, 2)), frames=frames), distance_m=1.5)
    assert (goal.pose.position.x, goal.pose.position.y) == pytest.approx((4.0, 1.0))


def changed(**fields):
    found = answer(thing())
    for name, value in fields.items():
        target = found.objects[0] if hasattr(found.objects[0], name) else found
        setattr(target, name, value)
    return found


def in_frame(frame_id):
    found = answer(thing())
    found.header.frame_id = frame_id
    return found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer(), "names 0 things"),
        (answer(thing(3), thing(4)), "names 2 things"),
        (changed(has_box=False), "has no place"),
        (changed(position_stddev=0.4), "known to 0.40 m"),
        (changed(position_stddev=float("nan")), "known to nan m"),
        (changed(verdict=Answer.VERDICT_UNSURE), "is unsure"),
        (changed(verdict=Answer.VERDICT_NO), "is no"),
        (changed(confidence=0.3), "confidence is 0.30"),
        (changed(oldest_evidence_age_s=11.0), "11.0 s old"),
        (in_frame("front_optical"), "own coordinate frame"),
        (answer(thing(x=0.01, y=0.0)), "straight from above"),
        (answer(thing(), frames=[frame(0.0, 0.0, 5, valid=False)]), "no camera with a known pose"),
    ],
)
def test_what_is_not_sure_is_refused_with_a_sentence(given, words):
    with pytest.raises(UnsureError, match=words):
        view_goal(given)


def test_a_failed_answer_is_refused_and_one_of_two_things_can_be_named():
    failed = answer(thing())
    failed.error.code, failed.error.message = 705, "nothing has arrived."
    with pytest.raises(UnsureError, match="nothing has arrived"):
        view_goal(failed)
    both = answer(thing(3), thing(4, x=0.0, y=5.0))
    assert view_goal(both, mark=4).pose.position.x == pytest.approx(0.0)
    with pytest.raises(UnsureError, match="does not name mark 9"):
        view_goal(both, mark=9)
    assert view_goal(copy.deepcopy(both), mark=3).pose.position.x == pytest.approx(2.8)


def test_a_client_asks_one_question_after_the_other_and_gives_up(bench):
    robot = bench()
    client = SceneClient(f"/{robot.name}", name="asks_politely")
    try:
        robot.show()
        assert client.askScene("What is here?")
        while not client.isTaskComplete():
            pass
        assert client.getResult().text == "It is mark 1." and client.getFeedback() is not None
        robot.answerer.holding.add("decode")
        robot.show()
        assert client.askScene("And now?")
        client.cancelTask()
        assert client.getResult().error.code == 718
        robot.answerer.holding.clear()
        assert robot.transition("deactivate")
        assert not client.askScene("Anybody?")
        with pytest.raises(UnsureError, match="no question was accepted"):
            client.getResult()
    finally:
        client.destroy_node()


NAVIGATOR = """
class BasicNavigator:
    def waitUntilNav2Active(self): pass
    def goToPose(self, pose): self.pose = pose
    def isTaskComplete(self): return True
    def getResult(self): return f"{self.pose.header.frame_id} {self.pose.pose.position.x:.2f}"
"""


@pytest.mark.parametrize("placed", [True, False])
def test_the_script_as_printed(bench, tmp_path, monkeypatch, placed):
    (tmp_path / "nav2_simple_commander").mkdir()
    (tmp_path / "nav2_simple_commander" / "robot_navigator.py").write_text(NAVIGATOR)
    code, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    topic = "/front/aligned_depth_to_color/image_raw"
    robot = bench(name="oryx_scene", camera__front__depth_topic=topic)
    if placed:
        # An optical frame half a metre up that looks along x of the map.
        turned = transform("map", "front_optical", 0)
        turned.transform.translation.z = 0.5
        q = turned.transform.rotation
        q.x, q.y, q.z, q.w = -0.5, 0.5, -0.5, 0.5
        robot.tf(turned, static=True)
    show_rgbd(robot)
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, (tmp_path, *PACKAGES))))
    monkeypatch.delenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    # The thing stands 1.5 m ahead: nearer than 0.8 m and its half diagonal is not needed.
    expected = r"at the thing: map 0\.[0-9]+" if placed else "not driving: "
    assert re.search(expected, done.stdout), done.stdout
