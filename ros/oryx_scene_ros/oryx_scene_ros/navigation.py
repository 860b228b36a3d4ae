"""From an answer to a goal for Nav2: where to stand to see the thing that was named (docs/nav2.md).

Method names are those of nav2_simple_commander, whose BasicNavigator takes the goals. Needs rclpy
and the interfaces; neither a model nor Nav2 itself.
"""

from __future__ import annotations

import math
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
from oryx_scene_msgs.action import AskScene
from oryx_scene_msgs.msg import Answer
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from oryx_scene.errors import OryxSceneError
from oryx_scene_ros.queries.questions import SERVICE_QOS

# A thing straight below or above the camera gives no direction to look in.
LEAST_GROUND_M = 0.05
STEP_S = 0.1
SETTLE_S = 1.0


class UnsureError(OryxSceneError):
    """An answer that no robot should drive by."""


def view_goal(
    answer: Answer,
    *,
    distance_m: float = 1.0,
    mark: int = 0,
    max_stddev_m: float = 0.25,
    max_age_s: float = 10.0,
    min_confidence: float = 0.6,
) -> PoseStamped:
    """A pose on the ground from which the thing that an answer names is seen.

    It lies on the line on which a camera saw the thing, so that nothing stood between,
    ``distance_m`` before the thing's box, or where that camera was if it was nearer; it looks at
    the thing.

    Args:
        answer: with evidence, poses and places (depth or moving cameras, and TF).
        distance_m: from the near side of the box.
        mark: of the thing, where the answer names several; 0 takes the only one.
        max_stddev_m: largest standard deviation of the place, along its worst direction.
        max_age_s: largest age of the evidence when the answer was given.
        min_confidence: least confidence of an answer that has one.

    Returns:
        in ``answer.header.frame_id``, z = 0, yaw about z.

    Raises:
        UnsureError: the answer failed, is unsure, old, names no thing or several, or its place is
            unknown or known too badly.
    """
    _require_sure(answer, max_age_s, min_confidence)
    thing = _named(answer, mark)
    if not thing.has_box or not math.isfinite(thing.pose.position.x):
        raise UnsureError(f"mark {thing.mark} has no place.", hint="depth, calibration and TF?")
    # Written this way round NaN is refused, too.
    if not thing.position_stddev <= max_stddev_m:
        raise UnsureError(
            f"the place of mark {thing.mark} is known to {thing.position_stddev:.2f} m, allowed "
            f"are {max_stddev_m:g} m.",
            hint="look at it from nearer, or allow more with max_stddev_m",
        )
    if answer.header.frame_id in {seen.header.frame_id for seen in answer.provenance.frames}:
        raise UnsureError(
            "places are given in a camera's own coordinate frame, which has no ground.", hint="TF?"
        )
    camera = _seen_from(answer, thing)
    x, y = thing.pose.position.x - camera.x, thing.pose.position.y - camera.y
    ground_m = math.hypot(x, y)
    if ground_m < LEAST_GROUND_M:
        raise UnsureError(f"mark {thing.mark} was seen straight from above or below.")
    x, y = x / ground_m, y / ground_m
    back_m = min(ground_m, distance_m + math.hypot(thing.size.x, thing.size.y) / 2)
    goal = PoseStamped()
    goal.header.frame_id, goal.header.stamp = answer.header.frame_id, answer.answered_at
    goal.pose.position.x = thing.pose.position.x - back_m * x
    goal.pose.position.y = thing.pose.position.y - back_m * y
    yaw = math.atan2(y, x)
    goal.pose.orientation.z, goal.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return goal


def _require_sure(answer: Answer, max_age_s: float, min_confidence: float) -> None:
    if answer.error.code:
        raise UnsureError(f"there is no answer: {answer.error.message}", hint=answer.error.hint)
    if answer.verdict in (Answer.VERDICT_NO, Answer.VERDICT_UNSURE):
        said = "no" if answer.verdict == Answer.VERDICT_NO else "unsure"
        raise UnsureError(f"the answer is {said}.")
    if answer.confidence < min_confidence:
        raise UnsureError(
            f"the answer's confidence is {answer.confidence:.2f}, asked for are {min_confidence:g}."
        )
    if not answer.oldest_evidence_age_s <= max_age_s:
        raise UnsureError(
            f"the evidence is {answer.oldest_evidence_age_s:.1f} s old, allowed are "
            f"{max_age_s:g} s.",
            hint="ask again",
        )


def _named(answer: Answer, mark: int) -> Any:
    numbers = [thing.mark for thing in answer.objects]
    if mark and mark not in numbers:
        raise UnsureError(f"the answer does not name mark {mark}.", hint=f"it names {numbers}")
    if not mark and len(numbers) != 1:
        raise UnsureError(
            f"the answer names {len(numbers)} things.", hint=f"say which of {numbers} with mark"
        )
    return answer.objects[numbers.index(mark) if mark else 0]


def _seen_from(answer: Answer, thing: Any) -> Any:
    """Position of the newest camera that saw the thing and whose pose is known."""
    frames = [answer.provenance.frames[seen.view] for seen in thing.observations]
    known = [frame for frame in frames if frame.pose_valid]
    if not known:
        raise UnsureError(f"no camera with a known pose saw mark {thing.mark}.", hint="TF?")
    newest = max(known, key=lambda frame: (frame.header.stamp.sec, frame.header.stamp.nanosec))
    return newest.pose.position


class SceneClient(Node):  # type: ignore[misc]  # rclpy has no types here
    """Asks a scene node from a script, one question at a time.

    Args:
        scene_node: full name of the node that is asked.
        name: of this one.
        arguments: as of ``rclpy.node.Node``.
    """

    def __init__(
        self, scene_node: str = "/oryx_scene", name: str = "scene_client", **arguments: Any
    ) -> None:
        super().__init__(name, **arguments)
        self._client = ActionClient(
            self,
            AskScene,
            f"{scene_node}/ask_scene",
            goal_service_qos_profile=SERVICE_QOS,
            result_service_qos_profile=SERVICE_QOS,
            cancel_service_qos_profile=SERVICE_QOS,
        )
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self)
        self._handle: Any = None
        self._result: Any = None
        self._feedback: Any = None

    def askScene(self, question: str, *, timeout_s: float = 20.0, **fields: Any) -> bool:
        """Send a question; whether the node has taken it.

        Args:
            question: to ask.
            timeout_s: for the node to be found, and for its word.
            fields: of the goal, as in AskScene.action.
        """
        self._result = self._feedback = None
        if not self._client.server_is_ready():
            self._client.wait_for_server(timeout_s)
            # What is found first is the way there; the way back of the reply follows.
            time.sleep(SETTLE_S)
        goal = AskScene.Goal(question=question, feedback=True, **fields)
        sent = self._client.send_goal_async(goal, self._heard)
        self._executor.spin_until_future_complete(sent, timeout_sec=timeout_s)
        if not sent.done() or not sent.result().accepted:
            return False
        self._handle = sent.result()
        self._result = self._handle.get_result_async()
        return True

    def _heard(self, message: Any) -> None:
        self._feedback = message.feedback

    def isTaskComplete(self) -> bool:
        """Whether the answer is there (or no question was accepted); waits for 0.1 s."""
        if self._result is None:
            return True
        self._executor.spin_until_future_complete(self._result, timeout_sec=STEP_S)
        return bool(self._result.done())

    def getFeedback(self) -> Any:
        """The newest AskScene.Feedback, None before the first."""
        return self._feedback

    def getResult(self) -> Answer:
        """The answer, waited for; its ``error`` says where there is none.

        Raises:
            UnsureError: the node took no question (it is not active), or nothing was asked.
        """
        if self._result is None:
            raise UnsureError("no question was accepted.", hint="is the scene node active?")
        while not self.isTaskComplete():
            pass
        return self._result.result().result.answer

    def cancelTask(self) -> None:
        """Give the question up; its answer holds the text so far."""
        if self._result is not None:
            self._executor.spin_until_future_complete(self._handle.cancel_goal_async())

    def destroy_node(self) -> None:
        """As in the base class."""
        self._executor.shutdown(timeout_sec=0)
        self._client.destroy()
        super().destroy_node()
