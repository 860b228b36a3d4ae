"""What the cameras sent last: bounded memory of messages, nothing decoded. No rclpy here.

Callbacks add messages, the engine thread takes snapshots. A broken message is counted and not kept,
so that it can push out no good one.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from oryx_scene.errors import ImageDecodeError
from oryx_scene.geometry.rig import Rig
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.records import FloatArray
from oryx_scene.scene.frame_selection import span_of
from oryx_scene.sources.bags.assemble import add_rig_transforms
from oryx_scene.sources.bags.camera_info import numbers_of
from oryx_scene.sources.bags.depth import DEPTH_SLOP_S
from oryx_scene.sources.bags.index import stamp_ns_of
from oryx_scene.sources.bags.messages import check_image_message
from oryx_scene.sources.bags.pairing import CameraTopics, rig_camera
from oryx_scene_ros.parameters.settings import CameraSettings

# Changes of a calibration that are remembered; a zoom lens changes it with every turn.
KEPT_INFOS = 32
# While so few messages of a camera have come, the first of its other topics may be on its way.
FIRST_MESSAGES = 8
# A camera whose newest depth lies this far behind its picture sends no depth any more.
DEPTH_GONE_NS = 500_000_000
# A detector that lags further behind its picture is not waited for.
DETECTOR_GONE_NS = 2_000_000_000
# Bytes that one detection is counted with (its pose has a covariance), and a message without any.
DETECTION_BYTES = 2048
# A stamp this far behind the last one of its camera is another time, not a late message.
BACKWARDS_NS = 1_000_000_000


@dataclass(frozen=True, eq=False)
class BufferedMessage:
    """One message and what is known of it without decoding."""

    stamp_ns: int
    message: Any
    size: int


class Ring:
    """Messages of one topic in the order of their stamps.

    All of the last ``recent_ns``, before that the newest of each span of ``gap_ns``, as the reader
    of a recording has it (``offline.span_of``), back to ``history_ns``.
    """

    def __init__(self) -> None:
        self.kept: list[BufferedMessage] = []
        self.frame_id = ""
        self.encoding = ""

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(item.size for item in self.kept)

    def add(self, item: BufferedMessage, recent_ns: int, gap_ns: int, history_ns: int) -> None:
        """Keep a message, let go of what has become too old or too dense."""
        kept = self.kept
        if kept and item.stamp_ns < kept[-1].stamp_ns - BACKWARDS_NS:
            kept.clear()
        place = bisect_left([one.stamp_ns for one in kept], item.stamp_ns)
        if place < len(kept) and kept[place].stamp_ns == item.stamp_ns:
            kept[place] = item
        else:
            kept.insert(place, item)
        self._thin(recent_ns, gap_ns, history_ns)

    def _thin(self, recent_ns: int, gap_ns: int, history_ns: int) -> None:
        newest = self.kept[-1].stamp_ns
        thinned: list[BufferedMessage] = []
        last: int | None = None
        for item in reversed(self.kept):
            age, span = newest - item.stamp_ns, span_of(item.stamp_ns, gap_ns)
            if age <= recent_ns or (age <= history_ns and span != last):
                thinned.append(item)
            last = span
        thinned.reverse()
        self.kept = thinned


@dataclass
class CameraFeed:
    """All that arrived of one camera since activation."""

    settings: CameraSettings
    topics: CameraTopics
    detections_topic: str = ""
    images: Ring = field(default_factory=Ring)
    depths: Ring = field(default_factory=Ring)
    detections: Ring = field(default_factory=Ring)
    infos: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    came: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    last_problem: str = ""
    last_bad: float | None = None

    @property
    def received(self) -> int:
        """Pictures and depth messages since activation, broken ones included."""
        return self.came["picture"] + self.came["depth"]

    def refuse(self, kind: str, problem: str) -> None:
        """Count a message that cannot be used; when is on the steady clock."""
        self.bad[kind] += 1
        self.last_problem = problem
        self.last_bad = time.monotonic()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """Of all its topics."""
        return self.images, self.depths, self.detections

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest good picture."""
        return self.images.kept[-1].stamp_ns if self.images.kept else None

    def lacks(self, stamp_ns: int) -> bool:
        """Whether what belongs to the picture at ``stamp_ns`` may be on its way."""
        return self._lacks_depth(stamp_ns) or self._lacks_detections(stamp_ns)

    def _lacks_detections(self, stamp_ns: int) -> bool:
        """What was found in this picture, or in a later one, has not come yet."""
        if not self.detections_topic:
            return False
        if not self.detections.kept:
            return self.received <= FIRST_MESSAGES
        newest = self.detections.kept[-1].stamp_ns
        return newest < stamp_ns <= newest + DETECTOR_GONE_NS

    def _lacks_depth(self, stamp_ns: int) -> bool:
        """Depth or calibration has not come yet."""
        if not self.topics.depth:
            return False
        begun = self.received <= FIRST_MESSAGES
        infos = (self.topics.info, self.topics.depth_info)
        if begun and not all(self.infos.get(topic) for topic in infos if topic):
            return True
        if not self.depths.kept:
            return begun
        gap = min(abs(item.stamp_ns - stamp_ns) for item in self.depths.kept)
        stopped = stamp_ns - self.depths.kept[-1].stamp_ns > DEPTH_GONE_NS
        return gap > round(DEPTH_SLOP_S * 1e9) and not stopped


class LockedTransforms(TransformBuffer):
    """A transform buffer that callbacks fill while the engine thread looks things up."""

    def __init__(self, history_s: float | None) -> None:
        super().__init__(history_s)
        self._lock = threading.RLock()

    def add(self, parent: str, child: str, stamp_ns: int, T_parent_child: FloatArray) -> None:
        """As in the base class."""
        with self._lock:
            super().add(parent, child, stamp_ns, T_parent_child)

    def add_static(
        self, parent: str, child: str, T_parent_child: FloatArray, since_ns: int = 0
    ) -> None:
        """As in the base class."""
        with self._lock:
            super().add_static(parent, child, T_parent_child, since_ns)

    def pin(self, parent: str, child: str, T_parent_child: FloatArray) -> None:
        """As in the base class."""
        with self._lock:
            super().pin(parent, child, T_parent_child)

    def lookup(self, target: str, source: str, stamp_ns: int) -> FloatArray:
        """As in the base class."""
        with self._lock:
            return super().lookup(target, source, stamp_ns)

    def connected(self, target: str, source: str) -> bool:
        """As in the base class."""
        with self._lock:
            return super().connected(target, source)

    def disputed(self) -> dict[str, tuple[str, ...]]:
        """As in the base class."""
        with self._lock:
            return super().disputed()

    def span(self) -> tuple[int, int] | None:
        """As in the base class."""
        with self._lock:
            return super().span()

    def known_frames(self) -> frozenset[str]:
        """As in the base class."""
        with self._lock:
            return super().known_frames()

    def newest(self, target: str, source: str, stamp_ns: int) -> int | None:
        """As in the base class."""
        with self._lock:
            return super().newest(target, source, stamp_ns)

    def root_of(self, frame_id: str) -> str:
        """As in the base class."""
        with self._lock:
            return super().root_of(frame_id)

    def clear(self) -> None:
        """As in the base class."""
        with self._lock:
            super().clear()


@dataclass(frozen=True)
class Bounds:
    """How much is kept (parameters sync.buffer_s, views.min_gap_s, views.history_s, buffer_mib)."""

    recent_ns: int
    gap_ns: int
    history_ns: int
    max_bytes: int


class MessageBuffers:
    """The feeds of all cameras, and the transforms.

    Args:
        cameras: name -> feed, topics expanded.
        transforms: filled from /tf and /tf_static.
        bounds: asked at every message, so that parameters act at once.
        rig: mounting of the cameras, known to TF as soon as a camera's coordinate frame is.
    """

    def __init__(
        self,
        cameras: Mapping[str, CameraFeed],
        transforms: LockedTransforms,
        bounds: Callable[[], Bounds],
        rig: Rig | None = None,
    ) -> None:
        self.cameras = dict(cameras)
        self.transforms = transforms
        self.changed = threading.Condition()
        self._bounds = bounds
        self.rig = rig

    def add_image(self, camera: str, message: Any, *, depth: bool = False) -> None:
        """Keep a picture (or depth) message, or count it as bad."""
        feed = self.cameras[camera]
        stamp_ns = stamp_ns_of(message.header)
        kind = "depth" if depth else "picture"
        problem = ""
        try:
            check_image_message(camera, message)
        except ImageDecodeError as err:
            problem = f"{err.message}. {err.hint}"
        if stamp_ns <= 0:
            problem = f"the {kind} carries no stamp. The driver must set header.stamp"
        with self.changed:
            feed.came[kind] += 1
            if problem:
                feed.refuse(kind, problem)
                return
            ring = feed.depths if depth else feed.images
            frame_id = _frame_id(message)
            if not depth and frame_id != ring.frame_id:
                frame = rig_camera(self.rig, camera).frame_id or frame_id
                add_rig_transforms(self.rig, {camera: frame}, self.transforms)
            ring.frame_id = frame_id
            ring.encoding = str(getattr(message, "encoding", "") or message.format)
            bounds = self._bounds()
            item = BufferedMessage(stamp_ns, message, len(message.data))
            ring.add(item, bounds.recent_ns, bounds.gap_ns, bounds.history_ns)
            self._bound(bounds.max_bytes)
            self.changed.notify_all()

    def add_detections(self, camera: str, message: Any) -> None:
        """Keep a Detection2DArray as long as the pictures that it may belong to."""
        feed = self.cameras[camera]
        stamp_ns = stamp_ns_of(message.header)
        with self.changed:
            if stamp_ns <= 0:
                problem = "the detections carry no stamp. They must repeat the picture's"
                feed.refuse("detections", problem)
                return
            ring, frame_id, pictures = feed.detections, _frame_id(message), feed.images.frame_id
            ring.frame_id = frame_id
            if frame_id and pictures and frame_id != pictures:
                # Several cameras may share the topic: what is of another one pushes out nothing.
                return
            bounds = self._bounds()
            item = BufferedMessage(
                stamp_ns, message, DETECTION_BYTES * (1 + len(message.detections))
            )
            ring.add(item, bounds.recent_ns, bounds.gap_ns, bounds.history_ns)
            self._bound(bounds.max_bytes)
            self.changed.notify_all()

    def detections_of(self, camera: str) -> tuple[BufferedMessage, ...]:
        """What detectors sent of one camera's pictures, in the order of the stamps."""
        feed = self.cameras[camera]
        with self.changed:
            own = ("", feed.images.frame_id)
            kept = feed.detections.kept
            return tuple(item for item in kept if _frame_id(item.message) in own)

    @property
    def detected(self) -> bool:
        """Whether marks are what detectors find."""
        return any(feed.detections_topic for feed in self.cameras.values())

    def discard(self, camera: str, stamp_ns: int, problem: str) -> None:
        """Count and forget a picture that turned out broken when it was decoded."""
        with self.changed:
            feed = self.cameras[camera]
            feed.refuse("picture", problem)
            feed.images.kept = [item for item in feed.images.kept if item.stamp_ns != stamp_ns]

    def _bound(self, max_bytes: int) -> None:
        rings = [ring for feed in self.cameras.values() for ring in feed.rings]
        held = sum(ring.size for ring in rings)
        while held > max_bytes:
            # The newest of each topic always stays, or a large picture could never be asked about.
            longer = [ring for ring in rings if len(ring.kept) > 1]
            if not longer:
                return
            oldest = min(longer, key=lambda ring: ring.kept[0].stamp_ns)
            held -= oldest.kept.pop(0).size

    def add_info(self, camera: str, topic: str, message: Any) -> None:
        """Keep a CameraInfo where its numbers differ from the one that holds at its stamp.

        One that is not of numbers is no calibration; one from far ahead was of another time.
        """
        stamp_ns = stamp_ns_of(message.header)
        with self.changed:
            feed = self.cameras[camera]
            if not all(map(math.isfinite, (*message.k, *message.d))):
                feed.refuse("camera_info", f"{topic} holds numbers that are not finite")
                return
            kept = feed.infos.setdefault(topic, [])
            kept[:] = [item for item in kept if item[0] <= stamp_ns + BACKWARDS_NS]
            place = bisect_right([stamp for stamp, _ in kept], stamp_ns)
            if not place or numbers_of(kept[place - 1][1]) != numbers_of(message):
                kept.insert(place, (stamp_ns, message))
                del kept[:-KEPT_INFOS]
            self.changed.notify_all()

    def transforms_changed(self) -> None:
        """Tell those who wait for a transform."""
        with self.changed:
            self.changed.notify_all()

    def clear(self) -> None:
        """Forget everything that belongs to one time: after a jump of the clock."""
        with self.changed:
            for feed in self.cameras.values():
                for ring in feed.rings:
                    ring.kept.clear()
                feed.infos.clear()
            self.transforms.clear()

    def bad_counts(self) -> dict[str, int]:
        """Broken messages since activation, per camera."""
        with self.changed:
            return {name: sum(feed.bad.values()) for name, feed in self.cameras.items()}


def _frame_id(message: Any) -> str:
    return str(message.header.frame_id).lstrip("/")
