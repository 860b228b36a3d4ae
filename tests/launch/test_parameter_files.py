"""The shipped parameter files, and the RViz and Foxglove layouts, against the node's own tables."""

import json
from pathlib import Path

import pytest
import yaml

pytest.importorskip("oryx_scene_ros.parameters.schema")

from oryx_scene_ros.parameters.parameter_file import render
from oryx_scene_ros.parameters.schema import SPECS, all_specs, problem_with

from oryx_scene.sources.bags.writer import write_source
from oryx_scene.sources.registry import open_source

ROOT = Path(__file__).parent.parent.parent
LAUNCH = ROOT / "launch"


def flat(group, prefix=""):
    found = {}
    for key, value in group.items():
        name = f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def parameters(name):
    values = yaml.safe_load((LAUNCH / name).read_text())
    assert list(values) == ["/**"]
    return flat(values["/**"]["ros__parameters"])


def test_the_full_file_is_the_table():
    assert (LAUNCH / "scene.yaml").read_text() == render(), (
        "python -m oryx_scene_ros.parameters.parameter_file > launch/scene.yaml"
    )


@pytest.mark.parametrize("name", ["scene.yaml", "replay.yaml"])
def test_every_value_is_known_and_allowed(name):
    given = parameters(name)
    specs = all_specs(given["cameras"])
    for key, value in given.items():
        assert key in specs, key
        assert problem_with(specs[key], value) == ""


def test_the_full_file_holds_every_parameter_with_its_default():
    given = parameters("scene.yaml")
    # The launch file has another default, which a copy of this file must not undo unasked.
    assert "    # autostart: false\n" in (LAUNCH / "scene.yaml").read_text()
    assert set(given) == set(all_specs(["front"])) - {"autostart"}
    for spec in SPECS:
        assert given.get(spec.name, spec.default) == spec.default, spec.name


def test_the_replay_file_fits_a_recording_of_one_camera(tmp_path, office_folder):
    write_source(open_source(office_folder), tmp_path / "office")
    topics = open_source(tmp_path / "office").topics["camera"]
    given = parameters("replay.yaml")
    assert given["cameras"] == ["camera"]
    assert given["camera.camera.topic"] == topics.image
    assert given["camera.camera.depth_topic"] == topics.depth


def names_in(value):
    if isinstance(value, str) and value.startswith("/"):
        yield value
    elif isinstance(value, dict):
        yield from names_in([*value, *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from names_in(item)


OURS = {
    *("/oryx_scene/markers", "/oryx_scene/marked/front", "/oryx_scene/marked/front/compressed"),
    *("/oryx_scene/answer_text", "/oryx_scene/status", "/oryx_scene/question", "/diagnostics"),
}


def test_layouts_name_topics_of_the_node():
    rviz = yaml.safe_load((LAUNCH / "oryx_scene.rviz").read_text())
    shown = {
        item["Topic"]["Value"]: item["Topic"]
        for item in rviz["Visualization Manager"]["Displays"]
        if "Topic" in item
    }
    assert set(shown) - {"/front/image_raw"} <= OURS
    # A late RViz gets the latched markers only where it asks for them.
    assert shown["/oryx_scene/markers"]["Durability Policy"] == "Transient Local"
    foxglove = json.loads((LAUNCH / "oryx_scene_foxglove.json").read_text())
    panels = foxglove["configById"]
    named = {name for name in names_in(panels) if "oryx" in name or name == "/diagnostics"}
    assert named
    assert named <= OURS

    def leaves(layout):
        if isinstance(layout, str):
            return [layout]
        return leaves(layout["first"]) + leaves(layout["second"])

    assert sorted(leaves(foxglove["layout"])) == sorted(panels)
