"""Questions from the action, the service and the topic: one queue, one way to an Answer message.

Callbacks only hand over: a job goes to the worker, its end sets a future that the waiting callback
sleeps on, and wakes the executor.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from oryx_scene_msgs.action import AskScene
from oryx_scene_msgs.msg import Answer
from oryx_scene_msgs.srv import Ask
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from std_msgs.msg import String

from oryx_scene.errors import OryxSceneError
from oryx_scene_ros.base import NodeBase
from oryx_scene_ros.convert import answer_message
from oryx_scene_ros.error_codes import Code, Failure, NodeError, failure_of, stopped
from oryx_scene_ros.output.feedback import Later, MergedFeedback
from oryx_scene_ros.output.memory_messages import fill_recalled
from oryx_scene_ros.queries.memory_questions import asks_memory
from oryx_scene_ros.queries.memory_services import recalled_reply
from oryx_scene_ros.queries.query_handler import QueryStage, Reply
from oryx_scene_ros.queries.requests import (
    Request,
    check_cameras,
    request_from_ask,
    request_from_goal,
    request_from_text,
)
from oryx_scene_ros.queries.scene_store import KeptScene
from oryx_scene_ros.queries.worker import Job, QueueFull, WorkerClosed

log = logging.getLogger("oryx_scene_ros")

# rcl forgets results after this; long enough for a client that looks late (rcl issue 1103).
RESULT_TIMEOUT_S = 60

# The default of 10 loses requests and replies in silence where more come at once than one side
# takes: a client then waits for ever. Clients that send many goals at once need the same.
SERVICE_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)

SendFeedback = Callable[[QueryStage, str, int, float, int], None]


class Query:
    """One question on its way: job, listener, the future of its answer; in the end, its scene."""

    def __init__(
        self, asking: Questions, query_id: bytes, request: Request, send: SendFeedback | None
    ) -> None:
        self.query_id = query_id
        self.request = request
        self.future: Any = Future()
        self.kept: KeptScene | None = None
        settings = asking.node.parameters.settings()
        timeout_s = request.timeout_s or settings.number("query_timeout_s")
        self.job = Job(
            name=query_id.hex(),
            work=lambda job: asking.work(self, job),
            on_end=lambda outcome: asking.ended(self, outcome),
            priority=request.priority,
            deadline=time.monotonic() + timeout_s,
        )
        self._send = send
        self._partial = asking.publish_partial
        self._position: int | None = None
        self._merged = MergedFeedback(self._news, self.job.accepted, asking.later)

    def stage(self, stage: QueryStage) -> None:
        """A stage begins (``desk.Listener``)."""
        self._merged.stage(stage)

    def text(self, piece: str) -> None:
        """A piece of the answer (``desk.Listener``)."""
        self._merged.text(piece)

    def moved(self, position: int) -> None:
        """Tell a waiting caller how many go before it, where that changed."""
        if self._send is not None and position != self._position and self.job.started is None:
            self._position = position
            self._send(QueryStage.QUEUED, "", 0, time.monotonic() - self.job.accepted, position)

    def close(self) -> None:
        """The last words before the answer."""
        self._merged.close()

    def _news(self, stage: QueryStage, delta: str, pieces: int, elapsed_s: float) -> None:
        if delta:
            self._partial(delta)
        if self._send is not None:
            self._send(stage, delta, pieces, elapsed_s, 0)


class Questions:
    """Action, service and topic for questions."""

    def __init__(self, node: NodeBase) -> None:
        self.node = node
        # Callbacks that wait for an answer must not keep others from being called.
        group = ReentrantCallbackGroup()
        self.open: dict[bytes, Query] = {}
        self.later = Later()
        # Callers whose callback has not yet returned; only touched on the executor thread.
        self.unanswered = 0
        self.server = ActionServer(
            node,
            AskScene,
            "~/ask_scene",
            self._execute,
            callback_group=group,
            goal_callback=self._goal,
            cancel_callback=self._cancel,
            result_timeout=RESULT_TIMEOUT_S,
            goal_service_qos_profile=SERVICE_QOS,
            result_service_qos_profile=SERVICE_QOS,
            cancel_service_qos_profile=SERVICE_QOS,
            feedback_pub_qos_profile=SERVICE_QOS,
        )
        node.create_service(Ask, "~/ask", self._ask, qos_profile=SERVICE_QOS, callback_group=group)
        node.create_subscription(String, "~/question", self._question, 10, callback_group=group)

    # -- callbacks ---------------------------------------------------------------------------------

    def _goal(self, _: Any) -> GoalResponse:
        # A rejection cannot carry a reason, so only an inactive node rejects.
        return GoalResponse.ACCEPT if self.node.accepting else GoalResponse.REJECT

    def _cancel(self, handle: Any) -> CancelResponse:
        query = self.open.get(bytes(handle.goal_id.uuid))
        if query is not None and self.node.worker is not None:
            self.node.worker.stop(query.job, Code.CANCELED)
        return CancelResponse.ACCEPT

    async def _execute(self, handle: Any) -> Any:
        query_id = bytes(handle.goal_id.uuid)
        goal = handle.request
        send = self._sender(handle) if goal.feedback else None
        answer = await self._answer(query_id, lambda: request_from_goal(goal), send)
        if answer.error.code == Code.NONE:
            handle.succeed()
        elif answer.error.code == Code.CANCELED and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return AskScene.Result(answer=answer)

    async def _ask(self, request: Any, response: Any) -> Any:
        response.answer = await self._answer(
            uuid.uuid4().bytes, lambda: request_from_ask(request), None
        )
        return response

    async def _question(self, message: Any) -> None:
        await self._answer(uuid.uuid4().bytes, lambda: request_from_text(message.data), None)

    def _sender(self, handle: Any) -> SendFeedback:
        def send(
            stage: QueryStage, delta: str, pieces: int, elapsed_s: float, position: int
        ) -> None:
            feedback = AskScene.Feedback(
                stage=int(stage),
                queue_position=min(position, 65535),
                delta=delta,
                pieces=pieces,
                elapsed_s=elapsed_s,
            )
            handle.publish_feedback(feedback)

        return send

    # -- the one way -------------------------------------------------------------------------------

    async def _answer(
        self, query_id: bytes, read: Callable[[], Request], send: SendFeedback | None
    ) -> Answer:
        """The Answer of one question, whatever happens to it."""
        self.unanswered += 1
        try:
            return await self._answer_of(query_id, read, send)
        finally:
            self.unanswered -= 1

    async def _answer_of(
        self, query_id: bytes, read: Callable[[], Request], send: SendFeedback | None
    ) -> Answer:
        accepted = time.monotonic()
        request: Request | None = None
        try:
            request = read()
            query = self.submit(query_id, request, send)
        except OryxSceneError as err:
            reply = Reply(request, failure=failure_of(err))
            return self._finish(query_id, reply, time.monotonic() - accepted)
        answer: Answer = await query.future
        return answer

    def submit(self, query_id: bytes, request: Request, send: SendFeedback | None = None) -> Query:
        """Queue a question; its answer comes as ``Query.future``, and on ~/answer.

        Raises:
            NodeError: it cannot be taken, e.g. BUSY.
        """
        self.node.require_active()
        check_cameras(request.cameras, self.node.parameters.settings())
        query = Query(self, query_id, request, send)
        # Where no model is asked its thread may be busy.
        recalls = self.node.memory is not None and asks_memory(request)
        worker = self.node.helper if recalls else self.node.worker
        assert worker is not None
        self.open[query_id] = query
        try:
            worker.submit(query.job)
        except QueueFull as full:
            self.open.pop(query_id, None)
            raise NodeError(
                Code.BUSY,
                f"{full.length} questions are waiting and the queue holds no more.",
                hint=f"ask again in about {full.wait_s:.1f} s",
                retry_after_s=full.wait_s,
            ) from full
        except WorkerClosed as closed:
            self.open.pop(query_id, None)
            failure = stopped(Code.SHUTTING_DOWN)
            raise NodeError(Code.SHUTTING_DOWN, failure.message, hint=failure.hint) from closed
        return query

    def work(self, query: Query, job: Job) -> Reply:
        """On the engine thread, or the helper's: answer one question."""
        if self.node.memory is not None and asks_memory(query.request):
            return recalled_reply(self.node, query.request)
        desk = self.node.desk
        if desk is None:
            failure = Failure(Code.MODEL_NOT_LOADED, "no model is loaded.", "configure the node")
            return Reply(query.request, failure=failure)
        return desk.ask(job, query.request, self.node.parameters.settings(), query)

    def ended(self, query: Query, outcome: tuple[Any, Code | None]) -> None:
        """From whichever thread ended the job: build the answer and wake who waits for it."""
        reply, code = outcome
        elapsed_s = time.monotonic() - query.job.accepted
        query.close()
        if code is not None:
            reply = Reply(query.request, failure=stopped(code), queue_s=elapsed_s)
        try:
            answer = self._finish(query.query_id, reply, elapsed_s)
        except Exception:
            log.exception("the answer could not be put into a message")
            reply = Reply(query.request, failure=stopped(Code.UNKNOWN), queue_s=elapsed_s)
            answer = self._finish(query.query_id, reply, elapsed_s)
        self.open.pop(query.query_id, None)
        query.kept = reply.kept
        query.future.set_result(answer)
        # Older executors look at futures only when something wakes them.
        self.node.wake()
        self.node.after_answer(query.query_id.hex(), reply)

    def _finish(self, query_id: bytes, reply: Reply, elapsed_s: float) -> Answer:
        answer = answer_message(reply, query_id, self.node.now_ns(), elapsed_s)
        if reply.recalled is not None:
            fill_recalled(answer, reply.recalled)
        self.node.publish_answer(answer)
        return answer

    def publish_partial(self, delta: str) -> None:
        """A piece of a running answer on ~/partial."""
        self.node.publish_partial(delta)

    def queue_moved(self) -> None:
        """Tell every waiting caller its place."""
        worker = self.node.worker
        if worker is None:
            return
        for position, job in enumerate(worker.waiting()):
            query = self.open.get(bytes.fromhex(job.name)) if len(job.name) == 32 else None
            if query is not None:
                query.moved(position)
