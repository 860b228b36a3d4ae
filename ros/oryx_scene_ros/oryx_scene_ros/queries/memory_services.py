"""The services of the robot's memory, ~/where and ~/forget, and its answers to questions in words.

They wait in the helper's queue: nothing is asked of the model, whose thread may be busy.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from oryx_scene_msgs.srv import Forget, Where
from rclpy.callback_groups import ReentrantCallbackGroup

from oryx_scene.errors import OryxSceneError
from oryx_scene.memory.erasure import Scope
from oryx_scene_ros.convert import error_message
from oryx_scene_ros.error_codes import Code, Failure, NodeError, failure_of
from oryx_scene_ros.output.memory_messages import forget_response, where_response
from oryx_scene_ros.output.memory_status import MemoryReport
from oryx_scene_ros.queries.memory_questions import recall
from oryx_scene_ros.queries.query_handler import Reply
from oryx_scene_ros.queries.requests import Request, ns_of
from oryx_scene_ros.queries.worker import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from oryx_scene_ros.base import NodeBase
    from oryx_scene_ros.intake.memory_writer import MemoryWriter
    from oryx_scene_ros.queries.services import Services

log = logging.getLogger("oryx_scene_ros")


class MemoryServices:
    """~/where and ~/forget.

    Args:
        node: owner.
        services: whose queue they wait in.
    """

    def __init__(self, node: NodeBase, services: Services) -> None:
        self._node, self._services = node, services
        self._report = MemoryReport(node)
        group = ReentrantCallbackGroup()
        node.create_service(Where, "~/where", self._where, callback_group=group)
        node.create_service(Forget, "~/forget", self._forget, callback_group=group)

    async def _where(self, request: Any, response: Any) -> Any:
        now_ns = self._node.now_ns()
        words, at_ns = str(request.words), ns_of(request.at) or now_ns
        found = await self._in_turn(lambda memory: recall(memory, words, at_ns))
        if isinstance(found, Failure):
            response.error = error_message(found)
            return response
        return where_response(response, found, now_ns)

    async def _forget(self, request: Any, response: Any) -> Any:
        try:
            scope = scope_of(request, self._node.parameters.settings().pipeline.fixed_frame)
        except OryxSceneError as err:
            response.error = error_message(failure_of(err))
            return response
        dry_run = bool(request.dry_run)
        found = await self._in_turn(lambda memory: memory.forget(scope, dry_run=dry_run))
        if isinstance(found, Failure):
            response.error = error_message(found)
            return response
        return forget_response(response, found)

    async def _in_turn(self, work: Callable[[MemoryWriter], Any]) -> Any:
        """What ``work`` gives on the helper's thread, or a Failure."""

        def done(job: Job) -> Any:
            try:
                return work(memory_of(self._node))
            except OryxSceneError as err:
                return failure_of(err)

        try:
            return await self._services.in_turn(self._node.helper, done)
        except OryxSceneError as err:
            return failure_of(err)


def memory_of(node: NodeBase) -> MemoryWriter:
    """The node's memory.

    Raises:
        NodeError: MEMORY_FAULT where there is none.
    """
    if node.memory is None:
        raise NodeError(
            Code.MEMORY_FAULT, "this node keeps no memory.", hint="set the parameter memory.folder"
        )
    return node.memory


def scope_of(request: Any, fixed_frame: str) -> Scope:
    """What a Forget request wishes.

    Raises:
        NodeError, ConfigError: nothing is wished, or what cannot be meant.
    """
    since_ns, until_ns = ns_of(request.since) or None, ns_of(request.until) or None
    limited = bool(request.use_region) or since_ns is not None or until_ns is not None
    if bool(request.everything) == limited:
        raise NodeError(
            Code.INVALID_REQUEST,
            "everything, or a region and a span of time are expected.",
            hint="set either everything, or use_region, since and until",
        )
    if not request.use_region:
        return Scope(since_ns=since_ns, until_ns=until_ns)
    if str(request.frame_id).lstrip("/") not in ("", fixed_frame):
        raise NodeError(
            Code.INVALID_REQUEST,
            f"the region is given in '{request.frame_id}'; the memory is in '{fixed_frame}'.",
            hint="give low and high in the parameter fixed_frame",
        )
    low, high = ((at.x, at.y, at.z) for at in (request.low, request.high))
    return Scope(low, high, since_ns, until_ns)


def recalled_reply(node: NodeBase, request: Request) -> Reply:
    """The memory's answer to a question in words; never raises."""
    try:
        memory = memory_of(node)
        found = recall(memory, request.question.text, node.now_ns())
        memory.keep(found.answer, found.text)
        return Reply(request, found.record(request.question), recalled=found)
    except OryxSceneError as err:
        return Reply(request, failure=failure_of(err))
    except Exception as err:
        log.exception("the memory could not be asked, in a way that nobody foresaw")
        text = f"the memory met a fault that nobody foresaw ({type(err).__name__})."
        return Reply(request, failure=Failure(Code.UNKNOWN, text, "the node's log has the details"))
