"""Nothing of a question lives longer than it is kept on purpose; the cyclic collector is off."""

import collections
import gc

import pytest
from harness import time_of, transform
from oryx_scene_msgs.srv import Changed, DumpQuery, FreezeScene
from oryx_scene_ros.error_codes import Code
from oryx_scene_ros.intake.message_buffer import BufferedMessage
from test_cameras import show_rgbd

TOPIC = "/front/aligned_depth_to_color/image_raw"


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def garbage_of_ours() -> collections.Counter[str]:
    """What only the collector would free, by type: of this project alone."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = collections.Counter(
        f"{type(item).__module__}.{type(item).__qualname__}" for item in gc.garbage
    )
    gc.garbage.clear()
    return collections.Counter({k: v for k, v in found.items() if k.startswith("oryx_scene")})


def test_messages_and_questions_go_without_the_collector(bench, tmp_path, no_collector):
    robot = bench(camera__front__depth_topic=TOPIC, dump__folder=str(tmp_path), frame_wait_s=0.1)
    robot.tf(transform("map", "front_optical", 0), static=True)
    garbage_of_ours()
    for index in range(4):
        show_rgbd(robot)
        assert robot.ask(f"{index}?").error.code == Code.NONE
        frozen = robot.call(FreezeScene, "freeze_scene", prefill=True).scene
        assert robot.call(Changed, "changed", scene_id=frozen.scene_id).error.code == Code.NONE
        assert robot.call(DumpQuery, "dump_query").error.code == Code.NONE
        late = robot.ask(not_before=time_of(robot.now() + 3600 * 10**9))
        assert late.error.code == Code.STALE_FRAMES and "in the future" in late.error.message
        assert robot.ask(scene_id="none").error.code == Code.SCENE_NOT_FOUND
        goal = robot.goal(priority=index)
        goal.cancel()
        goal.result()
    assert robot.node.desk.feeder.frames > 0
    rings = robot.node.feeds.cameras["front"].rings
    assert sum(type(item) is BufferedMessage for item in gc.get_objects()) == sum(
        len(r.kept) for r in rings
    )
    assert garbage_of_ours() == {}
