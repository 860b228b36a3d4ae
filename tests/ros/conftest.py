"""The node and its callers on loopback: real rclpy, real DDS, a domain of this process's own."""

from __future__ import annotations

import os

import pytest

MISSING = ""
os.environ.setdefault("ROS_DOMAIN_ID", str(10 + os.getpid() % 80))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("ROS_LOG_DIR", "/tmp/oryx_scene_ros_log")
try:
    import rclpy
    import rclpy.action
except ImportError as err:
    MISSING = f"rclpy is missing ({err}): pip install 'oryx-scene[ros]' or source ROS 2"
try:
    import oryx_scene_msgs.msg  # noqa: F401
    import tf2_msgs.msg  # noqa: F401
except ImportError as err:
    MISSING = MISSING or f"{err.name} is not built: pip install ./ros/{err.name}"

if MISSING:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/ros/" in str(item.path):
            item.add_marker(pytest.mark.ros)


def pytest_report_header():
    return f"tests/ros are left out: {MISSING}" if MISSING else None


@pytest.fixture(scope="session", autouse=True)
def ros():
    if MISSING:
        yield
        return
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def bench(request):
    """A factory of running nodes; everything is taken down afterwards."""
    from harness import Bench

    made = []

    def make(**arguments):
        made.append(Bench(**arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()
