"""The newest evidence for a question: waits for it and decodes it. No rclpy here.

Runs on the engine thread; waiting is on the steady clock, ages are ROS time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from oryx_scene.config import PipelineConfig
from oryx_scene.errors import NoFramesError, TransformError
from oryx_scene.geometry.rig import Rig
from oryx_scene.scene.frame_selection import ChosenFrames, candidates_at, frames_at
from oryx_scene_ros.error_codes import Code, NodeError
from oryx_scene_ros.intake.frame_requirements import (
    Wanted,
    fresh_cameras,
    problem_with,
    require_fresh_again,
)
from oryx_scene_ros.intake.message_buffer import MessageBuffers
from oryx_scene_ros.intake.moment import BufferedMoment

# A waiting question looks at least this often whether it is still wanted.
LOOK_S = 0.05
# Newest frames that may turn out broken one after the other before a question gives up.
DECODE_TRIES = 3


@dataclass(frozen=True)
class Gathered:
    """The frames of one question.

    Attributes:
        chosen: decoded frames with warnings.
        now_ns: ROS time to which ages refer.
    """

    chosen: ChosenFrames
    now_ns: int


def gather(
    feeds: MessageBuffers,
    wanted: Wanted,
    config: PipelineConfig,
    rig: Rig | None,
    *,
    now: Callable[[], int],
    stopped: Callable[[], bool],
) -> Gathered:
    """Wait for fresh frames of all required cameras and for their transforms, and decode them.

    Args:
        feeds: what arrived.
        wanted: what the question asks for.
        config: how views are chosen; ``views.max_age_s`` is replaced by the question's.
        rig: calibration that wins over the topics'.
        now: ROS time in nanoseconds.
        stopped: polled while waiting; True ends the waiting at once.

    Raises:
        NoFramesError, StaleFramesError: no frame as asked for within the wait.
        NodeError: BAD_IMAGE where only broken pictures came, SYNC_FAILED.
    """
    config = replace(config, views=replace(config.views, max_age_s=wanted.max_age_s))
    _wait(feeds, wanted.frame_wait_s, stopped, lambda: problem_with(feeds, wanted, now()) is None)
    problem = problem_with(feeds, wanted, now())
    if problem is not None:
        try:
            raise problem
        finally:
            # An error that its own frame names would wait for the cyclic collector.
            del problem
    for _ in range(DECODE_TRIES - 1):
        try:
            return _freeze(feeds, wanted, config, rig, now, stopped)
        except NodeError as err:
            # What could not be decoded has been discarded: the frame before it may do.
            if err.code is not Code.BAD_IMAGE or problem_with(feeds, wanted, now()) is not None:
                raise
    return _freeze(feeds, wanted, config, rig, now, stopped)


def _wait(
    feeds: MessageBuffers, timeout_s: float, stopped: Callable[[], bool], ready: Callable[[], bool]
) -> None:
    until = time.monotonic() + timeout_s
    with feeds.changed:
        while not ready() and not stopped():
            left = until - time.monotonic()
            if left <= 0:
                return
            feeds.changed.wait(min(left, LOOK_S))


def _freeze(
    feeds: MessageBuffers,
    wanted: Wanted,
    config: PipelineConfig,
    rig: Rig | None,
    now: Callable[[], int],
    stopped: Callable[[], bool],
) -> Gathered:
    fresh, warnings = fresh_cameras(feeds, wanted, now())
    # A camera whose clock runs a little ahead has frames from the near future: they count as now.
    newest = max(feeds.cameras[name].newest_ns or 0 for name in fresh)
    now_ns = max(now(), newest)
    wanted_now = replace(wanted, cameras=fresh)
    snapshot = BufferedMoment(feeds, wanted_now, config.fixed_frame, rig, now_ns)
    _, moment = candidates_at(snapshot, now_ns, config.views)
    if _wait_for_companions(feeds, moment.stamps, wanted.tf_timeout_s, stopped):
        snapshot = BufferedMoment(feeds, wanted_now, config.fixed_frame, rig, now_ns)
        _, moment = candidates_at(snapshot, now_ns, config.views)
    if wanted.refuse_unsynchronised and not moment.synchronous:
        raise NodeError(
            Code.SYNC_FAILED,
            ". ".join(map(str, moment.warnings(config.views.slop_s))) + ".",
            hint="allow a larger views.slop_s, or trigger the cameras together",
        )
    _wait_for_transforms(feeds, snapshot, moment.stamps, wanted.tf_timeout_s, stopped)
    try:
        chosen = frames_at(snapshot, now_ns, config.views)
    except NoFramesError as err:
        # There were candidates, so it was decoding that left none.
        raise NodeError(Code.BAD_IMAGE, err.message, hint=err.hint) from err
    require_fresh_again(chosen.frames, feeds, wanted, now_ns)
    said = (*warnings, *snapshot.warnings, *chosen.warnings)
    return Gathered(chosen._replace(warnings=said), now_ns)


def _wait_for_companions(
    feeds: MessageBuffers, stamps: dict[str, int], timeout_s: float, stopped: Callable[[], bool]
) -> bool:
    """Wait until the newest pictures have their depth and calibration, or time is up.

    Drivers publish what belongs to one moment one after the other; a question that met the picture
    alone would be answered without 3D. Streams that have stopped are not waited for. Whether
    anything was missing at first.
    """

    def complete() -> bool:
        return not any(feeds.cameras[name].lacks(stamp) for name, stamp in stamps.items())

    with feeds.changed:
        missing = not complete()
    if missing:
        _wait(feeds, timeout_s, stopped, complete)
    return missing


def _wait_for_transforms(
    feeds: MessageBuffers,
    snapshot: BufferedMoment,
    stamps: dict[str, int],
    timeout_s: float,
    stopped: Callable[[], bool],
) -> None:
    """Wait until the pose of every newest frame is known, or time is up.

    Transforms are published after the pictures that they belong to. Coordinate frames that TF has
    never named are not waited for. What stays unknown costs the 3D places and is said by the frame.
    """
    heard_of = feeds.transforms.known_frames()
    poses = {
        (snapshot.frame_ids[name], stamp)
        for name, stamp in stamps.items()
        if snapshot.frame_ids[name] in heard_of
    }

    def known() -> bool:
        try:
            for frame_id, stamp in poses:
                feeds.transforms.lookup(snapshot.fixed_frame, frame_id, stamp)
        except TransformError:
            return False
        return True

    if snapshot.fixed_frame:
        _wait(feeds, timeout_s, stopped, known)
