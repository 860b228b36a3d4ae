"""/diagnostics in words: model, queue, answers, transforms and every camera; levels that change."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from oryx_scene.errors import TransformError
from oryx_scene.sources.bags.assemble import choose_fixed_frame
from oryx_scene.sources.bags.pairing import rig_camera
from oryx_scene_ros.error_codes import for_clients
from oryx_scene_ros.intake.cameras import Intake
from oryx_scene_ros.intake.message_buffer import DEPTH_GONE_NS, CameraFeed, MessageBuffers
from oryx_scene_ros.parameters.settings import NodeSettings
from oryx_scene_ros.queries.query_handler import QueryHandler
from oryx_scene_ros.queries.worker import Worker

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)
FUTURE_S = 1.0
# A broken message is news for so long, on the steady clock; the count stays.
BAD_SHOWN_S = 30.0
# (whether it holds, level, sentence)
Judged = tuple[bool, bytes, str]
QUEUE_WARN = 0.8
KEPT_LATENCIES = 200


@dataclass
class AnswerLog:
    """Figures of the last answers; added to by the engine thread, read by the executor's."""

    total: int = 0
    errors: int = 0
    last_code: int = 0
    last_message: str = ""
    reused: int = 0
    latencies: dict[str, deque[float]] = field(
        default_factory=lambda: {
            name: deque(maxlen=KEPT_LATENCIES)
            for name in ("first_token", "total", "capture_to_answer", "tokens_per")
        }
    )

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def add(self, answer: Any) -> None:
        """Take an oryx_scene_msgs/Answer."""
        with self._lock:
            self._add(answer)

    def _add(self, answer: Any) -> None:
        self.total += 1
        if answer.error.code:
            self.errors += 1
            self.last_code, self.last_message = answer.error.code, answer.error.message
            return
        timing = answer.timing
        self.reused += bool(timing.scene_reused)
        self.latencies["first_token"].append(timing.first_token_s)
        self.latencies["total"].append(timing.total_s)
        self.latencies["capture_to_answer"].append(timing.capture_to_answer_s)
        if timing.decode_s > 0:
            self.latencies["tokens_per"].append(timing.generated_tokens / timing.decode_s)

    def values(self) -> dict[str, object]:
        """For a DiagnosticStatus."""
        with self._lock:
            return self._values()

    def _values(self) -> dict[str, object]:
        said: dict[str, object] = {
            "total": self.total,
            "errors_total": self.errors,
            "last_error_code": self.last_code,
            "last_error_msg": self.last_message,
        }
        for name in ("first_token", "total", "capture_to_answer"):
            for percent in (50, 95):
                said[f"{name}_p{percent}_s"] = _percentile(self.latencies[name], percent)
        said["tokens_per_s"] = _percentile(self.latencies["tokens_per"], 50)
        good = max(1, self.total - self.errors)
        said["prefill_reuse_ratio"] = f"{self.reused / good:.3f}"
        return said


def _percentile(values: Iterable[float], percent: float) -> str:
    # A copy in one step: the engine thread may be adding to it.
    known = [value for value in tuple(values) if np.isfinite(value)]
    return f"{np.percentile(known, percent):.4f}" if known else ""


def status(name: str, level: bytes, message: str, values: dict[str, object]) -> DiagnosticStatus:
    """One DiagnosticStatus; the report puts the node's full name before its own."""
    return DiagnosticStatus(
        name=name,
        level=level,
        message=for_clients(message),
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )


def queue_status(worker: Worker | None) -> DiagnosticStatus:
    """The waiting questions."""
    if worker is None:
        return status("queue", OK, "not configured", {})
    waiting = worker.waiting()
    oldest_s = max((time.monotonic() - job.accepted for job in waiting), default=0.0)
    values: dict[str, object] = {
        "length": len(waiting),
        "capacity": worker.capacity,
        "oldest_wait_s": f"{oldest_s:.3f}",
        "expected_wait_s": f"{worker.expected_wait_s():.3f}",
        **{f"{name}_total": count for name, count in worker.counts.items()},
    }
    full = worker.capacity > 0 and len(waiting) >= QUEUE_WARN * worker.capacity
    return status("queue", WARN if full else OK, "nearly full" if full else "", values)


def tf_status(intake: Intake | None, fixed_frame: str) -> DiagnosticStatus:
    """Transforms."""
    if intake is None:
        return status("tf", OK, "not active", {})
    age = None if intake.last_tf is None else time.monotonic() - intake.last_tf
    values: dict[str, object] = {
        "fixed_frame": fixed_frame,
        "last_ok_age_s": "" if age is None else f"{age:.3f}",
        "failures": intake.tf_failures,
        "last_problem": intake.last_tf_problem,
    }
    known = intake.feeds.transforms.known_frames()
    if not known:
        return status("tf", WARN, "no transform has arrived: answers have no 3D places", values)
    if fixed_frame not in known:
        return status("tf", WARN, f"there is no frame '{fixed_frame}'", values)
    misfits = [text for item in intake.watched if not item.camera for text in intake.misfits(item)]
    return status("tf", WARN if misfits else OK, "; ".join(misfits), values)


def map_status(desk: QueryHandler) -> DiagnosticStatus:
    """The map behind the numbers."""
    values: dict[str, object] = {**desk.numbers.map.size}
    feeder = desk.feeder
    if feeder is not None and feeder.frames:
        values["frames"] = feeder.frames
        values["s_per_frame"] = f"{feeder.busy_s / feeder.frames:.4f}"
    return status("map", OK, "", values)


class CameraReport:
    """Remembers counts between two reports, for the rates."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

    def status(
        self, name: str, feed: CameraFeed, intake: Intake, settings: NodeSettings, now_ns: int
    ) -> DiagnosticStatus:
        """One camera."""
        feeds = intake.feeds
        newest = feed.newest_ns
        age_s = None if newest is None else (now_ns - newest) / 1e9
        own = [item for item in intake.watched if item.camera == name]
        misfits = [text for item in own for text in intake.misfits(item)]
        publishers = intake.publishers(own[0])
        values: dict[str, object] = {
            "topic": feed.topics.image,
            "publishers": publishers,
            "qos_mismatch": "; ".join(misfits),
            "hz": f"{self._rate(name, 'picture', feed):.1f}",
            "depth_hz": f"{self._rate(name, 'depth', feed):.1f}" if feed.topics.depth else "",
            "last_age_s": "" if age_s is None else f"{age_s:.3f}",
            "bad_messages": sum(feed.bad.values()),
            "last_problem": feed.last_problem,
            "encoding": feed.images.encoding,
            "camera_info": _calibration(feeds, feed),
            "depth": feed.depths.encoding or ("none yet" if feed.topics.depth else "not asked for"),
            "detections": len(feed.detections.kept) if feed.detections_topic else "not asked for",
            "frame_id": feed.images.frame_id,
            "required": feed.settings.required,
        }
        judged = [*_judge(feed, age_s, misfits, publishers, settings)]
        judged += _judge_places(feeds, feed, settings)
        # What explains the others comes first.
        level, message = next(((how, text) for holds, how, text in judged if holds), (OK, ""))
        return status(f"camera {name}", level, message, values)

    def _rate(self, name: str, kind: str, feed: CameraFeed) -> float:
        now, received = time.monotonic(), feed.came[kind]
        before, count = self._last.get((name, kind), (now, received))
        self._last[name, kind] = (now, received)
        return (received - count) / (now - before) if now > before else 0.0


def _calibration(feeds: MessageBuffers, feed: CameraFeed) -> str:
    if rig_camera(feeds.rig, feed.settings.name).intrinsics is not None:
        return "of the rig file"
    return "yes" if feed.infos.get(feed.topics.info) else "no"


def _judge(
    feed: CameraFeed,
    age_s: float | None,
    misfits: list[str],
    publishers: int,
    settings: NodeSettings,
) -> tuple[Judged, ...]:
    """What stands against pictures of one camera."""
    required, topic = feed.settings.required, feed.topics.image
    bad, none_yet = sum(feed.bad.values()), age_s is None
    age_s = age_s or 0.0
    lately = feed.last_bad is not None and time.monotonic() - feed.last_bad < BAD_SHOWN_S
    return (
        (bool(misfits), ERROR, "; ".join(misfits)),
        (publishers == 0, ERROR if required else WARN, f"nobody publishes {topic}"),
        (none_yet and bad > 0, ERROR, f"no usable picture: {feed.last_problem}"),
        (none_yet, STALE, "no picture since activation"),
        (age_s < -FUTURE_S, ERROR, f"pictures are stamped {-age_s:.3f} s in the future"),
        (age_s > settings.pipeline.views.max_age_s, WARN, f"the newest is {age_s:.3f} s old"),
        (lately, WARN, f"{bad} broken messages so far: {feed.last_problem}"),
    )


def _judge_places(
    feeds: MessageBuffers, feed: CameraFeed, settings: NodeSettings
) -> tuple[Judged, ...]:
    """What stands against 3D places of what one camera sees, while pictures come."""
    newest = feed.newest_ns
    if newest is None or not settings.pipeline.marks.enabled:
        return ()
    topics, max_age_s = feed.topics, settings.pipeline.views.max_age_s
    depth_ns = feed.depths.kept[-1].stamp_ns if feed.depths.kept else None
    depth_late_s = 0.0 if depth_ns is None else (newest - depth_ns) / 1e9
    pose_problem = _pose_problem(feeds, feed, settings, newest)
    return (
        (
            _calibration(feeds, feed) == "no",
            WARN,
            f"no CameraInfo on {topics.info}: answers have no 3D places",
        ),
        (
            bool(topics.depth) and depth_ns is None,
            WARN,
            f"no depth on {topics.depth} since activation",
        ),
        (
            bool(topics.depth) and depth_late_s > max(max_age_s, DEPTH_GONE_NS / 1e9),
            WARN,
            f"the newest depth is {depth_late_s:.3f} s older than the newest picture",
        ),
        (bool(pose_problem), WARN, pose_problem),
    )


def _pose_problem(
    feeds: MessageBuffers, feed: CameraFeed, settings: NodeSettings, newest: int
) -> str:
    """Why pictures of a camera have no pose, or an old one; "" where they have."""
    name = feed.settings.name
    frame_id = rig_camera(feeds.rig, name).frame_id or feed.images.frame_id
    fixed, said = choose_fixed_frame(
        settings.pipeline.fixed_frame, {name: frame_id}, {name: feeds.transforms}, "the node"
    )
    if not fixed:
        return "" if said is None else said.text
    try:
        known = feeds.transforms.newest(fixed, frame_id, newest)
    except TransformError as err:
        return f"{err.message} Answers have no 3D places"
    late_s = 0.0 if known is None else (newest - known) / 1e9
    if late_s <= settings.pipeline.views.max_age_s:
        return ""
    return f"the newest pose of '{frame_id}' is {late_s:.3f} s older than the newest picture"
