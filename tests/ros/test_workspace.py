"""The packages as colcon installed them (scripts/workspace.sh): executables, interfaces, files."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
from oryx_scene_msgs.srv import Ask
from rclpy.executors import SingleThreadedExecutor

WORKSPACE = Path(os.environ.get("ORYX_SCENE_WORKSPACE", ""))
INSTALL = WORKSPACE / "install"
# Starting Python with rclpy takes a second or two; a busy machine takes its time.
BUSY_MACHINE_S = 120.0
if not os.environ.get("ORYX_SCENE_WORKSPACE"):
    pytest.skip(
        "ORYX_SCENE_WORKSPACE names no workspace (scripts/workspace.sh builds one)",
        allow_module_level=True,
    )


def sourced(command: str) -> list[str]:
    return ["sh", "-c", f'. "{INSTALL}/setup.sh" && exec {command}']


def environment() -> dict[str, str]:
    kept = dict(os.environ)
    # The executables take the interpreter that is first on the path.
    kept["PATH"] = f"{Path(sys.executable).parent}:{kept['PATH']}"
    kept.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    return kept


def run(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        sourced(command),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_interfaces_are_the_workspace_s_own():
    done = run('python3 -c "import oryx_scene_msgs.srv as m; m.Ask.Request(); print(m.__file__)"')
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(INSTALL.resolve())


def test_files_are_installed():
    share = INSTALL / "oryx_scene_ros" / "share" / "oryx_scene_ros"
    for name in ("launch/scene.launch.py", "launch/scene.yaml", "calib/example_rig.yaml"):
        assert (share / name).is_file(), name
    for package in ("oryx_scene_ros", "oryx_scene_msgs"):
        index = INSTALL / package / "share" / "ament_index" / "resource_index" / "packages"
        assert (index / package).is_file()


@pytest.mark.parametrize("name", ["scene_node", "play"])
def test_executables_run_in_the_active_environment(name):
    script = INSTALL / "oryx_scene_ros" / "lib" / "oryx_scene_ros" / name
    assert script.read_text().splitlines()[0] == "#!/usr/bin/env python3"
    assert os.access(script, os.X_OK)


def test_play_says_what_is_wrong():
    done = run(f"{INSTALL}/oryx_scene_ros/lib/oryx_scene_ros/play /none/such.mcap")
    assert done.returncode == 2, done.stderr
    assert "no such file" in done.stderr


def test_the_installed_node_answers_and_ends():
    words = "--ros-args -r __node:=installed"
    process = subprocess.Popen(
        sourced(f"{INSTALL}/oryx_scene_ros/lib/oryx_scene_ros/scene_node {words}"),
        env=environment(),
    )
    node = rclpy.create_node("asks_installed")
    executor = SingleThreadedExecutor()
    try:
        client = node.create_client(Ask, "/installed/ask")
        assert client.wait_for_service(BUSY_MACHINE_S)
        executor.add_node(node)
        future = client.call_async(Ask.Request(question="What is here?"))
        executor.spin_until_future_complete(future, timeout_sec=BUSY_MACHINE_S)
        # Not configured: it says so instead of keeping silent.
        assert future.done()
        assert future.result().answer.error.code == 701
        process.send_signal(signal.SIGINT)
        assert process.wait(BUSY_MACHINE_S) == 0
    finally:
        process.kill()
        executor.shutdown()
        node.destroy_node()
