"""Questions and answers through real DDS, with a fake model."""

import collections
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
import rclpy
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Time
from fake_answerer import CARD, FakeAnswerer
from harness import LATCHED, RELIABLE, Spinner, action_client, wait_until
from oryx_scene_msgs.action import AskScene
from oryx_scene_msgs.msg import Answer
from oryx_scene_msgs.srv import Changed, DumpQuery, FreezeScene
from oryx_scene_ros.error_codes import Code
from oryx_scene_ros.queries.query_handler import QueryStage
from std_msgs.msg import String

from oryx_scene.dump.folder import read_dump
from oryx_scene.dump.repeat import repeat_dump

SUCCEEDED, ABORTED, CANCELED = (
    GoalStatus.STATUS_SUCCEEDED,
    GoalStatus.STATUS_ABORTED,
    GoalStatus.STATUS_CANCELED,
)


def hold(robot, stage, **fields):
    """A goal that runs and waits in ``stage``."""
    robot.answerer.holding.add(stage)
    goal = robot.goal(**fields)
    wait_until(lambda: robot.answerer.at == stage, f"the model to reach {stage}")
    return goal


def test_a_goal_is_answered_with_stages_text_and_evidence(bench):
    robot = bench()
    stamp_ns = robot.show()
    goal = robot.goal("What is here?", result_at_once=False)
    goal.wait_for_text("It is mark 1.")
    assert goal.stages == sorted(goal.stages) and QueryStage.DECODE in goal.stages
    status, answer = goal.result()
    assert status == SUCCEEDED
    assert answer.error.code == Code.NONE, answer.error
    assert answer.text == "It is mark 1."
    assert answer.finish == Answer.FINISH_STOP
    (frame,) = answer.provenance.frames
    assert (frame.camera, frame.topic, frame.width, frame.height) == (
        *("front", "/front/image_raw"),
        *(64, 48),
    )
    assert frame.header.stamp.sec * 10**9 + frame.header.stamp.nanosec == stamp_ns
    assert answer.header.stamp == frame.header.stamp
    assert any(frame.sha256) and any(answer.provenance.prompt_sha256)
    assert robot.answerer.threads == {"oryx_scene engine"}


def test_live_cameras_are_out_of_the_depth_of_a_model_of_synthetic_rooms(bench):
    card = replace(CARD, synthetic_only=True, scratchpad=True, scratchpad_tokens=50)
    words = ("<think>", "1 red", "</think>", "It is ", "red.")
    robot = bench(answerer=FakeAnswerer(words=words, card=card))
    robot.show()
    goal = robot.goal("What is here?", result_at_once=False)
    goal.wait_for_text("It is red.")
    _, answer = goal.result()
    assert answer.text == "It is red."
    assert any("out of its depth" in text.text for text in answer.warnings)
    limits = robot.answerer.limits[-1]  # the first was the warm-up
    assert limits.max_new_tokens == 256 + 50


def test_the_answer_comes_at_once_with_nothing_else_ticking(bench):
    robot = bench(report_period_s=60.0)
    for _ in range(5):
        robot.show()
        goal = hold(robot, "decode", feedback=False)
        robot.answerer.holding.clear()
        goal.result()
        # The goal is 50 ms on an idle machine; a lost wake-up would take seconds.
        assert goal.got_at - robot.answerer.finished_at < 1.0
    said = robot.listen(Answer, f"/{robot.name}/answer")
    wait_until(lambda: said, "the latched answer")


def test_topics_and_service_share_the_way(bench):
    robot = bench()
    answers = robot.listen(Answer, f"/{robot.name}/answer")
    texts = robot.listen(String, f"/{robot.name}/answer_text", RELIABLE)
    pieces = robot.listen(String, f"/{robot.name}/partial", RELIABLE)
    wait_until(
        lambda: (
            robot.node.outputs.partial.get_subscription_count() > 0
            and robot.node.outputs.answer_text.get_subscription_count() > 0
        ),
        "discovery",
    )
    robot.show()
    robot.publish(f"/{robot.name}/question", String(data="What is here?"))
    wait_until(lambda: answers and texts, "the answer on topics")
    assert answers[-1].question == "What is here?" and texts[-1].data == answers[-1].text
    wait_until(lambda: "".join(p.data for p in pieces) == answers[-1].text, "partial text")
    robot.show()
    answer = robot.ask_service("Is it there?", format=1)
    assert answer.error.code == 0 and answer.verdict != Answer.VERDICT_YES
    late = robot.listen(Answer, f"/{robot.name}/answer")
    wait_until(lambda: late, "the last answer for a late subscriber")
    assert late[0].question == "Is it there?"


def test_forms_are_decided_by_the_library_and_carried_over(bench):
    robot = bench(answerer=FakeAnswerer(words=("Yes.",)))
    robot.show()
    answer = robot.ask("Is the door open?", format=1)
    assert answer.verdict == Answer.VERDICT_YES
    assert any("cannot score" in text.text for text in answer.warnings)
    robot.answerer.words = ("red",)
    robot.show()
    answer = robot.ask("Which colour?", format=2, choices=["green", "red"])
    assert answer.choice == 1


def test_a_number_is_carried_over_with_its_unit(bench):
    robot = bench(answerer=FakeAnswerer(words=("It is ", "1.5 m ", "long.")))
    robot.show()
    answer = robot.ask("How long is the box?", format=AskScene.Goal.NUMBER)
    assert (answer.value, answer.unit, answer.choice) == (1.5, "m", -1)
    robot.show()
    other = robot.ask_service("How long is the box?")
    assert math.isnan(other.value) and other.unit == ""


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"question": "  "}, Code.INVALID_REQUEST, "empty"),
        ({"question": "x" * 40_000}, Code.INVALID_REQUEST, "bytes long"),
        ({"format": 9}, Code.INVALID_REQUEST, "format is 9"),
        ({"format": 2, "choices": ["one"]}, Code.INVALID_REQUEST, "at least 2"),
        ({"format": 2, "choices": ["one", " "]}, Code.INVALID_REQUEST, "choice is empty"),
        ({"timeout_s": -1.0}, Code.INVALID_REQUEST, "timeout_s"),
        ({"max_age_s": float("nan")}, Code.INVALID_REQUEST, "max_age_s"),
        ({"sampling_override": True, "temperature": 3.0}, Code.INVALID_REQUEST, "temperature"),
        ({"cameras": ["rear"]}, Code.UNKNOWN_CAMERA, "rear"),
        ({"scene_id": "nothing"}, Code.SCENE_NOT_FOUND, "nothing"),
    ],
)
def test_bad_requests_are_refused_in_words(shared, fields, code, words):
    status, answer = shared.goal(**{"question": "What is here?", **fields}).result()
    assert status == ABORTED
    assert answer.error.code == code
    assert words in answer.error.message
    assert answer.finish == Answer.FINISH_ERROR


@pytest.fixture(scope="module")
def shared():
    from harness import Bench

    robot = Bench()
    yield robot
    robot.close()


def test_a_storm_of_goals_gets_busy_with_an_expected_wait(bench):
    robot = bench(queue__capacity=4)
    robot.show()
    first = hold(robot, "prefill", feedback=False)
    goals = [robot.goal(feedback=False) for _ in range(100)]
    results = []
    for goal in goals[4:]:
        status, answer = goal.result()
        results.append((status, answer.error.code, answer.error.retry_after_s > 0))
    assert results == [(ABORTED, Code.BUSY, True)] * 96
    assert "4 questions are waiting" in answer.error.message
    robot.show()
    robot.answerer.holding.clear()
    for goal in [first, *goals[:4]]:
        assert goal.result()[0] == SUCCEEDED
    assert robot.node.worker.counts["rejected"] == 96
    assert not robot.node.asking.open


def test_sixty_four_goals_at_once_from_eight_clients_are_all_answered(bench):
    robot = bench(queue__capacity=40)
    robot.show()
    nodes = [rclpy.create_node(f"one_of_many_{index}") for index in range(8)]
    clients = [action_client(node, f"/{robot.name}/ask_scene") for node in nodes]
    spinners = [Spinner(node) for node in nodes]
    first = hold(robot, "prefill", feedback=False)
    codes = []

    def answered(future):
        codes.append(future.result().result.answer.error.code)

    def accepted(future):
        future.result().get_result_async().add_done_callback(answered)

    try:
        assert all(client.wait_for_server(20) for client in clients)
        for client in clients * 8:
            sent = client.send_goal_async(AskScene.Goal(question="What is here?"))
            sent.add_done_callback(accepted)
        wait_until(lambda: len(codes) == 24, "those for whom there was no place")
        robot.show()
        robot.answerer.holding.clear()
        wait_until(lambda: len(codes) == 64, "all answers")
    finally:
        for client, spinner, node in zip(clients, spinners, nodes, strict=True):
            spinner.stop()
            client.destroy()
            node.destroy_node()
    assert first.result()[0] == SUCCEEDED
    assert collections.Counter(codes) == {Code.NONE: 40, Code.BUSY: 24}


def test_priority_orders_those_who_wait(bench):
    robot = bench()
    robot.show()
    first = hold(robot, "prefill")
    goals = [robot.goal(f"question {p}", priority=p) for p in (1, 5, 3)]
    wait_until(
        lambda: any(item.queue_position > 0 for goal in goals for item in goal.feedback),
        "a place in the queue",
    )
    robot.answerer.holding.clear()
    for goal in [first, *goals]:
        goal.result()
    asked = [prompt.question for prompt in robot.answerer.prompts[-3:]]
    assert [int(text.split("question ")[1][0]) for text in asked] == [5, 3, 1]


def test_drop_oldest_lets_the_newer_question_in(bench):
    robot = bench(queue__capacity=1, queue__policy="drop_oldest")
    robot.show()
    first = hold(robot, "prefill")
    older, newer = robot.goal("older"), robot.goal("newer")
    assert older.result()[1].error.code == Code.DROPPED
    robot.answerer.holding.clear()
    assert first.result()[0] == newer.result()[0] == SUCCEEDED


@pytest.mark.parametrize("stage", ["queued", "waiting_frames", "prefill", "decode"])
def test_cancel_at_each_stage(bench, stage):
    robot = bench()
    if stage == "waiting_frames":
        goal = robot.goal()
        wait_until(lambda: QueryStage.WAITING_FRAMES in goal.stages, "the wait for frames")
    else:
        robot.show()
        goal = running = hold(robot, "decode" if stage == "decode" else "prefill")
        if stage == "queued":
            goal = robot.goal()
    cancelled_at = time.monotonic()
    goal.cancel()
    status, answer = goal.result()
    assert goal.got_at - cancelled_at < 5.0
    assert (status, answer.error.code) == (CANCELED, Code.CANCELED)
    assert answer.finish == Answer.FINISH_CANCELED
    if stage == "queued":
        robot.answerer.holding.clear()
        assert running.result()[0] == SUCCEEDED
    robot.answerer.holding.clear()
    robot.show()
    assert robot.ask().error.code == Code.NONE


def test_what_was_said_before_a_cancel_or_deadline_is_kept(bench):
    robot = bench(answerer=FakeAnswerer(hold_after=2))
    robot.show()
    goal = hold(robot, "held")
    goal.cancel()
    status, answer = goal.result()
    assert (status, answer.text) == (CANCELED, "It is")
    robot.show()
    status, answer = robot.goal(timeout_s=0.5).result()
    assert (status, answer.error.code, answer.text) == (ABORTED, Code.TIMEOUT, "It is")


@pytest.mark.parametrize("stage", ["queued", "prefill", "decode"])
def test_the_deadline_holds_at_each_stage(bench, stage):
    robot = bench()
    robot.show()
    if stage == "queued":
        running = hold(robot, "prefill")
        late = robot.goal(timeout_s=0.3)
    else:
        late = hold(robot, stage, timeout_s=0.5)
    status, answer = late.result()
    assert (status, answer.error.code) == (ABORTED, Code.TIMEOUT)
    assert answer.finish == Answer.FINISH_TIMEOUT
    assert answer.question == "What is here?"
    if stage == "queued":
        robot.answerer.holding.clear()
        assert running.result()[0] == SUCCEEDED


def test_a_failing_model_is_answered_and_lives_on(bench):
    robot = bench()
    robot.show()
    robot.answerer.fail_next = True
    status, answer = robot.goal().result()
    assert (status, answer.error.code) == (ABORTED, Code.ENGINE_FAULT)
    assert "on purpose" in answer.error.message
    assert [frame.camera for frame in answer.provenance.frames] == ["front"]
    robot.show()
    assert robot.ask().error.code == Code.NONE


def test_what_failed_can_be_dumped_and_repeated_and_twice(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    robot = bench(dump__folder="dumps", answerer=FakeAnswerer(hold_after=2))
    robot.show()
    late = robot.ask(timeout_s=0.5)
    assert late.error.code == Code.TIMEOUT
    paths = [Path(robot.call(DumpQuery, "dump_query").path) for _ in range(2)]
    assert paths[0] != paths[1] and all(path.is_absolute() for path in paths)
    assert read_dump(paths[1]).answer["text"] == "It is"
    robot.answerer.hold_after = None
    robot.answerer.holding.clear()
    robot.answerer.fail_next = True
    robot.show()
    failed = robot.ask("Why?")
    assert failed.error.code == Code.ENGINE_FAULT
    reply = robot.call(DumpQuery, "dump_query", query_id=failed.query_id)
    assert reply.error.code == Code.NONE, reply.error
    dump = read_dump(reply.path)
    assert dump.answer["stop_reason"] == "error" and dump.question.text == "Why?"
    assert [item["code"] for item in dump.answer["warnings"]][-1] == "question_failed"
    # The fault is over: what can be compared is the same.
    assert repeat_dump(dump, robot.answerer).identical


def test_a_failure_is_said_in_words_where_only_text_is_heard(bench):
    robot = bench(frame_wait_s=0.1)
    texts = robot.listen(String, f"/{robot.name}/answer_text", RELIABLE)
    out = robot.node.outputs.answer_text
    wait_until(lambda: out.get_subscription_count() > 0, "discovery")
    robot.publish(f"/{robot.name}/question", String(data="What is here?"))
    wait_until(lambda: texts, "the failure in words")
    assert "nothing has arrived from camera 'front'" in texts[0].data


def test_fresh_frames_or_none(bench):
    robot = bench(frame_wait_s=0.2, views__max_age_s=20.0)
    robot.show(stamp_ns=robot.now() - 100 * 10**9)
    answer = robot.ask()
    assert answer.error.code == Code.STALE_FRAMES
    assert "is 10" in answer.error.message and "20.000 s" in answer.error.message
    assert robot.ask(max_age_s=1000.0).error.code == Code.NONE
    stamp_ns = robot.show()
    assert robot.ask().error.code == Code.NONE
    later = stamp_ns + 10**9
    not_before = Time(sec=later // 10**9, nanosec=later % 10**9)
    assert robot.ask(not_before=not_before, max_age_s=60.0).error.code == Code.STALE_FRAMES


def test_a_question_waits_for_the_frame_it_asks_for(bench):
    robot = bench(frame_wait_s=15.0)
    robot.show()
    now = robot.now()
    not_before = Time(sec=now // 10**9, nanosec=now % 10**9)
    goal = robot.goal(not_before=not_before)
    wait_until(lambda: QueryStage.WAITING_FRAMES in goal.stages, "the wait for frames")
    stamp_ns = robot.show()
    status, answer = goal.result()
    assert status == SUCCEEDED, answer.error
    assert answer.header.stamp.sec * 10**9 + answer.header.stamp.nanosec == stamp_ns


def test_the_newest_frame_wins_while_the_model_is_busy(bench):
    robot = bench()
    robot.show()
    first = hold(robot, "prefill")
    waiting = robot.goal()
    for value in (10, 20, 30):
        newest = robot.show(value=value)
    robot.answerer.holding.clear()
    first.result()
    stamp = waiting.result()[1].header.stamp
    assert stamp.sec * 10**9 + stamp.nanosec == newest


def test_late_subscribers_get_the_latched_answer_with_its_qos(bench):
    robot = bench()
    robot.show()
    robot.ask("first")
    robot.show()
    robot.ask("second")
    found = robot.listen(Answer, f"/{robot.name}/answer", LATCHED)
    wait_until(lambda: found, "the latched answer")
    assert [item.question for item in found] == ["second"]


def test_what_asks_no_model_does_not_wait_for_one(bench, tmp_path):
    robot = bench(dump__folder=str(tmp_path))
    robot.show()
    assert robot.ask().error.code == Code.NONE
    robot.show()
    goal = hold(robot, "decode")
    frozen = robot.call(FreezeScene, "freeze_scene")
    assert frozen.error.code == Code.NONE and not frozen.scene.prefilled
    changed = robot.call(Changed, "changed", scene_id=frozen.scene.scene_id)
    assert changed.error.code == Code.NONE, changed.error
    dumped = robot.call(DumpQuery, "dump_query")
    assert (Path(dumped.path) / "dump.json").is_file()
    assert robot.answerer.at == "decode"
    robot.answerer.holding.clear()
    assert goal.result()[1].error.code == Code.NONE
