"""The whole way with the tiny random model: forms, one scene, many questions, cancel, deadline."""

import json
import os

import pytest
from action_msgs.msg import GoalStatus
from harness import Bench, wait_until
from oryx_scene_msgs.msg import Answer
from oryx_scene_msgs.srv import FreezeScene, ReleaseScene
from oryx_scene_ros.error_codes import Code
from oryx_scene_ros.queries.model_loading import load_default

pytest.importorskip("torch", reason="the extra 'model' is not installed")

SCHEMA = {
    "type": "object",
    "properties": {
        "free": {"type": "boolean"},
        "colour": {"enum": ["red", "green"]},
    },
    "required": ["free", "colour"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    """A node that loads and owns the model as on a robot."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    one = Bench(
        load=load_default,
        model__name="random",
        model__device="cpu",
        model__scene_cache_mib=64,
        activate=False,
    )
    assert one.transition("configure")
    assert one.transition("activate")
    yield one
    one.close()
    os.environ.pop("XDG_CACHE_HOME")
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before


def test_json_fits_the_schema_whatever_the_model_would_have_said(robot):
    pytest.importorskip("llguidance", reason="the extra 'json' is not installed")
    robot.show()
    fields = {"format": 4, "json_schema": json.dumps(SCHEMA)}
    for answer in (
        robot.ask("Is the way free?", max_new_tokens=200, **fields),
        robot.ask_service("Is the way free?", **fields),
    ):
        assert answer.error.code == Code.NONE, answer.error
        value = json.loads(answer.json)
        assert set(value) == {"free", "colour"}
        assert isinstance(value["free"], bool) and value["colour"] in ("red", "green")
    robot.show()
    refused = robot.ask("Is the way free?", format=4, json_schema='{"type": "nonsense"}')
    assert refused.error.code == Code.INVALID_REQUEST
    assert "schema" in refused.error.message
    cut = robot.ask("Is the way free?", max_new_tokens=2, **fields)
    assert cut.json == "" and cut.finish == Answer.FINISH_LENGTH and cut.warnings


def test_forms_are_scored(robot):
    robot.show()
    answer = robot.ask("Is the door open?", format=1, max_new_tokens=40)
    assert answer.error.code == Code.NONE
    assert 0.0 <= answer.confidence <= 1.0
    assert answer.verdict != Answer.VERDICT_NONE
    answer = robot.ask("Which colour?", format=2, choices=["red", "green"], max_new_tokens=40)
    assert answer.choice in (0, 1) and 0.0 <= answer.confidence <= 1.0


def test_a_frozen_scene_is_computed_once(robot):
    robot.show()
    scene = robot.call(FreezeScene, "freeze_scene", prefill=True).scene
    assert scene.prefilled
    before = robot.node.desk.answerer.counters()
    for text in ("What is here?", "Is anything red?", "What else?"):
        answer = robot.ask(text, scene_id=scene.scene_id, max_new_tokens=4)
        assert answer.error.code == Code.NONE and answer.timing.scene_reused
    after = robot.node.desk.answerer.counters()
    assert after["encodes"] == before["encodes"]
    assert after["prefills"] == before["prefills"]
    assert after["scene_hits"] == before["scene_hits"] + 3


def test_a_released_scene_gives_its_keys_and_values_back(robot):
    robot.show()
    frozen = robot.call(FreezeScene, "freeze_scene", prefill=True).scene
    engine = robot.node.desk.answerer
    held = engine.counters()["scene_bytes"]
    scenes = len(engine.scenes)
    reply = robot.call(ReleaseScene, "release_scene", scene_id=frozen.scene_id)
    assert reply.error.code == Code.NONE
    wait_until(lambda: len(engine.scenes) == scenes - 1, "the memory to be given back")
    assert engine.counters()["scene_bytes"] < held
    assert engine.scenes.capacity_bytes == 64 * 2**20


def test_cancel_ends_a_running_answer_with_its_text(robot):
    robot.show()
    goal = robot.goal("Tell a long story.", max_new_tokens=2000)
    wait_until(lambda: any(item.delta for item in goal.feedback), "text")
    goal.cancel()
    status, answer = goal.result()
    assert status == GoalStatus.STATUS_CANCELED
    assert answer.error.code == Code.CANCELED and answer.finish == Answer.FINISH_CANCELED
    assert answer.timing.generated_tokens < 2000


def test_a_deadline_is_planned_with_measured_rates(robot):
    assert robot.set_parameter("budget.deadline_s", 20.0) == ""
    try:
        robot.show()
        answer = robot.ask(max_new_tokens=2)
        assert answer.error.code == Code.NONE, answer.error
        assert not any("rates" in text.text for text in answer.warnings)
        rates = robot.node.desk.answerer.card.rates
        assert rates is not None and rates.decode_per_s > 0
    finally:
        robot.set_parameter("budget.deadline_s", 0.0)
