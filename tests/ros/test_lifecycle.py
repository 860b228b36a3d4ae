"""Lifecycle, parameters, frozen scenes and the clock."""

import gc
import os
import threading
import weakref
from pathlib import Path

import cv2
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from fake_answerer import FakeAnswerer
from harness import (
    BEST_EFFORT,
    LATCHED,
    RELIABLE,
    WAIT_S,
    result_of,
    time_of,
    transform,
    wait_until,
)
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from oryx_scene_msgs.msg import ModelInfo, Scene, Status
from oryx_scene_msgs.srv import Changed, FreezeScene, GetScene, ReleaseScene, ResetSession
from oryx_scene_ros.error_codes import Code
from rcl_interfaces.srv import GetParameters
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from test_cameras import show_rgbd
from visualization_msgs.msg import MarkerArray

from oryx_scene.errors import CheckpointError

SECOND = 10**9


# -- lifecycle -------------------------------------------------------------------------------------


def test_fifty_cycles_leave_nothing_behind(bench):
    models = []

    def load(model, *, device=None, dtype=None, quantization=None):
        answerer = FakeAnswerer()
        models.append(weakref.ref(answerer))
        return answerer

    robot = bench(activate=False, load=load)
    node = robot.node

    def counts():
        gc.collect()
        entities = (node.subscriptions, node.publishers, node.services, node.timers, node.clients)
        return (
            *(len(list(found)) for found in entities),
            threading.active_count(),
            len(list(Path("/proc/self/fd").iterdir())),
        )

    def cycle():
        for name in ("configure", "activate", "deactivate", "cleanup"):
            assert robot.transition(name), name

    cycle()
    before = counts()
    for _ in range(50):
        cycle()
    after = counts()
    assert after[:-1] == before[:-1]
    assert after[-1] <= before[-1] + 3
    assert [made() for made in models] == [None] * 51
    robot.transition("configure")
    robot.transition("activate")
    robot.show()
    assert robot.ask().error.code == Code.NONE


def test_configure_fails_with_a_sentence_and_can_be_repeated(bench):
    broken = [True]

    def load(model, *, device=None, dtype=None, quantization=None):
        if broken[0]:
            raise CheckpointError("/weights", "model.safetensors is missing.")
        return FakeAnswerer()

    robot = bench(activate=False, load=load)
    assert not robot.transition("configure")
    assert "model.safetensors is missing" in robot.node.fault
    found = robot.listen(Status, f"/{robot.name}/status")
    wait_until(lambda: found and found[-1].engine == Status.ENGINE_FAULT, "the fault in the status")
    assert found[-1].state == 1
    broken[0] = False
    assert robot.transition("configure") and robot.transition("activate")
    info = robot.listen(ModelInfo, f"/{robot.name}/model_info")
    wait_until(lambda: info and info[0].model == "fake", "the model's card")


def test_only_an_active_node_takes_questions(bench):
    robot = bench(activate=False)
    assert not robot.goal().handle.accepted
    answer = robot.ask_service()
    assert answer.error.code == Code.NOT_ACTIVE and "configure" in answer.error.hint
    assert robot.call(FreezeScene, "freeze_scene").error.code == Code.NOT_ACTIVE


def test_deactivate_ends_every_question(bench):
    robot = bench()
    robot.show()
    robot.answerer.holding.add("decode")
    running = robot.goal()
    wait_until(lambda: robot.answerer.at == "decode", "decoding")
    waiting = robot.goal()
    assert robot.transition("deactivate")
    for goal in (running, waiting):
        assert goal.result()[1].error.code == Code.SHUTTING_DOWN
    assert not robot.goal().handle.accepted
    robot.answerer.holding.clear()
    assert robot.transition("activate")
    robot.show()
    assert robot.ask().error.code == Code.NONE


def test_a_callback_that_fails_does_not_end_the_node(bench):
    robot = bench()
    calls = []

    def fail(message):
        calls.append(message)
        raise ValueError("nobody foresaw this")

    robot.node.create_subscription(Image, "/unforeseen", fail, 10)
    for count in (1, 2):
        robot.publish("/unforeseen", Image())
        wait_until(lambda known=count: len(calls) == known, "the failing callback")
    robot.show()
    assert robot.ask().error.code == Code.NONE


def test_services_answer_while_the_model_loads(bench):
    loading, gate = threading.Event(), threading.Event()

    def load(model, *, device=None, dtype=None, quantization=None):
        loading.set()
        assert gate.wait(60)
        return FakeAnswerer()

    robot = bench(activate=False, load=load, report_period_s=0.1)
    client = robot.caller.create_client(ChangeState, f"/{robot.name}/change_state")
    assert client.wait_for_service(WAIT_S)
    configure = Transition(id=Transition.TRANSITION_CONFIGURE)
    change = client.call_async(ChangeState.Request(transition=configure))
    assert loading.wait(WAIT_S)
    assert robot.call(GetState, "get_state").current_state.label == "configuring"
    parameters = robot.call(GetParameters, "get_parameters", names=["views.count"])
    assert parameters.values[0].integer_value == 8
    # What is being taken over cannot be changed any more, and the reports go on.
    assert "unconfigured" in robot.set_parameter("model.name", "other")
    found = robot.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    wait_until(lambda: len(found) > 2, "diagnostics")
    assert robot.ask_service().error.code == Code.NOT_ACTIVE
    gate.set()
    assert result_of(change, "configure").success
    assert robot.call(GetState, "get_state").current_state.label == "inactive"
    assert robot.transition("activate")
    robot.show()
    assert robot.ask().error.code == Code.NONE
    # Loading is no question: nobody waits as long as that for an answer.
    assert robot.node.worker.counts["done"] == 1


@pytest.mark.parametrize("topic", ["front/image raw", "/a//b", "1/image", "front/"])
def test_a_name_that_is_no_topic_is_refused_before_the_model_is_loaded(bench, topic):
    loaded = []

    def load(model, *, device=None, dtype=None, quantization=None):
        loaded.append(model)
        return FakeAnswerer()

    robot = bench(activate=False, load=load, camera__front__depth_topic=topic)
    assert not robot.transition("configure")
    assert f"'{topic}' of camera 'front' cannot be a topic: topic name" in robot.node.fault
    assert not loaded


@pytest.mark.parametrize("transition", ["configure", "activate"])
def test_a_transition_that_fails_says_why_whatever_was_raised(bench, monkeypatch, transition):
    robot = bench(activate=False)
    if transition == "activate":
        assert robot.transition("configure")
    broken = {"configure": "_make_outputs", "activate": "_new_feeds"}[transition]

    def fail(*_):
        raise KeyError("nobody foresaw this")

    with monkeypatch.context() as patch:
        patch.setattr(robot.node, broken, fail)
        assert not robot.transition(transition)
    assert robot.node.fault == "KeyError: 'nobody foresaw this'"
    if transition == "configure":
        assert robot.transition("configure")
    assert robot.transition("activate")
    assert robot.node.fault == ""
    robot.show()
    assert robot.ask().error.code == Code.NONE


# -- parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("views.count", 0, "0"),
        ("gen.temperature", 2.5, "2.5"),
        ("gen.top_p", 0.0, "above 0"),
        ("queue.policy", "newest", "reject_new, drop_oldest"),
        ("budget.compression", "8", "auto, 1, 4, 16"),
        ("fixed_frame", "", "coordinate frame"),
        ("cameras", ["rear"], "unconfigured"),
        ("model.name", "other", "unconfigured"),
    ],
)
def test_bad_values_are_refused_with_a_reason(shared, name, value, words):
    reason = shared.set_parameter(name, value)
    assert name.split(".")[-1] in reason and words in reason, reason


@pytest.fixture(scope="module")
def shared():
    from harness import Bench

    robot = Bench()
    yield robot
    robot.close()


def test_changes_act_from_the_next_question(bench):
    robot = bench(gen__max_new_tokens=3)
    robot.show()
    robot.answerer.holding.add("prefill")
    running = robot.goal()
    wait_until(lambda: robot.answerer.at == "prefill", "the model")
    assert robot.set_parameter("gen.max_new_tokens", 2) == ""
    robot.answerer.holding.clear()
    assert running.result()[1].text == "It is mark"
    robot.show()
    assert robot.ask().text == "It is"
    robot.show()
    assert robot.ask(max_new_tokens=1).text == "It"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"views__count": 0}, "views.count"),
        ({"cameras": ["Front"]}, "lower-case"),
        ({"camera__rear__topic": "/rear"}, "camera.rear.topic belongs to no camera"),
        ({"camera__front__tpoic": "/front"}, "Is camera.front.topic meant?"),
        ({"views__maxage_s": 2.0}, "no parameter views.maxage_s. Is views.max_age_s meant?"),
        ({"querytimeout_s": 2.0}, "Is query_timeout_s meant?"),
        ({"gen__temperature": "warm"}, "gen.temperature"),
        ({"rig_file": "/no/such.yaml"}, "/no/such.yaml"),
    ],
)
def test_a_bad_parameter_file_fails_configure(bench, parameters, words):
    robot = bench(activate=False, **parameters)
    assert not robot.transition("configure")
    assert words in robot.node.fault


def test_a_whole_number_is_taken_where_a_decimal_stands(bench):
    robot = bench(views__max_age_s=45, tf_timeout_s=1)
    assert robot.node.parameters.settings().pipeline.views.max_age_s == 45.0
    assert robot.set_parameter("query_timeout_s", 20) == ""
    assert robot.node.parameters.settings().number("query_timeout_s") == 20.0
    assert "must lie between" in robot.set_parameter("views.max_age_s", 4000)
    assert "type double" in robot.set_parameter("views.max_age_s", "long")
    robot.show()
    assert robot.ask().error.code == Code.NONE


def test_cameras_can_be_fewer_than_those_with_parameters(bench):
    robot = bench(
        cameras=("front", "rear"),
        activate=False,
        camera__front__topic="/a",
        camera__rear__topic="/b",
        robot_radius=0.3,
    )
    assert robot.set_parameter("cameras", ["front"]) == ""
    assert robot.transition("configure") and robot.transition("activate")
    assert robot.node.parameters.left_out() == [
        "camera 'rear' has parameters but is not among 'cameras'.",
        "the node has no parameter robot_radius.",
    ]
    robot.show(topic="/a")
    assert robot.ask().error.code == Code.NONE


def test_remapping_swaps_two_cameras(bench):
    swap = ["--ros-args", "-r", "/left/image_raw:=/right/image_raw"]
    swap += ["-r", "/right/image_raw:=/left/image_raw"]
    robot = bench(cameras=("left", "right"), cli_args=swap)
    assert robot.node.feeds.cameras["left"].topics.image == "/right/image_raw"
    robot.show("left", topic="/right/image_raw")
    robot.show("right", topic="/left/image_raw")
    topics = {f.camera: f.topic for f in robot.ask().provenance.frames}
    assert topics == {"left": "/right/image_raw", "right": "/left/image_raw"}


@pytest.mark.parametrize(("given", "threads"), [(1, 1), (0, None)])
def test_threads_are_those_of_the_parameter(bench, given, threads):
    if threads is None:
        threads = max(1, len(os.sched_getaffinity(0)) // 2)
    before = cv2.getNumThreads()
    try:
        bench(model__threads=given)
        assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)


# -- frozen scenes ---------------------------------------------------------------------------------


def test_one_scene_many_questions(bench):
    robot = bench(scene_max=2)
    robot.show()
    before = robot.answerer.fresh_prefills
    frozen = robot.call(FreezeScene, "freeze_scene", prefill=True)
    assert frozen.error.code == Code.NONE and frozen.scene.prefilled
    assert robot.answerer.fresh_prefills == before + 1
    scene_id = frozen.scene.scene_id
    for text in ("one?", "two?", "three?"):
        robot.show(value=10)
        answer = robot.ask(text, scene_id=scene_id)
        assert answer.provenance.scene_id == scene_id
        assert answer.timing.scene_reused
    # The scene's part of the prompt is the same, so the engine computes it once.
    assert robot.answerer.fresh_prefills == before + 1
    assert robot.call(GetScene, "get_scene", scene_id=scene_id).scene.scene_id == scene_id
    assert robot.call(GetScene, "get_scene").error.code == Code.NONE
    found = robot.listen(Scene, f"/{robot.name}/scene")
    wait_until(lambda: found and found[-1].scene_id == scene_id, "the latched scene")
    assert robot.call(ReleaseScene, "release_scene", scene_id=scene_id).error.code == Code.NONE
    assert robot.ask(scene_id=scene_id).error.code == Code.SCENE_NOT_FOUND
    robot.show()
    short = robot.call(FreezeScene, "freeze_scene", ttl_s=0.2).scene.scene_id
    wait_until(
        lambda: (
            robot.call(GetScene, "get_scene", scene_id=short).error.code == Code.SCENE_NOT_FOUND
        ),
        "the end of the scene's time",
    )
    ids = []
    for value in (1, 2, 3):
        robot.show(value=value)
        ids.append(robot.call(FreezeScene, "freeze_scene").scene.scene_id)
    codes = [robot.call(GetScene, "get_scene", scene_id=one).error.code for one in ids]
    assert codes == [Code.SCENE_NOT_FOUND, Code.NONE, Code.NONE]


def test_an_expired_scene_leaves_the_memory_though_nobody_looks(bench):
    robot = bench(report_period_s=0.1)
    robot.show()
    assert robot.call(FreezeScene, "freeze_scene", ttl_s=0.2).error.code == Code.NONE
    kept = robot.node.store._frozen
    wait_until(lambda: not kept, "the scene to go")


def test_a_session_keeps_its_scene_until_reset(bench):
    robot = bench()
    robot.show(value=10)
    first = robot.ask("one?", session_id="kitchen")
    robot.show(value=20)
    second = robot.ask("two?", session_id="kitchen")
    assert second.provenance.scene_id == first.provenance.scene_id
    assert second.timing.scene_reused and not first.timing.scene_reused
    assert robot.call(ResetSession, "reset_session", session_id="kitchen").count == 1
    unknown = robot.call(ResetSession, "reset_session", session_id="kitchen")
    assert unknown.error.code == Code.SESSION_NOT_FOUND
    third = robot.ask("three?", session_id="kitchen")
    assert third.provenance.scene_id != first.provenance.scene_id


def test_changed_compares_without_the_model(bench):
    robot = bench(camera__front__depth_topic="/front/aligned_depth_to_color/image_raw", scene_max=1)
    robot.tf(transform("map", "front_optical", 0), static=True)
    show_rgbd(robot)
    scene_id = robot.call(FreezeScene, "freeze_scene").scene.scene_id
    asked = len(robot.answerer.prompts)
    for _ in range(2):
        show_rgbd(robot)
        same = robot.call(Changed, "changed", scene_id=scene_id)
        assert same.error.code == Code.NONE, same.error
        assert not same.changed and same.scene_id != scene_id
    show_rgbd(robot, thing_m=None)
    gone = robot.call(Changed, "changed", scene_id=scene_id)
    assert gone.changed and [item.mark for item in gone.disappeared] == [1]
    missing = robot.call(Changed, "changed", scene_id="none")
    assert missing.error.code == Code.SCENE_NOT_FOUND
    assert len(robot.answerer.prompts) == asked


def test_marked_pictures_are_drawn_only_for_those_who_look(bench):
    robot = bench()
    stamp_ns = robot.show()
    robot.ask()
    found = robot.listen(Image, f"/{robot.name}/marked/front", RELIABLE)
    raw, compressed = robot.node.outputs.marked["front"]
    wait_until(lambda: raw.get_subscription_count() > 0, "discovery")
    assert not found and compressed.get_subscription_count() == 0
    markers = robot.listen(MarkerArray, f"/{robot.name}/markers")
    stamp_ns = robot.show()
    robot.ask()
    wait_until(lambda: found and markers, "the marked picture")
    assert found[-1].header.stamp == time_of(stamp_ns)
    assert len(found[-1].data) == found[-1].step * found[-1].height


# -- the clock -------------------------------------------------------------------------------------


def tick(robot, stamp_ns):
    robot.publish("/clock", Clock(clock=time_of(stamp_ns)), BEST_EFFORT)
    wait_until(lambda: robot.now() == stamp_ns, "the clock")


def test_time_that_jumps_back_ends_the_running_question(bench):
    robot = bench(use_sim_time=True, frame_wait_s=0.1)
    tick(robot, 100 * SECOND)
    robot.show()
    scene_id = robot.call(FreezeScene, "freeze_scene").scene.scene_id
    robot.answerer.holding.add("decode")
    running = robot.goal()
    wait_until(lambda: robot.answerer.at == "decode", "decoding")
    tick(robot, 10 * SECOND)
    assert running.result()[1].error.code == Code.CLOCK_JUMPED
    robot.answerer.holding.clear()
    assert robot.ask(scene_id=scene_id).error.code == Code.SCENE_NOT_FOUND
    assert robot.ask().error.code == Code.NO_FRAMES
    # The loop's next round.
    robot.show()
    answer = robot.ask()
    assert answer.error.code == Code.NONE
    assert answer.header.stamp == Time(sec=10)


def test_while_time_stands_still_questions_and_reports_go_on(bench):
    robot = bench(use_sim_time=True, report_period_s=0.1, frame_wait_s=0.2)
    tick(robot, 50 * SECOND)
    robot.show()
    found = robot.listen(Status, f"/{robot.name}/status", LATCHED)
    count = len(found)
    wait_until(lambda: len(found) > count + 2, "reports at a steady pace")
    answer = robot.ask()
    assert answer.error.code == Code.NONE
    assert answer.oldest_evidence_age_s == 0.0
    assert answer.timing.total_s > 0
    # Small steps forward are no jump.
    tick(robot, 50 * SECOND + SECOND // 2)
    assert robot.ask().error.code == Code.NONE
    tick(robot, 52 * SECOND)
    assert robot.set_parameter("views.max_age_s", 1.0) == ""
    assert robot.ask().error.code == Code.STALE_FRAMES
