"""The real `ros2` command line and launch system on the installed package.

They are not on PyPI: tests/ros/tools.sh brings them from their public sources.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import wait_until

TOOLS = Path(os.environ.get("ORYX_SCENE_ROS_TOOLS", ""))
WORKSPACE = Path(os.environ.get("ORYX_SCENE_WORKSPACE", ""))
for name in ("ORYX_SCENE_ROS_TOOLS", "ORYX_SCENE_WORKSPACE"):
    if not os.environ.get(name):
        pytest.skip(
            f"{name} names no folder (tests/ros/tools.sh, scripts/workspace.sh make them)",
            allow_module_level=True,
        )

ROS2 = [sys.executable, "-c", "import sys; from ros2cli.cli import main; sys.exit(main())"]
PACKAGES = "lib/python{}.{}/site-packages".format(*sys.version_info)
BUSY_MACHINE_S = 180.0


def environment():
    """As after `. install/setup.sh`, with the tools and this interpreter first."""
    kept = dict(os.environ)
    prefixes = [WORKSPACE / "install" / "oryx_scene_ros", TOOLS / "prefix", Path(sys.prefix)]
    kept["AMENT_PREFIX_PATH"] = os.pathsep.join(map(str, prefixes))
    python = [TOOLS / "python", TOOLS / "prefix" / PACKAGES, prefixes[0] / PACKAGES]
    kept["PYTHONPATH"] = os.pathsep.join([*map(str, python), kept.get("PYTHONPATH", "")])
    libraries = [str(TOOLS / "prefix" / "lib"), kept.get("LD_LIBRARY_PATH", "")]
    kept["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    kept.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    return kept


def ros2(*words):
    """Output of a command."""
    done = subprocess.run(
        [*ROS2, *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=BUSY_MACHINE_S,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def launch(tmp_path):
    """Starts `ros2 launch` with a parameter file; interrupts it afterwards."""
    started = []

    def run(text, *words):
        file = tmp_path / "robot.yaml"
        file.write_text(f"/**:\n  ros__parameters: {text}\n")
        process = subprocess.Popen(
            [*ROS2, "launch", "oryx_scene_ros", "scene.launch.py", f"params_file:={file}", *words],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=BUSY_MACHINE_S)


def state_of(name):
    return ros2("lifecycle", "get", name).strip().splitlines()[-1]


def value_of(node, parameter):
    return ros2("param", "get", node, parameter).strip().split()[-1]


def test_arguments_are_shown_with_their_descriptions():
    said = ros2("launch", "oryx_scene_ros", "scene.launch.py", "--show-args")
    for word in ("'params_file'", "'autostart'", "Empty = as in params_file", "'tf_topic'"):
        assert word in said
    said = ros2("launch", "oryx_scene_ros", "replay.launch.py", "--show-args")
    assert "'source'" in said


def test_a_missing_file_stops_with_a_sentence():
    words = ("launch", "oryx_scene_ros", "scene.launch.py", "params_file:=/no/such.yaml")
    assert "there is no parameter file /no/such.yaml" in ros2(*words)


def test_the_file_s_word_stands_where_nothing_else_is_given(launch):
    launch("{use_sim_time: true, autostart: false, cameras: [front]}")
    name = "/oryx_scene"
    wait_until(lambda: state_of(name) == "unconfigured [1]", "the node", BUSY_MACHINE_S)
    assert value_of(name, "use_sim_time") == "True"
    assert "cameras" in ros2("param", "list", name)
    assert "0 = half of the cores" in ros2("param", "describe", name, "model.threads")


def test_an_argument_goes_over_the_file_and_the_node_answers_while_it_loads(launch):
    process = launch(
        "{autostart: false, model: {name: random, warmup: false}, frame_wait_s: 0.1}",
        "autostart:=true",
        "namespace:=robot",
        # launch's own five seconds are for a machine with something to spare.
        "sigterm_timeout:=120",
    )
    name, seen = "/robot/oryx_scene", []

    def active():
        seen.append(state_of(name))
        return seen[-1] == "active [3]"

    wait_until(active, "an active node", BUSY_MACHINE_S)
    asked = "{question: 'What is here?'}"
    said = ros2("service", "call", f"{name}/ask", "oryx_scene_msgs/srv/Ask", asked)
    assert "code=705" in said, said
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=BUSY_MACHINE_S)
    assert process.returncode == 0, output
    assert "process has finished cleanly" in output, output
