"""A question that the node asks itself: its turns, and those that are passed over."""

import time

import pytest
from fake_answerer import FakeAnswerer
from harness import LATCHED, transform, wait_until
from oryx_scene_msgs.msg import Answer
from oryx_scene_ros.error_codes import Code
from test_cameras import show_rgbd

OK, WARN = b"\x00", b"\x01"


def said(robot):
    """Level, message and values of the entry of /diagnostics."""
    found = robot.node.watch.status(robot.node.parameters.settings())
    return found.level, found.message, {item.key: item.value for item in found.values}


def test_a_question_is_asked_until_it_is_taken_back(bench):
    robot = bench(
        answerer=FakeAnswerer(words=("Yes.",)),
        watch__question="Is anybody there?",
        watch__period_s=0.2,
        watch__format="yes_no",
    )
    found = robot.listen(Answer, f"/{robot.name}/watch/answer", LATCHED)
    robot.show()
    wait_until(lambda: sum(not item.error.code for item in found) > 2, "three answers")
    assert {item.question for item in found} == {"Is anybody there?"}
    assert {item.verdict for item in found if not item.error.code} == {Answer.VERDICT_YES}
    level, message, values = said(robot)
    assert (level, message) == (OK, "") and int(values["answered_total"]) >= 3
    assert robot.set_parameter("watch.question", "") == ""
    wait_until(lambda: robot.node.worker.running is None, "the end of the last one")
    asked = len(robot.answerer.prompts)
    robot.show()
    assert robot.ask("And now?").error.code == Code.NONE
    assert len(robot.answerer.prompts) <= asked + 2
    assert robot.node.watch.status(robot.node.parameters.settings()) is None
    # What a caller asks is no answer of the watch.
    assert {item.question for item in found} == {"Is anybody there?"}


def test_two_never_wait_and_the_newest_frame_wins(bench):
    robot = bench(watch__period_s=0.1)
    found = robot.listen(Answer, f"/{robot.name}/watch/answer", LATCHED)
    robot.answerer.holding.add("prefill")
    robot.show()
    assert robot.set_parameter("watch.question", "Is it clear?") == ""
    wait_until(lambda: robot.answerer.at == "prefill", "the first question")
    wait_until(lambda: robot.node.watch.counts["late"] > 2, "turns that are passed over")
    assert robot.node.worker.waiting() == ()
    assert said(robot)[0] == WARN and "longer than watch.period_s" in said(robot)[1]
    newest = robot.show()
    robot.answerer.holding.clear()
    wait_until(lambda: len(found) > 1, "the next one")
    first, second = found[0].provenance.frames[-1], found[1].provenance.frames[-1]
    assert first.header.stamp != second.header.stamp
    assert second.header.stamp.sec * 10**9 + second.header.stamp.nanosec == newest


def test_callers_go_first_and_a_full_queue_is_no_failure(bench):
    robot = bench(watch__period_s=0.1, queue__capacity=1)
    robot.answerer.holding.add("prefill")
    robot.show()
    running = robot.goal("First?")
    wait_until(lambda: robot.answerer.at == "prefill", "the first question")
    waiting = robot.goal("Second?")
    wait_until(lambda: len(robot.node.worker.waiting()) == 1, "the second in the queue")
    answers = robot.node.answers.total
    assert robot.set_parameter("watch.question", "Is it clear?") == ""
    wait_until(lambda: robot.node.watch.counts["busy"] > 1, "turns without a place")
    assert said(robot)[:2] == (WARN, "no place in the queue: turns are passed over")
    # Nothing is published of them.
    assert robot.node.answers.total == answers
    assert robot.set_parameter("queue.capacity", 4) == ""
    wait_until(lambda: len(robot.node.worker.waiting()) == 2, "the watched one in the queue")
    late = robot.goal("Third?")
    wait_until(lambda: len(robot.node.worker.waiting()) == 3, "the third in the queue")
    assert robot.node.worker.waiting()[-1].priority == -1
    robot.answerer.holding.clear()
    for goal in (running, waiting, late):
        assert goal.result()[1].error.code == Code.NONE


def test_a_question_waits_for_a_change(bench):
    robot = bench(
        camera__front__depth_topic="/front/aligned_depth_to_color/image_raw",
        watch__question="What is new?",
        watch__period_s=0.2,
        watch__when="changed",
        frame_wait_s=0.1,
    )
    counts = robot.node.watch.counts
    robot.tf(transform("map", "front_optical", 0), static=True)
    show_rgbd(robot)
    wait_until(lambda: counts["unchanged"] > 1, "turns without a change")
    assert said(robot)[:2] == (OK, "")
    answered = counts["answered"]
    show_rgbd(robot, thing_m=None)
    wait_until(lambda: counts["answered"] > answered, "a question after the change")
    unchanged = counts["unchanged"]
    wait_until(lambda: counts["unchanged"] > unchanged + 1, "turns without a change again")
    assert counts["answered"] == answered + 1


def test_where_geometry_cannot_tell_it_is_asked(bench):
    robot = bench(watch__question="What is new?", watch__period_s=0.1, watch__when="changed")
    robot.show()
    wait_until(lambda: robot.node.watch.counts["answered"] > 2, "answers without depth")
    assert robot.node.watch.counts["unchanged"] == 0


@pytest.mark.parametrize(
    ("question", "words"), [("Is it clear?", "nothing has arrived"), (" ", "empty")]
)
def test_what_fails_is_said(bench, question, words):
    robot = bench(watch__question=question, watch__period_s=0.1, frame_wait_s=0.05)
    wait_until(lambda: robot.node.watch.counts["failed"] > 1, "two failures")
    level, message, _ = said(robot)
    assert level == WARN and message.startswith("the last question failed: ") and words in message
    # It goes on by itself, and ends with the node's activity.
    assert robot.set_parameter("watch.question", "Is it clear?") == ""
    robot.show()
    wait_until(lambda: robot.node.watch.counts["answered"] > 0, "an answer")
    assert robot.transition("deactivate")
    wait_until(lambda: not robot.node.watch._under_way, "the last turn")
    turns = sum(robot.node.watch.counts.values())
    time.sleep(0.3)
    assert sum(robot.node.watch.counts.values()) == turns
