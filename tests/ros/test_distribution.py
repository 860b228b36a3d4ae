"""Older distributions, made by taking away from rclpy what they do not have."""

import pytest
from oryx_scene_ros import distribution
from oryx_scene_ros.error_codes import Code
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy


@pytest.fixture
def humble(monkeypatch):
    """rclpy 3.3: no callback after parameters were set, no best_available."""
    monkeypatch.delattr(Node, "add_post_set_parameters_callback")

    class Policies:
        RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT

    monkeypatch.setattr(distribution, "ReliabilityPolicy", Policies)


def test_parameters_act_from_the_next_question_without_a_callback_after_setting(humble, bench):
    robot = bench(gen__max_new_tokens=2)
    robot.show()
    assert robot.ask().text == "It is"
    assert robot.set_parameter("gen.max_new_tokens", 3) == ""
    robot.show()
    assert robot.ask().text == "It is mark"
    # What is refused changes nothing, and cameras of a new name get their parameters.
    assert "0" in robot.set_parameter("gen.max_new_tokens", 0)
    robot.show()
    assert robot.ask().error.code == Code.NONE
    assert robot.node.parameters.settings().limits.max_new_tokens == 3
    robot.transition("deactivate")
    robot.transition("cleanup")
    # As `ros2 param set` does it.
    value = ParameterValue(type=9, string_array_value=["front", "rear"])
    cameras = Parameter(name="cameras", value=value)
    assert robot.call(SetParameters, "set_parameters", parameters=[cameras]).results[0].successful
    assert robot.node.has_parameter("camera.rear.topic")


def test_a_policy_that_a_distribution_lacks_is_named(humble, bench):
    robot = bench(activate=False, image_reliability="best_available")
    assert not robot.transition("configure")
    assert "has no reliability 'best_available'." in robot.node.fault
    assert robot.set_parameter("image_reliability", "best_effort") == ""
    assert robot.transition("configure") and robot.transition("activate")
    robot.show()
    assert robot.ask().error.code == Code.NONE
