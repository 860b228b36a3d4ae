"""What a question asks of its frames, and why those that arrived may not do. No rclpy here.

Ages are ROS time. Nothing waits and nothing is decoded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oryx_scene.errors import NoFramesError, StaleFramesError
from oryx_scene.records import Frame
from oryx_scene.sources.freshness import FUTURE_LIMIT_S, require_fresh
from oryx_scene.warning import Warning
from oryx_scene_ros.error_codes import Code, NodeError
from oryx_scene_ros.intake.message_buffer import CameraFeed, MessageBuffers


@dataclass(frozen=True)
class Wanted:
    """What a question asks of its frames.

    Attributes:
        cameras: names; never empty.
        max_age_s: of the newest frame of each camera.
        not_before_ns: only frames captured at or after it; 0 = any.
        frame_wait_s, tf_timeout_s: how long to wait for frames and for their transforms.
        refuse_unsynchronised: SYNC_FAILED instead of a warning.
    """

    cameras: tuple[str, ...]
    max_age_s: float
    not_before_ns: int = 0
    frame_wait_s: float = 2.0
    tf_timeout_s: float = 0.2
    refuse_unsynchronised: bool = False


def problem_with(
    feeds: MessageBuffers, wanted: Wanted, now_ns: int
) -> NoFramesError | StaleFramesError | NodeError | None:
    """Why a question cannot be answered now; None if it can. Optional cameras are no reason."""
    asked = [feeds.cameras[name] for name in wanted.cameras]
    required = [feed for feed in asked if feed.settings.required]
    for feed in required:
        problem = problem_of(feed, wanted, now_ns)
        if problem is not None:
            return problem
    if not required:
        problems = [problem_of(feed, wanted, now_ns) for feed in asked]
        if all(problems):
            return problems[0]
    return None


def problem_of(
    feed: CameraFeed, wanted: Wanted, now_ns: int
) -> NoFramesError | StaleFramesError | NodeError | None:
    """Why one camera's newest frame will not do; None if it will."""
    name, newest = feed.settings.name, feed.newest_ns
    if newest is None and feed.bad["picture"]:
        return NodeError(
            Code.BAD_IMAGE,
            f"all {feed.bad['picture']} pictures of camera '{name}' were unusable; the last said: "
            f"{feed.last_problem}",
            hint="repair the driver's messages",
        )
    if newest is None:
        return NoFramesError(
            f"nothing has arrived from camera '{name}' on {feed.topics.image}.",
            hint="is its driver running? /diagnostics names publishers that do not fit",
        )
    if (newest - now_ns) / 1e9 > FUTURE_LIMIT_S:
        return NoFramesError(
            f"the frame of camera '{name}' is stamped {(newest - now_ns) / 1e9:.3f} s in the "
            "future.",
            hint="the clocks differ: synchronise them, or check use_sim_time",
        )
    if wanted.not_before_ns > now_ns:
        ahead_s = (wanted.not_before_ns - now_ns) / 1e9
        return NodeError(
            Code.STALE_FRAMES,
            f"not_before lies {ahead_s:.3f} s in the future; no frame of camera '{name}' can be "
            "that new.",
            hint="give ROS time of now or before (the clocks differ?), or raise frame_wait_s",
        )
    if wanted.not_before_ns and newest < wanted.not_before_ns:
        age_s = (now_ns - newest) / 1e9
        return StaleFramesError(name, age_s, max(0.0, (now_ns - wanted.not_before_ns) / 1e9))
    age_s = (now_ns - newest) / 1e9
    return StaleFramesError(name, age_s, wanted.max_age_s) if age_s > wanted.max_age_s else None


def fresh_cameras(
    feeds: MessageBuffers, wanted: Wanted, now_ns: int
) -> tuple[tuple[str, ...], tuple[Warning, ...]]:
    """The cameras that can be used, and what must be said of the others."""
    fresh, warnings = [], []
    for name in wanted.cameras:
        problem = problem_of(feeds.cameras[name], wanted, now_ns)
        if problem is None:
            fresh.append(name)
        else:
            text = f"without camera '{name}': {problem.message}"
            warnings.append(Warning("camera_left_out", text, camera=name, advice=problem.hint))
    if not fresh:
        raise NoFramesError("no camera has a fresh frame.", hint="see /diagnostics")
    return tuple(fresh), tuple(warnings)


def require_fresh_again(
    frames: Sequence[Frame], feeds: MessageBuffers, wanted: Wanted, now_ns: int
) -> None:
    """The frames that could be decoded must be fresh, too: a broken newest one is no evidence."""
    newest: dict[str, Frame] = {}
    for frame in frames:
        if frame.camera not in newest or frame.stamp_ns > newest[frame.camera].stamp_ns:
            newest[frame.camera] = frame
    required = [f for name, f in newest.items() if feeds.cameras[name].settings.required]
    missing = [
        name
        for name in wanted.cameras
        if name not in newest and feeds.cameras[name].settings.required
    ]
    if missing:
        raise NodeError(
            Code.BAD_IMAGE,
            f"no picture of camera '{missing[0]}' could be decoded; the last said: "
            f"{feeds.cameras[missing[0]].last_problem}",
            hint="repair the driver's messages",
        )
    require_fresh(required or newest.values(), now_ns, wanted.max_age_s, wanted.not_before_ns)
