"""What a caller asks for, checked; from an action goal, a service request or a topic. No rclpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from oryx_scene.model.api import Limits
from oryx_scene.qa.formats import FORMATS, check_question
from oryx_scene.records import Question
from oryx_scene_ros.error_codes import Code, NodeError
from oryx_scene_ros.intake.frame_requirements import Wanted
from oryx_scene_ros.parameters.settings import NodeSettings

FORMAT_OF_CODE = {form.code: name for name, form in FORMATS.items()}
MAX_TIMEOUT_S = 3600.0
MAX_AGE_S = 86400.0


@dataclass(frozen=True)
class Request:
    """One question with its wishes; 0 and "" mean "as parameterised"."""

    question: Question
    scene_id: str = ""
    session_id: str = ""
    cameras: tuple[str, ...] = ()
    not_before_ns: int = 0
    max_age_s: float = 0.0
    timeout_s: float = 0.0
    target_frame: str = ""
    priority: int = 0
    max_new_tokens: int = 0
    sampling: tuple[float, float, int] | None = None
    feedback: bool = False

    def limits(self, settings: NodeSettings) -> Limits:
        """How the answer is generated, without deadline and cancellation."""
        limits = settings.limits
        if self.max_new_tokens:
            limits = replace(limits, max_new_tokens=self.max_new_tokens)
        if self.sampling is not None:
            temperature, top_p, seed = self.sampling
            limits = replace(limits, temperature=temperature, top_p=top_p, seed=seed)
        return limits

    def wanted(self, settings: NodeSettings) -> Wanted:
        """What is asked of the frames."""
        return wanted_frames(settings, self.cameras, self.not_before_ns, self.max_age_s)


def ns_of(time: Any) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)


def wanted_frames(
    settings: NodeSettings, cameras: Sequence[str], not_before_ns: int, max_age_s: float
) -> Wanted:
    """Wishes about frames, defaults filled in."""
    return Wanted(
        cameras=tuple(cameras) or tuple(item.name for item in settings.cameras),
        max_age_s=max_age_s or settings.pipeline.views.max_age_s,
        not_before_ns=not_before_ns,
        frame_wait_s=settings.number("frame_wait_s"),
        tf_timeout_s=settings.number("tf_timeout_s"),
        refuse_unsynchronised=settings.text("sync.policy") == "refuse",
    )


def request_from_goal(goal: Any) -> Request:
    """An AskScene goal.

    Raises:
        NodeError, QuestionError: fields that cannot be meant.
    """
    request = replace(
        request_from_ask(goal),
        not_before_ns=ns_of(goal.not_before),
        max_age_s=seconds("max_age_s", goal.max_age_s, MAX_AGE_S),
        target_frame=str(goal.target_frame).lstrip("/"),
        priority=int(goal.priority),
        max_new_tokens=int(goal.max_new_tokens),
        feedback=bool(goal.feedback),
    )
    if request.not_before_ns < 0:
        raise _invalid("not_before lies before the year 1970.", "give ROS time, or 0 for any")
    if goal.sampling_override:
        if not 0.0 <= goal.temperature <= 2.0:
            raise _invalid(f"temperature is {goal.temperature:g}.", "0 (greedy) to 2")
        if not 0.0 < goal.top_p <= 1.0:
            raise _invalid(f"top_p is {goal.top_p:g}.", "above 0, at most 1")
        sampling = (float(goal.temperature), float(goal.top_p), int(goal.seed))
        request = replace(request, sampling=sampling)
    return request


def request_from_ask(asked: Any) -> Request:
    """An Ask request, or the part of an AskScene goal that is the same.

    Raises:
        NodeError, QuestionError: fields that cannot be meant.
    """
    if asked.format not in FORMAT_OF_CODE:
        known = ", ".join(f"{code} {name.upper()}" for code, name in FORMAT_OF_CODE.items())
        raise _invalid(f"format is {asked.format}.", known)
    name = FORMAT_OF_CODE[asked.format]
    question = Question(str(asked.question), name, tuple(asked.choices), str(asked.json_schema))
    return Request(
        check_question(question),
        scene_id=str(asked.scene_id),
        session_id=str(asked.session_id),
        cameras=tuple(asked.cameras),
        timeout_s=seconds("timeout_s", asked.timeout_s, MAX_TIMEOUT_S),
    )


def request_from_text(text: str) -> Request:
    """The words of a ~/question message.

    Raises:
        QuestionError: nothing that can be asked.
    """
    return Request(check_question(Question(text)))


def check_cameras(cameras: Sequence[str], settings: NodeSettings) -> None:
    """Refuse cameras that the parameters do not name.

    Raises:
        NodeError: UNKNOWN_CAMERA.
    """
    for name in cameras:
        if settings.camera(name) is None:
            known = ", ".join(item.name for item in settings.cameras)
            raise NodeError(
                Code.UNKNOWN_CAMERA, f"there is no camera '{name}'.", hint=f"there are: {known}"
            )


def seconds(name: str, value: float, most: float) -> float:
    """``value`` if it is a span of time; 0 is allowed and means the default.

    Raises:
        NodeError: negative, too large or no number.
    """
    if not math.isfinite(value) or not 0.0 <= value <= most:
        raise _invalid(f"{name} is {value:g}.", f"0 (as parameterised) to {most:g} seconds")
    return float(value)


def _invalid(message: str, hint: str) -> NodeError:
    return NodeError(Code.INVALID_REQUEST, message, hint=hint)
