"""Launch files against stand-ins of the launch system: real ones come only with a distribution.

What is held: every argument is described and used, every file and executable that they name is
installed. Not held: that `ros2 launch` itself accepts them.
"""

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from standins import PACKAGE, ROOT, Said

NAMES = ("scene.launch.py", "replay.launch.py")


def of_kind(made, kind):
    return [item for item in made if item.kind == kind]


def texts_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, Said):
        yield from texts_in(value.positional)
        yield from texts_in(value.named)
    elif isinstance(value, dict):
        yield from texts_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_described_and_used(launched, name):
    made = launched(name)
    declared = {item.positional[0]: item.named for item in of_kind(made, "DeclareLaunchArgument")}
    used = {item.positional[0] for item in of_kind(made, "LaunchConfiguration")}
    assert used == set(declared)
    for argument, named in declared.items():
        assert len(named["description"]) > 15, argument
        assert isinstance(named.get("default_value", ""), str), argument
    (description,) = of_kind(made, "LaunchDescription")
    kinds = [item.kind for item in description.positional[0]]
    assert kinds[: len(declared)] == ["DeclareLaunchArgument"] * len(declared)


@pytest.mark.parametrize("name", NAMES)
def test_executables_and_files_are_installed(launched, name, setup_arguments, share):
    made = launched(name)
    folders = dict(setup_arguments["data_files"])
    installed = {Path(script).name for script in folders["lib/oryx_scene_ros"]}
    nodes = of_kind(made, "Node")
    ours = [node.named for node in nodes if node.named["package"] == "oryx_scene_ros"]
    assert ours
    assert {named["executable"] for named in ours} <= installed
    files = [text for text in texts_in(made) if text.startswith(str(share))]
    assert files
    for file in files:
        assert Path(file).is_file(), file


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ({}, None),
        ({"use_sim_time": "true"}, {"use_sim_time": True}),
        (
            {"autostart": "False", "use_sim_time": "false"},
            {"use_sim_time": False, "autostart": False},
        ),
    ],
)
def test_what_is_given_goes_over_the_file_and_nothing_else(launched, share, given, flags):
    (node,) = of_kind(launched("scene.launch.py", **given), "Node")
    file = str(share / "launch" / "scene.yaml")
    assert node.named["parameters"] == ([file] if flags is None else [file, flags])
    # A default that a file overrides stands before it, which is where arguments stand.
    assert "autostart:=true" in node.named["arguments"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"params_file": "/no/such.yaml"}, "no parameter file /no/such.yaml"),
        ({"autostart": "maybe"}, "autostart:=maybe is neither true nor false"),
    ],
)
def test_what_cannot_be_meant_stops_the_launch_with_a_sentence(launched, given, words):
    with pytest.raises(RuntimeError, match=words):
        launched("scene.launch.py", **given)


def test_replay_needs_a_source_and_runs_on_the_recording_s_clock(launched):
    made = launched("replay.launch.py")
    required = [
        item.positional[0]
        for item in of_kind(made, "DeclareLaunchArgument")
        if "default_value" not in item.named
    ]
    assert required == ["source"]
    (included,) = of_kind(made, "IncludeLaunchDescription")
    passed = dict(included.named["launch_arguments"])
    assert passed["use_sim_time"] == "true"
    declared = {
        item.positional[0] for item in of_kind(launched("scene.launch.py"), "DeclareLaunchArgument")
    }
    assert set(passed) <= declared
    player = next(n.named for n in of_kind(made, "Node") if n.named["executable"] == "play")
    assert "--clock" in player["arguments"]


def test_what_a_robot_needs_is_installed(share):
    for name in (
        *("launch/scene.yaml", "launch/replay.yaml", "launch/oryx_scene.rviz"),
        *("launch/oryx_scene_foxglove.json", "dds/shm.xml", "calib/example_rig.yaml"),
        *("package.xml",),
    ):
        assert (share / name).is_file(), name


def test_executables_take_the_interpreter_of_the_environment(setup_arguments):
    for script in dict(setup_arguments["data_files"])["lib/oryx_scene_ros"]:
        file = PACKAGE / script
        assert file.read_text().splitlines()[0] == "#!/usr/bin/env python3"
        assert os.access(file, os.X_OK)


def test_a_package_needs_nothing_of_the_repository(setup_arguments):
    """bloom exports each package's folder alone; `sh scripts/package_files.sh` makes the copies."""
    for _, files in setup_arguments["data_files"]:
        assert files
        assert not [file for file in files if ".." in Path(file).parts or Path(file).is_absolute()]
    for folder in ("launch", "calib"):
        copies = {file.name: file.read_bytes() for file in (PACKAGE / folder).glob("*.*")}
        assert copies == {f.name: f.read_bytes() for f in (ROOT / folder).glob("*.*")}, folder
    for package in ("oryx_scene_ros", "oryx_scene_msgs"):
        own = ROOT / "ros" / package
        assert (own / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
        assert package in (own / "CHANGELOG.rst").read_text()
        assert 'file="LICENSE"' in (own / "package.xml").read_text()


def test_package_xml_names_what_is_imported(setup_arguments):
    root = ET.parse(PACKAGE / "package.xml").getroot()
    named = {item.text for item in root.iter("exec_depend")} | {
        item.text for item in root.iter("depend")
    }
    assert root.findtext("version") == setup_arguments["version"]
    imported = set()
    for file in (PACKAGE / "oryx_scene_ros").glob("*.py"):
        for line in file.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]) and len(words) > 1:
                imported.add(words[1].split(".")[0])
    ros = {name for name in imported if name.endswith(("_msgs", "_interfaces")) or name == "rclpy"}
    assert "rclpy" in ros
    # Optional: the node says what it leaves out where it is missing, and must install without it.
    assert ros - {"vision_msgs"} <= named
    assert "vision_msgs" not in named
