"""What `colcon test` checks of the installed package alone: no model, no camera, no repository."""

import ast
from pathlib import Path

import pytest
import yaml
from oryx_scene_ros.parameters.parameter_file import render
from oryx_scene_ros.parameters.schema import all_specs, problem_with

PACKAGE = Path(__file__).parents[1]


def flat(group, prefix=""):
    found = {}
    for key, value in group.items():
        name = f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


@pytest.mark.parametrize("name", ["scene.yaml", "replay.yaml"])
def test_every_value_of_a_parameter_file_is_known_and_allowed(name):
    values = yaml.safe_load((PACKAGE / "launch" / name).read_text())
    given = flat(values["/**"]["ros__parameters"])
    specs = all_specs(given["cameras"])
    assert set(given) <= set(specs)
    assert [p for key, value in given.items() if (p := problem_with(specs[key], value))] == []


def test_the_parameter_file_is_that_of_the_table():
    assert (PACKAGE / "launch" / "scene.yaml").read_text() == render()


@pytest.mark.parametrize("name", ["scene.launch.py", "replay.launch.py"])
def test_launch_files_are_python_and_say_what_they_describe(name):
    tree = ast.parse((PACKAGE / "launch" / name).read_text())
    functions = {item.name for item in tree.body if isinstance(item, ast.FunctionDef)}
    assert "generate_launch_description" in functions
