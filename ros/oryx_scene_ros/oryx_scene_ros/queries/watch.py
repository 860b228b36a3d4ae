"""One question that the node asks itself again and again (parameters watch.*).

It goes through the queue and the pipeline of every question, behind all that callers ask, and takes
the newest frames when its turn has come. While one is under way, or no place is free, a turn is
passed over: two never wait. With `watch.when: changed` a turn is passed over, too, while geometry
finds nothing that appeared, disappeared or moved since the last answer.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus
from oryx_scene_msgs.msg import Answer
from rclpy.callback_groups import ReentrantCallbackGroup

from oryx_scene.errors import OryxSceneError
from oryx_scene.qa.formats import check_question
from oryx_scene.records import Question
from oryx_scene_ros.error_codes import Code, Failure, NodeError
from oryx_scene_ros.output.diagnostics import OK, WARN, status
from oryx_scene_ros.queries.requests import Request, wanted_frames

if TYPE_CHECKING:
    from oryx_scene_ros.base import NodeBase
    from oryx_scene_ros.parameters.settings import NodeSettings
    from oryx_scene_ros.queries.questions import Questions
    from oryx_scene_ros.queries.scene_store import KeptScene
    from oryx_scene_ros.queries.services import Services

FIRST_PERIOD_S = 10.0
# Below all that a caller can ask for: whoever waits for an answer goes first.
PRIORITY = -1
# What became of a turn, and what to warn of.
TURNS = {
    "answered": "",
    "failed": "the last question failed",
    "unchanged": "",
    "late": "the question before takes longer than watch.period_s: turns are passed over",
    "busy": "no place in the queue: turns are passed over",
}


class Watch:
    """Asks watch.question every watch.period_s while the node is active.

    Args:
        node: owner.
        questions: where it is asked.
        services: compares scenes.
    """

    def __init__(self, node: NodeBase, questions: Questions, services: Services) -> None:
        self.counts = dict.fromkeys(TURNS, 0)
        self._last, self._problem = "answered", ""
        self._node, self._questions, self._services = node, questions, services
        self._before: KeptScene | None = None
        self._under_way = False
        node.entries.append(self.status)
        # Turns that come meanwhile are seen, and counted.
        group = ReentrantCallbackGroup()
        self._timer = node.create_timer(
            FIRST_PERIOD_S, self._tick, callback_group=group, clock=node.steady
        )

    def set_period(self, period_s: float) -> None:
        """How often, on the steady clock."""
        self._timer.timer_period_ns = round(period_s * 1e9)

    def forget(self) -> None:
        """There is no scene any more with which the next one could be compared."""
        self._before = None

    def status(self, settings: NodeSettings) -> DiagnosticStatus | None:
        """For /diagnostics; None where nothing is watched."""
        question = settings.text("watch.question")
        if not question:
            return None
        values: dict[str, object] = {"question": question, "when": settings.text("watch.when")}
        values |= {f"{name}_total": count for name, count in self.counts.items()}
        said = TURNS[self._last]
        if self._last == "failed":
            said = f"{said}: {self._problem}"
        return status("watch", WARN if said else OK, said, values)

    async def _tick(self) -> None:
        node = self._node
        settings = node.parameters.settings()
        if not node.accepting or not settings.text("watch.question"):
            self.forget()
        elif self._under_way:
            self._count("late")
        else:
            self._under_way = True
            try:
                self._count(await self._turn(settings))
            finally:
                self._under_way = False

    def _count(self, what: str) -> None:
        self.counts[what] += 1
        self._last = what

    async def _turn(self, settings: NodeSettings) -> str:
        """Ask, unless there is a reason not to; one of ``TURNS``."""
        if settings.text("watch.when") == "changed" and await self._unchanged(settings):
            return "unchanged"
        question = Question(settings.text("watch.question"), settings.text("watch.format"))
        self.forget()
        try:
            request = Request(check_question(question), priority=PRIORITY)
            query = self._questions.submit(uuid.uuid4().bytes, request)
        except OryxSceneError as err:
            self._problem = str(err)
            return "busy" if isinstance(err, NodeError) and err.code is Code.BUSY else "failed"
        answer: Answer = await query.future
        if self._node.outputs is not None:
            self._node.outputs.watch_answer.publish(answer)
        if answer.error.code:
            self._problem = answer.error.message
            return "failed"
        self._before = query.kept
        return "answered"

    async def _unchanged(self, settings: NodeSettings) -> bool:
        """Whether geometry says that all is as it was when the last answer was given.

        What it cannot tell is a reason to ask.
        """
        before = self._before
        if before is None:
            return False
        cameras = sorted({frame.camera for frame in before.scene.views.frames})
        try:
            wanted = wanted_frames(settings, cameras, 0, 0.0)
            found = await self._services.compare(before, wanted, settings)
        except OryxSceneError:
            return False
        if isinstance(found, Failure):
            return False
        _, changes = found
        return not (changes.changed or changes.unknown or changes.warnings)
