"""Services about scenes, sessions and records; the slow ones wait in a worker's queue."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx_scene_msgs.srv import (
    Changed,
    DumpQuery,
    FreezeScene,
    GetScene,
    ReleaseScene,
    ResetSession,
)
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future

from oryx_scene.dump.folder import write_dump
from oryx_scene.errors import OryxSceneError
from oryx_scene_ros.convert import changed_response, error_message, scene_message
from oryx_scene_ros.error_codes import Code, Failure, NodeError, failure_of, stopped
from oryx_scene_ros.queries.requests import MAX_AGE_S, check_cameras, ns_of, seconds, wanted_frames
from oryx_scene_ros.queries.scene_store import KeptScene
from oryx_scene_ros.queries.worker import Job, QueueFull, Worker, WorkerClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from oryx_scene_ros.base import NodeBase
    from oryx_scene_ros.intake.frame_requirements import Wanted
    from oryx_scene_ros.parameters.settings import NodeSettings
    from oryx_scene_ros.queries.query_log import QueryRecord

MAX_TTL_S = 3600.0
# Dumps of one question that may lie side by side.
MAX_DUMPS = 99


class Services:
    """Everything but asking."""

    def __init__(self, node: NodeBase) -> None:
        self.node = node
        group = ReentrantCallbackGroup()
        for kind, name, callback in (
            (FreezeScene, "freeze_scene", self._freeze),
            (ReleaseScene, "release_scene", self._release),
            (GetScene, "get_scene", self._get),
            (Changed, "changed", self._changed),
            (ResetSession, "reset_session", self._reset),
            (DumpQuery, "dump_query", self._dump),
        ):
            node.create_service(kind, f"~/{name}", callback, callback_group=group)

    # -- through the queue -------------------------------------------------------------------------

    async def _freeze(self, request: Any, response: Any) -> Any:
        try:
            wanted, ttl_s = self._frame_wishes(request)
            prefill = bool(request.prefill)
            # Without a prefill nothing is asked of the model, and its thread may be busy.
            where = self.node.worker if prefill else self.node.helper
            kept = await self.in_turn(
                where,
                lambda job: self._shown(
                    self._desk().freeze(job, wanted, self._settings(), ttl_s, prefill=prefill)
                ),
            )
        except OryxSceneError as err:
            response.error = error_message(failure_of(err))
            return response
        if isinstance(kept, Failure):
            response.error = error_message(kept)
            return response
        response.scene = scene_message(kept)
        return response

    def _shown(self, kept: KeptScene | Failure) -> KeptScene | Failure:
        """On the worker's thread, which has time to draw for those who look."""
        if isinstance(kept, KeptScene):
            self.node.publish_scene(kept)
        return kept

    def _frame_wishes(self, request: Any) -> tuple[Any, float]:
        self.node.require_active()
        settings = self._settings()
        check_cameras(request.cameras, settings)
        max_age_s = seconds("max_age_s", request.max_age_s, MAX_AGE_S)
        ttl_s = seconds("ttl_s", request.ttl_s, MAX_TTL_S) or settings.number("scene_ttl_s")
        wanted = wanted_frames(settings, request.cameras, ns_of(request.not_before), max_age_s)
        return wanted, ttl_s

    async def _changed(self, request: Any, response: Any) -> Any:
        try:
            self.node.require_active()
            settings = self._settings()
            check_cameras(request.cameras, settings)
            before = self.node.store.get(str(request.scene_id), self.node.now_ns())
            cameras = list(request.cameras) or sorted(
                {frame.camera for frame in before.scene.views.frames}
            )
            # A scene may have been frozen with cameras that the parameters no longer name.
            check_cameras(cameras, settings)
            wanted = wanted_frames(settings, cameras, 0, 0.0)
            found = await self.compare(before, wanted, settings)
        except OryxSceneError as err:
            response.error = error_message(failure_of(err))
            return response
        if isinstance(found, Failure):
            response.error = error_message(found)
            return response
        after, changes = found
        return changed_response(response, before, after, changes)

    async def compare(self, before: KeptScene, wanted: Wanted, settings: NodeSettings) -> Any:
        """(scene now, SceneChanges) against an earlier scene, or a Failure; asks no model.

        Raises:
            NodeError: BUSY, or the node is not configured.
        """
        return await self.in_turn(
            self.node.helper, lambda job: self._compared(job, before, wanted, settings)
        )

    def _compared(self, job: Job, before: KeptScene, wanted: Any, settings: Any) -> Any:
        """On the helper's thread."""
        found = self._desk().changed(job, before, wanted, settings)
        if not isinstance(found, Failure):
            self.node.publish_scene(found[0])
        return found

    async def in_turn(self, worker: Worker | None, work: Callable[[Job], Any]) -> Any:
        """The result of ``work`` on a worker's thread, in turn with its other jobs."""
        if worker is None:
            raise NodeError(Code.MODEL_NOT_LOADED, "the node is not configured.")
        future: Any = Future()

        def ended(outcome: tuple[Any, Code | None]) -> None:
            result, code = outcome
            future.set_result(result if code is None else stopped(code))
            self.node.wake()

        deadline = time.monotonic() + self._settings().number("query_timeout_s")
        job = Job(name="service", work=work, on_end=ended, deadline=deadline)
        try:
            worker.submit(job)
        except QueueFull as full:
            raise NodeError(
                Code.BUSY,
                f"{full.length} jobs are waiting and the queue holds no more.",
                hint=f"ask again in about {full.wait_s:.1f} s",
                retry_after_s=full.wait_s,
            ) from full
        except WorkerClosed as closed:
            failure = stopped(Code.SHUTTING_DOWN)
            raise NodeError(Code.SHUTTING_DOWN, failure.message, hint=failure.hint) from closed
        return await future

    # -- at once -----------------------------------------------------------------------------------

    def _release(self, request: Any, response: Any) -> Any:
        try:
            self.node.store.release(str(request.scene_id), self.node.now_ns())
        except OryxSceneError as err:
            response.error = error_message(failure_of(err))
        return response

    def _get(self, request: Any, response: Any) -> Any:
        try:
            kept = self.node.store.get(str(request.scene_id), self.node.now_ns())
            response.scene = scene_message(kept)
        except OryxSceneError as err:
            response.error = error_message(failure_of(err))
        return response

    def _reset(self, request: Any, response: Any) -> Any:
        try:
            response.count = self.node.store.reset_session(str(request.session_id))
        except OryxSceneError as err:
            response.error = error_message(failure_of(err))
        return response

    async def _dump(self, request: Any, response: Any) -> Any:
        try:
            record = self.node.records.get(bytes(request.query_id.uuid).hex())
            folder = self.node.dump_folder()
            written = await self.in_turn(self.node.helper, lambda job: _write(record, folder))
        except OryxSceneError as err:
            written = failure_of(err)
        if isinstance(written, Failure):
            response.error = error_message(written)
        else:
            response.path = str(written)
        return response

    def _settings(self) -> Any:
        return self.node.parameters.settings()

    def _desk(self) -> Any:
        if self.node.desk is None:
            raise NodeError(Code.MODEL_NOT_LOADED, "no model is loaded.", hint="configure the node")
        return self.node.desk


def _write(record: QueryRecord, folder: Path) -> Path | Failure:
    """On the helper's thread: pictures take a while to be packed. Each dump gets its own folder."""
    name = f"query_{record.query_id[:12]}"
    numbered = (name, *(f"{name}_{number}" for number in range(2, MAX_DUMPS + 1)))
    folder = next((folder / one for one in numbered if not (folder / one).exists()), folder / name)
    try:
        return write_dump(
            folder,
            record.pipeline,
            record.scene,
            record.answer,
            record.limits,
            model_name=record.model_name,
        )
    except OryxSceneError as err:
        return failure_of(err)
