"""The node inside a process of the user's: beside another node, in the user's own executor."""

import subprocess
import sys
import threading

import pytest
import rclpy
from fake_answerer import FakeAnswerer
from harness import RELIABLE, image
from oryx_scene_msgs.srv import Ask
from oryx_scene_ros import make_node
from oryx_scene_ros.error_codes import Code
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image


def test_the_package_imports_nothing_of_ros():
    code = "import oryx_scene_ros, sys; sys.exit('rclpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def running(before):
    """The node's threads that began after the set ``before``."""
    later = set(threading.enumerate()) - before
    return [one.name for one in later if one.name.startswith("oryx_scene")]


@pytest.mark.parametrize("kind", [SingleThreadedExecutor, MultiThreadedExecutor])
def test_two_robots_and_a_node_of_ones_own_share_an_executor(kind):
    threads = set(threading.enumerate())
    robots = [f"robot{number}_{kind.__name__.lower()}" for number in (1, 2)]
    answerers = [FakeAnswerer(words=(name,)) for name in robots]
    nodes = [
        make_node(
            load=lambda *_, answerer=answerer, **__: answerer,
            name="scene",
            namespace=name,
            parameter_overrides=[
                Parameter("cameras", value=["front"]),
                Parameter("views.max_age_s", value=60.0),
            ],
        )
        for name, answerer in zip(robots, answerers, strict=True)
    ]
    own = rclpy.create_node(f"own_{kind.__name__.lower()}")
    executor = kind()
    for node in (*nodes, own):
        executor.add_node(node)
    try:
        assert all(node.autostart() for node in nodes)
        for name, node in zip(robots, nodes, strict=True):
            publisher = own.create_publisher(Image, f"/{name}/front/image_raw", RELIABLE)
            client = own.create_client(Ask, f"/{name}/scene/ask")
            assert client.wait_for_service(20.0)
            for _ in range(2000):
                if node.feeds.cameras["front"].received:
                    break
                publisher.publish(image(node.now_ns()))
                executor.spin_once(timeout_sec=0.01)
            reply = client.call_async(Ask.Request(question="What is here?"))
            executor.spin_until_future_complete(reply, timeout_sec=20.0)
            answer = reply.result().answer
            assert answer.error.code == Code.NONE, answer.error
            # The question went to the namespace's own node and model.
            assert answer.text == name
        assert len(running(threads)) >= 2
    finally:
        for node in (*nodes, own):
            node.destroy_node()
        executor.shutdown(timeout_sec=5.0)
    assert running(threads) == []
