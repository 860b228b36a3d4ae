"""Questions and answers through real DDS, with a fake model."""

from action_msgs.msg import GoalStatus
from oryx_scene_ros.codes import Code


def test_a_goal_is_answered(bench):
    robot = bench()
    stamp_ns = robot.show()
    goal = robot.goal("What is here?")
    status, answer = goal.result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert answer.error.code == Code.NONE, answer.error
    assert answer.text == "It is mark 1."
    assert [frame.camera for frame in answer.provenance.frames] == ["front"]
    stamp = answer.provenance.frames[0].header.stamp
    assert stamp.sec * 10**9 + stamp.nanosec == stamp_ns
    assert "".join(item.delta for item in goal.feedback) == "It is mark 1."
