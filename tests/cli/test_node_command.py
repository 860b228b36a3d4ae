"""`oryx-scene node` without ROS: what it passes on, and what it says where something is missing."""

import argparse
import sys

import pytest

from oryx_scene.cli import node
from oryx_scene.cli.main import main
from oryx_scene.errors import ConfigError


def parsed(*words):
    parser = argparse.ArgumentParser()
    node.add_arguments(parser)
    return parser.parse_args(words)


def test_options_become_ros_arguments(tmp_path):
    assert node.ros_arguments(parsed()) == ["--ros-args", "-p", "autostart:=true"]
    assert node.ros_arguments(parsed("--wait")) == ["--ros-args"]
    file = tmp_path / "robot.yaml"
    file.write_text("/**: {ros__parameters: {}}\n")
    words = node.ros_arguments(
        parsed(
            *("--wait", "--params", str(file), "--model", "random", "--cameras", "front", "rear"),
            *("--ros-args", "-r", "image:=/image", "-p", "views.count:=2"),
        )
    )
    assert words == [
        *("--ros-args", "--params-file", str(file), "-p", "model.name:=random"),
        *("-p", "cameras:=[front, rear]", "-r", "image:=/image", "-p", "views.count:=2"),
    ]


def test_a_missing_parameter_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        node.ros_arguments(parsed("--params", str(tmp_path / "none.yaml")))


@pytest.mark.parametrize(
    ("missing", "words"),
    [("rclpy", "oryx-scene[ros]"), ("oryx_scene_ros.main", "oryx_scene_msgs")],
)
def test_what_is_missing_is_one_line(monkeypatch, capsys, missing, words):
    pytest.importorskip("rclpy") if missing != "rclpy" else None
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["node"]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
